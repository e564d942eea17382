"""Rank correlations against scipy and their definitions; the ceiling against accuracies whose noise is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from sartor.compare.correlation import (
    correlation_draws,
    kendall,
    noise_ceiling,
    partial_spearman,
    percentile_interval,
    rank_correlation,
    scatter_chart,
    spearman,
)
from sartor.errors import RequestError


def _columns(seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=25)
    y = 0.5 * x + rng.normal(size=25)
    return (np.round(x), np.round(y)) if ties else (x, y)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_correlations_of_scipy(seed: int, ties: bool) -> None:
    """Both are scipy's, with and without ties."""
    x, y = _columns(seed, ties)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y, variant="b").statistic)


@pytest.mark.parametrize("seed", range(5))
def test_kendall_by_counting_pairs(seed: int) -> None:
    """Concordant less discordant pairs, over the geometric mean of the pairs not tied in each column."""
    x, y = _columns(seed, ties=True)
    balance = untied_x = untied_y = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        dx, dy = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
        balance, untied_x, untied_y = balance + dx * dy, untied_x + abs(dx), untied_y + abs(dy)
    assert kendall(x, y) == pytest.approx(balance / math.sqrt(untied_x * untied_y))


def test_what_a_third_column_explains_is_left_out() -> None:
    """The correlation of what regressions of the ranks on the third column's ranks leave."""
    rng = np.random.default_rng(0)
    given = rng.normal(size=60)
    x, y = given + rng.normal(size=60), given + rng.normal(size=60)
    ranks = [stats.rankdata(column) for column in (x, y, given)]
    rest = [column - np.polyval(np.polyfit(ranks[2], column, 1), ranks[2]) for column in ranks[:2]]
    assert partial_spearman(x, y, given) == pytest.approx(np.corrcoef(rest)[0, 1])
    assert abs(partial_spearman(x, y, given)) < spearman(x, y)
    assert math.isnan(partial_spearman(x, y, x))


def test_draws_are_those_of_the_generator() -> None:
    """Each draw is the correlation of the drawn architectures; equal generators draw the same ones."""
    x, y = _columns(0, ties=False)
    found = correlation_draws(x, y, np.random.default_rng(3), draws=4)
    for rows, both in zip(np.random.default_rng(3).integers(25, size=(4, 25)), found, strict=True):
        assert both == pytest.approx([spearman(x[rows], y[rows]), kendall(x[rows], y[rows])])
    same = correlation_draws(x, y, np.random.default_rng(3), draws=4)
    assert np.array_equal(found, same)


def test_intervals_hold_what_they_promise() -> None:
    """Of fresh samples, about 95 % of the intervals hold the correlation of the population."""
    truth = 2 / math.pi * math.asin(0.6)  # Kendall's, of normal columns that correlate by 0.6
    rng, held, trials = np.random.default_rng(0), 0, 100
    for _ in range(trials):
        x = rng.normal(size=40)
        found = rank_correlation(x, 0.6 * x + 0.8 * rng.normal(size=40), rng, draws=100)
        held += found.kendall_interval[0] <= truth <= found.kendall_interval[1]
    assert 0.88 <= held / trials <= 0.99


def test_interval_is_the_middle() -> None:
    """2.5 % of the draws are on either side; draws that are no numbers do not count."""
    assert percentile_interval([*range(101), math.nan]) == pytest.approx((2.5, 97.5))
    assert all(math.isnan(end) for end in percentile_interval([math.nan]))


def test_constant_columns_have_no_rank() -> None:
    """Where all are equal there is no correlation, and JSON gets no NaN."""
    found = rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], np.random.default_rng(0), draws=5)
    assert math.isnan(found.spearman) and math.isnan(found.kendall)
    assert found.to_dict() == {
        "spearman": None,
        "kendall": None,
        "spearman_interval": [None, None],
        "kendall_interval": [None, None],
        "count": 3,
    }


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_ceiling_is_what_the_truth_reaches(noise: float) -> None:
    """The ceiling is the correlation of the true accuracies with one noisy training of each."""
    rng = np.random.default_rng(1)
    truth = rng.normal(50.0, 1.0, size=600)
    first, second = (truth + noise * rng.normal(size=len(truth)) for _ in range(2))
    found = noise_ceiling(first, np.stack([first, second], axis=1), rng, draws=20)
    assert found.noise_points == pytest.approx(noise, rel=0.15)
    assert found.spearman == pytest.approx(spearman(truth, first), abs=0.04)
    assert found.kendall == pytest.approx(kendall(truth, first), abs=0.04)
    assert found.spearman_interval[0] < found.spearman < found.spearman_interval[1]
    # Two noisy trainings agree less than the truth and one of them.
    assert found.repeats.spearman < found.spearman
    assert found.repeats.spearman == pytest.approx(spearman(first, second))


def test_outliers_do_not_raise_the_ceiling() -> None:
    """Architectures that are lost by far are told from the others, not these from each other."""
    rng = np.random.default_rng(2)
    truth = rng.normal(50.0, 1.0, size=200)
    first, second = (truth + rng.normal(size=len(truth)) for _ in range(2))
    first[0] = truth[0] = 10.0
    found = noise_ceiling(first, np.stack([first, second], axis=1)[1:51], rng, draws=20)
    assert found.spearman == pytest.approx(spearman(truth, first), abs=0.1)


def test_all_noise_has_no_ceiling() -> None:
    """Trainings that differ more than architectures leave nothing to correlate with."""
    found = noise_ceiling([50.0, 50.1, 49.9], [[50.1, 49.0], [49.9, 51.0]], np.random.default_rng(0), draws=10)
    assert (found.reliability, found.spearman, found.kendall) == (0.0, 0.0, 0.0)
    assert found.to_dict()["repeats"]["count"] == 2


def test_chart_is_drawn() -> None:
    """One view per series, each point once; the renderer takes it."""
    chart = scatter_chart({"uniform: 0.4": [(50.0, 30.0), (51.0, 31.0)], "sandwich: 0.6": [(50.0, 40.0)]}, "title")
    assert [(p["series"], p["alone"], p["shared"]) for p in chart["data"]["values"]] == [
        ("uniform: 0.4", 50.0, 30.0),
        ("uniform: 0.4", 51.0, 31.0),
        ("sandwich: 0.6", 50.0, 40.0),
    ]
    engine = pytest.importorskip("vl_convert")
    from sartor.report import theme

    png = engine.vegalite_to_png(theme.resolve(chart, theme.LIGHT), vl_version="6.4", allowed_base_urls=[])
    assert png[:4] == b"\x89PNG"


def test_what_has_no_ranks() -> None:
    """Columns of two lengths, single architectures, NaN and repeats that are no pairs are refused."""
    with pytest.raises(RequestError, match="two columns of one length"):
        spearman([1.0, 2.0], [1.0])
    with pytest.raises(RequestError, match="two architectures or more"):
        kendall([1.0], [1.0])
    with pytest.raises(RequestError, match=r"architecture 1 has nan and 2\.0"):
        spearman([1.0, math.nan], [1.0, 2.0])
    with pytest.raises(RequestError, match="two trainings of each"):
        noise_ceiling([1.0, 2.0], [[1.0], [2.0]], np.random.default_rng(0))
    with pytest.raises(RequestError, match=r"3\.0 of the first trainings is none"):
        noise_ceiling([1.0, 2.0], [[1.0, 2.0], [3.0, 2.0]], np.random.default_rng(0))
