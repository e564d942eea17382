"""The least that a cost can be, and why nothing meets the budgets in a sentence that names it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sartor.costs.factors import FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.mrf.problem import Budget, Problem, number
from sartor.mrf.solver import cost_problem, solve


def explain(problem: Problem, budgets: Sequence[Budget]) -> RequestError:
    """The error to raise for a problem whose budgets nothing meets.

    Budgets that fail alone are named with the least that can be reached; where each can be met alone, the
    message says so and gives the cheapest value of each with the others met.
    """
    alone = [cheapest_value(problem, budget.cost) for budget in budgets]
    if any(value is None for value in alone) or not budgets:
        return RequestError(
            "no architecture keeps all rules (with every score finite); loosen a rule or allow more options"
        )
    failing = [
        f"{budget} cannot be met: the cheapest reachable {budget.name} is {number(budget.in_unit(value))}"
        for budget, value in zip(budgets, alone, strict=True)
        if value is not None and value > budget.limit
    ]
    if failing:
        return InfeasibleBudgetError("; ".join(failing) + "; raise the limit or widen the space")
    together = []
    for i, budget in enumerate(budgets):
        others = [other for j, other in enumerate(budgets) if j != i]
        value = cheapest_value(problem, budget.cost, others)
        if value is not None:
            met = " and ".join(str(other) for other in others)
            together.append(f"with {met} the cheapest reachable {budget.name} is {number(budget.in_unit(value))}")
    listed = ", ".join(str(budget) for budget in budgets)
    return InfeasibleBudgetError(
        f"each budget can be met alone, but not together ({listed}): " + "; ".join(together) + "; raise a limit"
    )


def cheapest_value(problem: Problem, cost: FactorCost, budgets: Sequence[Budget] = ()) -> float | None:
    """The least cost within the budgets, for a problem without a list of rows; None where nothing meets them."""
    if cost.reduction == "sum":
        answer = solve(cost_problem(problem, cost), budgets)
        return None if answer is None else float(cost(answer.row[None])[0])
    return _least_maximum(problem, cost, budgets)


def _least_maximum(problem: Problem, cost: FactorCost, budgets: Sequence[Budget]) -> float | None:
    """Bisection over the values that a maximum can take."""
    cells = [f.table.reshape(-1) for f in cost.factors]
    values = np.unique(np.concatenate([*cells, [cost.constant]]))
    values = values[values >= cost.constant]
    indifferent = cost_problem(problem, FactorCost(problem.sizes, []))

    def reaches(position: int) -> bool:
        cap = Budget(cost, float(values[position]), " the maximum")
        return solve(indifferent, [*budgets, cap]) is not None

    low, high = 0, len(values) - 1
    if not reaches(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle + 1, high)
    return float(values[low])
