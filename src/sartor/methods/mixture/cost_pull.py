"""How budgets pull on the mixture while it is learnt: towards a target, or back below a limit."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sartor.methods.budgets import dearest
from sartor.methods.mixture.cells import Cells
from sartor.methods.mixture.exits import Service
from sartor.methods.mixture.expected_cost import ExpectedCost, choice_probabilities
from sartor.methods.mixture.relaxation import Relaxation

CostRule = Literal["absolute", "hinge"]

# The share of the target within which the pull falls to zero. With the kink of |x| it would be all or nothing to the
# end, and Adam, which divides by the size of recent gradients, would learn little else.
_BAND = 0.1
# How long a step for a budget is beside one for the loss, where no weight is given. Settled, with the temperature,
# where the best cell within a budget is known (as in tests/methods/test_ms_ranas_budgets.py; 30 searches of 300 and 600
# steps, noise 1 to 6 times the spread of the operations' worths): expected cost / target 1.02 (without: 1.13), derived
# cell 10 % off its target (without: 49 %); the answer within the budget loses 0.51 spreads to the best one (without:
# 0.41).
_LENGTH = 0.3
_FORGET = 0.1  # share of the newest value in the running mean of the length of the loss's gradient


class Pull(NamedTuple):
    """A step against ``strength`` (-1 to 1) times ``slope``, the gradient ``[D, S]`` of E / limit by log weights."""

    strength: float
    slope: NDArray[np.float64]


class CostPull:
    """The sum of |E[cost] / target - 1| over the summed budgets, rounded off within a tenth around the target.

    E is over derived cells, in proportion to the product of their weights to the power of 1 / ``temperature``: at 1 it
    is the distribution of the softmaxes, which stay broad to the end; towards 0 it is the likeliest cell alone.

    The first budget of the largest platform is the target, met from both sides with the rule ``absolute`` (as TuNAS's
    reward); all others count where they are exceeded alone, and so does the first one with ``hinge`` or where no
    architecture costs as much. Maximum budgets have no expectation: they act when the cell is derived.

    Args:
        weight: of the sum beside the loss. None: every budget's step is 0.3 times as long as the mean one of the loss.
    """

    def __init__(
        self, cells: Cells, service: Service, rule: CostRule, temperature: float, weight: float | None = None
    ) -> None:
        self.cells, self.temperature, self.weight = cells, temperature, weight
        self.loss_length: float | None = None  # running mean of the length of the loss's gradient
        self.budgets = [b for b in service.costs if b.summed]
        self._costs = [ExpectedCost(cells, b.cost) for b in self.budgets]
        self._target = rule == "absolute" and any(b.limit < dearest(service.space, b.cost) for b in self.budgets[:1])

    def __call__(self, log_weights: NDArray[Any]) -> tuple[float | None, list[Pull]]:
        """The expected cost over the target (None without one), and what pulls; all at log weights ``[D, S]``."""
        ratio, pulls = None, []
        probabilities = choice_probabilities(self.cells, log_weights / self.temperature) if self.budgets else []
        for position, (budget, cost) in enumerate(zip(self.budgets, self._costs, strict=True)):
            value, slope = cost(probabilities)
            above = value / budget.limit - 1
            if position == 0:
                ratio = above + 1
            if above > 0 or (position == 0 and self._target):
                strength = float(np.clip(above / _BAND, -1.0, 1.0))
                pulls.append(Pull(strength, slope / (budget.limit * self.temperature)))
        return ratio, pulls

    def gradient(self, relaxation: Relaxation, of_loss: NDArray[np.float64]) -> NDArray[np.float64]:
        """What to add to the gradient ``[P]`` of the loss."""
        length = float(np.linalg.norm(of_loss))
        self.loss_length = length if self.loss_length is None else (1 - _FORGET) * self.loss_length + _FORGET * length
        total = np.zeros(len(of_loss))
        for strength, slope in self(relaxation.log_weights())[1]:
            direction = relaxation.log_pullback(slope)
            own = float(np.linalg.norm(direction))
            if own > 0:
                total += (
                    strength * (_LENGTH * self.loss_length / own if self.weight is None else self.weight) * direction
                )
        return total
