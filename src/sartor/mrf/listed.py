"""A list of rows as a problem like any other: one decision, which row.

Every reading then scores the list through the same code, and rows come back through the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.mrf.problem import Budget, Problem, Solution, solution

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class View:
    """A problem and budgets as the solvers see them, and the way back to the rows that were asked about."""

    asked: Problem
    asked_budgets: tuple[Budget, ...]
    problem: Problem
    budgets: tuple[Budget, ...]

    def row(self, row: Array) -> Array:
        """The asked problem's row ``[D]``."""
        return row if self.asked.rows is None else np.array(self.asked.rows[row[0]])

    def rows(self, rows: Array) -> Array:
        """The asked problem's rows ``[n, D]``."""
        return rows if self.asked.rows is None else np.array(self.asked.rows[rows[:, 0]])

    def solution(self, row: Array, multiplier: float | None = None, gap: float = 0.0) -> Solution:
        """The answer for a solver's row."""
        return solution(self.asked, self.asked_budgets, self.row(row), multiplier, gap)


def listed(problem: Problem, budgets: Sequence[Budget] = ()) -> View:
    """The problem itself, or where it has a list of rows the problem of choosing one of them."""
    if problem.rows is None:
        return View(problem, tuple(budgets), problem, tuple(budgets))
    rows = problem.rows
    kept = np.ones(len(rows), bool)
    for rule in problem.rules:
        kept &= rule.table[tuple(rows[:, d] for d in rule.scope)].astype(bool)
    core = Problem((len(rows),), tabulate(problem.scores, rows), [Factor((0,), kept)], names=["the list of rows"])
    lifted = tuple(Budget(tabulate(b.cost, rows), b.limit, b.name, b.unit) for b in budgets)
    return View(problem, tuple(budgets), core, lifted)


def tabulate(cost: FactorCost, rows: Array) -> FactorCost:
    """A cost as one table over the position in a list of rows."""
    if not cost.factors:
        return FactorCost((len(rows),), [], cost.constant, cost.reduction, cost.name)
    return FactorCost(
        (len(rows),), [Factor((0,), cost(rows))], -np.inf if cost.reduction == "max" else 0, cost.reduction, cost.name
    )
