"""What platforms ask for, as budgets on the costs of a space."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sartor import mrf
from sartor.costs.devices import LATENCY, MS_PER_NS, device_cost
from sartor.costs.factors import Factor
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
    except RequestError as error:
        raise RequestError(f"platform {platform.name!r}: {error}") from None
    # In decimals, as the limit was written: in binary 57.3 ms are 57,299,999.99... ns.
    return mrf.Budget(cost, int(Decimal(repr(limit)) / Decimal(repr(MS_PER_NS))), kind, unit=MS_PER_NS)


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


def forbid_above(budgets: Sequence[mrf.Budget]) -> list[Factor]:
    """Maximum budgets as rules: a cell above the limit is forbidden."""
    return [Factor(f.scope, f.table <= b.limit) for b in budgets if not b.summed for f in b.cost.factors]
