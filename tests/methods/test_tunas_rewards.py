"""The three rewards of TuNAS by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sartor.costs.factors import Factor, FactorCost
from sartor.methods.rewards import Reward
from sartor.mrf import Budget

ROWS = np.array([[0], [1], [2]])
QUALITY = np.array([0.5, 0.6, 0.7])
MACS = Budget(FactorCost([3], [Factor((0,), np.array([50, 100, 200]))], name="macs"), 100, "macs")
PARAMS = Budget(FactorCost([3], [Factor((0,), np.array([10, 20, 30]))], name="params"), 20, "params")
MEMORY = Budget(FactorCost([3], [Factor((0,), np.array([1, 4, 3]))], 0, "max", "peak_memory_bytes"), 2, "memory")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("absolute", [0.5 - 0.05, 0.6, 0.7 - 0.1]),
        ("soft", [0.5 * 0.5**-0.1, 0.6, 0.7 * 2**-0.1]),
        ("hard", [0.5, 0.6, 0.7 * 2**-0.1]),
    ],
)
def test_rewards_by_hand(kind: str, expected: list[float]) -> None:
    """At half the target, on it, and at twice the target, with exponent -0.1 (section 4.2)."""
    reward = Reward(kind, -0.1, [MACS])  # type: ignore[arg-type]
    np.testing.assert_allclose(reward(ROWS, QUALITY), expected)
    np.testing.assert_allclose(reward.cost_ratio(ROWS), [0.5, 1, 2])


@pytest.mark.parametrize("kind", ["absolute", "soft", "hard"])
def test_further_budgets_count_where_they_are_exceeded(kind: str) -> None:
    """The first sum is the target; other sums and maxima are silent within their limits."""
    alone, both = (Reward(kind, -0.1, budgets) for budgets in ([MACS], [MEMORY, MACS, PARAMS]))  # type: ignore[arg-type]
    less = alone(ROWS, QUALITY) - both(ROWS, QUALITY)
    np.testing.assert_allclose(both.cost_ratio(ROWS), [0.5, 1, 2])
    if kind == "absolute":
        np.testing.assert_allclose(less, [0, 0.1 * 1, 0.1 * (0.5 + 0.5)])
    else:
        np.testing.assert_allclose(both(ROWS, QUALITY)[1:], alone(ROWS, QUALITY)[1:] * np.array([2, 2.25]) ** -0.1)
        assert less[0] == 0


def test_without_a_summed_budget_nothing_is_aimed_at() -> None:
    """Peak memory alone: within it quality counts, above it the penalty."""
    reward = Reward("absolute", -0.1, [MEMORY])
    np.testing.assert_allclose(reward(ROWS, QUALITY), [0.5, 0.6 - 0.1, 0.7 - 0.05])
    np.testing.assert_allclose(reward.cost_ratio(ROWS), [0.5, 2, 1.5])


def test_the_unit_of_a_cost_does_not_matter() -> None:
    """Latencies in whole nanoseconds against a target in the same: only the ratio enters."""
    factors = [Factor((0,), np.array([50, 100, 200]) * 1_000_000)]
    latency = Budget(FactorCost([3], factors, name="latency_ms"), 100 * 1_000_000, "latency_ms", unit=1e-6)
    rewards = [Reward("absolute", -0.1, [budget])(ROWS, QUALITY) for budget in (MACS, latency)]
    np.testing.assert_allclose(*rewards)
