"""Per-decision losses from observed networks: which option of which layer costs how much accuracy.

A search observes pairs (architecture, paired loss difference to the largest network). Two estimators turn them into
one table per decision:

* ``conditional_mean``: the mean difference of the observations that had an option, divided by the number of
  decisions (the official AOWS code). The sum over decisions predicts the mean loss, but each option's own effect is
  shrunk by the number of decisions.
* ``additive_ridge``: least squares on one indicator per option with a ridge, in the true scale. Better at equal data
  (facts, section 3), and not confounded when sampling is not uniform.

Options never observed are unknown, not zero: they take the value interpolated between their observed neighbours
(widths), or the mean of the observed options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tables = list[NDArray[np.float64]]


def conditional_mean(rows: NDArray[Any], values: NDArray[Any], sizes: Sequence[int]) -> Tables:
    """Mean of ``values [n]`` over the rows ``[n, D]`` that hold each option, divided by D; NaN where there is none."""
    tables = []
    for d, size in enumerate(sizes):
        counts = np.bincount(rows[:, d], minlength=size)
        sums = np.bincount(rows[:, d], weights=values, minlength=size)
        with np.errstate(invalid="ignore"):
            tables.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan) / len(sizes))
    return tables


def additive_ridge(rows: NDArray[Any], values: NDArray[Any], sizes: Sequence[int], ridge: float = 1.0) -> Tables:
    """Effects of the options in an additive model of ``values [n]``, fitted by ridge regression; NaN where unseen.

    The ridge is in units of observations: an option seen ``ridge`` times is pulled half-way to its decision's mean.
    Each table has mean zero over the observations; the mean value is spread evenly over the decisions.
    """
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    columns = rows + offsets[:-1]
    gram = _co_occurrences(columns, int(offsets[-1]))
    mean = float(values.mean()) if len(values) else 0.0
    target = np.bincount(columns.ravel(), weights=np.repeat(values - mean, rows.shape[1]), minlength=offsets[-1])
    effects = np.linalg.solve(gram + ridge * np.eye(offsets[-1]), target)
    seen = np.diag(gram) > 0
    effects = np.where(seen, effects, np.nan) + mean / len(sizes)
    return [effects[offsets[d] : offsets[d + 1]] for d in range(len(sizes))]


def _co_occurrences(columns: NDArray[Any], total: int) -> NDArray[np.float64]:
    """How often two options occur together: the Gram matrix of the indicators."""
    gram = np.zeros((total, total))
    for d in range(columns.shape[1]):
        pairs = columns[:, [d]] * total + columns
        gram += np.bincount(pairs.ravel(), minlength=total * total).reshape(total, total)
    return gram


def fill_unknown(tables: Sequence[NDArray[np.float64]], ordered: Sequence[bool]) -> Tables:
    """Replaces NaN: between neighbours where the options are ordered, by the decision's mean elsewhere.

    A decision without any observation becomes zero everywhere: it says nothing.
    """
    filled = []
    for table, is_ordered in zip(tables, ordered, strict=True):
        known = np.flatnonzero(~np.isnan(table))
        if not len(known):
            filled.append(np.zeros_like(table))
        elif is_ordered:
            filled.append(np.interp(np.arange(len(table)), known, table[known]))
        else:
            filled.append(np.where(np.isnan(table), table[known].mean(), table))
    return filled


class Observations:
    """Architectures and their loss differences in the order they were seen, in growing arrays.

    ``progress`` (0..1 of the search) of each observation defines the window: losses measured early belong to
    weights that no longer exist.
    """

    def __init__(self, decisions: int) -> None:
        self.count = 0
        self._rows = np.zeros((256, decisions), dtype=np.int16)
        self._values = np.zeros(256, dtype=np.float32)
        self._progress = np.zeros(256, dtype=np.float64)

    def add(self, row: Sequence[int], value: float, progress: float) -> None:
        """Keeps one observation; NaN (not observed) is ignored."""
        if np.isnan(value):
            return
        if self.count == len(self._values):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
            self._values = np.concatenate([self._values, np.zeros_like(self._values)])
            self._progress = np.concatenate([self._progress, np.zeros_like(self._progress)])
        self._rows[self.count], self._values[self.count], self._progress[self.count] = row, value, progress
        self.count += 1

    def window(self, length: float, count: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The rows and values of the last ``length`` of the search (1: all), up to observation ``count``."""
        n = self.count if count is None else count
        progress = self._progress[:n]
        # 1e-9: with a length of 1 the first observation, at the very edge of the window, belongs to it.
        inside = progress >= (progress[-1] - length - 1e-9) if n else slice(0)
        return self._rows[:n][inside].astype(np.int64), self._values[:n][inside].astype(np.float64)

    def state_dict(self) -> dict[str, Any]:
        """The observations as lists."""
        n = self.count
        return {"rows": self._rows[:n].tolist(), "values": self._values[:n].tolist(), "at": self._progress[:n].tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.__init__(self._rows.shape[1])  # type: ignore[misc]
        for row, value, progress in zip(state["rows"], state["values"], state["at"], strict=True):
            self.add(row, value, progress)
