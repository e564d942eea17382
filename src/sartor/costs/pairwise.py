"""The latency model of AOWS: one non-negative parameter per block key, fitted to whole networks, with monotone orders.

Source: Berman et al., AOWS (CVPR 2020), and its official code (latency.py): a network takes the sum of its components'
parameters; least squares, plus a hinge on every pair in which the smaller component takes longer. Where we differ: the
error is relative; the strength of the hinge is chosen on networks set aside; and an order holds between blocks that
differ in one thing alone, where the code's grouping also relates some that cannot be compared (156 of 3,283 pairs).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sartor.costs.keys import Piece, key_indices, shape_of
from sartor.costs.nonnegative import OrderedFit
from sartor.space import SearchSpace

STRENGTHS = (0.0, 1.0, 10.0)
_RIDGE = 1e-6
_SET_ASIDE = 10  # one in so many networks judges the strengths


def monotone_orders(pieces: Mapping[str, Piece]) -> NDArray[np.int64]:
    """Pairs ``[m, 2]`` of positions in ``pieces``: the first is no more work than the second.

    The two have one structure and differ in one of: side, channels that enter, channels that leave, kernels, widths in
    between; neighbours only, for the others follow. On the space of the paper these are 3,198 pairs.
    """
    lines: dict[tuple[object, ...], list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    for position, piece in enumerate(pieces.values()):
        shape = shape_of(piece)
        for i, field in enumerate(shape.fields):
            rest = shape.fields[:i] + shape.fields[i + 1 :]
            lines[(shape.structure, i, rest)].append((field, position))
    pairs = []
    for members in lines.values():
        members.sort()
        for (smaller, first), (larger, second) in itertools.pairwise(members):
            if all(a <= b for a, b in zip(smaller, larger, strict=True)):
                pairs.append((first, second))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def block_members(space: SearchSpace, rows: NDArray[np.int64], known: dict[str, int]) -> NDArray[np.int64]:
    """The numbers of the keys of every network ``[n, templates]``, -1 where a block takes no time."""
    columns = []
    for position in range(len(space.templates)):
        scope, numbers = key_indices(space, position, known)
        columns.append(numbers[tuple(rows[:, d] for d in scope)] * np.ones(len(rows), np.int64))
    return np.stack(columns, axis=1)


def fit_pairwise(
    space: SearchSpace,
    pieces: Mapping[str, Piece],
    rows: NDArray[np.int64],
    measured_ns: Sequence[float],
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[dict[str, float], float]:
    """Nanoseconds per key that at least one network holds, and the strength that was chosen for the hinges.

    With several ``strengths``, each is fitted without every tenth network, and the one that errs least on those wins.
    """
    known = {key: number for number, key in enumerate(pieces)}
    members = block_members(space, rows, known)
    target = np.asarray(measured_ns, dtype=np.float64)
    unit = float(target.mean())
    orders = monotone_orders(pieces)

    def fitted(strength: float, used: NDArray[np.bool_]) -> NDArray[np.float64]:
        scaled = target[used] / unit
        fit = OrderedFit(members[used], scaled, 1 / scaled, orders, strength, _RIDGE, len(known))
        return fit.solve(np.full(len(known), 1 / members.shape[1]))

    every = np.ones(len(rows), dtype=bool)
    best = strengths[0]
    if len(strengths) > 1 and len(rows) >= 2 * _SET_ASIDE:
        judging = np.arange(len(rows)) % _SET_ASIDE == 0
        errors = []
        for strength in strengths:
            x = np.append(fitted(strength, ~judging), 0.0) * unit
            off = x[members[judging]].sum(axis=1) / target[judging] - 1
            errors.append(float(np.sqrt((off**2).mean())))
        best = strengths[int(np.argmin(errors))]
    x = fitted(best, every) * unit
    seen = np.unique(members[members >= 0])
    keys = list(pieces)
    return {keys[i]: float(x[i]) for i in seen}, best
