"""From factors to one table per block, in whole numbers that add up without rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.mrf.plan import FrontierTooWideError, Plan, make_plan
from sartor.mrf.problem import Budget, Problem, number

Array = NDArray[Any]

# Doubles hold integers up to 2^53: scores are put on a grid of 2^-50 of their whole range, costs counted in their
# greatest common divisor (at most 2^42 of it, so that a cost can also serve as a score). All sums are then exact,
# in any order, and ties are ties.
_SCORE_BITS = 50
_COST_LIMIT = 2**42


@dataclass(frozen=True, eq=False)
class Tables:
    """The blocks of a problem as flat arrays over all cells.

    Attributes:
        plan: the sweep.
        allowed: ``[cells]`` whether rules, maximum budgets and finite scores permit a cell.
        score: ``[cells]`` whole numbers from 0, in units of ``score_unit``; inf where not allowed.
        score_unit: the scores' grid.
        costs: ``[budgets, cells]`` whole numbers from 0, one row per summed budget.
        cost_units: what one unit of each row is in the budget's own unit.
        limits: ``[budgets]`` the limits in those units; negative where nothing can meet them.
    """

    plan: Plan
    allowed: Array
    score: Array
    score_unit: float
    costs: Array
    cost_units: Array
    limits: Array

    def blocks(self, flat: Array) -> list[Array]:
        """Views ``[incoming, new, private]`` of a flat array, one per step."""
        return block_views(self.plan, flat)

    def weighted(self, multipliers: Array) -> Array:
        """Score plus multipliers times costs, in grid units ``[cells]``; inf where not allowed."""
        if not len(self.costs):
            return self.score
        if len(self.costs) == 1:
            return np.asarray(self.score + multipliers[0] * self.costs[0])
        return np.asarray(self.score + multipliers @ self.costs)

    def cost_only(self, budget: int) -> Array:
        """One cost, inf where not allowed ``[cells]``."""
        return np.where(self.allowed, self.costs[budget], math.inf)

    def values(self, picks: Sequence[int]) -> tuple[float, Array]:
        """Score and costs (in grid units) of the row that picks one flat cell per block."""
        cells = self.plan.offsets[:-1] + np.asarray(picks)
        return float(self.score[cells].sum()), self.costs[:, cells].sum(axis=1)

    def row(self, picks: Sequence[int]) -> Array:
        """The row ``[D]`` that picks one flat cell per block."""
        return self.plan.assign([np.array([pick]) for pick in picks]).reshape(-1)


def build_tables(problem: Problem, budgets: Sequence[Budget], integral: bool = True) -> Tables:
    """Sums up the factors per block, shifts each block to a minimum of 0, and chooses the grids.

    Args:
        problem: scores and rules.
        budgets: summed budgets become cost rows, maximum budgets forbid cells.
        integral: refuse summed costs that are not whole numbers; otherwise such a cost keeps its own unit.
    """
    summed = [budget for budget in budgets if budget.summed]
    plan = plan_for(problem, [budget.cost for budget in budgets])
    allowed = permitted(problem, plan, budgets)
    score, unit = _score_grid(plan, sum_blocks(plan, problem.scores.factors), allowed)
    grids = [_cost_grid(problem, plan, budget, integral) for budget in summed]
    costs = np.array([grid[0] for grid in grids]).reshape(len(grids), len(score))
    return Tables(plan, allowed, score, unit, costs, np.array([g[1] for g in grids]), np.array([g[2] for g in grids]))


def plan_for(problem: Problem, costs: Iterable[FactorCost]) -> Plan:
    """The sweep for all factors of a problem and some costs.

    Raises:
        RequestError: where the frontier is too wide, naming its decisions.
    """
    factors = [*problem.scores.factors, *problem.rules, *(f for cost in costs for f in cost.factors)]
    try:
        return make_plan(problem.sizes, frozenset(factor.scope for factor in factors))
    except FrontierTooWideError as error:
        raise RequestError(
            f"exact inference would need a table of {error.states:,} states over "
            f"{problem.named(error.decisions)}: too many decisions are read together; let fewer templates "
            "read the same decisions, or give the space as a list of rows"
        ) from error


def block_views(plan: Plan, flat: Array) -> list[Array]:
    """Views ``[incoming, new, private]`` of a flat array over all cells, one per step."""
    return [
        flat[low:high].reshape(step.shape)
        for step, low, high in zip(plan.steps, plan.offsets, plan.offsets[1:], strict=False)
    ]


def join_blocks(plan: Plan, factors: Iterable[Factor], join: Callable[[Array, Array], Array], start: Any) -> Array:
    """All factors joined into their blocks, as one flat array over all cells."""
    joined: list[Array] = [np.array(start)] * len(plan.steps)
    for factor in factors:
        t = plan.host[factor.scope]
        joined[t] = join(joined[t], factor.expanded(plan.steps[t].scope, plan.sizes))
    parts = []
    for step, table in zip(plan.steps, joined, strict=True):
        full = [plan.sizes[d] for d in step.scope]
        if table.shape != tuple(full):
            table = np.broadcast_to(table, full)
        parts.append(table.transpose(step.permutation).reshape(-1))
    return np.concatenate(parts)


def sum_blocks(plan: Plan, factors: Iterable[Factor]) -> Array:
    """The factors' sum per block, in floating point."""
    return join_blocks(plan, factors, np.add, 0.0)


