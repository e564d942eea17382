"""What is asked: a factor graph of scores, its rules, and the budgets; and what is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Problem:
    """Scores to minimise over the rows of a space.

    Args:
        sizes: the number of options of every decision.
        scores: energies to minimise, a sum of factors; ``inf`` forbids a cell.
        rules: boolean factors which must all hold.
        names: the decisions' names, used in errors.
        rows: the only rows that exist, integers ``[n, D]`` (a table with missing rows); ``None`` for all.
            Repeated rows count once.

    Raises:
        RequestError: for scores that are not numbers (the decision is named) and for shapes that disagree.
    """

    sizes: tuple[int, ...]
    scores: FactorCost
    rules: Sequence[Factor] = ()
    names: Sequence[str] | None = None
    rows: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(int(n) for n in self.sizes))
        object.__setattr__(self, "rules", tuple(self.rules))
        if self.names is not None and len(self.names) != len(self.sizes):
            raise RequestError(f"{len(self.names)} names were given for {len(self.sizes)} decisions")
        for d, size in enumerate(self.sizes):
            if size < 1:
                raise RequestError(f"{self.name(d)} has no option; every decision needs at least one")
        _check_scores(self)
        for rule in self.rules:
            _check_shape(self, rule, "rule")
        if self.rows is not None:
            object.__setattr__(self, "rows", _checked_rows(self, self.rows))

    def name(self, decision: int) -> str:
        """The decision's name, or its position where it has none."""
        return self.names[decision] if self.names is not None else f"decision {decision}"

    def named(self, decisions: Sequence[int]) -> str:
        """The decisions' names in one string, at most eight of them."""
        shown = ", ".join(self.name(d) for d in decisions[:8])
        return shown if len(decisions) <= 8 else f"{shown} and {len(decisions) - 8} more"


@dataclass(frozen=True, eq=False)
class Budget:
    """A cost that must stay at or below a limit (equality is feasible).

    A sum must hold integers; a maximum may hold any numbers. Tables and limit count in one unit, and ``unit`` is what
    that is worth in the unit of the budget's name: latencies in whole nanoseconds have 1e-6 for ``latency_ms``.
    Messages and the costs of a solution are in the name's unit; the answer does not depend on it. ``note`` says in
    messages how the limit came about, where it is not what was asked for.
    """

    cost: FactorCost
    limit: float
    name: str
    unit: float = 1.0
    note: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.limit):
            raise RequestError(f"the limit of budget {self.name!r} is not a number")
        if not 0 < self.unit < math.inf:
            raise RequestError(f"the unit of budget {self.name!r} is {self.unit}, it must be positive and finite")

    @property
    def summed(self) -> bool:
        """Whether the cost is a sum over factors; otherwise it is a maximum."""
        return self.cost.reduction == "sum"

    def in_unit(self, value: Any) -> Any:
        """A number or array of the tables in the unit of the budget's name; whole numbers stay so where that is one."""
        # Dividing rounds once: people read 57.300001 and not 57.300000999999995.
        return value if self.unit == 1 else value / (1 / self.unit)

    def cost_of(self, row: Array) -> float:
        """The cost of one row ``[D]`` in the unit of the budget's name."""
        cost: float = self.in_unit(self.cost(np.asarray(row)[None])[0].item())
        return cost

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{self.name} <= {number(self.in_unit(self.limit))}{note}"


@dataclass(frozen=True)
class Solution:
    """A row and what it is worth.

    Attributes:
        row: option indices, ``[D]``.
        score: the row's score.
        costs: the row's cost under every budget, by the budget's name and in its unit.
        multiplier: score per unit of the summed budget's tables (gamma of the papers) at the optimum of the
            Lagrangian; 0 where the budget does not bind, None without a summed budget or with several.
        gap: how much lower the true optimum may be at most; 0.0 means proven optimal.
    """

    row: Array
    score: float
    costs: dict[str, float] = field(default_factory=dict)
    multiplier: float | None = None
    gap: float = 0.0


def solution(
    problem: Problem,
    budgets: Sequence[Budget],
    row: Array,
    multiplier: float | None = None,
    gap: float = 0.0,
) -> Solution:
    """The row with its score and costs, evaluated on the tables as they were given."""
    costs = {budget.name: budget.cost_of(row) for budget in budgets}
    return Solution(row, float(problem.scores(row[None])[0]), costs, multiplier, gap)


def check_budgets(problem: Problem, budgets: Sequence[Budget]) -> None:
    """Refuses budgets that do not fit the problem or share a name."""
    names = [budget.name for budget in budgets]
    if len(set(names)) != len(names):
        raise RequestError(f"budgets need different names, got {', '.join(names)}")
    for budget in budgets:
        if budget.cost.sizes != problem.sizes:
            raise RequestError(f"the cost of budget {budget.name!r} belongs to a space with other decisions")


def number(value: float) -> str:
    """A number as people read it: thousands separated, no digits that say nothing."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.6g}"


def _check_scores(problem: Problem) -> None:
    if problem.scores.reduction != "sum":
        raise RequestError("scores must be a sum of factors; a maximum can only be a budget")
    if problem.scores.sizes != problem.sizes:
        raise RequestError(f"scores are over {problem.scores.sizes}, the problem over {problem.sizes}")
    if not math.isfinite(problem.scores.constant):
        raise RequestError(f"the constant of the scores is {problem.scores.constant}, it must be finite")
    for factor in problem.scores.factors:
        table = factor.table
        # One addition finds nan and -inf without a pass per kind: +inf alone stays +inf.
        if table.dtype.kind == "f" and not table.min(initial=0.0) > -math.inf:
            kind = "not a number" if np.isnan(table).any() else "minus infinity"
            raise RequestError(
                f"a score of {problem.named(factor.scope)} is {kind}; scores are finite, or +inf to forbid an option"
            )


def _check_shape(problem: Problem, factor: Factor, what: str) -> None:
    if any(d >= len(problem.sizes) for d in factor.scope):
        raise RequestError(f"a {what} reads decision {max(factor.scope)} of {len(problem.sizes)}")
    expected = tuple(problem.sizes[d] for d in factor.scope)
    if factor.table.shape != expected:
        raise RequestError(
            f"a {what} over {problem.named(factor.scope)} has shape {factor.table.shape}, it must have {expected}"
        )


def _checked_rows(problem: Problem, rows: Array) -> Array:
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != len(problem.sizes) or not len(rows):
        raise RequestError(f"rows must be [n, {len(problem.sizes)}] with n > 0, got shape {rows.shape}")
    if rows.dtype.kind not in "iu" or (rows < 0).any() or (rows >= np.array(problem.sizes)).any():
        raise RequestError("rows must hold option indices within the decisions' sizes")
    # Sorted, so that the lowest position is also the lowest row in ties.
    return np.unique(rows.astype(np.int64), axis=0)
