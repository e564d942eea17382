"""Budgeted batches: a mean cost for many pictures, spent on those that need it (MSDNet; facts and law in its paper).

Each picture leaves at the first exit that is confident enough. The thresholds are solved on validation pictures so
that the mean cost is the budget: a share q_k of the pictures is to leave at exit k (0-based),

    q_k = r^k / (1 + r + ... + r^(K-1)),

one law with one unknown r > 0, which the paper writes as z (1 - q)^(k-1) q with r = 1 - q. Small r sends all pictures
to the first exit, r = 1 spreads them evenly, large r sends all to the last.

Shape legend: K exits, n pictures. Confidences are the largest softmax of each exit ``[K, n]``, in float64: in float32
many of them are exactly 1, and ties cannot be split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sartor.anytime.curves import Float64
from sartor.errors import RequestError

Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]

# Where log r is sought; e^50 is beyond any mean that float64 can tell from the first or the last cost.
_LOG_RATIO = 50.0
_BISECTIONS = 200


@dataclass(frozen=True)
class BudgetedBatch:
    """What a set of thresholds does to a batch of pictures.

    Args:
        planned: the mean cost that was asked for, or None for thresholds from elsewhere.
        mean_cost: the realised mean cost per picture.
        accuracy: in percent.
        shares: of the pictures that left at each exit.
        thresholds: smallest confidence with which a picture leaves at each exit; the last is minus infinity.
    """

    planned: float | None
    mean_cost: float
    accuracy: float
    shares: tuple[float, ...]
    thresholds: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; thresholds without the last one, null where no picture leaves."""
        return {
            "planned": self.planned,
            "mean_cost": self.mean_cost,
            "accuracy": self.accuracy,
            "shares": list(self.shares),
            "thresholds": [t if math.isfinite(t) else None for t in self.thresholds[:-1]],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BudgetedBatch:
        """The inverse of :meth:`to_dict`."""
        thresholds = [math.inf if t is None else float(t) for t in data["thresholds"]]
        return cls(
            data["planned"],
            float(data["mean_cost"]),
            float(data["accuracy"]),
            tuple(map(float, data["shares"])),
            (*thresholds, -math.inf),
        )


def exit_law(ratio: float, exits: int) -> Float64:
    """The shares q ``[exits]`` for one ratio r, from 0 (all at the first exit) to infinity (all at the last).

    MSDNet's PyTorch port sweeps r over p / 20, p = 1 ... 39, in place of solving for it.
    """
    return _law(math.log(ratio) if ratio > 0 else -math.inf, exits)


def exit_shares(costs: Sequence[float], budget: float) -> Float64:
    """The shares q ``[K]`` of the law whose mean cost is ``budget``, by bisection on log r.

    A budget beyond the first or the last cost is clamped: all pictures leave there.

    Raises:
        RequestError: the costs do not ascend.
    """
    cost = np.asarray(costs, dtype=np.float64)
    if cost.ndim != 1 or not len(cost) or (np.diff(cost) <= 0).any():
        raise RequestError(f"the costs of exits must ascend from each exit to the next; got {cost.tolist()}")
    if budget <= cost[0] or len(cost) == 1:
        return _law(-math.inf, len(cost))
    if budget >= cost[-1]:
        return _law(math.inf, len(cost))
    low, high = -_LOG_RATIO, _LOG_RATIO
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _law(middle, len(cost)) @ cost < budget:  # the mean cost grows with r
            low = middle
        else:
            high = middle
    return _law((low + high) / 2, len(cost))


def solve_thresholds(confidences: ArrayLike, shares: ArrayLike) -> Float64:
    """Thresholds ``[K]`` under which a share q_k of the validation pictures leaves at exit k.

    At every exit but the last, among the pictures still there, the threshold is the floor(n q_k)-th highest
    confidence; where that is no picture, it is plus infinity. Pictures with the same confidence leave together, so with
    ties more leave than planned, and the exits after it get what is left.

    Args:
        confidences: of validation pictures that were not used for training, without augmentation, ``[K, n]``.
        shares: q ``[K]``, see :func:`exit_shares`.

    Raises:
        RequestError: shapes disagree, there is no picture, or a confidence is not a number.
    """
    confidence, share = np.asarray(confidences, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if confidence.ndim != 2 or len(confidence) != len(share) or not confidence.shape[1]:
        raise RequestError(
            f"thresholds need confidences [exits, pictures] and one share per exit; got shapes "
            f"{list(confidence.shape)} and {list(share.shape)}"
        )
    if np.isnan(confidence).any():
        raise RequestError("thresholds cannot be solved: some confidences are not numbers (NaN)")
    thresholds = np.full(len(share), math.inf)
    thresholds[-1] = -math.inf
    waiting = np.ones(confidence.shape[1], dtype=np.bool_)
    for k in range(len(share) - 1):
        here = np.sort(confidence[k, waiting])[::-1]
        # The law's shares are sums of rounded numbers: 0.3 * 10 must count as 3.
        leaving = min(math.floor(confidence.shape[1] * share[k] + 1e-9), len(here))
        if leaving:
            thresholds[k] = here[leaving - 1]
            waiting &= confidence[k] < thresholds[k]
    return thresholds


def leave_at(confidences: ArrayLike, thresholds: ArrayLike) -> Int64:
    """The exit ``[n]`` at which each picture leaves: the first one with enough confidence, or else the last."""
    confidence, threshold = np.asarray(confidences, dtype=np.float64), np.asarray(thresholds, dtype=np.float64)
    confident: Bool = confidence >= threshold[:, None]
    confident[-1] = True
    first: Int64 = confident.argmax(axis=0)
    return first


def run_batch(
    confidences: ArrayLike,
    correct: ArrayLike,
    costs: Sequence[float],
    thresholds: Sequence[float] | Float64,
    planned: float | None = None,
) -> BudgetedBatch:
    """What thresholds do to pictures (of the test set): accuracy, the realised mean cost and the exits' shares.

    Args:
        confidences, correct: of every exit on every picture, ``[K, n]``.
        costs: of every exit; what a run computes that is stopped there (``ExitCost.anytime_macs``), or what a paper
            counts.
    """
    right = np.asarray(correct, dtype=np.bool_)
    exits = leave_at(confidences, thresholds)
    shares = np.bincount(exits, minlength=len(costs)) / len(exits)
    return BudgetedBatch(
        planned=planned,
        mean_cost=float(shares @ np.asarray(costs, dtype=np.float64)),
        accuracy=100.0 * float(right[exits, np.arange(len(exits))].mean()),
        shares=tuple(shares.tolist()),
        thresholds=tuple(float(t) for t in thresholds),
    )


def budgeted_curve(
    costs: Sequence[float],
    budgets: Sequence[float],
    *,
    validation_confidences: ArrayLike,
    confidences: ArrayLike,
    correct: ArrayLike,
) -> list[BudgetedBatch]:
    """For every mean cost in ``budgets``: thresholds from validation pictures, judged on other ones.

    Raises:
        RequestError: shapes disagree, or the costs do not ascend.
    """
    found = []
    for budget in budgets:
        thresholds = solve_thresholds(validation_confidences, exit_shares(costs, budget))
        found.append(run_batch(confidences, correct, costs, thresholds, float(budget)))
    return found


def _law(log_ratio: float, exits: int) -> Float64:
    """q_k for k = 0 ... exits - 1, computed so that nothing overflows."""
    if math.isinf(log_ratio):
        one_hot: Float64 = np.eye(exits)[0 if log_ratio < 0 else -1]
        return one_hot
    powers = log_ratio * np.arange(exits)
    terms = np.exp(powers - powers.max())
    shares: Float64 = terms / terms.sum()
    return shares
