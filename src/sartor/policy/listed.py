"""A policy over a list of rows: the product of its groups, given that the row exists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.mrf.elimination import logsumexp
from sartor.policy.layout import Layout

Array = NDArray[Any]


class RowList:
    """The rows ``[n, D]`` that exist, as cells of a layout's groups.

    What the solvers of :mod:`sartor.mrf` say of such a list, in the few array operations that a policy needs at every
    step.
    """

    def __init__(self, layout: Layout, rows: Array) -> None:
        self.rows = rows
        self._shape = layout.real.shape
        flat = layout.cells(rows) + np.arange(len(layout.groups)) * self._shape[1]
        self._flat = np.ascontiguousarray(flat.T)  # [G, n]
        self._last: tuple[Array, Array] | None = None  # logs, and the log masses of the rows under them

    def marginals(self, logs: Array) -> tuple[Array, float]:
        """The probability ``[G, O]`` of every cell, and the log of the product's mass on the list."""
        masses = self._masses(logs)
        total = float(logsumexp(masses[None], axis=1)[0])
        share = np.exp(masses - total)
        found = np.zeros(self._shape[0] * self._shape[1])
        for cells in self._flat:
            found += np.bincount(cells, weights=share, minlength=len(found))
        return found.reshape(self._shape), total

    def sample(self, logs: Array, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``n`` rows ``[n, D]``, with replacement."""
        masses = self._masses(logs)
        below = np.cumsum(np.exp(masses - masses.max()))
        # Divided by itself the last sum is exactly 1, so that no uniform number falls behind it.
        places = np.searchsorted(below / below[-1], rng.random(n), side="right")
        return np.asarray(self.rows[places], dtype=np.int64)

    def _masses(self, logs: Array) -> Array:
        """The log ``[n]`` of the product's mass on every row; the last ones are kept."""
        if self._last is None or self._last[0] is not logs:
            flat = logs.reshape(-1)
            masses = flat.take(self._flat[0])
            for cells in self._flat[1:]:
                masses += flat.take(cells)
            self._last = logs, masses
        return self._last[1]
