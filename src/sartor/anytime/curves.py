"""Accuracy against cost when a network may be stopped at any time: the curve, the area under it, the expected loss.

A network stopped between two exits answers with the last exit it reached, so the curve is a step function; before the
first exit there is no prediction, and a guess is right with the accuracy of ``chance`` (100 / classes, in percent).
Costs and budgets share one unit (MACs, parameters or milliseconds); accuracies are in percent. Exits need not become
better with depth: nothing here assumes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sartor.errors import RequestError

Float64 = NDArray[np.float64]
Interpolation = Literal["step", "trapezoid"]


def accuracy_at(
    costs: Sequence[float], accuracies: Sequence[float], budgets: ArrayLike, *, chance: float = 0.0
) -> Float64:
    """The accuracy of the last exit that each budget reaches, in the shape of ``budgets``.

    Raises:
        RequestError: costs and accuracies do not belong together, or the costs do not ascend.
    """
    cost, accuracy = _points(costs, accuracies)
    reached = np.searchsorted(cost, np.asarray(budgets, dtype=np.float64), side="right")  # exits within the budget
    values: Float64 = np.concatenate([[chance], accuracy])[reached]
    return values


def area_under_curve(
    costs: Sequence[float],
    accuracies: Sequence[float],
    low: float,
    high: float,
    *,
    chance: float = 0.0,
    interpolation: Interpolation = "step",
    best_so_far: bool = False,
) -> float:
    """The mean accuracy over budgets from ``low`` to ``high``, all equally likely; in percent.

    The selection metric that MS-RANAS leaves for future work (GHN uses one of this kind). Fix ``low`` and ``high``
    per study: over its own range a larger network wins by its size alone.

    Args:
        interpolation: ``"step"`` is what an interrupted network delivers. ``"trapezoid"`` joins the exits by straight
            lines, which is 0.2 to 0.7 points more for MSDNet: state which one.
        best_so_far: answer with the best exit reached in place of the last (its accuracy known from elsewhere).

    Raises:
        RequestError: the range is empty, or costs and accuracies do not belong together.
    """
    cost, accuracy = _points(costs, accuracies)
    if not low < high:
        raise RequestError(f"the area under a curve needs a range of budgets, low below high; got {low} to {high}")
    if interpolation not in ("step", "trapezoid"):
        raise RequestError(f"interpolation: {interpolation!r} is not known, allowed are 'step' and 'trapezoid'")
    if best_so_far:
        accuracy = np.maximum.accumulate(accuracy)
    edges = np.unique(np.clip([low, *cost, high], low, high))
    begin, end = edges[:-1], edges[1:]
    at_begin = accuracy_at(cost.tolist(), accuracy.tolist(), begin, chance=chance)
    if interpolation == "step":
        return float((at_begin * (end - begin)).sum() / (high - low))
    started = begin >= cost[0]  # between exits a line; before the first one chance, after the last one its accuracy
    left = np.where(started, np.interp(begin, cost, accuracy), chance)
    right = np.where(started, np.interp(end, cost, accuracy), chance)
    return float(((left + right) / 2 * (end - begin)).sum() / (high - low))


def expected_loss(
    costs: Sequence[float],
    losses: ArrayLike,
    budgets: Sequence[float],
    *,
    probabilities: Sequence[float] | None = None,
    no_prediction: float,
) -> float:
    """The loss that a random budget leads to, L = E[L(f(x), B)] (MS-RANAS, Eq. 4).

    Args:
        losses: of every exit, ``[exits]``, or of every exit on every picture, ``[exits, n]``; with pictures, budgets
            and pictures are independent (P(x, B) = P(x) P(B)), and each picture has the same weight.
        budgets: the possible budgets, with their ``probabilities`` (default: all equally likely; they are normalised).
        no_prediction: the loss where no exit is reached, such as log(classes) for a cross-entropy.

    Raises:
        RequestError: the arguments do not belong together, or the probabilities are no distribution.
    """
    per_exit = np.asarray(losses, dtype=np.float64)
    means = per_exit.mean(axis=1) if per_exit.ndim == 2 else per_exit
    weights = np.ones(len(budgets)) if probabilities is None else np.asarray(probabilities, dtype=np.float64)
    if len(weights) != len(budgets) or not len(weights) or (weights < 0).any() or not weights.sum() > 0:
        raise RequestError(
            f"an expected loss needs one probability of 0 or more per budget; got {weights.tolist()} for "
            f"{len(budgets)} budgets"
        )
    at_budgets = accuracy_at(costs, means.tolist(), budgets, chance=no_prediction)
    return float((weights * at_budgets).sum() / weights.sum())


def expected_over(
    density: Callable[[Float64], Float64], low: float, high: float, *, points: int = 1001
) -> tuple[Float64, Float64]:
    """Budgets and probabilities that stand for a continuous law over ``[low, high]``, for :func:`expected_loss`.

    ``density`` need not be normalised; each of ``points`` budgets is the middle of an equal share of the range.
    """
    edges = np.linspace(low, high, points + 1)
    budgets: Float64 = (edges[:-1] + edges[1:]) / 2
    weights = np.asarray(density(budgets), dtype=np.float64)
    return budgets, weights / weights.sum()


def _points(costs: Sequence[float], values: Sequence[float]) -> tuple[Float64, Float64]:
    """Costs and values as arrays, checked."""
    cost, value = np.asarray(costs, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != value.shape or not len(cost):
        raise RequestError(
            f"a curve needs one value per exit and at least one exit; got {cost.size} costs and {value.size} values"
        )
    if (np.diff(cost) <= 0).any():
        raise RequestError(f"the costs of exits must ascend from each exit to the next; got {cost.tolist()}")
    return cost, value
