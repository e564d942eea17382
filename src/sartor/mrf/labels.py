"""Label setting over the sweep: exact minima within summed budgets (reference: AOWS notes, 8.3).

A label is a partial row: a frontier state, its score and its costs so far. A label is dropped where its
cheapest completion exceeds a budget, where its Lagrangian bound exceeds what is known to be reachable, or where
others of its state dominate it. Everything is in the grid units of ``Tables``.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.mrf.elimination import MINIMUM, around, so_far, to_go, without_private
from sartor.mrf.pareto import undominated
from sartor.mrf.plan import Plan, Step
from sartor.mrf.tables import Tables

Array = NDArray[Any]

_CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class Found:
    """The best rows found, ascending, and what is proven.

    Attributes:
        rows: ``[n, D]``.
        scores: ``[n]`` in grid units.
        unexplored: every row that is not accounted for has at least this score; inf where all are.
    """

    rows: Array
    scores: Array
    unexplored: float


@dataclass(frozen=True, eq=False)
class _Layer:
    """The labels after a step: ``parent`` and ``cell`` lead back, the rest goes on."""

    state: Array
    score: Array
    costs: Array  # [budgets, n]
    parent: Array
    cell: Array


class LabelSetter:
    """Bounds for one setting of the multipliers, and the search that uses them."""

    def __init__(self, tables: Tables, multipliers: Array) -> None:
        self.tables, self.plan = tables, tables.plan
        self.multipliers = multipliers
        self.spent = float(multipliers @ tables.limits) if len(multipliers) else 0.0
        self.weights = tables.blocks(tables.weighted(multipliers))
        self.bounds = _TwoSided(self.plan, self.weights)
        self.costs = [_TwoSided(self.plan, tables.blocks(tables.cost_only(i))) for i in range(len(tables.costs))]
        self.follow = _Paths(tables, self.weights, self.bounds.to_go)
        # What rounding may do to a bound: additions along the sweep, relative to the largest terms.
        largest = 2.0**50 + (float(multipliers @ tables.costs.max(axis=1)) if len(multipliers) else 0.0)
        self.slack = 0.25 + 4 * len(self.plan.steps) * largest * 2.0**-53 * 2

    def search(self, depth: int, reachable: float, width: int, incumbent: Array | None = None) -> Found:
        """The ``depth`` best rows within the budgets.

        Args:
            depth: how many.
            reachable: a score that ``depth`` rows are known to reach (grid units), or inf.
            width: labels kept per step; where more are left the most promising stay and the proof is lost.
            incumbent: the row behind ``reachable`` for depth 1; improved on the way.
        """
        run = _Run(self, depth, reachable, incumbent)
        layers = [_Layer(np.zeros(1, np.int64), np.zeros(1), np.zeros((len(self.costs), 1)), *_ROOT)]
        for t in range(len(self.plan.steps)):
            layers.append(run.advance(t, layers, width))
        last = layers[-1]
        rows = run.rows(layers, np.arange(len(last.score)))[:depth]
        scores = last.score[:depth]
        if depth == 1 and run.row is not None and (not len(scores) or run.reachable < scores[0]):
            rows, scores = run.row[None], np.array([run.reachable])
        return Found(rows, scores, run.unexplored)


_ROOT = (np.zeros(1, np.int64), np.zeros(1, np.int64))


class _TwoSided:
    """Minima of one table on both sides of every block."""

    def __init__(self, plan: Plan, cells: Sequence[Array]) -> None:
        self.cells = cells
        blocks = without_private(cells, MINIMUM)
        self.to_go = to_go(plan, blocks, MINIMUM)
        self.outside = around(plan, so_far(plan, blocks, MINIMUM), self.to_go, MINIMUM)

    def through(self, t: int) -> Array:
        """The least value of a row that uses a cell of block t: ``[incoming, new, private]``."""
        return np.asarray(self.cells[t] + self.outside[t][:, :, None])


class _Paths:
    """The completion that minimises the weights from every frontier state: its score, costs and cells."""

    def __init__(self, tables: Tables, weights: Sequence[Array], messages: Sequence[Array]) -> None:
        plan = tables.plan
        self.plan = plan
        scores, costs = tables.blocks(tables.score), [tables.blocks(row) for row in tables.costs]
        self.score, self.costs = [np.zeros(1)], [np.zeros((len(costs), 1))]
        self.cell: list[Array] = []
        for t in range(len(plan.steps) - 1, -1, -1):
            step, block = plan.steps[t], weights[t]
            new, private = block.shape[1:]
            inner = block.argmin(axis=2)
            reduced = block[:, :, 0] if private == 1 else block.min(axis=2)
            choice = (step.rows(reduced) + step.ahead(messages[t + 1])).argmin(axis=1)
            row = np.arange(len(choice)) if step.incoming is None else step.incoming
            cell = (row * new + choice) * private + inner[row, choice]
            after = step.kept * new + choice
            self.cell.append(cell)
            self.score.append(scores[t].reshape(-1)[cell] + self.score[-1][after])
            spent = [c[t].reshape(-1)[cell] for c in costs]
            self.costs.append(self.costs[-1][:, after] + np.array(spent).reshape(len(costs), len(cell)))
        self.score.reverse()
        self.costs.reverse()
        self.cell.reverse()

    def complete(self, row: Array, t: int, state: int) -> Array:
        """Fills in the decisions of step t and later along the path from a frontier state."""
        for step, cells in zip(self.plan.steps[t:], self.cell[t:], strict=True):
            cell = int(cells[state])
            options = np.unravel_index(cell, step.sizes)
            row[list(step.axes)] = options[: len(step.axes)]
            state = _after(step, state, cell)
        return row


def _after(step: Step, state: Any, cell: Any) -> Any:
    """The frontier state after a flat cell was picked in a state."""
    _, new, private = step.shape
    return step.kept[state] * new + cell // private % new


class _Run:
    """One search: what is reachable so far, and what had to be left out."""

    def __init__(self, setter: LabelSetter, depth: int, reachable: float, row: Array | None) -> None:
        self.setter, self.depth = setter, depth
        self.tables, self.plan = setter.tables, setter.plan
        self.reachable, self.row = reachable, row
        self.unexplored = math.inf

    def advance(self, t: int, layers: list[_Layer], width: int) -> _Layer:
        """All labels after step t that can still matter."""
        step, last = self.plan.steps[t], layers[-1]
        row, cell = self._arcs(t)
        score, costs = self.setter.tables.blocks(self.tables.score)[t].reshape(-1)[cell], self._costs(t, cell)
        start = np.searchsorted(row, np.arange(step.shape[0] + 1))
        reads = last.state if step.incoming is None else step.incoming[last.state]
        fanout = start[reads + 1] - start[reads]
        parts = []
        for low, high in _chunks(fanout):
            parent = np.repeat(np.arange(low, high), fanout[low:high])
            first = np.cumsum(fanout[low:high]) - fanout[low:high]
            arc = np.arange(len(parent)) + np.repeat(start[reads[low:high]] - first, fanout[low:high])
            candidates = _Layer(
                _after(step, last.state[parent], cell[arc]),
                last.score[parent] + score[arc],
                last.costs[:, parent] + costs[:, arc],
                parent,
                cell[arc],
            )
            parts.append(self._promising(t, layers, candidates))
        layer = _concatenated(parts)
        kept = undominated(
            layer.state, layer.score, layer.costs, self.depth, lambda tied: self._rank(layers, layer, tied)
        )
        return self._narrowed(t, _taken(layer, kept), width)

    def rows(self, layers: list[_Layer], places: Array) -> Array:
        """The partial rows ``[n, D]`` of labels of the last layer."""
        picks = []
        for layer in reversed(layers[1:]):
            picks.append(layer.cell[places])
            places = layer.parent[places]
        return self.plan.assign(picks[::-1], steps=len(picks))

    def _arcs(self, t: int) -> tuple[Array, Array]:
        """The cells of block t on some row worth looking at: the table's row and the flat cell, ascending."""
        setter = self.setter
        mask = setter.bounds.through(t) <= self.reachable + setter.spent + setter.slack
        mask &= self.tables.blocks(self.tables.allowed)[t]
        for cost, limit in zip(setter.costs, self.tables.limits, strict=True):
            mask &= cost.through(t) <= limit
        cell = np.flatnonzero(mask)
        _, new, private = mask.shape
        if private > 1:
            score = self.tables.blocks(self.tables.score)[t].reshape(-1)[cell]
            kept = undominated(cell // private, score, self._costs(t, cell), self.depth, lambda tied: cell[tied])
            cell = np.sort(cell[kept])
        return cell // (new * private), cell

    def _costs(self, t: int, cell: Array) -> Array:
        rows = [self.tables.blocks(row)[t].reshape(-1)[cell] for row in self.tables.costs]
        return np.array(rows).reshape(len(rows), len(cell))

    def _promising(self, t: int, layers: list[_Layer], labels: _Layer) -> _Layer:
        """Drops labels whose completions exceed a budget or cannot beat what is reachable."""
        setter = self.setter
        fits = np.ones(len(labels.state), bool)
        for i, cost in enumerate(setter.costs):
            fits &= labels.costs[i] + cost.to_go[t + 1][labels.state] <= self.tables.limits[i]
        labels = _taken(labels, np.flatnonzero(fits))
        if self.depth == 1:
            self._complete(t, layers, labels)
        # An infinite bound is a dead end, even while nothing is known to be reachable.
        ceiling = min(self.reachable + setter.slack, sys.float_info.max)
        return _taken(labels, np.flatnonzero(self._bound(t, labels) <= ceiling))

    def _bound(self, t: int, labels: _Layer) -> Array:
        """No completion of a label within the budgets has a lower score than this."""
        setter = self.setter
        bound = labels.score + setter.bounds.to_go[t + 1][labels.state] - setter.spent
        for multiplier, cost in zip(setter.multipliers, labels.costs, strict=True):
            bound = bound + multiplier * cost
        return np.asarray(bound)

    def _complete(self, t: int, layers: list[_Layer], labels: _Layer) -> None:
        """Follows every label to its Lagrangian completion; the best within the budgets is the new incumbent."""
        follow = self.setter.follow
        total = labels.score + follow.score[t + 1][labels.state]
        for i, limit in enumerate(self.tables.limits):
            total = np.where(labels.costs[i] + follow.costs[t + 1][i, labels.state] <= limit, total, math.inf)
        if len(total) and total.min() < self.reachable:
            best = int(total.argmin())
            self.reachable = float(total[best])
            row = self.rows([*layers, labels], np.array([best]))[0]
            self.row = follow.complete(row, t + 1, int(labels.state[best]))

    def _rank(self, layers: list[_Layer], layer: _Layer, tied: Array) -> Array:
        """Orders labels that tie in everything by their rows: the lowest indices first."""
        rows = self.rows([*layers, layer], tied)
        order = np.lexsort(rows.T[::-1])
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        return rank

    def _narrowed(self, t: int, labels: _Layer, width: int) -> _Layer:
        if len(labels.state) <= width:
            return labels
        bound = self._bound(t, labels)
        order = np.argsort(bound, kind="stable")
        self.unexplored = min(self.unexplored, float(bound[order[width]]))
        return _taken(labels, np.sort(order[:width]))


def _chunks(fanout: Array) -> list[tuple[int, int]]:
    """Ranges of labels which together have a bounded number of successors."""
    total = int(fanout.sum())
    if total <= _CHUNK:
        return [(0, len(fanout))]
    edges = np.searchsorted(np.cumsum(fanout), np.arange(_CHUNK, total, _CHUNK))
    points = np.unique(np.r_[0, edges, len(fanout)])
    return [(int(a), int(b)) for a, b in itertools.pairwise(points)]


def _taken(labels: _Layer, places: Array) -> _Layer:
    return _Layer(
        labels.state[places],
        labels.score[places],
        labels.costs[:, places],
        labels.parent[places],
        labels.cell[places],
    )


def _concatenated(parts: list[_Layer]) -> _Layer:
    if len(parts) == 1:
        return parts[0]
    return _Layer(
        np.concatenate([p.state for p in parts]),
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.costs for p in parts], axis=1),
        np.concatenate([p.parent for p in parts]),
        np.concatenate([p.cell for p in parts]),
    )
