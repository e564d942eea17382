"""Which networks of a space to measure: uniform ones, ones of all sizes, and such as show all blocks equally often."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.costs.factors import Factor, FactorCost
from sartor.costs.keys import key_indices
from sartor.space import SearchSpace

Rows = NDArray[np.int64]

# How far a decision may lie from the common width, as a share of its range.
_JITTER = 0.15
_TRIES = 100


def uniform_rows(space: SearchSpace, count: int, rng: np.random.Generator, taken: Iterable[Rows] = ()) -> Rows:
    """Different networks ``[count, D]``, uniform over the space and none of them ``taken``; fewer in a small space."""
    return _different(space, count, lambda: space.sample(1, rng)[0], taken)


def spread_rows(space: SearchSpace, count: int, rng: np.random.Generator, taken: Iterable[Rows] = ()) -> Rows:
    """Different networks of all sizes: their widths lie about a common share of each range, which varies.

    Uniform samples are all of middling size, and what is fitted to them says little about the ends.
    """
    return _different(space, count, lambda: _at(space, rng.random(), _JITTER, rng), taken)


def uniform_width_rows(space: SearchSpace, count: int, rng: np.random.Generator) -> Rows:
    """Networks with every width at the same share of its range, evenly from the smallest to the largest.

    What is no width is drawn once for all of them. Empty where the space has no widths.
    """
    if not any(d.kind == "width" for d in space.decisions):
        return np.zeros((0, len(space.sizes)), np.int64)
    state = rng.bit_generator.state
    rows = []
    for share in np.linspace(0, 1, count):
        rng.bit_generator.state = state
        rows.append(_at(space, float(share), 0.0, rng))
    return np.unique(space.canonical(np.array(rows)), axis=0)


def biased_rows(space: SearchSpace, count: int, rng: np.random.Generator) -> Rows:
    """Networks ``[count, D]`` that show every block key about equally often (AOWS).

    Each network holds as many as possible of the keys that were shown least so far. Equally good ones are drawn at
    random: with the first of them always, as in the official code, the samples stay correlated and leave directions
    undetermined.
    """
    known: dict[str, int] = {}
    tables = [key_indices(space, position, known) for position in range(len(space.templates))]
    shown = np.zeros(len(known) + 1, dtype=np.int64)  # the last one stands for blocks that take no time
    rows = np.zeros((count, len(space.sizes)), dtype=np.int64)
    for row in rows:
        wanted = shown == shown[:-1].min()
        wanted[-1] = False
        factors = [
            Factor(scope, -wanted[numbers].astype(np.float64) + 1e-3 * rng.random(numbers.shape))
            for scope, numbers in tables
        ]
        row[:] = mrf.minimise(space.problem(FactorCost(space.sizes, factors)), []).row
        for scope, numbers in tables:
            shown[numbers[tuple(row[list(scope)])]] += 1
    return rows


def _at(space: SearchSpace, share: float, jitter: float, rng: np.random.Generator) -> Rows:
    """A network whose widths lie about a share of their ranges; where rules forbid it, as drawn."""
    drawn: Rows = space.sample(1, rng)[0]
    moved = drawn.copy()
    for i, decision in enumerate(space.decisions):
        if decision.kind == "width":
            place = np.clip(share + jitter * rng.standard_normal(), 0, 1)
            moved[i] = round(float(place) * (space.sizes[i] - 1))
    return moved if space.valid(moved[None])[0] else drawn


def _different(space: SearchSpace, count: int, draw: Callable[[], Rows], taken: Iterable[Rows]) -> Rows:
    seen = {tuple(space.canonical(row[None])[0]) for rows in taken for row in rows}
    found: list[Rows] = []
    for _ in range(_TRIES * count):
        if len(found) == count:
            break
        row = draw()
        key = tuple(space.canonical(row[None])[0])
        if key not in seen:
            seen.add(key)
            found.append(np.asarray(key, dtype=np.int64))
    return np.array(found, dtype=np.int64).reshape(-1, len(space.sizes))