def permitted(problem: Problem, plan: Plan, budgets: Sequence[Budget]) -> Array:
    """The cells ``[cells]`` that the rules, the maximum budgets and the scores allow."""
    masks = [rule for rule in problem.rules if rule.scope]
    empty = all(bool(rule.table) for rule in problem.rules if not rule.scope)
    for budget in budgets:
        if not budget.summed:
            empty = empty and budget.cost.constant <= budget.limit
            masks += [Factor(f.scope, f.table <= budget.limit) for f in budget.cost.factors]
    for factor in problem.scores.factors:
        if factor.table.dtype.kind == "f" and math.isinf(factor.table.max(initial=0.0)):
            masks.append(Factor(factor.scope, np.isfinite(factor.table)))
    if not masks or not empty:
        return np.full(plan.offsets[-1], empty)
    return join_blocks(plan, masks, np.logical_and, True)


def _score_grid(plan: Plan, score: Array, allowed: Array) -> tuple[Array, float]:
    """Scores as whole multiples of a power of two, from 0 in every block; inf where not allowed."""
    score = np.where(allowed, score, math.inf)
    span = 0.0
    for block in block_views(plan, score):
        low = block.min()
        if math.isfinite(low):
            block -= low
            span += block.max(initial=0.0, where=np.isfinite(block))
    if not math.isfinite(span):
        raise RequestError("the scores' range exceeds what a double holds; scale them down")
    # A power of two leaves scores that are already whole numbers as they are.
    exponent = math.frexp(span)[1] - _SCORE_BITS if span else 0
    return np.rint(np.ldexp(score, -exponent)), math.ldexp(1.0, exponent)


def _cost_grid(problem: Problem, plan: Plan, budget: Budget, integral: bool) -> tuple[Array, float, float]:
    """A summed cost as whole multiples of its greatest common divisor, that divisor, and the limit in it."""
    whole = all(_is_whole(problem, budget, factor, integral) for factor in budget.cost.factors)
    if not whole or not float(budget.cost.constant).is_integer():
        return _float_grid(plan, budget)
    factors = [Factor(f.scope, f.table.astype(np.int64)) for f in budget.cost.factors]
    cost = join_blocks(plan, factors, np.add, np.int64(0))
    paid, largest = int(budget.cost.constant), 0
    for block in block_views(plan, cost):
        low = int(block.min())
        paid += low
        block -= low
        largest += int(block.max())
    unit = int(np.gcd.reduce(cost)) or 1
    largest //= unit
    if largest >= _COST_LIMIT:
        raise RequestError(f"{budget.name!r} has {largest:,} distinct levels; count it in a coarser unit")
    limit = largest if budget.limit == math.inf else -1
    if math.isfinite(budget.limit):
        limit = max(-1, min(largest, (math.floor(budget.limit) - paid) // unit))
    return (cost // unit).astype(float), float(unit), float(limit)


def _is_whole(problem: Problem, budget: Budget, factor: Factor, integral: bool) -> bool:
    table = factor.table
    if table.dtype.kind in "iub":
        return True
    if not np.isfinite(table).all():
        raise RequestError(f"budget {budget.name!r}: the cost of {problem.named(factor.scope)} is not a finite number")
    whole = bool((table == np.rint(table)).all()) and float(abs(table).max(initial=0)) < 2**53
    if not whole and integral:
        raise RequestError(
            f"budget {budget.name!r}: the cost of {problem.named(factor.scope)} is not in whole numbers "
            f"(such as {number(float(table.ravel()[np.argmax(table.ravel() % 1)]))}); "
            "exact budgets need them: scale the cost and its limit, such as milliseconds to nanoseconds"
        )
    return whole


def _float_grid(plan: Plan, budget: Budget) -> tuple[Array, float, float]:
    """A cost in its own unit, with the blocks' minima moved into the limit."""
    cost = sum_blocks(plan, budget.cost.factors)
    paid = float(budget.cost.constant)
    for block in block_views(plan, cost):
        low = float(block.min())
        paid += low
        block -= low
    return cost, 1.0, budget.limit - paid
