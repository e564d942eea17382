"""The k best rows within budgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.mrf.dual import solve_dual
from sartor.mrf.hull import crossing_edge
from sartor.mrf.infeasible import explain
from sartor.mrf.listed import listed
from sartor.mrf.problem import Budget, Problem, Solution, check_budgets
from sartor.mrf.solver import LABEL_LIMIT, gap_of, two_searches, unconstrained
from sartor.mrf.tables import Tables, build_tables


def k_best(problem: Problem, budgets: Sequence[Budget], k: int, label_limit: int = LABEL_LIMIT) -> list[Solution]:
    """The ``k`` best rows within all budgets, all different, ascending in score; fewer where fewer exist.

    Label setting in which a partial row stays until k others dominate it. Order among equal scores: as in
    ``minimise``. ``gap`` is 0.0 where no row outside the list before that place can be better; it is positive
    only where ``label_limit`` was reached.

    Raises:
        InfeasibleBudgetError: where not a single row meets the budgets.
    """
    if k < 1:
        raise RequestError(f"k must be at least 1, got {k}")
    check_budgets(problem, budgets)
    view = listed(problem, budgets)
    tables = build_tables(view.problem, view.budgets)
    row, _ = unconstrained(tables)
    multipliers = None if row is None else _multipliers(tables)
    if multipliers is None:
        raise explain(view.problem, view.budgets)
    found = two_searches(tables, multipliers, k, math.inf, None, label_limit)
    if not len(found.rows):
        raise explain(view.problem, view.budgets)
    multiplier = None
    if len(multipliers) == 1:
        multiplier = float(multipliers[0]) * tables.score_unit / float(tables.cost_units[0])
    return [
        view.solution(row, multiplier, gap_of(tables, float(score), found))
        for row, score in zip(found.rows, found.scores, strict=True)
    ]


def _multipliers(tables: Tables) -> NDArray[Any] | None:
    """The multipliers of the best row's bound, in grid units; None where a budget alone cannot be met."""
    if (tables.limits < 0).any():
        return None
    if len(tables.limits) == 1:
        hull = crossing_edge(tables)
        return None if hull is None else np.array([hull.multiplier])
    return solve_dual(tables).multipliers if len(tables.limits) else np.zeros(0)
