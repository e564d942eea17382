"""Least squares with coefficients that are not below zero, small and dense or large and sparse, and with orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TOLERANCE = 1e-10
_NEWTON_STEPS = 100
_CONJUGATE_STEPS = 300
_DENSE = 3000  # so many parameters are solved for directly


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
        """The minimum, by projected Newton steps; those of large problems are solved by conjugate gradients.

        Source: Bertsekas, Projected Newton Methods (SIAM J. Control 20, 1982). The hinges are piecewise quadratic, so
        that the steps end after finitely many changes of sign.
        """
        x = np.zeros(self.count) if start is None else np.maximum(start, 0.0)
        value = self.value(x)
        for _ in range(_NEWTON_STEPS):
            gradient = self._gradient(x)
            fixed = (x <= 0) & (gradient > 0)
            if np.abs(np.where(fixed, 0.0, gradient)).max(initial=0.0) <= 1e-9 * (1.0 + abs(value)):
                break
            step = self._newton_step(x, gradient, ~fixed)
            length, slope = 1.0, float(gradient @ step)
            while length > 1e-12:
                moved = np.maximum(x + length * step, 0.0)
                lower = self.value(moved)
                if lower <= value + 1e-4 * length * slope:
                    break
                length /= 2
            else:
                break
            if value - lower <= 1e-6 * abs(value):
                return moved
            x, value = moved, lower
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

    def _newton_step(self, x: Array, gradient: Array, free: NDArray[np.bool_]) -> Array:
        violated = (self._violations(x) > 0).astype(np.float64)
        if self.count <= _DENSE:
            return self._dense_step(gradient, free, violated)

        def curvature(v: Array) -> Array:
            v = np.where(free, v, 0.0)
            difference = violated * (v[self.orders[:, 0]] - v[self.orders[:, 1]])
            seen = self._spread(self.weights**2 * self._sums(v))
            return np.where(free, 2 * (seen + self.strength * self._paired(difference) + self.ridge * v), 0.0)

        touched = np.bincount(self.orders.reshape(-1), np.repeat(violated, 2), self.count)
        diagonal = 2 * (self._spread(self.weights**2) + self.strength * touched + self.ridge)
        return _conjugate_gradients(curvature, np.where(free, -gradient, 0.0), diagonal)

    def _dense_step(self, gradient: Array, free: NDArray[np.bool_], violated: Array) -> Array:
        curved = self._gram.copy()
        smaller, larger = self.orders[violated > 0].T
        for first, second, sign in (
            (smaller, smaller, 1),
            (larger, larger, 1),
            (smaller, larger, -1),
            (larger, smaller, -1),
        ):
            np.add.at(curved, (first, second), 2 * sign * self.strength)
        step = np.zeros(self.count)
        step[free] = np.linalg.solve(curved[np.ix_(free, free)], -gradient[free])
        return step

    @cached_property
    def _gram(self) -> Array:
        """The curvature of the sums and the ridge."""
        shown = np.zeros((len(self.target), self.count + 1))
        np.add.at(shown, (np.arange(len(shown))[:, None], self.members), self.weights[:, None])
        shown = shown[:, :-1]  # the last column stands for members that there are not
        return np.asarray(2 * (shown.T @ shown + self.ridge * np.eye(self.count)))


def _conjugate_gradients(curvature: Callable[[Array], Array], target: Array, diagonal: Array) -> Array:
    """Solves ``curvature(x) = target``, preconditioned by the diagonal."""
    x = np.zeros_like(target)
    residual = target.copy()
    direction = residual / diagonal
    rate = float(residual @ direction)
    stop = 1e-12 * max(rate, 1e-300)
    for _ in range(_CONJUGATE_STEPS):
        if rate <= stop:
            break
        curved = curvature(direction)
        length = rate / float(direction @ curved)
        x += length * direction
        residual -= length * curved
        scaled = residual / diagonal
        before, rate = rate, float(residual @ scaled)
        direction = scaled + rate / before * direction
    return x
