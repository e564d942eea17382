"""How groups of decisions lie in one padded array.

Letters of shapes: D decisions, G groups, O joint options of the largest group, S options of the largest decision,
n rows. A *cell* is a joint option of a group: its decisions' options in mixed radix, the last decision fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.space import SearchSpace

Array = NDArray[Any]
Groups = Sequence[Sequence[str | int]]

MAX_CELLS = 1_000_000


class Layout:
    """Groups of decisions as rows of ``[G, O]``, and rows of options as cells of those groups.

    Args:
        space: whose decisions they are.
        groups: names or positions; every decision belongs to exactly one group.

    Attributes:
        groups: decision positions, ascending in each group.
        sizes: the number of options of every decision.
        real: ``[G, O]`` which entries are cells; the others are padding.
        options: ``[D, O]`` the option that each cell of its group gives a decision; -1 in the padding.
        group_of: ``[D]`` the group of every decision.
    """

    def __init__(self, space: SearchSpace, groups: Groups) -> None:
        self.sizes = space.sizes
        self.groups = _checked(space, groups)
        counts = np.array([math.prod(self.sizes[d] for d in group) for group in self.groups])
        self.real = np.arange(counts.max()) < counts[:, None]
        self.group_of = np.empty(len(self.sizes), np.int64)
        self._stride = np.empty(len(self.sizes), np.int64)
        for g, group in enumerate(self.groups):
            self.group_of[list(group)] = g
            self._stride[list(group)] = np.cumprod([1, *(self.sizes[d] for d in group[:0:-1])])[::-1]
        cells = np.arange(counts.max()) // self._stride[:, None] % np.array(self.sizes)[:, None]
        self.options = np.where(self.real[self.group_of], cells, -1)
        self._order = np.concatenate([list(group) for group in self.groups])
        self._starts = np.cumsum([0, *(len(group) for group in self.groups[:-1])])

    @property
    def single(self) -> bool:
        """Whether every decision is a group of its own."""
        return len(self.groups) == len(self.sizes)

    def cells(self, rows: Array) -> Array:
        """The groups' cells ``[n, G]`` of rows ``[n, D]``."""
        return np.asarray(np.add.reduceat((rows * self._stride)[:, self._order], self._starts, axis=1))

    def rows(self, cells: Array) -> Array:
        """The rows ``[n, D]`` of the groups' cells ``[n, G]``; the inverse of :meth:`cells`."""
        return np.asarray(cells[:, self.group_of] // self._stride % np.array(self.sizes))

    def matching(self, rows: Array, free: Array | None = None) -> Array:
        """Which cells ``[n, G, O]`` agree with rows ``[n, D]``, decisions that are ``free`` ``[n, D]`` left out."""
        if free is None or self.single:  # the common cases need no [n, D, O]
            exact = self.cells(rows)[:, :, None] == np.arange(self.real.shape[1])
            return exact if free is None else np.asarray((exact | free[:, self._order, None]) & self.real)
        agree = (self.options == rows[:, :, None]) | free[:, :, None]
        return np.asarray(np.logical_and.reduceat(agree[:, self._order], self._starts, axis=1) & self.real)

    def tables(self, values: Array) -> list[Array]:
        """One table per group, an axis per decision, from ``[G, O]``."""
        shapes = [[self.sizes[d] for d in group] for group in self.groups]
        return [row[: math.prod(shape)].reshape(shape) for row, shape in zip(values, shapes, strict=True)]

    def per_decision(self, probabilities: Array) -> Array:
        """The options' probabilities ``[D, S]``, 0 beyond a decision's options, from those of the cells ``[G, O]``."""
        width = max(self.sizes)
        spread = probabilities[self.group_of]  # [D, O]
        if self.single:
            return spread
        flat = np.arange(len(self.sizes))[:, None] * width + np.maximum(self.options, 0)
        weights = np.where(self.options < 0, 0.0, spread)
        found = np.bincount(flat.ravel(), weights=weights.ravel(), minlength=len(self.sizes) * width)
        return found.reshape(len(self.sizes), width)


def _checked(space: SearchSpace, groups: Groups) -> tuple[tuple[int, ...], ...]:
    """The groups as ascending positions.

    Raises:
        RequestError: an unknown decision, one that is missing or given twice, or a group of too many cells.
    """
    found = [sorted(_position(space, member) for member in group) for group in groups]
    members = sorted(d for group in found for d in group)
    if members != list(range(len(space.sizes))):
        wrong = [d.name for i, d in enumerate(space.decisions) if members.count(i) != 1]
        raise RequestError(
            f"groups must hold every decision of {space.name} exactly once; not so for {', '.join(wrong[:8])}"
        )
    for group in found:
        cells = math.prod(space.sizes[d] for d in group)
        if cells > MAX_CELLS:
            names = ", ".join(space.decisions[d].name for d in group[:8])
            raise RequestError(
                f"the group of {names} has {cells:,} joint options, more than {MAX_CELLS:,}; split it into smaller ones"
            )
    return tuple(tuple(group) for group in found if group)


def _position(space: SearchSpace, member: str | int) -> int:
    if isinstance(member, str) and member not in space.index:
        raise RequestError(f"{space.name} has no decision {member!r}; its decisions are {', '.join(space.index)}")
    return space.index[member] if isinstance(member, str) else int(member)
