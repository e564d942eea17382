"""Which blocks to measure first, and what those that were not measured probably take.

The covering order takes the blocks of every structure so that each new one lies as far as can be from those before it;
however early it is cut off, what remains lies near something measured. A block that was not measured gets the estimate
of a simple model of its work, times what its measured neighbours of the same structure were off it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sartor.costs.keys import Piece, shape_of
from sartor.costs.nonnegative import solve_nonnegative

Array = NDArray[np.float64]

_NEIGHBOURS = 6


def covering_order(pieces: Mapping[str, Piece]) -> list[str]:
    """All keys, so that every beginning covers the whole: one block of each structure first."""
    ranked: list[tuple[float, int, str]] = []
    for keys, points in _by_structure(pieces):
        for place, index in enumerate(_farthest_first(points)):
            # Every structure gets its share of any beginning, but each its first block at once.
            ranked.append((place / len(keys), len(ranked), keys[index]))
    return [key for _, _, key in sorted(ranked)]


def interpolate(pieces: Mapping[str, Piece], measured: Mapping[str, float]) -> dict[str, float]:
    """What the keys without a measurement take, in the unit of ``measured``; at least one key must have one."""
    known = [key for key in pieces if key in measured]
    work = {key: _work(piece) for key, piece in pieces.items()}
    rate = _fit_work(np.array([work[key] for key in known]), np.array([measured[key] for key in known]))
    estimate = {key: max(float(work[key] @ rate), 1e-9) for key in pieces}
    found = {}
    for keys, points in _by_structure(pieces):
        here = [i for i, key in enumerate(keys) if key in measured]
        off = np.array([np.log(max(measured[keys[i]], 1e-9) / estimate[keys[i]]) for i in here])
        for i, key in enumerate(keys):
            if key not in measured:
                found[key] = estimate[key] * float(np.exp(_nearby(points[here], off, points[i])))
    return found


def _by_structure(pieces: Mapping[str, Piece]) -> list[tuple[list[str], Array]]:
    """Per structure its keys, and their numbers on a logarithmic scale ``[n, numbers]``."""
    groups: dict[str, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    for key, piece in pieces.items():
        shape = shape_of(piece)
        groups[shape.structure].append((key, shape.numbers))
    found = []
    for members in groups.values():
        points = np.log2(np.array([numbers for _, numbers in members], dtype=np.float64))
        found.append(([key for key, _ in members], points))
    return found


def _farthest_first(points: Array) -> list[int]:
    """An order in which each point is the farthest from all before it; the one farthest from the centre is first."""
    distance = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    order = [int(distance.argmax())]
    nearest = np.full(len(points), np.inf)
    while len(order) < len(points):
        nearest = np.minimum(nearest, ((points - points[order[-1]]) ** 2).sum(axis=1))
        nearest[order[-1]] = -1.0
        order.append(int(nearest.argmax()))
    return order


def _nearby(points: Array, values: Array, place: Array) -> float:
    """The mean of the nearest values, each weighted by one over its squared distance; zero where there are none."""
    if not len(points):
        return 0.0
    squared = ((points - place) ** 2).sum(axis=1)
    nearest = np.argsort(squared, kind="stable")[:_NEIGHBOURS]
    weights = 1.0 / (squared[nearest] + 1e-6)
    return float((weights * values[nearest]).sum() / weights.sum())


def _work(piece: Piece) -> Array:
    """What a block computes, reads and writes: dense and depthwise MACs, elements, weights, and one for itself."""
    dense = sum(layer.macs for layer in piece.layers if not layer.depthwise)
    depthwise = sum(layer.macs for layer in piece.layers if layer.depthwise)
    elements = sum(layer.in_elements + layer.out_elements for layer in piece.layers) + piece.border_elements
    return np.array([1.0, dense, depthwise, elements, piece.params], dtype=np.float64)


def _fit_work(work: Sequence[Array] | Array, measured: Array) -> Array:
    """What each kind of work takes, none of it less than nothing; least squares of the relative error."""
    relative = np.asarray(work) / np.maximum(measured, 1e-9)[:, None]
    size = np.sqrt((relative**2).mean(axis=0))
    size[size == 0] = 1.0
    scaled = relative / size
    found = solve_nonnegative(scaled.T @ scaled + 1e-6 * np.eye(scaled.shape[1]), scaled.sum(axis=0))
    return np.asarray(found / size)
