"""Means, spreads and differences of two groups of networks, as plain data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RESAMPLINGS = 10_000
_CONFIDENCE = 0.95


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, spread (standard deviation of a sample; None for a single value), ends and number."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "lowest": min(values, default=None),
        "highest": max(values, default=None),
        "count": len(values),
    }


def difference(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Mean of ``ours`` minus mean of ``theirs`` with two 95 % intervals, which groups of two values have.

    ``welch``: t distribution, unequal variances (B. L. Welch 1947). ``bootstrap``: both groups resampled, which is too
    narrow for groups as small as three; it stands beside the first as a check of its normality.
    """
    if min(len(ours), len(theirs)) < 2:
        mean = statistics.fmean(ours) - statistics.fmean(theirs) if ours and theirs else None
        return {"mean": mean, "welch": None, "bootstrap": None}
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    rng = np.random.default_rng(0)
    resampled = [rng.choice(group, size=(_RESAMPLINGS, len(group))).mean(axis=1) for group in (a, b)]
    tail = (1 - _CONFIDENCE) / 2
    return {
        "mean": float(a.mean() - b.mean()),
        "welch": welch(a, b),
        "bootstrap": [float(q) for q in np.quantile(resampled[0] - resampled[1], [tail, 1 - tail])],
    }


def mean_interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean of ``values`` with its 95 % interval by the t distribution; None where there are fewer than two."""
    if len(values) < 2:
        return {"mean": None, "interval": None}
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    half = t_quantile(1 - (1 - _CONFIDENCE) / 2, len(values) - 1) * error
    return {"mean": mean, "interval": [mean - half, mean + half]}


def welch(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[float]:
    """The 95 % interval of the difference of two means, with unequal variances."""
    parts = [group.var(ddof=1) / len(group) for group in (a, b)]
    error = math.sqrt(sum(parts))
    middle = float(a.mean() - b.mean())
    if not error:
        return [middle, middle]
    freedom = sum(parts) ** 2 / sum(p**2 / (len(group) - 1) for p, group in zip(parts, (a, b), strict=True))
    half = t_quantile(1 - (1 - _CONFIDENCE) / 2, freedom) * error
    return [middle - half, middle + half]


def t_quantile(probability: float, freedom: float) -> float:
    """The value that a t variable stays below with ``probability`` (above one half), by bisection of its integral."""
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < probability:
        low, high = high, 2 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _t_below(middle, freedom) < probability else (low, middle)
    return high


def _t_below(value: float, freedom: float) -> float:
    """The probability that a t variable is below ``value`` >= 0: its density, integrated from 0."""
    t = np.linspace(0.0, value, 20_001)
    log_scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    density = np.exp(log_scale - (freedom + 1) / 2 * np.log1p(t**2 / freedom))
    return 0.5 + float((density[1:] + density[:-1]).sum() / 2 * (t[1] - t[0]))


def best_of(values: Sequence[float], judged: Sequence[float], count: int) -> float | None:
    """The mean over all draws of ``count`` networks of how the one with the highest of ``values`` is ``judged``.

    Exact: a network wins if it is drawn and every better one is not. None where there are too few networks.
    """
    if not 0 < count <= len(values):
        return None
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    total = math.comb(len(values), count)
    shares = [math.comb(len(values) - 1 - rank, count - 1) / total for rank in range(len(values))]
    return sum(share * judged[i] for share, i in zip(shares, order, strict=True))


def share_below(value: float, others: Sequence[float]) -> float:
    """The share of ``others`` that is below a value, in percent."""
    return 100.0 * sum(other < value for other in others) / len(others)


def by_number(contents: Mapping[int, Mapping[str, Any]], key: str) -> dict[str, float]:
    """One figure of every piece, by its number, as JSON has it."""
    return {str(number): content[key] for number, content in contents.items()}
