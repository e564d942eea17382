"""A table's cost column as a sum of factors over its decisions: exact where it is one, fitted where it is not.

A column that adds up over decisions and pairs of decisions (MACs and parameters of chains do) is one exactly; this can
be told where a table holds all combinations. Everything else is met by a least-squares fit of the single decisions,
which steers searches; answers are always taken by the column itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost

# Beyond so many cells a pair of decisions is not looked at: its table would be nearly the column again.
_MOST_PAIRS = 2_000
# Whole numbers up to here stay exact in the solvers' floating point, sums included.
_LARGEST = 2**40


@dataclass(frozen=True, eq=False)
class ColumnModel:
    """A column in whole units, and its sum of factors.

    Attributes:
        cost: the factors, in ``unit``.
        values: the column ``[n]`` in ``unit``, rounded.
        unit: what one unit is worth in the column's own.
        exact: whether the factors give the column.
        worst_error: the largest distance between the two, in the column's own unit.
    """

    name: str
    cost: FactorCost
    values: NDArray[np.int64]
    unit: float
    exact: bool
    worst_error: float


def column_model(
    name: str, column: NDArray[Any], rows: NDArray[np.int64], sizes: Sequence[int], complete: bool
) -> ColumnModel:
    """The factors of a cost column ``[n]`` of rows ``[n, D]``; ``complete`` where all combinations are there."""
    unit = _unit(column)
    values = np.rint(np.asarray(column, dtype=np.float64) / unit).astype(np.int64)
    cost = _exact(name, values, rows, sizes) if complete else None
    exact = cost is not None
    if cost is None:
        cost = _fitted(name, values, rows, sizes)
    worst = float(np.abs(cost(rows) - values).max()) * unit
    return ColumnModel(name, cost, values, unit, exact, worst)


def _unit(column: NDArray[Any]) -> float:
    """1 for whole numbers; else the largest power of ten in which all are whole, or that keeps twelve digits."""
    largest = float(np.abs(column).max())
    for digits in range(10):
        scaled = column * 10.0**digits
        if largest * 10.0**digits <= _LARGEST and np.abs(scaled - np.rint(scaled)).max() <= 1e-9 * max(largest, 1.0):
            return 10.0**-digits
    return 10.0 ** (math.ceil(math.log10(largest)) - 12) if largest > 0 else 1.0


def _exact(name: str, values: NDArray[np.int64], rows: NDArray[np.int64], sizes: Sequence[int]) -> FactorCost | None:
    """The factors over decisions and pairs, anchored at the row of first options; None where they are not enough."""
    grid = np.empty(sizes, dtype=np.int64)
    grid[tuple(rows.T)] = values
    base = int(grid[(0,) * len(sizes)])
    singles = [grid[_line(len(sizes), (d,))] - base for d in range(len(sizes))]
    factors = [Factor((d,), single) for d, single in enumerate(singles)]
    cost = FactorCost(sizes, factors, base, "sum", name)
    if np.array_equal(cost(rows), values):
        return cost
    pairs = list(itertools.combinations(range(len(sizes)), 2))
    if len(pairs) > _MOST_PAIRS:
        return None
    for i, j in pairs:
        both = grid[_line(len(sizes), (i, j))] - base - singles[i][:, None] - singles[j][None, :]
        if both.any():
            factors.append(Factor((i, j), both))
    cost = FactorCost(sizes, factors, base, "sum", name)
    return cost if np.array_equal(cost(rows), values) else None


def _line(decisions: int, free: tuple[int, ...]) -> tuple[Any, ...]:
    return tuple(slice(None) if d in free else 0 for d in range(decisions))


def _fitted(name: str, values: NDArray[np.int64], rows: NDArray[np.int64], sizes: Sequence[int]) -> FactorCost:
    """Least squares on one indicator per option, in whole units."""
    from sartor.methods.loss_tables import additive_ridge, fill_unknown

    tables = fill_unknown(additive_ridge(rows, values.astype(np.float64), sizes, 1e-6), [False] * len(sizes))
    factors = [Factor((d,), np.rint(table).astype(np.int64)) for d, table in enumerate(tables)]
    return FactorCost(sizes, factors, 0, "sum", name)
