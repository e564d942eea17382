"""One summed budget by a multiplier: the exact breakpoint search, and the papers' bisection.

Both minimise score + multiplier * cost; the multiplier is gamma of the slimmable papers (OWS/AOWS, equation 4).
The answers of either lie on the lower convex hull of (cost, score), so both may leave budget unused.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from sartor.errors import RequestError
from sartor.mrf.hull import best_point, cheapest_point, crossing_edge
from sartor.mrf.infeasible import explain
from sartor.mrf.listed import listed
from sartor.mrf.problem import Budget, Problem, Solution, check_budgets
from sartor.mrf.tables import build_tables


def lagrangian(problem: Problem, budget: Budget, maxima: Sequence[Budget] = ()) -> Solution:
    """The best row on the convex hull within one summed budget, by the exact breakpoint search.

    ``gap`` is the distance to the Lagrangian bound: the exact optimum may be better by at most that. The
    multiplier is in score per unit of cost; scaling the cost and its limit changes nothing else.

    Args:
        problem: what to minimise.
        budget: the summed budget.
        maxima: any number of maximum budgets.

    Raises:
        InfeasibleBudgetError: naming the cheapest reachable cost.
    """
    view = listed(problem, _one_sum(problem, budget, maxima))
    tables = build_tables(view.problem, view.budgets)
    hull = crossing_edge(tables)
    if hull is None:
        raise explain(view.problem, view.budgets)
    multiplier = hull.multiplier * tables.score_unit / float(tables.cost_units[0])
    gap = max(0.0, hull.feasible.score - hull.bound) * tables.score_unit
    return view.solution(tables.row(hull.feasible.picks), multiplier, gap)


def bisection(
    problem: Problem, budget: Budget, upper: float = 10.0, steps: int = 12, maxima: Sequence[Budget] = ()
) -> Solution:
    """The papers' search for the multiplier, kept for comparison: use ``minimise`` for results.

    As in the official AOWS code: start with [0, ``upper``], double the upper end until its row is within the
    budget, halve ``steps`` times, answer with the row at the upper end. Its pitfalls are part of it:

    - the resolution ``upper / 2**steps`` (10 / 4096) is absolute, so the answer depends on the cost's unit: in
      raw MACs it is useless, in cost divided by the budget it comes near the breakpoint search;
    - a multiplier of 0 is never tried, so an unconstrained optimum that fits is still penalised;
    - where nothing fits the official loop never ends; here that is an error.

    Costs need not be whole numbers here.

    Raises:
        InfeasibleBudgetError: naming the cheapest reachable cost.
    """
    if not (upper > 0 and math.isfinite(upper)) or steps < 0:
        raise RequestError(f"bisection needs a positive upper end and steps >= 0, got {upper} and {steps}")
    view = listed(problem, _one_sum(problem, budget, maxima))
    tables = build_tables(view.problem, view.budgets, integral=False)
    limit, scale = float(tables.limits[0]), float(tables.cost_units[0]) / tables.score_unit
    cheapest = cheapest_point(tables)
    if not (math.isfinite(best_point(tables, 0.0).score) and cheapest.cost <= limit):
        raise explain(view.problem, view.budgets)
    lower, answer = 0.0, best_point(tables, upper * scale)
    doublings = 0
    while answer.cost > limit:
        upper, doublings = 2 * upper, doublings + 1
        if not math.isfinite(upper * scale * cheapest.cost) or doublings > 1000:
            answer = cheapest
            break
        answer = best_point(tables, upper * scale)
    if doublings > 2:
        warnings.warn(
            f"the multiplier's upper end was doubled {doublings} times to meet {budget}; "
            "count the cost in a coarser unit",
            RuntimeWarning,
            stacklevel=2,
        )
    bound = -math.inf
    for _ in range(steps):
        middle = (lower + upper) / 2
        point = best_point(tables, middle * scale)
        bound = max(bound, point.score + middle * scale * (point.cost - limit))
        if point.cost > limit:
            lower = middle
        else:
            upper, answer = middle, point
    gap = max(0.0, answer.score - bound) * tables.score_unit
    return view.solution(tables.row(answer.picks), upper, gap)


def _one_sum(problem: Problem, budget: Budget, maxima: Sequence[Budget]) -> list[Budget]:
    if not budget.summed:
        raise RequestError(f"a multiplier needs a summed budget, {budget.name!r} is a maximum")
    for other in maxima:
        if other.summed:
            raise RequestError(f"one multiplier serves one summed budget; {other.name!r} is a second one")
    check_budgets(problem, [budget, *maxima])
    return [budget, *maxima]
