"""Platforms, their weights, and the Chinese restaurant process."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

from sartor.errors import RequestError
from sartor.platforms import (
    TARGET_MACS,
    TARGET_WIDTHS,
    WEIGHTINGS,
    ChineseRestaurantProcess,
    Platform,
    check_platforms,
    normalised_weights,
    weighted_accuracy,
)


def test_platform_parses_its_budgets() -> None:
    """Budgets may carry units and arrive as numbers; the platform is immutable, hashable and travels."""
    watch = Platform("watch", {"macs": "12.2M", "peak_memory_bytes": "512KiB"}, weight=2)
    assert watch.budgets == {"macs": 12_200_000, "peak_memory_bytes": 524_288}
    assert watch == Platform("watch", {"peak_memory_bytes": 524_288, "macs": 12_200_000}, 2.0)
    assert pickle.loads(pickle.dumps(watch)) == watch == copy.deepcopy(watch)
    assert hash(pickle.loads(pickle.dumps(watch))) == hash(watch)
    with pytest.raises(TypeError):
        watch.budgets["macs"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"name": "a/b"}, "'a/b'"),
        ({"name": ".."}, "'..'"),
        ({"name": "con."}, "not ending in a dot"),
        ({"name": ""}, "letters"),
        ({"name": "x" * 65}, "64"),
        ({"budgets": {}}, "no budget"),
        ({"budgets": {"mac": 1}}, "platform 'watch': unknown cost 'mac'"),
        ({"budgets": {"macs": "57ms"}}, "platform 'watch': macs"),
        ({"weight": 0}, "weight must be a positive number, got 0"),
        ({"weight": float("nan")}, "weight"),
        ({"weight": True}, "weight"),
        ({"budgets": {"latency_ms": "57ms"}}, "device"),
        ({"latency_margin": 0.1}, "belongs to a latency_ms budget"),
        *(
            ({"budgets": {"latency_ms": 5}, "device": "d", "latency_margin": margin}, "a share from 0 to 1 of the")
            for margin in (-0.01, 5, float("nan"), True, "5%")
        ),
    ],
)
def test_wrong_platforms_are_refused(arguments: dict[str, Any], part: str) -> None:
    """Every wrong field of a platform is named."""
    with pytest.raises(RequestError) as caught:
        Platform(**({"name": "watch", "budgets": {"macs": 1}, "weight": 1.0} | arguments))
    assert part in str(caught.value)


def test_platform_names_are_unique_as_files() -> None:
    """Two names that differ only in case would share a file on some systems."""
    with pytest.raises(RequestError, match="'Watch'"):
        check_platforms([Platform("watch", {"macs": 1}), Platform("Watch", {"macs": 2})])
    with pytest.raises(RequestError, match="no platforms"):
        normalised_weights([])


def test_weights_are_normalised() -> None:
    """Only ratios of weights matter."""
    platforms = [Platform("a", {"macs": 1}, 1), Platform("b", {"macs": 1}, 3)]
    np.testing.assert_allclose(normalised_weights(platforms), [0.25, 0.75])
    assert weighted_accuracy([60.0, 70.0], [1, 3]) == pytest.approx(67.5)
    assert weighted_accuracy([60.0, None], [1, 3]) is None
    with pytest.raises(RequestError, match="2 accuracies but 1 weights"):
        weighted_accuracy([60.0, 70.0], [1])


def test_table_1() -> None:
    """The six weightings sum to 1, have a quarter at each end, and mirror each other as in Table 1."""
    assert list(WEIGHTINGS) == ["S", "RS", "U", "M", "L", "RL"]
    for row in WEIGHTINGS.values():
        assert len(row) == len(TARGET_MACS) == len(TARGET_WIDTHS) == 7
        assert math.fsum(row) == pytest.approx(1, abs=1e-12)
        assert row[0] == row[-1] == 0.25
    assert WEIGHTINGS["RS"] == WEIGHTINGS["S"][::-1]
    assert WEIGHTINGS["RL"] == WEIGHTINGS["L"][::-1]
    assert [round(100 * w / 0.5) for w in WEIGHTINGS["S"][1:6]] == [1, 2, 9, 26, 62]
    assert [round(m / 1e6, 2) for m in TARGET_MACS] == [3.35, 7.34, 12.21, 19.02, 26.58, 36.2, 46.45]


@pytest.mark.parametrize(("discount", "strength", "tables"), [(0.3, 0.15, 5.79), (0.15, 0.15, 3.15), (0.15, 0.3, 4.06)])
def test_expected_tables(discount: float, strength: float, tables: float) -> None:
    """20,000 draws of 100 customers agree with the exact mean, and that with the published figures."""
    process = ChineseRestaurantProcess(discount, strength)
    counts = (process.sample_many(20_000, 100, np.random.default_rng(0)) > 0).sum(axis=1)
    assert process.expected_tables(100) == pytest.approx(tables, abs=0.005)
    assert counts.mean() == pytest.approx(tables, abs=4 * counts.std() / math.sqrt(20_000) + 0.005)


def test_partition_probabilities() -> None:
    """Three customers: the five seatings have the probabilities of the formula, in closed form."""
    discount, strength, draws = 0.3, 0.15, 40_000
    sizes = ChineseRestaurantProcess(discount, strength).sample_many(draws, 3, np.random.default_rng(1))
    together = (1 - discount) / (1 + strength)
    expected = {
        (3, 0, 0): together * (2 - discount) / (2 + strength),
        (2, 1, 0): together * (strength + discount) / (2 + strength) + (1 - together) * (1 - discount) / (2 + strength),
        (1, 2, 0): (1 - together) * (1 - discount) / (2 + strength),
        (1, 1, 1): (1 - together) * (strength + 2 * discount) / (2 + strength),
    }
    assert sum(expected.values()) == pytest.approx(1)
    for sizes_of, probability in expected.items():
        observed = (sizes == np.array(sizes_of)).all(axis=1).mean()
        assert observed == pytest.approx(probability, abs=4 * math.sqrt(probability / draws))


def test_bounded_tables() -> None:
    """A negative discount allows strength / -discount tables and no more."""
    process = ChineseRestaurantProcess(-0.5, 1.5)
    sizes = process.sample_many(2000, 100, np.random.default_rng(0))
    assert process.max_tables == 3
    assert sizes.shape == (2000, 3)
    assert (sizes.sum(axis=1) == 100).all()


def test_sample_is_one_seating() -> None:
    """A single draw sums to the customers, has no empty table, and repeats with its seed."""
    process = ChineseRestaurantProcess(0.3, 0.15)
    sizes = process.sample(100, np.random.default_rng(5))
    assert sizes.sum() == 100
    assert (sizes > 0).all()
    np.testing.assert_array_equal(sizes, process.sample(100, np.random.default_rng(5)))
    assert list(process.sample(1, np.random.default_rng(5))) == [1]


@pytest.mark.parametrize(
    ("discount", "strength"),
    [
        (1.0, 1.0),
        (1.2, 0.1),
        (0.3, -0.3),
        (0.0, 0.0),
        (-0.5, 1.2),
        (-0.5, -0.5),
        (-0.5, 0.0),
        (float("nan"), 1.0),
    ],
)
def test_invalid_parameters_name_both(discount: float, strength: float) -> None:
    """Validity couples the two parameters, so the error names both with their values."""
    with pytest.raises(RequestError) as caught:
        ChineseRestaurantProcess(discount, strength)
    for part in ("discount", "strength", str(discount), str(strength)):
        assert part in str(caught.value)


def test_weights_have_the_shape_of_table_1() -> None:
    """Five drawn shares between two quarters: sorted towards the peak, whole percents, summing to 1."""
    process = ChineseRestaurantProcess(0.3, 0.15)
    last = process.weights(5, peak="last", scale=0.5, ends=(0.25, 0.25), rng=np.random.default_rng(3))
    first = process.weights(5, peak="first", ends=(0.25, 0.25), rng=np.random.default_rng(3))
    assert len(last) == 7
    assert last[0] == last[-1] == 0.25
    assert math.fsum(last) == pytest.approx(1)
    assert list(last[1:6]) == sorted(last[1:6])
    assert last[::-1] == first
    assert all(w * 200 == pytest.approx(round(w * 200)) for w in last[1:6])


def test_peak_in_the_middle() -> None:
    """With a peak index the shares fall off with the distance from it."""
    weights = ChineseRestaurantProcess(0.3, 0.15).weights(5, peak=2, rng=np.random.default_rng(0))
    assert math.fsum(weights) == pytest.approx(1)
    assert weights[2] == max(weights)
    assert min(weights[1], weights[3]) >= max(weights[0], weights[4])


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"n_tables": 90}, "no draw with exactly 90 tables"),
        ({"n_tables": 0}, "n_tables"),
        ({"n_tables": 5, "peak": 5}, "peak"),
        ({"n_tables": 5, "peak": "middle"}, "'middle'"),
        ({"n_tables": 5, "scale": 0.6, "ends": (0.25, 0.25)}, "sum to 1"),
        ({"n_tables": 5, "ends": (0.75, 0.25)}, "sum to 1"),
        ({"n_tables": 5, "customers": 0}, "customers"),
    ],
)
def test_impossible_weights_are_refused(arguments: dict[str, Any], part: str) -> None:
    """Requests that cannot be met end with a sentence, not with a loop."""
    with pytest.raises(RequestError) as caught:
        ChineseRestaurantProcess(0.3, 0.15).weights(**arguments, rng=np.random.default_rng(0))
    assert part in str(caught.value)
