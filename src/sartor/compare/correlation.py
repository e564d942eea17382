"""Can weight sharing be trusted? Ranks of architectures in a supernet against their ranks when trained alone.

Two rank correlations, Spearman's and Kendall's tau-b, with bootstrap intervals over the architectures; and the noise
ceiling: accuracies of networks trained alone scatter from seed to seed, so that even a perfect judge of architectures
does not correlate with them fully. How far it can is told by architectures that were trained twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sartor.errors import RequestError
from sartor.report import theme

Float64 = NDArray[np.float64]
Interval = tuple[float, float]

DRAWS = 2_000
LEVEL = 0.95


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's and Kendall's correlation over ``count`` architectures, with 95 % percentile intervals.

    NaN where all architectures are equal in one of the two.
    """

    spearman: float
    kendall: float
    spearman_interval: Interval
    kendall_interval: Interval
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not a number is None."""
        return {key: _plain(value) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class NoiseCeiling:
    """What a perfect judge of architectures would reach against one training of each.

    ``repeats`` correlates first with second trainings. ``noise_points`` is the standard deviation of one training
    around its architecture's mean, ``spread_points`` that of all architectures' accuracies, noise included;
    ``reliability`` the share of the variance of ranks, as normal scores, that belongs to the architectures.
    """

    repeats: RankCorrelation
    noise_points: float
    spread_points: float
    reliability: float
    spearman: float
    kendall: float
    spearman_interval: Interval
    kendall_interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not a number is None."""
        found = {key: _plain(value) for key, value in asdict(self).items()}
        return {**found, "repeats": self.repeats.to_dict()}


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation of two columns ``[n]``, ties by their mean rank; NaN for a constant column.

    Raises:
        RequestError: fewer than two architectures, columns of two lengths, or a value that is not finite.
    """
    return float(_spearman(*map(_signs, _columns(first, second))))


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's tau-b of two columns ``[n]``: pairs in the same order less those in the other, ties left out.

    NaN for a constant column.

    Raises:
        RequestError: as in :func:`spearman`.
    """
    return float(_kendall(*map(_signs, _columns(first, second))))


def partial_spearman(first: ArrayLike, second: ArrayLike, given: ArrayLike) -> float:
    """Spearman's correlation of two columns ``[n]`` that is left when ranks in a third one are held fixed.

    Whether a supernet says more about accuracy than the cost does. NaN for a constant column, or where ``given`` ranks
    as one of the two does.

    Raises:
        RequestError: as in :func:`spearman`.
    """
    both = spearman(first, second)
    own, other = spearman(first, given), spearman(second, given)
    rest = (1 - own**2) * (1 - other**2)
    return (both - own * other) / math.sqrt(rest) if rest > 1e-12 else math.nan


def rank_correlation(
    first: ArrayLike, second: ArrayLike, rng: np.random.Generator, draws: int = DRAWS
) -> RankCorrelation:
    """Both correlations of two columns ``[n]``, with bootstrap intervals over the architectures.

    Two calls with generators in the same state draw the same architectures: their draws are paired.

    Raises:
        RequestError: as in :func:`spearman`.
    """
    both = correlation_draws(first, second, rng, draws)
    return RankCorrelation(
        spearman(first, second),
        kendall(first, second),
        percentile_interval(both[:, 0]),
        percentile_interval(both[:, 1]),
        len(np.asarray(first)),
    )


def correlation_draws(first: ArrayLike, second: ArrayLike, rng: np.random.Generator, draws: int = DRAWS) -> Float64:
    """Spearman's and Kendall's correlation of ``draws`` samples of architectures with replacement, ``[draws, 2]``.

    Samples in which all are equal are NaN. Raises as :func:`spearman`.
    """
    signs = [_signs(column) for column in _columns(first, second)]
    n = len(signs[0])
    found = np.empty((draws, 2))
    for i, rows in enumerate(rng.integers(n, size=(draws, n))):
        drawn = [sign[np.ix_(rows, rows)] for sign in signs]
        found[i] = _spearman(*drawn), _kendall(*drawn)
    return found


