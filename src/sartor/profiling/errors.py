"""How far predictions are off networks that the predictor has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def error_report(predicted_ns: Sequence[float], measured_ns: Sequence[float]) -> dict[str, Any]:
    """Relative errors and the rank correlation over some networks.

    ``median``, ``p99`` and ``worst`` are of the absolute value of predicted / measured - 1; ``bias`` is its median with
    sign. ``margin_90``: with this share added to it, the prediction is above the measurement for nine networks in ten.
    Empty where there are no networks.
    """
    predicted, measured = np.asarray(predicted_ns, np.float64), np.asarray(measured_ns, np.float64)
    if not len(measured):
        return {}
    off = predicted / measured - 1
    short = measured / predicted - 1
    return {
        "networks": len(measured),
        "median": float(np.median(np.abs(off))),
        "p99": float(np.percentile(np.abs(off), 99)),
        "worst": float(np.abs(off).max()),
        "bias": float(np.median(off)),
        "spearman": spearman(predicted, measured),
        "margin_90": max(0.0, float(np.percentile(short, 90))),
    }


def spearman(first: Array, second: Array) -> float | None:
    """The rank correlation, ties at their mean rank; None where all are equal."""
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (first, second)]
    centred = [r - r.mean() for r in ranks]
    norm = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float(centred[0] @ centred[1]) / norm if norm > 0 else None


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)
