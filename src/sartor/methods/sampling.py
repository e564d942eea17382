"""Random rows within budgets, and random rows whose cost lies in a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of, forbid_above
from sartor.mrf.problem import number
from sartor.platforms import Platform
from sartor.space import SearchSpace

Rows = NDArray[np.int64]

_TRIES = 20_000
# Where fewer than one uniform sample in so many is accepted, samples are drawn nearer to the wanted costs.
_RARE = 400
_ROUNDS = 50


def sample_within(space: SearchSpace, budgets: Sequence[mrf.Budget], n: int, rng: np.random.Generator) -> Rows:
    """``n`` random rows within the budgets, by rejection from uniform samples.

    Where fewer than one uniform sample in a few hundred fits (small budgets), samples come from the distribution
    p(c) ~ exp(-multiplier cost(c)) whose mean cost is just below the tightest summed budget: of all distributions with
    that mean it is the closest to uniform.
    """
    rows = _accepted(space.sample(_TRIES, rng), budgets)
    if len(rows) >= min(n, _TRIES // _RARE):
        while len(rows) < n:
            rows = np.concatenate([rows, _accepted(space.sample(_TRIES, rng), budgets)])
        return rows[:n]
    return _tilted_within(space, budgets, n, rng)


def sample_distinct(space: SearchSpace, budgets: Sequence[mrf.Budget], n: int, rng: np.random.Generator) -> Rows:
    """``n`` random rows within the budgets, all different networks; where fewer exist, each once before any again.

    By rejection, so that they are uniform wherever :func:`sample_within` is.
    """
    if space.rows is not None:
        listed = _accepted(space.rows, budgets)
        return np.concatenate([listed[rng.permutation(len(listed))] for _ in range(-(-n // len(listed)))])[:n]
    found = np.empty((0, len(space.sizes)), dtype=np.int64)
    while len(found) < n:
        drawn = space.canonical(sample_within(space, budgets, max(_TRIES // 4, 2 * n), rng))
        together = np.concatenate([found, drawn])
        _, first = np.unique(together, axis=0, return_index=True)
        if len(first) == len(found):  # a whole round without a new one: these are all
            break
        found = together[np.sort(first)]
    orders = [found[rng.permutation(len(found))] for _ in range(max(0, -(-n // len(found)) - 1))]
    return np.concatenate([found, *orders])[:n]


def sample_window(
    space: SearchSpace,
    budget: mrf.Budget,
    low: float,
    high: float,
    n: int,
    rng: np.random.Generator,
    within: Sequence[mrf.Budget] = (),
) -> Rows:
    """``n`` rows ``[n, D]``, uniform over those whose cost lies from ``low`` to ``high``, with replacement.

    By rejection: the random baseline of TuNAS (section 3.2). Where the window is rare, samples are drawn from
    p(c) ~ exp(-multiplier cost(c)) with its mean inside the window and thinned out, which leaves them uniform.

    Args:
        budget: whose cost, a sum; its limit does not matter here.
        low, high: in the unit of the budget's name, such as milliseconds.
        within: further budgets to keep.

    Raises:
        InfeasibleBudgetError: no row was found in the window.
        RequestError: it is no window, or its cost is no sum.
    """
    window = _Window(budget, low, high, within)
    rows = window.accepted(space.sample(_TRIES, rng))
    if len(rows) >= min(n, _TRIES // _RARE):
        while len(rows) < n:
            rows = np.concatenate([rows, window.accepted(space.sample(_TRIES, rng))])
        return rows[:n]
    found = _tilted_window(space, window, n, rng)
    if not len(found):
        raise InfeasibleBudgetError(
            f"no architecture of {space.name} was found with {budget.name} from {number(low)} to {number(high)}"
            f"{''.join(f' and {b}' for b in within)}; widen the window"
        )
    # A window that holds few rows: those found, again and again.
    return found if len(found) == n else found[rng.integers(len(found), size=n)]


def sample_in_window(space: SearchSpace, platform: Platform, window: float, n: int, rng: np.random.Generator) -> Rows:
    """``n`` rows within a platform's budgets that use at least ``1 - window`` of the first summed one.

    Raises:
        RequestError: the platform has no summed budget; InfeasibleBudgetError: no row was found.
    """
    budgets = budgets_of(space, platform)
    summed = next((b for b in budgets if b.summed), None)
    if summed is None:
        raise RequestError(
            f"platform {platform.name!r}: a window needs a budget that is a sum, such as macs or latency_ms; set it to "
            "null"
        )
    high = summed.in_unit(summed.limit)
    others = [b for b in budgets if b is not summed]
    try:
        return sample_window(space, summed, (1 - window) * high, high, n, rng, others)
    except InfeasibleBudgetError as error:
        raise InfeasibleBudgetError(f"platform {platform.name!r}: {error}") from None


class _Window:
    """Costs from ``low`` to ``high`` in the unit of the budget's name, and further budgets."""

    def __init__(self, budget: mrf.Budget, low: float, high: float, within: Sequence[mrf.Budget]) -> None:
        if not (budget.summed and 0 < low <= high < np.inf):
            raise RequestError(
                f"a window of {budget.name} from {number(low)} to {number(high)}: needs a summed cost and two positive "
                "ends in ascending order"
            )
        self.budget, self.low, self.high, self.within = budget, low, high, within

    def accepted(self, rows: NDArray[Any]) -> Rows:
        """The rows inside."""
        costs = self.costs(rows)
        return _accepted(rows[(self.low <= costs) & (costs <= self.high)], self.within)

    def costs(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Costs ``[n]`` in the unit of the budget's name."""
        return np.asarray(self.budget.in_unit(self.budget.cost(rows)), dtype=np.float64)


def _accepted(rows: NDArray[Any], budgets: Sequence[mrf.Budget]) -> Rows:
    keep = np.ones(len(rows), dtype=bool)
    for budget in budgets:
        keep &= budget.cost(rows) <= budget.limit
    return np.asarray(rows[keep], dtype=np.int64)


def _tilted_within(space: SearchSpace, budgets: Sequence[mrf.Budget], n: int, rng: np.random.Generator) -> Rows:
    problem = _allowed(space, budgets)
    summed = [b for b in budgets if b.summed]
    if not summed:
        return np.asarray(mrf.sample(problem, temperature=1.0, n=n, rng=rng), dtype=np.int64)
    mrf.minimise(space.problem(), budgets)  # raises, naming the cheapest cost, where nothing fits
    # The budget that uniform samples miss by most decides the tilt; the others only reject.
    uniform = space.sample(256, rng)
    tight = max(summed, key=lambda b: float(np.mean(b.cost(uniform))) / b.limit)
    tilt = _Tilt(problem, tight, rng)
    multiplier = tilt.multiplier(0.95 * tight.limit)
    found = np.empty((0, len(space.sizes)), dtype=np.int64)
    for _ in range(_ROUNDS):
        found = np.concatenate([found, _accepted(tilt.sample(multiplier, 4 * n), budgets)])
        if len(found) >= n:
            return found[:n]
    # So tight that chance does not find enough: the cheapest network always fits.
    cheapest = mrf.cheapest(space.problem(), tight.cost, budgets).row
    return np.concatenate([found, np.tile(np.asarray(cheapest), (n - len(found), 1))])


def _tilted_window(space: SearchSpace, window: _Window, n: int, rng: np.random.Generator) -> Rows:
    tilt = _Tilt(_allowed(space, window.within), window.budget, rng)
    middle = 0.5 * (window.low + window.high) / window.budget.unit
    multiplier = tilt.multiplier(middle, both_ways=True)
    found = np.empty((0, len(space.sizes)), dtype=np.int64)
    for _ in range(_ROUNDS):
        rows = window.accepted(tilt.sample(multiplier, max(4 * n, 2_000)))
        # Rows of one cost are equally likely; dearer ones are rarer by exp(-multiplier cost), which this undoes.
        end = window.high if multiplier > 0 else window.low
        chance = np.exp(multiplier / window.budget.unit * (window.costs(rows) - end))
        found = np.concatenate([found, rows[rng.random(len(rows)) < chance]])
        if len(found) >= n:
            return found[:n]
    return found


def _allowed(space: SearchSpace, budgets: Sequence[mrf.Budget]) -> mrf.Problem:
    return mrf.Problem(space.sizes, space.problem().scores, (*space.rules, *forbid_above(budgets)))


class _Tilt:
    """Samples from p(c) ~ exp(-multiplier cost(c)) for one summed cost."""

    def __init__(self, problem: mrf.Problem, budget: mrf.Budget, rng: np.random.Generator) -> None:
        self.problem, self.cost, self.rng = problem, budget.cost, rng

    def sample(self, multiplier: float, n: int) -> Rows:
        """``n`` rows; a negative multiplier favours the dear ones."""
        drawn = mrf.sample(self.problem, temperature=1.0, n=n, rng=self.rng, cost=self.cost, multiplier=multiplier)
        return np.asarray(drawn, dtype=np.int64)

    def multiplier(self, target: float, both_ways: bool = False) -> float:
        """The multiplier under which the mean cost is about ``target``, in the unit of the tables.

        Where the uniform mean is below it: 0, or a negative one if it may go ``both_ways``.
        """
        sign = 1.0 if self._mean(0.0) > target else -1.0
        if sign < 0 and not both_ways:
            return 0.0
        low, high = 0.0, 1.0 / target
        while sign * (self._mean(sign * high) - target) > 0 and high < 1e6 / target:
            low, high = high, 2 * high
        for _ in range(12):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if sign * (self._mean(sign * middle) - target) > 0 else (low, middle)
        return sign * high

    def _mean(self, multiplier: float) -> float:
        return float(np.mean(self.cost(self.sample(multiplier, 128))))
