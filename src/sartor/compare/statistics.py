"""Means of few repetitions with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_NORMAL = 1.959963985


@dataclass(frozen=True)
class Mean:
    """A mean over repetitions, their standard deviation, and the 95 % interval of the mean.

    Student's t, as there are few repetitions; a single one has neither spread nor interval.
    """

    mean: float
    deviation: float | None
    interval: tuple[float, float] | None

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.interval is not None and self.interval[1] < 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.interval is not None and self.interval[0] > 0

    @property
    def ci95(self) -> list[float] | None:
        """The interval as plain data."""
        return None if self.interval is None else list(self.interval)

    def as_difference(self, *, lower_is_better: bool) -> dict[str, Any]:
        """A difference to a baseline as plain data, with what it means."""
        better, worse = self.above_zero, self.below_zero
        if lower_is_better:
            better, worse = worse, better
        return {"mean": self.mean, "ci95": self.ci95, "better": better, "worse": worse}


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of repetitions with its interval."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Mean(mean, None, None)
    deviation = float(array.std(ddof=1))
    half = t_quantile(len(array) - 1) * deviation / math.sqrt(len(array))
    return Mean(mean, deviation, (mean - half, mean + half))


def paired_difference(values: Sequence[float], baseline: Sequence[float]) -> Mean:
    """The mean of ``values`` minus ``baseline``, repetition by repetition."""
    return mean_of([own - other for own, other in zip(values, baseline, strict=True)])


def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t; beyond ten degrees of freedom by expansion, right to three decimals."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z, v = _NORMAL, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
