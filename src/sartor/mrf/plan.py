"""In which order blocks are swept, and how their tables meet the frontier. Depends on scopes only.

A *block* is a maximal scope: every factor lies inside one block. A decision that one block alone reads is
*private* to it. The sweep visits the blocks one after the other; its *frontier* holds the decisions that were
seen and are needed again. A state is an index into the frontier's joint options.

Shapes: ``before`` and ``after`` states of the frontier; a block's table is ``[incoming, new, private]``, where
``incoming`` are joint options of its decisions on the frontier and ``new`` those it adds to the frontier.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Scope = tuple[int, ...]

FRONTIER_LIMIT = 1_000_000
_JOINT_LIMIT = 50_000_000


class FrontierTooWideError(Exception):
    """No order tried keeps the frontier small; holds the decisions of the widest frontier."""

    def __init__(self, decisions: Scope, states: int) -> None:
        super().__init__(f"a frontier of {states:,} states over decisions {decisions}")
        self.decisions, self.states = decisions, states


@dataclass(frozen=True, eq=False)
class Step:
    """One block in the sweep.

    Attributes:
        scope: the block's decisions, ascending.
        axes: the same decisions in the order of the table's axes: incoming, new, private.
        permutation: brings a table over ``scope`` into the order of ``axes``.
        shape: the number of joint options ``(incoming, new, private)``.
        incoming: ``[before]`` the row of the block's table that a frontier state reads; None: its own index.
        kept: ``[before]`` the part of a frontier state that stays on the frontier.
        ended: ``[kept, ended]`` the frontier states that share a kept part.
        bystanders: ``[incoming, bystanders]`` the states that read the same row; None: one each.
    """

    scope: Scope
    axes: Scope
    sizes: Scope
    permutation: Scope
    shape: tuple[int, int, int]
    incoming: Array | None
    kept: Array
    ended: Array
    bystanders: Array | None

    def rows(self, block: Array) -> Array:
        """A block table ``[incoming, new]`` seen from the frontier: ``[before, new]``."""
        return block if self.incoming is None else block[self.incoming]

    def ahead(self, message: Array) -> Array:
        """A message over ``after`` as seen from before: ``[before or 1, new]``."""
        parts = message.reshape(len(self.ended), self.shape[1])
        return parts if len(parts) == 1 else parts[self.kept]

    def row_of(self, state: int) -> int:
        """The row of the block's table that a frontier state reads."""
        return state if self.incoming is None else int(self.incoming[state])


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of a sweep.

    Attributes:
        sizes: the number of options of every decision.
        steps: the blocks in the order of the sweep.
        host: the step whose block holds each factor scope.
        offsets: ``[steps + 1]`` where each block starts in a flat array over all cells; last the number of cells.
    """

    sizes: Scope
    steps: tuple[Step, ...]
    host: dict[Scope, int]
    offsets: Array

    def assign(self, picks: Sequence[Array], steps: int | None = None) -> Array:
        """Rows ``[n, D]`` from the flat cells ``[n]`` picked in each block; unseen decisions are 0."""
        rows = np.zeros((len(picks[0]) if len(picks) else 1, len(self.sizes)), np.int64)
        for step, cells in zip(self.steps[:steps], picks, strict=True):
            for d, options in zip(step.axes, np.unravel_index(cells, step.sizes), strict=False):
                rows[:, d] = options
        return rows


@lru_cache(maxsize=128)
def make_plan(sizes: Scope, scopes: frozenset[Scope]) -> Plan:
    """The better of network order and a greedy order, kept for problems that differ in tables only.

    Raises:
        FrontierTooWideError: where both orders need more than ``FRONTIER_LIMIT`` states.
    """
    blocks = _blocks(sizes, scopes)
    reads = Counter(d for block in blocks for d in block)
    shared = [tuple(d for d in block if reads[d] > 1) for block in blocks]
    order = list(range(len(blocks)))
    best = _frontiers(sizes, [shared[i] for i in order])
    if best.peak > max(_size(sizes, scope) for scope in shared):
        greedy = _greedy_order(sizes, shared)
        other = _frontiers(sizes, [shared[i] for i in greedy])
        if (other.peak, other.total) < (best.peak, best.total):
            order, best = greedy, other
    widest = max(best.before, key=lambda scope: _size(sizes, scope))
    if _size(sizes, widest) > FRONTIER_LIMIT or best.peak > _JOINT_LIMIT:
        raise FrontierTooWideError(best.widest, best.peak)
    steps = tuple(
        _step(sizes, blocks[i], before, after)
        for i, before, after in zip(order, best.before, [*best.before[1:], ()], strict=True)
    )
    position = {block: n for n, block in enumerate(blocks[i] for i in order)}
    host = {s: position[next(b for b in blocks if set(s) <= set(b))] for s in scopes if s}
    offsets = np.cumsum([0, *(math.prod(step.shape) for step in steps)])
    return Plan(sizes, steps, host, offsets)


def _size(sizes: Scope, scope: Sequence[int]) -> int:
    return math.prod(sizes[d] for d in scope)


def _blocks(sizes: Scope, scopes: frozenset[Scope]) -> list[Scope]:
    """The maximal scopes in network order; a decision that no factor reads is a block of its own."""
    blocks: list[Scope] = []
    inside: dict[int, list[set[int]]] = {d: [] for d in range(len(sizes))}
    for scope in sorted(scopes, key=lambda s: (-len(s), s)):
        members = set(scope)
        if scope and not any(members <= other for other in inside[scope[0]]):
            blocks.append(scope)
            for d in scope:
                inside[d].append(members)
    blocks += [(d,) for d in range(len(sizes)) if not inside[d]]
    return sorted(blocks)


@dataclass(frozen=True)
class _Frontiers:
    """What an order costs: the frontier before each block, the largest and the summed joint sizes."""

    before: list[Scope]
    peak: int
    total: int
    widest: Scope


def _frontiers(sizes: Scope, order: Sequence[Scope]) -> _Frontiers:
    left = Counter(d for scope in order for d in scope)
    frontier: Scope = ()
    before, joints = [], []
    for scope in order:
        before.append(frontier)
        joint = (*frontier, *(d for d in scope if d not in frontier))
        joints.append(joint)
        left.subtract(scope)
        frontier = tuple(d for d in joint if left[d])
    measured = [_size(sizes, joint) for joint in joints]
    return _Frontiers(before, max(measured), sum(measured), joints[measured.index(max(measured))])


def _greedy_order(sizes: Scope, shared: Sequence[Scope]) -> list[int]:
    """Visits next the block which leaves the smallest frontier; ties: the smaller joint, then network order."""
    left = Counter(d for scope in shared for d in scope)
    remaining, order = list(range(len(shared))), []
    frontier: set[int] = set()

    def price(i: int) -> tuple[int, int, int]:
        joint = frontier | set(shared[i])
        after = [d for d in joint if left[d] > (d in shared[i])]
        return _size(sizes, after), _size(sizes, list(joint)), i

    while remaining:
        chosen = min(remaining, key=price)
        remaining.remove(chosen)
        order.append(chosen)
        left.subtract(shared[chosen])
        frontier = {d for d in frontier | set(shared[chosen]) if left[d]}
    return order


def _step(sizes: Scope, block: Scope, before: Scope, after: Scope) -> Step:
    incoming = tuple(d for d in before if d in block)
    new = tuple(d for d in after if d not in before)
    private = tuple(d for d in block if d not in before and d not in after)
    axes = (*incoming, *new, *private)
    states = _size(sizes, before)
    kept = _part(sizes, before, [d for d in before if d in after])
    row = _part(sizes, before, incoming)
    alone = len(incoming) == len(before)
    return Step(
        scope=block,
        axes=axes,
        sizes=tuple(sizes[d] for d in axes),
        permutation=tuple(block.index(d) for d in axes),
        shape=(_size(sizes, incoming), _size(sizes, new), _size(sizes, private)),
        incoming=None if alone else row,
        kept=kept,
        ended=np.argsort(kept, kind="stable").reshape(int(kept.max()) + 1, -1),
        bystanders=None if alone else np.argsort(row, kind="stable").reshape(-1, states // (int(row.max()) + 1)),
    )


def _part(sizes: Scope, frontier: Scope, part: Sequence[int]) -> Array:
    """For every state of a frontier, the index of its options for the decisions of ``part``."""
    index = np.zeros([sizes[d] for d in frontier], np.int64)
    stride = 1
    for d in reversed(part):
        axis = frontier.index(d)
        shape = [-1 if a == axis else 1 for a in range(len(frontier))]
        index = index + stride * np.arange(sizes[d]).reshape(shape)
        stride *= sizes[d]
    return index.reshape(-1)
