"""How budgets pull on the mixture while it is learnt: towards a target, or back below a limit."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.methods.mixture.cells import Cells
from sartor.methods.mixture.exits import Service, dearest
from sartor.methods.mixture.expected_cost import ExpectedCost, choice_probabilities

CostRule = Literal["absolute", "hinge"]

# The share of the target within which the pull falls to zero. With the kink of |x| it would be all or nothing to the
# end, and Adam, which divides by the size of recent gradients, would learn little else.
_BAND = 0.1


class CostPull:
    """The sum of |E[cost] / target - 1| over the summed budgets, rounded off within a tenth around the target.

    E is over derived cells, in proportion to the product of their weights to the power of 1 / ``temperature``: at 1 it
    is the distribution of the softmaxes, which stay broad to the end; towards 0 it is the likeliest cell alone.

    The first budget of the largest platform is the target, met from both sides with the rule ``absolute`` (as TuNAS's
    reward); all others count where they are exceeded alone, and so does the first one with ``hinge`` or where no
    architecture costs as much. Maximum budgets have no expectation: they act when the cell is derived.
    """

    def __init__(self, cells: Cells, service: Service, rule: CostRule, temperature: float) -> None:
        self.cells, self.temperature = cells, temperature
        self.budgets = [b for b in service.costs if b.summed]
        self._costs = [ExpectedCost(cells, b.cost) for b in self.budgets]
        self._target = rule == "absolute" and any(b.limit < dearest(service.space, b.cost) for b in self.budgets[:1])

    def __call__(self, log_weights: NDArray[Any]) -> tuple[float | None, NDArray[np.float64]]:
        """The expected cost over the target (None without one), and the gradient ``[D, S]`` by log weights."""
        ratio, gradient = None, np.zeros(log_weights.shape)
        probabilities = choice_probabilities(self.cells, log_weights / self.temperature) if self.budgets else []
        for position, (budget, cost) in enumerate(zip(self.budgets, self._costs, strict=True)):
            value, slope = cost(probabilities)
            above = value / budget.limit - 1
            if position == 0:
                ratio = above + 1
            if above > 0 or (position == 0 and self._target):
                gradient += np.clip(above / _BAND, -1.0, 1.0) * slope / (budget.limit * self.temperature)
        return ratio, gradient
