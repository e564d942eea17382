"""What the decisions of a cell space mean to a search: edges, the nodes they end in, and two operations by name.

An *edge* is a decision; the edges that a rule ties together end in the same *node*. Two options say something by
themselves: ``none`` (no such edge) and the skip (the input as it is). Spaces without cells have decisions with the same
words, such as the identities of NAS-Bench-Macro.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.mrf import Budget
from sartor.space import SearchSpace

NONE = "none"
SKIPS = ("skip_connect", "identity", "skip")
_NORMAL = "normal_"
_MAX_CELLS = 1_000_000


class Cells:
    """A space seen as cells.

    Args:
        space: decisions that may be mixed, each a choice of its own.

    Attributes:
        none, skip: ``[D]`` the position of that option in every decision; -1 where it has none.

    Raises:
        RequestError: the space has widths or conditional choices, which cannot be mixed.
    """

    def __init__(self, space: SearchSpace) -> None:
        _check_mixable(space)
        self.space = space
        self.none = np.array([_position(d.options, (NONE,)) for d in space.decisions])
        self.skip = np.array([_position(d.options, SKIPS) for d in space.decisions])

    @cached_property
    def normal(self) -> list[int]:
        """The edges of the normal cell; every decision where the space has no cells."""
        named = [i for i, d in enumerate(self.space.decisions) if d.name.startswith(_NORMAL)]
        return named or list(range(len(self.space.decisions)))

    @property
    def has_cells(self) -> bool:
        """Whether the space has a normal cell, and not just layers that may be left out."""
        return len(self.normal) < len(self.space.decisions) or self.space.decisions[0].name.startswith(_NORMAL)

    @cached_property
    def nodes(self) -> list[list[int]]:
        """The edges of every node: what rules tie together, directly or in a chain, in the order of the decisions."""
        node = list(range(len(self.space.sizes)))
        for rule in self.space.rules:
            joined = {node[d] for d in rule.scope}
            node = [min(joined) if n in joined else n for n in node]
        return [[d for d, n in enumerate(node) if n == first] for first in sorted(set(node))]

    @cached_property
    def rows(self) -> list[NDArray[np.int64]]:
        """All valid choices ``[n, edges]`` of every node.

        Raises:
            RequestError: a node of more than 1,000,000 choices, valid or not.
        """
        return [self._rows(node) for node in self.nodes]

    def _rows(self, node: list[int]) -> NDArray[np.int64]:
        shape = [self.space.sizes[d] for d in node]
        if (cells := int(np.prod(shape, dtype=np.float64))) > _MAX_CELLS:
            names = ", ".join(self.space.decisions[d].name for d in node[:8])
            raise RequestError(
                f"{self.space.name}: rules tie {names} together, {cells:,} choices, more than {_MAX_CELLS:,}; a method "
                "with a policy (fpnas, tunas) does not list them"
            )
        choices = np.indices(shape).reshape(len(node), -1).T
        allowed = np.ones(len(choices), dtype=bool)
        for rule in self.space.rules:
            if rule.scope[0] in node:
                allowed &= rule.table[tuple(choices[:, node.index(d)] for d in rule.scope)]
        return choices[allowed]

    def best(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """The valid row ``[D]`` of least score, for scores ``[D, S]`` that add up over decisions."""
        row = np.empty(len(self.space.sizes), dtype=np.int64)
        for node, rows in zip(self.nodes, self.rows, strict=True):
            row[node] = rows[scores[node, rows].sum(axis=1).argmin()]
        return row

    def skips(self, row: NDArray[Any]) -> int:
        """How many edges of the normal cell are skips."""
        return int(sum(row[d] == self.skip[d] for d in self.normal))

    def kept(self, row: NDArray[Any]) -> int:
        """How many edges of the normal cell there are at all."""
        return int(sum(row[d] != self.none[d] for d in self.normal))

    def skip_budget(self, cap: int) -> Budget:
        """At most ``cap`` skips in the normal cell, as a budget."""
        skips = [(d, self.skip[d]) for d in self.normal if self.skip[d] >= 0]
        factors = [Factor((d,), (np.arange(self.space.sizes[d]) == option).astype(np.int64)) for d, option in skips]
        return Budget(FactorCost(self.space.sizes, factors, 0, "sum", "skips"), cap, "skips of the normal cell")


def _position(options: tuple[Any, ...], names: tuple[str, ...]) -> int:
    return next((i for i, option in enumerate(options) if option in names), -1)


def _check_mixable(space: SearchSpace) -> None:
    for kind, wrong in (
        ("width", [d.name for d in space.decisions if d.kind == "width"]),
        ("conditional", [d.name for d in space.decisions if d.when is not None]),
        ("grouped", [space.decisions[d].name for group in space.groups if len(group) > 1 for d in group]),
    ):
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise RequestError(
                f"space {space.name!r} cannot be searched by gradient: a mixture of options needs decisions between "
                f"operations, each of its own, and {', '.join(wrong[:3])}{more} are {kind} ones; use ms_ranas or "
                "nas_bench_macro, or another method"
            )
