"""What platforms ask for, as budgets on the costs of a space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from sartor import mrf
from sartor.costs.devices import LATENCY, MS_PER_NS, device_cost, device_margin
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.platforms import Platform
from sartor.space import SearchSpace


def budgets_of(space: SearchSpace, platform: Platform, exit: int | None = None, lazy: bool = False) -> list[mrf.Budget]:
    """A platform's budgets on the costs of a space, in the platform's order.

    Up to an ``exit``, 0-based (default: the last); with ``lazy`` only what it reads.

    Raises:
        RequestError: the platform's device has no latencies for this space, or none of an exit before the last.
    """
    of_table = getattr(space, "table_budgets", None)
    if of_table is not None:  # a table's columns are its costs, whatever their names
        found: list[mrf.Budget] = of_table(platform)
        return found
    return [_budget(space, platform, kind, limit, exit, lazy) for kind, limit in platform.budgets.items()]


def _budget(
    space: SearchSpace, platform: Platform, kind: str, limit: float, exit: int | None, lazy: bool
) -> mrf.Budget:
    if kind != LATENCY:
        return mrf.Budget(space.cost(kind, exit=exit, lazy=lazy), limit, kind)
    if exit not in (None, space.exits - 1):
        raise RequestError(
            f"platform {platform.name!r}: the latency of a device is that of whole networks, and {space.name} has "
            f"{space.exits} exits; give it a budget in macs or params"
        )
    assert platform.device is not None  # a platform without one is refused
    try:
        cost = device_cost(space, platform.device)
        margin = margin_of(platform)
    except RequestError as error:
        raise RequestError(f"platform {platform.name!r}: {error}") from None
    note = f"the budget of {limit:g} less a margin of {margin:.3g} for the predictor's errors" if margin else ""
    return mrf.Budget(cost, predictable_ns(limit, margin), kind, MS_PER_NS, note)


def margin_of(platform: Platform) -> float:
    """The share by which the latency of a platform may turn out above its prediction, which the budget must allow for.

    The platform's own, else the 90 % quantile of the errors of its device; 0 where that was not measured.

    Raises:
        RequestError: the device is a file that cannot be read.
    """
    if platform.latency_margin is not None:
        return platform.latency_margin
    return 0.0 if platform.device is None else device_margin(platform.device) or 0.0


def predictable_ns(budget_ms: float, margin: float) -> int:
    """The most whole nanoseconds that may be predicted: times 1 + ``margin`` they keep the budget, exactly."""
    # In fractions of what was written: in binary 57.3 ms are 57,299,999.99... ns.
    budget_ns = Fraction(repr(float(budget_ms))) / Fraction(repr(MS_PER_NS))
    return math.floor(budget_ns / (1 + Fraction(repr(float(margin)))))


def limits_of(platform: Platform) -> dict[str, float]:
    """The most that each cost of a platform may be, by kind; of a latency, that may be predicted."""
    limits = dict(platform.budgets)
    if LATENCY in limits:
        limits[LATENCY] = predictable_ns(limits[LATENCY], margin_of(platform)) / (1 / MS_PER_NS)
    return limits


def check_reachable(space: SearchSpace, platforms: Sequence[Platform]) -> None:
    """Refuses platforms that no architecture fits, before anything is trained.

    Raises:
        InfeasibleBudgetError: naming the platform, the budget and the cheapest reachable cost.
        RequestError: the platform's device has no latencies for this space.
    """
    for platform in platforms:
        budgets = budgets_of(space, platform)
        try:
            mrf.minimise(space.problem(), budgets)
        except InfeasibleBudgetError as error:
            raise InfeasibleBudgetError(f"platform {platform.name!r}: {error}") from None


def dearest(space: SearchSpace, cost: FactorCost) -> float:
    """The most that an architecture can cost; of a maximum, the largest cell that some choice reads."""
    if cost.reduction == "max":
        return float(max([cost.constant, *(f.table.max() for f in cost.factors)]))
    return float(cost(mrf.minimise(space.problem(cost.scaled(-1.0))).row[None])[0])


def forbid_above(budgets: Sequence[mrf.Budget]) -> list[Factor]:
    """Maximum budgets as rules: a cell above the limit is forbidden."""
    return [Factor(f.scope, f.table <= b.limit) for b in budgets if not b.summed for f in b.cost.factors]
