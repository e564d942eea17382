"""Scored networks: which is the best so far, and which are worth a look next.

A look is uncertain (another run, another batch), so the lowest loss of many looks is mostly luck. A network's loss is
therefore taken as what an additive model predicts, plus a deviation of its own, plus the noise of each look:

    loss_ij = model(row_i) + deviation_i + noise_ij,     deviation ~ N(0, own), noise ~ N(0, look)

Both variances come from the looks themselves: the noise from networks that were looked at more than once, the
deviations from what else the model leaves over. The estimate of a network is then its prediction, moved towards the
mean of its looks by own / (own + look / times) (the best linear unbiased prediction of random effects).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor import mrf

Row = tuple[int, ...]
Model = Callable[[NDArray[np.int64]], NDArray[np.float64]]
Values = NDArray[np.float64]

# As long as fewer repeated looks tell the noise, it is taken for half of what the model leaves over.
_REPEATS = 3
# How far below its estimate a network's loss may well be, in standard deviations: what a look could gain.
_HOPE = 1.0
# A network whose estimate is this certain, against one never seen, is not looked at again while others are unseen.
_CERTAIN = 0.1


@dataclass(frozen=True, eq=False)
class Estimates:
    """Rows ``[n, D]`` with estimated losses ``[n]`` and their standard deviations ``[n]``."""

    rows: NDArray[np.int64]
    losses: Values
    deviations: Values
    own_deviation: float
    offset: float


class Looks:
    """Rows with the losses of all looks at them, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._seen: dict[Row, list[float]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def __contains__(self, row: Sequence[int] | NDArray[Any]) -> bool:
        return tuple(int(v) for v in row) in self._seen

    def add(self, row: Sequence[int] | NDArray[Any], loss: float) -> None:
        """Keeps one look; NaN (not answered) is ignored."""
        if not np.isnan(loss):
            self._seen.setdefault(tuple(int(v) for v in row), []).append(float(loss))

    def estimates(self, model: Model) -> Estimates:
        """Every row's loss given its looks and what an additive ``model`` predicts for rows ``[n, D]``."""
        rows = np.array(list(self._seen), dtype=np.int64)
        times = np.array([len(looks) for looks in self._seen.values()], dtype=np.float64)
        means = np.array([sum(looks) / len(looks) for looks in self._seen.values()])
        predicted = np.asarray(model(rows), dtype=np.float64)
        # Where the model learnt from other losses (differences, other pictures) its level means nothing.
        offset = float(np.average(means - predicted, weights=times))
        left = means - predicted - offset
        look, own = self._variances(left, times)
        share = own / (own + look / times) if own > 0 else np.zeros(len(rows))
        return Estimates(
            rows, predicted + offset + share * left, np.sqrt(share * look / times), float(np.sqrt(own)), offset
        )

    def best(self, model: Model, budgets: Sequence[mrf.Budget]) -> tuple[Row, float] | None:
        """The row within the budgets with the lowest estimate, and that; the first in ties, None without any."""
        if not self._seen:
            return None
        found = self.estimates(model)
        losses = np.where(_fits(found.rows, budgets), found.losses, np.inf)
        place = int(losses.argmin())
        return (tuple(int(v) for v in found.rows[place]), float(losses[place])) if losses[place] < np.inf else None

    def candidates(
        self, model: Model, problem: mrf.Problem, budgets: Sequence[mrf.Budget], n: int
    ) -> NDArray[np.int64]:
        """``n`` rows within the budgets that are worth a look: those whose loss may well be the lowest.

        They are rows that the model (the scores of ``problem``) holds to be best and that were not seen, and rows that
        were seen and may be better than their estimate. Where looks at one network agree, none is looked at twice.
        """
        best = _k_best(problem, budgets, n + len(self))
        fresh = best[[i for i, row in enumerate(best) if row not in self][:n]]
        if not self._seen:
            return fresh
        seen = self.estimates(model)
        hoped = np.where(_fits(seen.rows, budgets), seen.losses - _HOPE * seen.deviations, np.inf)
        if len(fresh):
            hoped[seen.deviations <= _CERTAIN * seen.own_deviation] = np.inf
            rows = np.concatenate([fresh, seen.rows])
            hoped = np.concatenate([model(fresh) + seen.offset - _HOPE * seen.own_deviation, hoped])
        else:
            rows = seen.rows
        order = np.argsort(hoped, kind="stable")[:n]
        return np.asarray(rows[order[np.isfinite(hoped[order])]])

    def _variances(self, left: Values, times: Values) -> tuple[float, float]:
        """Of single looks and of the rows' own deviations, from what the model leaves over ``[n]``."""
        whole = float(np.average(left**2, weights=times))
        repeats = int((times - 1).sum())
        again = [looks for looks in self._seen.values() if len(looks) > 1]
        within = sum(float(np.var(looks) * len(looks)) for looks in again)
        look = within / repeats if repeats >= _REPEATS else whole / 2
        return look, max(whole - look, 0.0)

    def state_dict(self) -> dict[str, Any]:
        """Plain lists."""
        return {"rows": [list(row) for row in self._seen], "losses": [list(looks) for looks in self._seen.values()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self._seen = {tuple(row): list(looks) for row, looks in zip(state["rows"], state["losses"], strict=True)}


def _k_best(problem: mrf.Problem, budgets: Sequence[mrf.Budget], k: int) -> NDArray[np.int64]:
    """The k best rows ``[k, D]``; a list of rows is sorted, which is faster than searching it."""
    if problem.rows is None:
        return np.array([solution.row for solution in mrf.k_best(problem, budgets, k)], dtype=np.int64)
    rows = problem.rows[_fits(problem.rows, budgets)]
    return np.asarray(rows[np.argsort(problem.scores(rows), kind="stable")[:k]], dtype=np.int64)


def _fits(rows: NDArray[np.int64], budgets: Sequence[mrf.Budget]) -> NDArray[np.bool_]:
    fits = np.ones(len(rows), dtype=bool)
    for budget in budgets:
        fits &= budget.cost(rows) <= budget.limit
    return fits
