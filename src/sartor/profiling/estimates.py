"""From timed samples to one number per job, and how far such numbers can be trusted.

Of the samples of one visit, and then of the visits, the lower quartile counts: other programs on the machine make some
samples slower and none faster, so on a busy machine it is much steadier than the median, and on a quiet one it is
nearly the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.tables import Entry

Visits = Mapping[str, NDArray[np.float64]]

_QUANTILE = 25
# A machine on which half of all networks, measured twice, differ by more than this is called noisy.
NOISY = 0.03


def visits_of(groups: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.float64]]:
    """Job -> nanoseconds of each of its visits, in the order in which they were made."""
    found: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        for name, visit in group["visits"].items():
            found[name].append(float(np.percentile(visit["ns"], _QUANTILE)))
    return {name: np.array(values) for name, values in found.items()}


def estimate(visits: NDArray[np.float64]) -> float:
    """Nanoseconds of a job."""
    return float(np.percentile(visits, _QUANTILE))


def entry(visits: NDArray[np.float64], call_ns: float) -> Entry:
    """A table's entry: what a block takes beyond the call, at least 1 ns, and its spread."""
    own = np.maximum(visits - call_ns, 1.0)
    low, high = np.percentile(own, [10, 90])
    return Entry(max(1, round(estimate(own))), round(low), round(high), len(own))


def noise(visits: Visits, networks: Sequence[str], clock: str) -> dict[str, Any]:
    """How quiet the machine was: what the same numbers differ by when they are measured twice.

    ``network_median`` and ``network_p99``: relative difference of whole networks between the odd and the even visits;
    no prediction can be judged more finely than that. ``visit_spread``: the typical distance between the 10th and the
    90th percentile of a job's visits, relative to their median.
    """
    halves = [_halves(visits[name]) for name in networks if name in visits and len(visits[name]) >= 2]
    spreads = [
        float(np.percentile(v, 90) - np.percentile(v, 10)) / float(np.median(v))
        for name, v in visits.items()
        if len(v) >= 2
    ]
    median = float(np.median(halves)) if halves else None
    return {
        "clock": clock,
        "network_median": median,
        "network_p99": float(np.percentile(halves, 99)) if halves else None,
        "visit_spread": float(np.median(spreads)) if spreads else None,
        "noisy": None if median is None else bool(median > NOISY),
    }


def _halves(visits: NDArray[np.float64]) -> float:
    first, second = estimate(visits[::2]), estimate(visits[1::2])
    return abs(first - second) / ((first + second) / 2)
