"""Fitting the linear one-hot model to whole networks: the solution of minimum norm.

The form of TuNAS (:mod:`sartor.costs.linear`); its authors fitted theirs by linear regression. There are more features
than networks can tell apart, so of all models that fit equally well the one with the smallest coefficients is taken,
by ridge regression with a free intercept. Such a solution is a combination of the networks' features, whose sums over
each option therefore agree in all parts of the network: see :meth:`sartor.costs.linear.LinearModel.checksums`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sartor.costs.keys import template_pieces
from sartor.costs.linear import FORMAT, FORMAT_VERSION, LinearModel, LinearTable, combinations
from sartor.space import SearchSpace

# Shares of the mean variance of the features; the one with the least error on networks left out is taken.
RIDGES = (1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1)

Array = NDArray[np.float64]


def fit_linear(
    space: SearchSpace,
    rows: NDArray[np.int64],
    measured_ns: Sequence[float],
    ridges: Sequence[float] = RIDGES,
    scale: float = 1.0,
    offset_ns: float = 0.0,
) -> LinearModel:
    """The model with the least squared error over networks ``rows`` ``[n, D]``, and the smallest coefficients.

    ``scale`` and ``offset_ns`` correct what it predicts, as fitted to other networks.
    """
    target = np.asarray(measured_ns, dtype=np.float64)
    parts = _parts(space, rows)
    alike = np.zeros((len(rows), len(rows)))
    for _, _, numbers, _ in parts:
        alike += numbers[:, None] == numbers[None, :]
    weights = _weights(alike, target, ridges)
    intercept = float((target - alike @ weights).mean())
    tables = [
        LinearTable(
            name,
            decisions,
            np.rint(scale * np.bincount(numbers, weights, count)).astype(np.int64),
        )
        for name, decisions, numbers, count in parts
    ]
    options = {d.name: d.options for d in space.decisions}
    constant = round(scale * intercept + offset_ns)
    return LinearModel(space.name, space.image_size, space.options, options, constant, tuple(tables))


def linear_document(model: LinearModel, **facts: object) -> dict[str, object]:
    """The model as a device file, with what is known about its making."""
    return {"format": FORMAT, "version": FORMAT_VERSION, "unit": "ns", **facts, "models": [model.to_dict()]}


def _parts(space: SearchSpace, rows: NDArray[np.int64]) -> list[tuple[str, tuple[str, ...], NDArray[np.int64], int]]:
    """Per part of the network: its name, its decisions, every network's coefficient there, and how many there are."""
    found = []
    for position, template in enumerate(space.templates):
        scope, _ = template_pieces(space, position)
        if not scope:
            continue  # what is in every network is in the intercept
        names = tuple(space.decisions[d].name for d in _with_parents(space, scope))
        indices, numbers = combinations(space, names)
        found.append((template.name, names, numbers[tuple(rows[:, d] for d in indices)], int(numbers.max()) + 1))
    return found


def _with_parents(space: SearchSpace, scope: Sequence[int]) -> list[int]:
    """Decisions and those that tell whether they matter, in network order."""
    found = set(scope)
    todo = list(scope)
    while todo:
        when = space.decisions[todo.pop()].when
        if when is not None and space.index[when[0]] not in found:
            found.add(space.index[when[0]])
            todo.append(space.index[when[0]])
    return sorted(found)


def _weights(alike: Array, target: Array, ridges: Sequence[float]) -> Array:
    """One weight per network, which sum to zero: the coefficients are what they add up to over each feature.

    ``alike`` ``[n, n]`` counts the features that two networks share. The ridge is chosen by the errors on each network
    left out in turn, which have a closed form.
    """
    count = len(target)
    centred = alike - alike.mean(axis=0) - alike.mean(axis=1)[:, None] + alike.mean()
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0.0)
    mean = max(float(values.mean()), 1e-12)
    turned = vectors.T @ (target - target.mean())
    best: tuple[float, Array] | None = None
    for ridge in ridges:
        # Directions without features stay out: the intercept's, and those of equal networks.
        inverse = np.where(values > 1e-9 * mean, 1.0 / (values + ridge * mean), 0.0)
        weights = vectors @ (inverse * turned)
        fitted = (vectors**2 * (values * inverse)).sum(axis=1) + 1.0 / count
        left_out = (target - target.mean() - centred @ weights) / np.maximum(1.0 - fitted, 1e-6)
        error = float((left_out**2).mean())
        if best is None or error < best[0]:
            best = (error, weights)
    assert best is not None
    return best[1]
