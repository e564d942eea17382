"""Least squares with coefficients that are not below zero, small and dense or large and sparse, and with orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TOLERANCE = 1e-10
_MOST_STEPS = 20_000
_CHECK_EVERY = 100
_SETTLED = 1e-7  # an improvement in so many steps that is smaller, relatively, ends them


def solve_nonnegative(gram: Array, target: Array) -> Array:
    """The x >= 0 with the least ``x' gram x / 2 - target' x``, ``gram`` positive definite.

    Source: Lawson and Hanson, Solving Least Squares Problems, chapter 23, on the normal equations.
    """
    count = len(target)
    x = np.zeros(count)
    free = np.zeros(count, dtype=bool)
    tolerance = _TOLERANCE * max(float(np.abs(target).max(initial=0.0)), 1e-300)
    for _ in range(10 * count + 10):
        slope = np.where(free, -np.inf, target - gram @ x)
        if free.all() or slope.max() <= tolerance:
            break
        free[int(slope.argmax())] = True
        while True:
            found = np.zeros(count)
            found[free] = np.linalg.solve(gram[np.ix_(free, free)], target[free])
            if (found[free] > 0).all():
                x = found
                break
            low = free & (found <= 0)
            step = float((x[low] / (x[low] - found[low])).min())
            x = x + step * (found - x)
            free &= x > tolerance
            x[~free] = 0.0
    return x


@dataclass(frozen=True)
class OrderedFit:
    """Least squares of sums of parameters, with orders between them.

    minimise   sum_i (weights_i (sum_k x[members[i, k]] - target_i))^2
               + strength * sum over orders (max(0, x[smaller] - x[larger]))^2 + ridge * |x|^2   with x >= 0

    Args:
        members: ``[n, k]``, the parameters of every sum; -1 for none.
        target: ``[n]``.
        weights: ``[n]``.
        orders: ``[m, 2]``, pairs (smaller, larger).
        strength, ridge: as above; ``ridge`` makes the minimum unique, and must be positive.
        count: how many parameters there are.
    """

    members: NDArray[np.int64]
    target: Array
    weights: Array
    orders: NDArray[np.int64]
    strength: float
    ridge: float
    count: int

    def solve(self, start: Array | None = None) -> Array:
        """The minimum, by accelerated projected gradients, each parameter with a step of its own.

        The curvature is at most the diagonal matrix of its row sums, because all its signs can be made positive; that
        gives the steps. Speeding up starts afresh whenever it would lead uphill. Sources: Beck and Teboulle, FISTA
        (2009); O'Donoghue and Candes, adaptive restart (2015).
        """
        x = np.zeros(self.count) if start is None else np.maximum(start, 0.0)
        steps = 1.0 / self._row_sums()
        ahead, speed, checked = x, 1.0, self.value(x)
        for count in range(_MOST_STEPS):
            gradient = self._gradient(ahead)
            moved = np.maximum(ahead - steps * gradient, 0.0)
            if gradient @ (moved - x) > 0:
                speed, ahead = 1.0, x
                continue
            faster = (1 + np.sqrt(1 + 4 * speed**2)) / 2
            ahead = moved + (speed - 1) / faster * (moved - x)
            x, speed = moved, faster
            if count % _CHECK_EVERY == _CHECK_EVERY - 1:
                value = self.value(x)
                if checked - value <= _SETTLED * checked:
                    break
                checked = value
        return x

    def value(self, x: Array) -> float:
        """What is minimised."""
        errors = self.weights * (self._sums(x) - self.target)
        return float(errors @ errors + self.strength * (self._violations(x) ** 2).sum() + self.ridge * (x @ x))

    def _sums(self, x: Array) -> Array:
        sums: Array = np.append(x, 0.0)[self.members].sum(axis=1)
        return sums

    def _violations(self, x: Array) -> Array:
        violations: Array = np.maximum(0.0, x[self.orders[:, 0]] - x[self.orders[:, 1]])
        return violations

    def _spread(self, values: Array) -> Array:
        """Adds a value per sum to all of its members."""
        repeated = np.repeat(values, self.members.shape[1])
        return np.bincount(self.members.reshape(-1) + 1, repeated, self.count + 1)[1:].astype(np.float64)

    def _paired(self, values: Array) -> Array:
        """Adds a value per order to its smaller one, and takes it from the larger."""
        smaller, larger = self.orders[:, 0], self.orders[:, 1]
        return np.bincount(smaller, values, self.count).astype(np.float64) - np.bincount(larger, values, self.count)

    def _gradient(self, x: Array) -> Array:
        errors = self.weights**2 * (self._sums(x) - self.target)
        return 2 * (self._spread(errors) + self.strength * self._paired(self._violations(x)) + self.ridge * x)

    def _row_sums(self) -> Array:
        """The sums of the absolute values in each row of the curvature."""
        held = (self.members >= 0).sum(axis=1)
        degree = np.bincount(self.orders.reshape(-1), minlength=self.count)
        return 2 * (self._spread(self.weights**2 * held) + self.strength * 2 * degree + self.ridge)
