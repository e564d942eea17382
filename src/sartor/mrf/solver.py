"""The exact solver inside: min-sum without summed budgets, label setting with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.mrf.dual import solve_dual
from sartor.mrf.elimination import MINIMUM, to_go, trace, without_private
from sartor.mrf.hull import crossing_edge
from sartor.mrf.labels import Found, LabelSetter
from sartor.mrf.problem import Budget, Problem
from sartor.mrf.tables import Tables, build_tables

Array = NDArray[Any]

# Labels kept per step before the search settles for a stated gap; about 100 MB and a few seconds.
LABEL_LIMIT = 200_000
# Labels kept per step in the first search, which finds a good row for the second to prune with.
_FIRST_WIDTH = 1_000


@dataclass(frozen=True, eq=False)
class Answer:
    """A solver's row with its score in grid units, the multiplier in the user's units, and the gap."""

    row: Array
    score: float
    multiplier: float | None
    gap: float


def solve(problem: Problem, budgets: Sequence[Budget], label_limit: int = LABEL_LIMIT) -> Answer | None:
    """As ``minimise`` for a problem without a list of rows; None where nothing meets the budgets."""
    tables = build_tables(problem, budgets)
    row, score = unconstrained(tables)
    if row is None or (tables.limits < 0).any():
        return None
    if not len(tables.limits):
        return Answer(row, score, None, 0.0)
    if (_costs_of(tables, row) <= tables.limits).all():
        return Answer(row, score, 0.0 if len(tables.limits) == 1 else None, 0.0)
    if len(tables.limits) == 1:
        return _one_sum(tables, label_limit)
    return _several_sums(problem, budgets, tables, label_limit)


def unconstrained(tables: Tables) -> tuple[Array | None, float]:
    """The row of least score whatever the summed budgets say, the cheapest in ties; None where rules forbid all."""
    cells = tables.blocks(tables.score)
    messages = to_go(tables.plan, without_private(cells, MINIMUM), MINIMUM)
    score = float(messages[0][0])
    if not math.isfinite(score):
        return None, score
    picks, tied = trace(tables.plan, cells, messages)
    if not tied:
        return tables.row(picks), score
    free = without_limits(tables)
    # Equal scores leave one label per state with one cost, but a whole front with several.
    width = LABEL_LIMIT if len(free.limits) <= 1 else _FIRST_WIDTH
    found = LabelSetter(free, np.zeros(len(free.limits))).search(1, score, width, tables.row(picks))
    return found.rows[0], score


def without_limits(tables: Tables) -> Tables:
    """The same tables where every summed budget is met by all rows."""
    unlimited = np.full(len(tables.limits), 2.0**53)
    return Tables(
        tables.plan,
        tables.allowed,
        tables.score,
        tables.score_unit,
        tables.costs,
        tables.cost_units,
        unlimited,
    )


def two_searches(
    tables: Tables,
    multipliers: Array,
    depth: int,
    reachable: float,
    row: Array | None,
    label_limit: int,
) -> Found:
    """A narrow search, and where it was not exhaustive a wide one which starts from what the first reached."""
    setter = LabelSetter(tables, multipliers)
    first = setter.search(depth, reachable, min(label_limit, max(_FIRST_WIDTH, 4 * depth)), row)
    if len(first.scores) == depth:
        reachable, row = float(first.scores[-1]), first.rows[0]
    # With several sums equal scores form wide fronts: once the score is proven the cheapest found is taken.
    enough = reachable - 0.5 if depth == 1 and len(multipliers) > 1 else reachable + setter.slack
    if math.isinf(first.unexplored) or first.unexplored > enough:
        return first
    second = setter.search(depth, reachable, label_limit, row if depth == 1 else None)
    if len(second.scores) < len(first.scores) or second.scores[-1] > first.scores[-1]:
        return first
    return second


def gap_of(tables: Tables, score: float, found: Found) -> float:
    """How far the optimum may lie below a score, in the user's units; below one grid unit it is proven 0."""
    short = score - found.unexplored
    return float(short * tables.score_unit) if short > 0.5 else 0.0


def _one_sum(tables: Tables, label_limit: int) -> Answer | None:
    hull = crossing_edge(tables)
    if hull is None:
        return None
    start = hull.feasible
    multipliers = np.array([hull.multiplier])
    found = two_searches(tables, multipliers, 1, start.score, tables.row(start.picks), label_limit)
    multiplier = hull.multiplier * tables.score_unit / float(tables.cost_units[0])
    score = float(found.scores[0])
    return Answer(found.rows[0], score, multiplier, gap_of(tables, score, found))


def _several_sums(problem: Problem, budgets: Sequence[Budget], tables: Tables, label_limit: int) -> Answer | None:
    dual = solve_dual(tables)
    row, score = dual.row, dual.score
    if row is None:
        # One cost fewer to respect: its minimum under the others proves or refutes that anything fits.
        row = _any_feasible(problem, budgets, label_limit)
        if row is None:
            return None
        score = _score_of(tables, row)
    found = two_searches(tables, dual.multipliers, 1, score, row, label_limit)
    score = float(found.scores[0])
    return Answer(found.rows[0], score, None, gap_of(tables, score, found))


def _any_feasible(problem: Problem, budgets: Sequence[Budget], label_limit: int) -> Array | None:
    """A row within all budgets: the first summed cost's minimum under the other budgets."""
    first = next(budget for budget in budgets if budget.summed)
    others = [budget for budget in budgets if budget is not first]
    least = solve(cost_problem(problem, first.cost), others, label_limit)
    if least is None:
        return None
    value = float(first.cost(least.row[None])[0])
    if value > first.limit >= value - least.gap and least.gap > 0:
        raise RequestError(
            f"whether the summed budgets can be met together was not decided with {label_limit:,} labels; "
            "raise label_limit or a limit"
        )
    return least.row if value <= first.limit else None


def cost_problem(problem: Problem, cost: FactorCost) -> Problem:
    """The problem of minimising a summed cost over the rows that rules and scores allow."""
    finite = [
        Factor(f.scope, np.isfinite(f.table))
        for f in problem.scores.factors
        if f.table.dtype.kind == "f" and not np.isfinite(f.table).all()
    ]
    return Problem(problem.sizes, cost, [*problem.rules, *finite], problem.names)


def _picks_of(tables: Tables, row: Array) -> list[int]:
    return [int(np.ravel_multi_index(tuple(row[list(step.axes)]), step.sizes)) for step in tables.plan.steps]


def _score_of(tables: Tables, row: Array) -> float:
    return tables.values(_picks_of(tables, row))[0]


def _costs_of(tables: Tables, row: Array) -> Array:
    return tables.values(_picks_of(tables, row))[1]
