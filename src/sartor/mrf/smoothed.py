"""The distribution proportional to exp(-energy / temperature): its log partition, marginals and samples.

Energy = score + multiplier * cost (AOWS). All messages are kept as logarithms. Equation (5) of the slimmable
paper is wrong as printed: the factor -temperature before the logarithm is missing (so signs alternate from
layer to layer), the unary term carries the wrong layer index, the multiplier lacks its platform, and the terms
are indexed differently in (3) and (4). Here a message is log sum exp(-energy / temperature) over what lies
beyond it; times -temperature it is the smoothed minimum which (5) means, and it tends to the minimum as the
temperature falls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.mrf.elimination import LOG_SUM, around, so_far, to_go, without_private
from sartor.mrf.listed import View, listed
from sartor.mrf.plan import Plan, Step
from sartor.mrf.problem import Budget, Problem, check_budgets
from sartor.mrf.tables import block_views, permitted, plan_for, sum_blocks

Array = NDArray[Any]

_DRAW_CHUNK = 4_000_000


def log_partition(
    problem: Problem, temperature: float, cost: FactorCost | None = None, multiplier: float = 0.0
) -> float:
    """log of the sum of exp(-energy / temperature) over all rows that rules and finite scores allow.

    ``-temperature * log_partition`` tends to the least energy as the temperature falls.

    Raises:
        RequestError: for a temperature that is not positive (or so low that energies overflow), a
            multiplier that is not finite, or rules that nothing keeps.
    """
    return _Weights(problem, temperature, cost, multiplier).log_total()


def marginals(
    problem: Problem, temperature: float, cost: FactorCost | None = None, multiplier: float = 0.0
) -> list[Array]:
    """The probability of every option of every decision: one array ``[options]`` per decision.

    Raises:
        RequestError: as ``log_partition``.
    """
    weights = _Weights(problem, temperature, cost, multiplier)
    single = weights.marginals()
    rows = weights.view.asked.rows
    if rows is None:
        return single
    return [np.bincount(rows[:, d], weights=single[0], minlength=size) for d, size in enumerate(problem.sizes)]


def scope_marginals(problem: Problem, temperature: float, scopes: Sequence[tuple[int, ...]]) -> list[Array]:
    """The joint probability of several decisions' options: per scope an array shaped like a factor's table.

    Exact whatever rules tie the decisions together; ``scopes`` are ascending, as those of factors.

    Raises:
        RequestError: as ``log_partition``; and for a frontier that the scopes make too wide.
    """
    tables = [Factor(scope, np.zeros([problem.sizes[d] for d in scope])) for scope in scopes]
    # A cost of nothing: it changes no energy, and its scopes have to lie inside blocks.
    weights = _Weights(problem, temperature, FactorCost(problem.sizes, tables, name="the scopes"), 0.0)
    rows = weights.view.asked.rows
    if rows is None:
        return weights.over(scopes)
    share, found = weights.marginals()[0], []
    for table in tables:
        cell = np.ravel_multi_index(rows[:, list(table.scope)].T, table.table.shape)
        found.append(np.bincount(cell, weights=share, minlength=table.table.size).reshape(table.table.shape))
    return found


def sample(
    problem: Problem,
    temperature: float,
    n: int,
    rng: np.random.Generator,
    cost: FactorCost | None = None,
    multiplier: float = 0.0,
    joint: bool = True,
) -> Array:
    """Draws ``n`` rows ``[n, D]``.

    ``joint=True`` draws from the distribution itself (messages against the sweep, draws along it).
    ``joint=False`` draws every decision from its own marginal, as the official AOWS does: the cost spreads
    wider, and rules over several decisions or a list of rows are not kept.

    Raises:
        RequestError: as ``log_partition``.
    """
    if n < 0:
        raise RequestError(f"the number of draws must not be negative, got {n}")
    if not joint:
        single = marginals(problem, temperature, cost, multiplier)
        columns = [draw(p[None], np.zeros(n, np.int64), rng) for p in single]
        return np.stack(columns, axis=1)
    weights = _Weights(problem, temperature, cost, multiplier)
    return weights.view.rows(weights.draws(n, rng))


def draw(probabilities: Array, pick: Array, rng: np.random.Generator) -> Array:
    """For every entry of ``pick`` ``[n]`` one draw from that row of ``probabilities`` ``[rows, options]``."""
    total = np.cumsum(probabilities, axis=1)
    # Divided by itself the last sum is exactly 1, so no uniform number falls behind the last possible option.
    total /= total[:, -1:]
    uniform = rng.random(len(pick))
    chunk = max(1, _DRAW_CHUNK // total.shape[1])
    parts = [
        (total[pick[low : low + chunk]] <= uniform[low : low + chunk, None]).sum(axis=1)
        for low in range(0, len(pick), chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


class _Weights:
    """Log weights of all cells, and the messages over them."""

    def __init__(self, problem: Problem, temperature: float, cost: FactorCost | None, multiplier: float) -> None:
        _check_energy(problem, temperature, cost, multiplier)
        budgets = [] if cost is None else [Budget(cost, math.inf, "cost")]
        self.view: View = listed(problem, budgets)
        core, costs = self.view.problem, [budget.cost for budget in self.view.budgets]
        self.plan = plan_for(core, costs)
        energy, self.paid = _energies(core, self.plan, costs, multiplier)
        allowed = np.isfinite(energy)
        flat = np.full(len(energy), -math.inf)
        with np.errstate(over="ignore"):
            np.divide(-energy, temperature, out=flat, where=allowed)
        if not np.isfinite(flat[allowed]).all():
            raise RequestError(f"a temperature of {temperature} is too low: energies divided by it overflow")
        self.temperature = temperature
        self.cells = block_views(self.plan, flat)
        self.blocks = without_private(self.cells, LOG_SUM)
        self.to_go = to_go(self.plan, self.blocks, LOG_SUM)
        if np.isneginf(self.to_go[0][0]):
            raise RequestError(
                "no architecture keeps all rules (with every score finite); loosen a rule or allow more options"
            )

    def log_total(self) -> float:
        return float(self.to_go[0][0]) - self.paid / self.temperature

    def beliefs(self) -> Iterator[tuple[Step, Array]]:
        """Every block with the probability of its cells, shaped like the block's axes."""
        forward = so_far(self.plan, self.blocks, LOG_SUM)
        outside = around(self.plan, forward, self.to_go, LOG_SUM)
        for step, cells, beyond in zip(self.plan.steps, self.cells, outside, strict=True):
            belief = np.exp(cells + beyond[:, :, None] - self.to_go[0][0]).reshape(step.sizes)
            yield step, belief / belief.sum()

    def marginals(self) -> list[Array]:
        found: dict[int, Array] = {}
        for step, belief in self.beliefs():
            for d in step.axes:
                if d not in found:
                    axis = step.axes.index(d)
                    found[d] = belief.sum(axis=tuple(a for a in range(belief.ndim) if a != axis))
        return [found[d] for d in range(len(self.plan.sizes))]

    def over(self, scopes: Sequence[tuple[int, ...]]) -> list[Array]:
        """The probability of every cell of each scope; every scope lies inside a block."""
        found: dict[tuple[int, ...], Array] = {}
        for step, belief in self.beliefs():
            for scope in scopes:
                if scope not in found and set(scope) <= set(step.axes):
                    rest = tuple(a for a, d in enumerate(step.axes) if d not in scope)
                    kept = [d for d in step.axes if d in scope]
                    found[scope] = belief.sum(axis=rest).transpose([kept.index(d) for d in scope])
        return [found[scope] for scope in scopes]

    def draws(self, n: int, rng: np.random.Generator) -> Array:
        state = np.zeros(n, np.int64)
        picks = []
        for t, step in enumerate(self.plan.steps):
            states, pick = np.unique(state, return_inverse=True)
            cell = draw(self._choices(t, step, states), pick, rng)
            _, new, private = step.shape
            row = state if step.incoming is None else step.incoming[state]
            picks.append(row * new * private + cell)
            state = step.kept[state] * new + cell // private
        return self.plan.assign(picks)

    def _choices(self, t: int, step: Step, states: Array) -> Array:
        """Unnormalised probabilities ``[states, new * private]`` of a block's cells from frontier states."""
        _, new, private = step.shape
        row = states if step.incoming is None else step.incoming[states]
        ahead = self.to_go[t + 1].reshape(-1, new)[step.kept[states]]
        logs = (self.cells[t][row] + ahead[:, :, None]).reshape(len(states), new * private)
        return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))


