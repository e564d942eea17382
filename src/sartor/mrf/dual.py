"""The best multipliers for several summed budgets: the Lagrangian dual by column generation.

The dual of minimising over convex combinations of rows within the budgets is a linear program with one
row per budget and one for the combination. A revised simplex solves it whose pricing step is a min-sum sweep
(Dantzig and Wolfe 1960). With one budget it is the breakpoint search. Any multipliers are valid bounds, so
neither rounding nor the cap on iterations can make a result wrong, only slower to prove.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.mrf.elimination import MINIMUM, to_go, trace, without_private
from sartor.mrf.tables import Tables

Array = NDArray[Any]

_ITERATIONS = 200
_EPSILON = 1e-9
# Price of exceeding a budget by its whole range, in units of the scores' whole range.
_PENALTY = 1e4


@dataclass(frozen=True, eq=False)
class Dual:
    """Multipliers in grid units, and the best row within all budgets met on the way (or None)."""

    multipliers: Array
    row: Array | None
    score: float


def solve_dual(tables: Tables) -> Dual:
    """The multipliers with the highest Lagrangian bound."""
    scale = np.maximum(tables.costs.max(axis=1), 1.0)
    search = _ColumnGeneration(tables, scale)
    search.run()
    return Dual(search.best * 2.0**50 / scale, search.row, search.score)


class _ColumnGeneration:
    """Scores in 2^-50 of the grid, costs divided by ``scale``: all of order one."""

    def __init__(self, tables: Tables, scale: Array) -> None:
        self.tables, self.scale = tables, scale
        self.limits = tables.limits / scale
        self.best, self.bound = np.zeros(len(scale)), -math.inf
        self.row: Array | None = None
        self.score = math.inf

    def run(self) -> None:
        m = len(self.scale)
        price, column = self._cheapest_row(np.zeros(m))
        # A row beyond a budget starts with the penalised excess in the basis, else with the budget's slack.
        signs = np.where(column[:m] > self.limits, -1.0, 1.0)
        basis = np.column_stack([np.diag(np.append(signs, 1.0))[:, :m], column])
        prices = np.append(np.where(signs < 0, _PENALTY, 0.0), price)
        right = np.append(self.limits, 1.0)
        for _ in range(_ITERATIONS):
            duals = np.linalg.solve(basis.T, prices)
            entering = self._entering(-duals[:m], duals[m])
            if entering is None:
                return
            price, column = entering
            step = np.linalg.solve(basis, column)
            held = np.linalg.solve(basis, right)
            ratios = np.where(step > _EPSILON, np.maximum(held, 0.0) / np.where(step > 0, step, 1.0), math.inf)
            leaving = int(ratios.argmin())
            if not math.isfinite(ratios[leaving]):
                return
            basis[:, leaving], prices[leaving] = column, price

    def _entering(self, multipliers: Array, level: float) -> tuple[float, Array] | None:
        """A column of negative reduced price: a budget's slack, its excess, or the best row; None at the optimum."""
        m = len(multipliers)
        for i, multiplier in enumerate(multipliers):
            if multiplier < -_EPSILON:
                return 0.0, np.eye(m + 1)[i]
            if multiplier > _PENALTY * (1 + _EPSILON):
                return _PENALTY, -np.eye(m + 1)[i]
        multipliers = np.maximum(multipliers, 0.0)
        price, column = self._cheapest_row(multipliers)
        reduced = price + float(multipliers @ column[:m])
        return (price, column) if reduced < level - _EPSILON else None

    def _cheapest_row(self, multipliers: Array) -> tuple[float, Array]:
        tables = self.tables
        cells = tables.blocks(tables.weighted(multipliers * 2.0**50 / self.scale))
        messages = to_go(tables.plan, without_private(cells, MINIMUM), MINIMUM)
        picks, _ = trace(tables.plan, cells, messages)
        score, costs = tables.values(picks)
        if (costs <= tables.limits).all() and score < self.score:
            self.row, self.score = tables.row(picks), score
        price, column = score * 2.0**-50, np.append(costs / self.scale, 1.0)
        bound = price + float(multipliers @ (column[:-1] - self.limits))
        if bound > self.bound:
            self.best, self.bound = multipliers, bound
        return price, column
