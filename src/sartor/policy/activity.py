"""Which decisions matter: the trees that ``when`` makes of decisions, all of one depth at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.space import SearchSpace

Array = NDArray[Any]


class Activity:
    """The conditions of a space's decisions as arrays.

    The same answers as :meth:`SearchSpace.active`, without a loop over decisions: a policy asks at every step.

    Attributes:
        conditional: ``[D]`` which decisions can be inert.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.parents = [None if d.when is None else space.index[d.when[0]] for d in space.decisions]
        self.conditional = np.array([parent is not None for parent in self.parents], dtype=bool)
        by_depth: dict[int, list[int]] = {}
        for d in range(len(space.sizes)):
            by_depth.setdefault(len(self.ancestors(d)), []).append(d)
        # Per depth: the decisions, their parents, and which of the parents' options [k, S] make them matter.
        self._levels: list[tuple[Array, Array, Array]] = []
        for depth in sorted(by_depth)[1:]:
            children = by_depth[depth]
            allowed = np.zeros((len(children), max(space.sizes)), dtype=bool)
            for k, d in enumerate(children):
                parent, options = space.decisions[d].when or ("", ())
                for option in options:
                    allowed[k, space.decisions[space.index[parent]].options.index(option)] = True
            self._levels.append((np.array(children), np.array([self.parents[d] for d in children]), allowed))

    def ancestors(self, decision: int) -> tuple[int, ...]:
        """The decisions that decide whether this one matters, ascending."""
        found: tuple[int, ...] = ()
        parent = self.parents[decision]
        while parent is not None:
            found, parent = (parent, *found), self.parents[parent]
        return found

    def of(self, rows: Array) -> Array:
        """Which decisions ``[n, D]`` of rows ``[n, D]`` matter."""
        active = np.ones(rows.shape, dtype=bool)
        for children, parents, allowed in self._levels:
            active[:, children] = active[:, parents] & allowed[np.arange(len(children)), rows[:, parents]]
        return active

    def probability(self, options: Array) -> Array:
        """How likely each decision ``[D]`` matters, given independent decisions' options ``[D, S]``."""
        likely = np.ones(len(options))
        for children, parents, allowed in self._levels:
            likely[children] = likely[parents] * (options[parents, : allowed.shape[1]] * allowed).sum(axis=1)
        return likely