def percentile_interval(draws: ArrayLike) -> Interval:
    """The middle 95 % of bootstrap draws; NaN draws are left out, and an interval of nothing is NaN."""
    values = np.asarray(draws, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def noise_ceiling(
    accuracies: ArrayLike, repeats: ArrayLike, rng: np.random.Generator, draws: int = DRAWS
) -> NoiseCeiling:
    """The ceiling from ``accuracies`` ``[n]`` of all architectures and two trainings each of some, ``[m, 2]``.

    Accuracies are taken as normal scores of their ranks, because a few architectures far from all others, however
    surely they are told from these, say nothing about the ranks among these. With noise of variance s2 (half the mean
    squared difference of two trainings) the reliability is 1 - s2 / variance, at least 0, and the true scores
    correlate with those of one training by r, its root. For normal scores that is 6/pi arcsin(r / 2) in Spearman's and
    2/pi arcsin(r) in Kendall's correlation. Intervals draw pairs anew, and are wide with few of them.

    Raises:
        RequestError: fewer than two architectures or pairs, a first training that is not among ``accuracies``, or a
            value that is not finite.
    """
    pairs = np.asarray(repeats, dtype=np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise RequestError(f"a noise ceiling needs two trainings of each architecture, [m, 2]; got shape {pairs.shape}")
    first, second = _columns(pairs[:, 0], pairs[:, 1])
    everything = _columns(accuracies, accuracies)[0]
    unknown = np.flatnonzero(~np.isin(first, everything))
    if len(unknown):
        raise RequestError(
            f"a noise ceiling ranks trainings among all accuracies: {first[unknown[0]]} of the first trainings is none"
        )
    scores = [_normal_scores(column, first, everything) for column in (first, second)]
    variance = float(_normal_scores(everything, everything, everything).var())
    noise = (scores[0] - scores[1]) ** 2 / 2
    reliability = _reliability(float(noise.mean()), variance)
    drawn = [_reliability(float(rng.choice(noise, len(noise)).mean()), variance) for _ in range(draws)]
    ceilings = np.array([_ceilings(value) for value in drawn])
    top = _ceilings(reliability)
    return NoiseCeiling(
        repeats=rank_correlation(first, second, rng, draws),
        noise_points=math.sqrt(float(((first - second) ** 2).mean() / 2)),
        spread_points=float(everything.std(ddof=1)),
        reliability=reliability,
        spearman=top[0],
        kendall=top[1],
        spearman_interval=percentile_interval(ceilings[:, 0]),
        kendall_interval=percentile_interval(ceilings[:, 1]),
    )


def scatter_chart(
    series: Mapping[str, Sequence[tuple[float, float]]], title: str, subtitle: str = "", columns: int = 2
) -> dict[str, Any]:
    """Points (accuracy alone, accuracy in the supernet) in Vega-Lite, one view per series with its own vertical axis.

    ``series`` by what stands above its view, such as ``sandwich: Spearman 0.71``.
    """
    points = [{"series": name, "alone": x, "shared": y} for name, found in series.items() for x, y in found]
    x, y = (
        {"field": field, "type": "quantitative", "title": axis, "scale": {"zero": False, "nice": True}}
        for field, axis in (("alone", "Accuracy alone (%)"), ("shared", "Accuracy in the supernet (%)"))
    )
    header = {"field": "series", "type": "nominal", "sort": list(series), "title": None}
    return {
        "title": {"text": title, **({"subtitle": subtitle} if subtitle else {})},
        "padding": 16,
        "data": {"values": points},
        "facet": header,
        "columns": columns,
        "spec": {
            "width": 320,
            "height": 220,
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.75, "color": theme.SERIES[0]},
            "encoding": {"x": x, "y": y},
        },
        "resolve": {"scale": {"y": "independent"}},
        "config": {**theme.CONFIG, "background": "@card", "font": "Liberation Sans, Arial, sans-serif"},
    }


def _columns(first: ArrayLike, second: ArrayLike) -> tuple[Float64, Float64]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise RequestError(
            f"a rank correlation needs two columns of one length, of two architectures or more; got shapes {x.shape} "
            f"and {y.shape}"
        )
    wrong = np.flatnonzero(~(np.isfinite(x) & np.isfinite(y)))
    if len(wrong):
        k = int(wrong[0])
        raise RequestError(f"a rank correlation needs finite numbers; architecture {k} has {x[k]} and {y[k]}")
    return x, y


def _signs(column: Float64) -> Float64:
    """The order of every pair ``[n, n]``: 1, 0 or -1. Its row sums are twice the centred mean ranks."""
    return np.asarray(np.sign(column[:, None] - column[None, :]))


def _kendall(first: Float64, second: Float64) -> float:
    return _cosine(first, second)


def _spearman(first: Float64, second: Float64) -> float:
    return _cosine(first.sum(axis=1), second.sum(axis=1))


def _cosine(first: Float64, second: Float64) -> float:
    length = math.sqrt(float((first * first).sum()) * float((second * second).sum()))
    return float((first * second).sum()) / length if length else math.nan


def _normal_scores(values: Float64, own: Float64, everything: Float64) -> Float64:
    """Normal scores of ``values``: each by its rank among ``everything`` but its ``own`` first training."""
    below = (everything[None, :] < values[:, None]).sum(axis=1) - (own < values)
    equal = (everything[None, :] == values[:, None]).sum(axis=1) - (own == values)
    shares = (below + equal / 2 + 0.5) / len(everything)
    return np.array([NormalDist().inv_cdf(share) for share in shares])


def _reliability(noise: float, variance: float) -> float:
    return max(0.0, 1.0 - noise / variance) if variance > 0 else 0.0


def _ceilings(reliability: float) -> tuple[float, float]:
    """Spearman's and Kendall's correlation of normal scores with one noisy training of each."""
    r = math.sqrt(reliability)
    return 6 / math.pi * math.asin(r / 2), 2 / math.pi * math.asin(r)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value
