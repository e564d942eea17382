"""How many rows keep the rules and the budgets, as exact integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.mrf.elimination import COUNT, MINIMUM, Reading, to_go, without_private
from sartor.mrf.listed import listed
from sartor.mrf.problem import Budget, Problem, check_budgets
from sartor.mrf.tables import Tables, build_tables

Array = NDArray[Any]

# Partial rows that differ in frontier state or in a summed cost, held at once.
COUNT_LIMIT = 250_000


def count(problem: Problem, budgets: Sequence[Budget] = ()) -> int:
    """The number of rows that keep all rules, all budgets, and have a finite score; 0 where none does.

    Rules and maximum budgets are exact and cheap. A summed budget needs one entry per frontier state and
    distinct cost so far (counted in the greatest common divisor of the cost's cells, and only while a limit
    can still be met and missed): feasible for coarse costs or limits near either end.

    Raises:
        RequestError: where a summed budget needs more than ``COUNT_LIMIT`` entries.
    """
    check_budgets(problem, budgets)
    view = listed(problem, budgets)
    tables = build_tables(view.problem, view.budgets)
    blocks = [block.sum(axis=2).astype(object) for block in tables.blocks(tables.allowed)]
    rows_to_go = to_go(tables.plan, blocks, COUNT)
    if not len(tables.limits):
        return int(rows_to_go[0][0])
    if (tables.limits < 0).any():
        return 0
    return _WithSums(tables, rows_to_go, [str(b) for b in budgets if b.summed]).run()


def _greatest(values: Array, axis: int) -> Array:
    return np.asarray(np.maximum.reduce(values, axis))


_MAXIMUM = Reading(np.add, _greatest, np.zeros(1))


class _WithSums:
    """Counts by (frontier state, costs so far); whatever can no longer miss a limit is counted at once."""

    def __init__(self, tables: Tables, rows_to_go: list[Array], budgets: list[str]) -> None:
        self.tables, self.plan, self.rows_to_go, self.budgets = tables, tables.plan, rows_to_go, budgets
        # No count exceeds the number of all rows; Python's integers are slower.
        self.integer = np.int64 if rows_to_go[0][0] < 2**62 else object
        self.least, self.most = [], []
        for i, cost in enumerate(tables.costs):
            low, high = tables.blocks(tables.cost_only(i)), np.where(tables.allowed, cost, -math.inf)
            self.least.append(to_go(self.plan, without_private(low, MINIMUM), MINIMUM))
            blocks = without_private(tables.blocks(high), _MAXIMUM)
            self.most.append(to_go(self.plan, blocks, _MAXIMUM))
        self.total = 0

    def run(self) -> int:
        state, costs = np.zeros(1, np.int64), np.zeros((len(self.tables.costs), 1))
        counts = np.ones(1, dtype=self.integer)
        for t in range(len(self.plan.steps)):
            state, costs, counts = self._undecided(t, state, costs, counts)
            state, costs, counts = self._advance(t, state, costs, counts)
        self._undecided(len(self.plan.steps), state, costs, counts)
        return self.total

    def _undecided(self, t: int, state: Array, costs: Array, counts: Array) -> tuple[Array, Array, Array]:
        """Drops entries that miss a limit for sure; counts and drops those that meet all for sure."""
        met = np.ones(len(state), bool)
        open_ = np.ones(len(state), bool)
        for cost, least, most, limit in zip(costs, self.least, self.most, self.tables.limits, strict=True):
            met &= cost + most[t][state] <= limit
            open_ &= cost + least[t][state] <= limit
        sure = met & open_
        self.total += int((counts[sure] * self.rows_to_go[t][state[sure]].astype(self.integer)).sum())
        rest = np.flatnonzero(open_ & ~met)
        return state[rest], costs[:, rest], counts[rest]

    def _advance(self, t: int, state: Array, costs: Array, counts: Array) -> tuple[Array, Array, Array]:
        step = self.plan.steps[t]
        rows, new, _ = step.shape
        cells, spent, ways = self._distinct_cells(t)
        start = np.searchsorted(cells // new, np.arange(rows + 1))
        reads = state if step.incoming is None else step.incoming[state]
        fanout = start[reads + 1] - start[reads]
        if int(fanout.sum()) > 20 * COUNT_LIMIT:
            raise self._too_many(int(fanout.sum()))
        parent = np.repeat(np.arange(len(state)), fanout)
        arc = np.arange(len(parent)) - np.repeat(np.cumsum(fanout) - fanout - start[reads], fanout)
        after = step.kept[state[parent]] * new + cells[arc] % new
        return self._merged(after, costs[:, parent] + spent[:, arc], counts[parent] * ways[arc])

    def _distinct_cells(self, t: int) -> tuple[Array, Array, Array]:
        """Block t's allowed cells by (incoming, new) and cost, with how many private choices each stands for."""
        private = self.plan.steps[t].shape[2]
        flat = np.flatnonzero(self.tables.blocks(self.tables.allowed)[t])
        rows = [self.tables.blocks(cost)[t].reshape(-1)[flat] for cost in self.tables.costs]
        return self._merged(flat // private, np.array(rows), np.ones(len(flat), dtype=self.integer))

    def _merged(self, state: Array, costs: Array, counts: Array) -> tuple[Array, Array, Array]:
        """Adds up the counts of equal entries; sorted by state."""
        if not len(state):
            return state, costs, counts
        keys = np.vstack([state, costs]).astype(np.int64)
        order = _sorted(keys)
        keys = keys[:, order]
        first = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
        if len(first) > COUNT_LIMIT:
            raise self._too_many(len(first))
        return state[order[first]], costs[:, order[first]], np.add.reduceat(counts[order], first)

    def _too_many(self, entries: int) -> RequestError:
        return RequestError(
            f"counting the rows within {' and '.join(self.budgets)} needs {entries:,} partial sums, "
            f"more than {COUNT_LIMIT:,}; count the cost in a coarser unit, or estimate from a uniform sample"
        )


def _sorted(keys: Array) -> Array:
    """The order of the columns of ``keys`` ``[keys, n]``; one packed integer sorts faster than several keys."""
    spans = [int(key.max()) + 1 for key in keys]
    if math.prod(spans) >= 2**62:
        return np.lexsort(keys[::-1])
    packed = keys[0]
    for key, span in zip(keys[1:], spans[1:], strict=True):
        packed = packed * span + key
    return np.argsort(packed)
