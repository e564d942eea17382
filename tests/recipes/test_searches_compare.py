"""Means, intervals and chances of the recipe's figures, against scipy and against counting by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from searches.compare import best_of, difference, mean_interval, share_below, summary, t_quantile, welch

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1.0, 2.3, 7.0, 40.5])
def test_quantiles_of_the_t_distribution(freedom: float) -> None:
    """The critical values of scipy, to six digits."""
    assert t_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)


def test_welch_interval() -> None:
    """The interval of scipy's t test with unequal variances; a point where nothing varies."""
    a, b = np.array([51.0, 52.5, 50.2]), np.array([48.0, 49.5, 47.1, 50.0, 46.2])
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert welch(a, b) == pytest.approx([expected.low, expected.high], rel=1e-6)
    assert welch(np.full(2, 3.0), np.full(4, 1.0)) == [2.0, 2.0]


def test_interval_of_a_mean() -> None:
    """That of scipy's one-sample t test; none for a single value."""
    values = [0.4, -0.6, 0.9]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval()
    found = mean_interval(values)
    assert found["mean"] == pytest.approx(0.7 / 3)
    assert found["interval"] == pytest.approx([expected.low, expected.high], rel=1e-6)
    assert mean_interval([1.0]) == {"mean": None, "interval": None}


def test_differences() -> None:
    """Ours minus theirs; the resampled interval is around it; no interval for a single network, nothing for none."""
    found = difference([2.0, 3.0, 4.0], [1.0, 1.5, 0.5, 1.0])
    assert found["mean"] == pytest.approx(2.0)
    assert found["welch"][0] < found["bootstrap"][0] < 2.0 < found["bootstrap"][1] < found["welch"][1]
    assert difference([2.0], [1.0, 1.5]) == {"mean": 0.75, "welch": None, "bootstrap": None}
    assert difference([], [1.0, 1.5])["mean"] is None


def test_best_of_some_networks() -> None:
    """The mean over all draws of N networks, counted one by one: the best by one accuracy, judged by another."""
    chosen, judged = [3.0, 1.0, 4.0, 1.5], [10.0, 20.0, 5.0, 7.0]
    for count in (1, 2, 3, 4):
        draws = [max(draw, key=lambda i: chosen[i]) for draw in itertools.combinations(range(4), count)]
        assert best_of(chosen, judged, count) == pytest.approx(np.mean([judged[i] for i in draws]))
    assert best_of(chosen, judged, 5) is None


def test_summaries() -> None:
    """Standard deviation of a sample, and nothing where there is none."""
    assert summary([1.0, 3.0])["spread"] == pytest.approx(2**0.5)
    assert summary([1.0])["spread"] is None
    assert summary([])["mean"] is None
    assert share_below(2.0, [1.0, 2.0, 3.0, 0.0]) == 50.0