def _check_energy(problem: Problem, temperature: float, cost: FactorCost | None, multiplier: float) -> None:
    if not temperature > 0:
        raise RequestError(f"the temperature must be positive, got {temperature}")
    if not math.isfinite(multiplier):
        raise RequestError(f"the multiplier must be finite, got {multiplier}")
    if cost is None:
        return
    check_budgets(problem, [Budget(cost, math.inf, cost.name)])
    if cost.reduction != "sum":
        raise RequestError(f"{cost.name} is a maximum; only a summed cost can be added to the energy")
    if not all(np.isfinite(f.table).all() for f in cost.factors):
        raise RequestError(f"a cell of {cost.name} is not a finite number")


def _energies(problem: Problem, plan: Plan, costs: list[FactorCost], multiplier: float) -> tuple[Array, float]:
    """Energies of all cells, each block from 0 up, inf where not allowed; and the constant taken out."""
    energy = sum_blocks(plan, problem.scores.factors)
    paid = float(problem.scores.constant)
    for cost in costs:
        energy += multiplier * sum_blocks(plan, cost.factors)
        paid += multiplier * float(cost.constant)
    energy[~permitted(problem, plan, [])] = math.inf
    for block in block_views(plan, energy):
        low = float(block.min())
        if math.isfinite(low):
            block -= low
            paid += low
    return energy, paid
