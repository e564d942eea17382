"""TuNAS's rewards: quality and cost of an architecture in one number (section 4.2).

T is the cost of an architecture, T0 the platform's target, Q the quality in 0..1, and the cost exponent (beta in the
paper) is negative:

    absolute  Q + beta |T / T0 - 1|              the paper's own: searches end near the target without tuning beta
    soft      Q (T / T0)^beta                    MnasNet and ProxylessNAS: a budget is met by tuning beta
    hard      Q min(1, (T / T0)^beta)            equation 1: risk-averse where beta is large
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor import mrf

RewardName = Literal["absolute", "soft", "hard"]
Array = NDArray[Any]


class Reward:
    """The reward of one platform.

    The first summed budget is the target T0, to be met from both sides. The paper knows one cost; here every further
    budget, and each maximum (peak memory), takes part with the same exponent where it is exceeded and is silent where
    it is kept.

    Args:
        kind: which of the three.
        exponent: beta, negative. The code has -0.10 for all spaces with the absolute reward.
        budgets: those of the platform.
    """

    def __init__(self, kind: RewardName, exponent: float, budgets: Sequence[mrf.Budget]) -> None:
        self.kind, self.exponent = kind, exponent
        self.target = next((b for b in budgets if b.summed), None)
        self.limits = [b for b in budgets if b is not self.target]

    def cost_ratio(self, rows: Array) -> Array:
        """T / T0 of rows ``[n, D]``; without a summed budget the ratio that exceeds its limit most."""
        if self.target is not None:
            return _ratio(self.target, rows)
        return np.asarray(np.max([_ratio(limit, rows) for limit in self.limits], axis=0))

    def __call__(self, rows: Array, qualities: Array) -> Array:
        """The rewards ``[n]`` of rows ``[n, D]`` with their qualities ``[n]`` in 0..1."""
        above = [np.maximum(_ratio(limit, rows), 1.0) for limit in self.limits]
        ratios = [*above, *([] if self.target is None else [_ratio(self.target, rows)])]
        if self.kind == "absolute":
            return np.asarray(qualities + self.exponent * np.sum([np.abs(r - 1) for r in ratios], axis=0))
        if self.kind == "hard":
            ratios = [np.maximum(r, 1.0) for r in ratios]
        return np.asarray(qualities * np.prod(ratios, axis=0) ** self.exponent)


def _ratio(budget: mrf.Budget, rows: Array) -> Array:
    return np.asarray(budget.cost(rows) / budget.limit)
