"""Intervals against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sartor.compare.statistics import mean_of, paired_difference, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 5, 10, 11, 19, 50, 1000])
def test_quantiles_of_student(freedom: int) -> None:
    """The quantile is that of Student's t."""
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), abs=2e-3)


def test_intervals() -> None:
    """The interval of a mean, and of a paired difference, is the t interval."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=20).tolist(), rng.normal(1.0, 1.0, size=20).tolist()
    expected = stats.t.interval(0.95, 19, np.mean(a), stats.sem(a))
    assert mean_of(a).interval == pytest.approx(expected, abs=1e-3)
    difference = paired_difference(a, b)
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert difference.interval == pytest.approx((low, high), abs=1e-3)
    assert difference.below_zero == (high < 0) and not difference.above_zero


def test_one_repetition_has_no_interval() -> None:
    """A single search says nothing about the spread."""
    found = mean_of([0.3])
    assert (found.mean, found.deviation, found.interval) == (0.3, None, None)
    assert not found.below_zero and not found.above_zero
