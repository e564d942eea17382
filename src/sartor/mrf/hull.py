"""The lower convex hull of (cost, score): its point for a multiplier, and its edge that crosses a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.mrf.elimination import MINIMUM, to_go, trace, without_private
from sartor.mrf.tables import Tables

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Point:
    """A row as the cells it picks, with its score and cost in grid units."""

    picks: list[int]
    score: float
    cost: float


@dataclass(frozen=True, eq=False)
class Hull:
    """The edge of the lower convex hull that crosses the budget.

    Attributes:
        feasible: the end within the budget.
        multiplier: the edge's slope in grid units; 0 where the best score fits.
        bound: no row within the budget has a score below this (grid units).
    """

    feasible: Point
    multiplier: float
    bound: float


def best_point(tables: Tables, multiplier: float) -> Point:
    """The row that minimises score + multiplier * cost; the lowest indices in ties."""
    return _minimum(tables, tables.weighted(np.array([multiplier])))


def cheapest_point(tables: Tables) -> Point:
    """A row of least cost; its score and cost are infinite where rules forbid all rows."""
    return _minimum(tables, tables.cost_only(0))


def _minimum(tables: Tables, weights: Array) -> Point:
    cells = tables.blocks(weights)
    messages = to_go(tables.plan, without_private(cells, MINIMUM), MINIMUM)
    picks, _ = trace(tables.plan, cells, messages)
    score, costs = tables.values(picks)
    return Point(picks, score, float(costs[0]))


def crossing_edge(tables: Tables) -> Hull | None:
    """Breakpoint search over the hull (reference: AOWS notes, 5.4); None where nothing meets the budget.

    Keeps one row within the budget and one beyond it, takes the slope between them as the multiplier, and
    stops when no row lies below their line: 8 to 12 minimisations, and no unit enters.
    """
    limit = float(tables.limits[0])
    beyond = best_point(tables, 0.0)
    if not math.isfinite(beyond.score):
        return None
    if beyond.cost <= limit:
        return Hull(beyond, 0.0, beyond.score)
    within = cheapest_point(tables)
    if not within.cost <= limit:
        return None
    while True:
        rise, run = within.score - beyond.score, beyond.cost - within.cost
        multiplier = rise / run
        point = best_point(tables, multiplier)
        # In Python's integers: doubles would let rounding claim progress for ever.
        below = int(point.score - beyond.score) * int(run) + int(point.cost - beyond.cost) * int(rise) < 0
        if not below:
            bound = within.score + multiplier * (within.cost - limit)
            return Hull(within, multiplier, bound)
        if point.cost <= limit:
            within = point
        else:
            beyond = point
