"""The sweep itself, once, for every reading: how tables join and how an eliminated decision is reduced.

A message over the frontier holds, for each of its states, the reduction over everything on one side of it.
Blocks come reduced over their private decisions, as ``[incoming, new]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sartor.mrf.plan import Plan

Array = NDArray[Any]


class Reading(NamedTuple):
    """A semiring: what a path's cells are joined with, and what replaces the choice among paths."""

    join: Callable[[Array, Array], Array]
    reduce: Callable[[Array, int], Array]
    unit: Array


def logsumexp(values: Array, axis: int) -> Array:
    """log of the sum of exponentials along an axis; minus infinity where all are."""
    top = values.max(axis=axis, keepdims=True)
    top[np.isneginf(top)] = 0.0
    with np.errstate(divide="ignore"):
        total = np.log(np.exp(values - top).sum(axis=axis))
    return np.asarray(total + top.squeeze(axis))


def _minimum(values: Array, axis: int) -> Array:
    return np.asarray(np.minimum.reduce(values, axis))


def _total(values: Array, axis: int) -> Array:
    return np.asarray(np.add.reduce(values, axis))


MINIMUM = Reading(np.add, _minimum, np.zeros(1))
LOG_SUM = Reading(np.add, logsumexp, np.zeros(1))
# Python integers: counts of spaces pass 2^63 early.
COUNT = Reading(np.multiply, _total, np.ones(1, dtype=object))


def without_private(cells: Sequence[Array], reading: Reading) -> list[Array]:
    """Blocks ``[incoming, new, private]`` reduced to ``[incoming, new]``."""
    return [block[:, :, 0] if block.shape[2] == 1 else reading.reduce(block, 2) for block in cells]


def to_go(plan: Plan, blocks: Sequence[Array], reading: Reading) -> list[Array]:
    """Messages against the sweep: entry t reduces blocks t and later, ``[states before t]``; one more at the end."""
    messages = [reading.unit]
    for step, block in zip(reversed(plan.steps), reversed(blocks), strict=True):
        joint = reading.join(step.rows(block), step.ahead(messages[-1]))
        messages.append(reading.reduce(joint, 1))
    return messages[::-1]


def so_far(plan: Plan, blocks: Sequence[Array], reading: Reading) -> list[Array]:
    """Messages along the sweep: entry t reduces the blocks before t, ``[states before t]``; one more at the end."""
    messages = [reading.unit]
    for step, block in zip(plan.steps, blocks, strict=True):
        joint = reading.join(step.rows(block), messages[-1][:, None])
        messages.append(reading.reduce(joint[step.ended], 1).reshape(-1))
    return messages


def around(plan: Plan, forward: Sequence[Array], backward: Sequence[Array], reading: Reading) -> list[Array]:
    """What lies outside each block, ``[incoming, new]``: both messages joined, bystanders reduced."""
    outside = []
    for t, step in enumerate(plan.steps):
        joint = reading.join(forward[t][:, None], step.ahead(backward[t + 1]))
        outside.append(joint if step.bystanders is None else reading.reduce(joint[step.bystanders], 1))
    return outside


def trace(plan: Plan, cells: Sequence[Array], messages: Sequence[Array]) -> tuple[list[int], bool]:
    """The best flat cell of every block, given the minima to go; and whether any choice was a tie (lowest wins)."""
    state, tied, picks = 0, False, []
    for step, block, after in zip(plan.steps, cells, messages[1:], strict=True):
        new, private = block.shape[1:]
        row, start = step.row_of(state), int(step.kept[state]) * new
        choices = block[row, :, 0] if private == 1 else block[row]
        ahead = after[start : start + new]
        values = (choices + (ahead if private == 1 else ahead[:, None])).ravel()
        pick = int(values.argmin())
        tied = tied or int(np.count_nonzero(values == values[pick])) > 1
        picks.append(row * new * private + pick)
        state = start + pick // private
    return picks, tied
