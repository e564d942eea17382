"""Minima within budgets, and the least that a cost can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.mrf.infeasible import cheapest_value, explain
from sartor.mrf.listed import listed
from sartor.mrf.problem import Budget, Problem, Solution, check_budgets
from sartor.mrf.solver import LABEL_LIMIT, solve


def minimise(problem: Problem, budgets: Sequence[Budget] = (), label_limit: int = LABEL_LIMIT) -> Solution:
    """The row of least score within all budgets.

    Without a summed budget by min-sum elimination (Viterbi on a chain). With summed budgets by label setting
    on the bounds of the Lagrangian: exact, with ``gap`` 0.0. Where more than ``label_limit`` labels per step
    would be needed (several summed budgets on large spaces) the most promising are kept and ``gap`` says how
    much better the optimum could be.

    Ties: equal scores (to 2^-50 of their whole range) go to the cheapest row, summed budget by summed budget
    in the order given, then to the lowest option indices in the order of the decisions.

    Raises:
        InfeasibleBudgetError: naming the budget, its limit and the cheapest reachable cost.
        RequestError: for rules that nothing keeps, costs that are not whole numbers, or a frontier too wide.
    """
    check_budgets(problem, budgets)
    if label_limit < 1:
        raise RequestError(f"label_limit must be at least 1, got {label_limit}")
    view = listed(problem, budgets)
    answer = solve(view.problem, view.budgets, label_limit)
    if answer is None:
        raise explain(view.problem, view.budgets)
    return view.solution(answer.row, answer.multiplier, answer.gap)


def cheapest(problem: Problem, cost: FactorCost, budgets: Sequence[Budget] = ()) -> Solution:
    """The row of least cost within the budgets; among equally cheap rows the one of least score.

    The cost is in ``solution.costs`` under ``cost.name``. A summed cost must hold whole numbers.

    Raises:
        InfeasibleBudgetError: where the budgets cannot be met.
    """
    others = [budget for budget in budgets if budget.cost is not cost]
    check_budgets(problem, [*others, Budget(cost, 0, cost.name)])
    view = listed(problem, [*budgets, Budget(cost, np.inf, cost.name)])
    own, given = view.budgets[-1], view.budgets[:-1]
    least = cheapest_value(view.problem, own.cost, given)
    if least is None:
        raise explain(view.problem, given)
    answer = solve(view.problem, [Budget(own.cost, least, own.name), *given])
    if answer is None:
        raise AssertionError(f"nothing reaches {least}, the least {own.name}; please report this")
    return view.solution(answer.row, answer.multiplier, answer.gap)
