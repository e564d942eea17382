"""Which labels can still lead to one of the k best: dominance within groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_PACK = 51
_WINDOWS = (16, 256)


def undominated(group: Array, score: Array, costs: Array, depth: int, rank: Callable[[Array], Array]) -> Array:
    """Positions of the labels worth keeping, sorted by group, score, costs, rank.

    A label is dropped where ``depth`` labels of its group precede or equal it in score and in every cost: any
    completion of it then has ``depth`` better ones. With several costs a few dominated labels may survive.

    Args:
        group: ``[n]`` integers from 0.
        score: ``[n]`` whole numbers below 2^51.
        costs: ``[budgets, n]``.
        depth: how many of the best are wanted.
        rank: for positions of exact ties, integers that order them; asked only where there are ties.
    """
    order = _sorted(group, score, costs, rank)
    if not len(order):
        return order
    group = group[order]
    if not len(costs):
        return order[_place_in_group(group) < depth]
    costs = costs[:, order]
    if len(costs) == 1:
        return order[_fronts(group, costs[0], depth)]
    return order[_windowed(group, costs, depth)]


def _sorted(group: Array, score: Array, costs: Array, rank: Callable[[Array], Array]) -> Array:
    """Positions by group, score, costs, and only in exact ties by rank."""
    if len(group) and int(group.max()) < 2 ** (62 - _PACK):
        packed = (group.astype(np.int64) << _PACK) + score.astype(np.int64)
        order = np.argsort(packed)
        ascending = packed[order]
        if (ascending[1:] != ascending[:-1]).all():
            return order
        keys: tuple[Array, ...] = (*costs[::-1], packed)
    else:
        keys = (*costs[::-1], score, group)
    order = np.lexsort(keys)
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        ascending = key[order]
        same &= ascending[1:] == ascending[:-1]
    if not same.any():
        return order
    tied = np.zeros(len(order), bool)
    tied[1:] |= same
    tied[:-1] |= same
    places = np.flatnonzero(tied)
    ranks = np.zeros(len(order), np.int64)
    ranks[order[places]] = rank(order[places])
    return np.lexsort((ranks, *keys))


def _place_in_group(group: Array) -> Array:
    """``[n]`` the position within each run of equal values."""
    first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    return np.asarray(np.arange(len(group)) - np.repeat(first, np.diff(np.r_[first, len(group)])))


def _fronts(group: Array, cost: Array, depth: int) -> Array:
    """The first ``depth`` Pareto fronts of labels sorted by group and score: positions, ascending.

    A label of a later front is dominated by a chain of at least ``depth`` others.
    """
    if depth == 1:
        return np.flatnonzero(_first_front(group, cost))
    kept = np.zeros(len(group), bool)
    left = np.arange(len(group))
    for _ in range(depth):
        front = _first_front(group[left], cost[left])
        kept[left[front]] = True
        left = left[~front]
        if not len(left):
            break
    return np.flatnonzero(kept)


def _first_front(group: Array, cost: Array) -> Array:
    """Whether a label is cheaper than all before it in its group."""
    start = group[1:] != group[:-1]
    # One running minimum serves all groups: each later group is moved below the earlier ones.
    level = np.r_[0, np.cumsum(start)] * (float(cost.max()) + 1)
    if level[-1] > 2.0**53:
        _, cost = np.unique(cost, return_inverse=True)
        level = np.r_[0, np.cumsum(start)] * (float(cost.max()) + 1)
    lowered = cost - level
    running = np.minimum.accumulate(lowered)
    return np.concatenate([[True], running[1:] < running[:-1]])


def _windowed(group: Array, costs: Array, depth: int) -> Array:
    """Labels sorted by group and score that fewer than ``depth`` of those shortly before them dominate."""
    left = np.arange(len(group))
    for window in _WINDOWS:
        g, c = group[left], costs[:, left]
        dominators = np.zeros(len(left), np.int32)
        reach = min(window, len(left) - 1, int(_place_in_group(g).max()))
        for offset in range(1, reach + 1):
            below = g[offset:] == g[:-offset]
            for row in c:
                below &= row[:-offset] <= row[offset:]
            dominators[offset:] += below
        left = left[dominators < depth]
    return left
