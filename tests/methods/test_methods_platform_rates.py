"""How often AOWS samples from each platform's model (nu)."""

from __future__ import annotations

import pytest

from sartor.errors import RequestError
from sartor.methods.aows import platform_rates
from sartor.platforms import TARGET_MACS, WEIGHTINGS, Platform


def seven(row: str) -> list[Platform]:
    """The platforms of Table 1 with the weights of one row."""
    weighted = zip(TARGET_MACS, WEIGHTINGS[row], strict=True)
    return [Platform(f"p{i}", {"macs": macs}, weight) for i, (macs, weight) in enumerate(weighted, 1)]


def test_rates_by_weight_are_the_row() -> None:
    """By weight, nu equals mu: the effective temperature is that of the schedule for every platform."""
    assert platform_rates(seven("RS"), "weight") == pytest.approx(WEIGHTINGS["RS"])


def test_the_middle_leaves_out_both_ends() -> None:
    """Among the middle platforms the row is doubled, since both ends hold a quarter each (facts, section 6.2)."""
    assert platform_rates(seven("S"), "middle") == pytest.approx([0, 0.01, 0.02, 0.09, 0.26, 0.62, 0])


def test_the_order_of_platforms_does_not_matter() -> None:
    """Which platforms are the ends follows from the budgets, not from their place in the list."""
    turned = seven("S")[::-1]
    assert platform_rates(turned, "middle") == pytest.approx([0, 0.62, 0.26, 0.09, 0.02, 0.01, 0])


def test_uniform_rates() -> None:
    """Uniformly, every platform's model is used equally often."""
    assert platform_rates(seven("L"), "uniform") == pytest.approx([1 / 7] * 7)


def test_a_middle_needs_three_platforms() -> None:
    """Two platforms have no middle; the message says what to use."""
    with pytest.raises(RequestError, match="use weight or uniform"):
        platform_rates(seven("U")[:2], "middle")
