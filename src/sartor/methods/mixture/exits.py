"""One architecture for all platforms: what it must meet, and which of its exits serves whom."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from sartor import mrf
from sartor.errors import InfeasibleBudgetError
from sartor.methods.budgets import budgets_of, dearest
from sartor.platforms import Platform
from sartor.space import SearchSpace


class Service:
    """How the exits of one architecture serve several platforms.

    The largest platform, whose tightest budget leaves the most room, decides: it gets the last exit, or the latest one
    that some architecture brings within its budgets. The first exit must fit every other platform, so that nobody is
    left without one; each then gets the latest exit that fits.

    Args:
        space: with one exit or more.
        platforms: at least one.
        lazy: whether an exit costs what it reads, and not all cells up to it.
        more: budgets on the architecture itself.
    """

    def __init__(
        self, space: SearchSpace, platforms: Sequence[Platform], lazy: bool = False, more: Sequence[mrf.Budget] = ()
    ) -> None:
        self.space, self.platforms, self.lazy, self.more = space, tuple(platforms), lazy, tuple(more)

    @cached_property
    def largest(self) -> Platform:
        """The platform with the most room; the first one in ties."""
        return max(self.platforms, key=self._room)

    def _room(self, platform: Platform) -> float:
        """The smallest of a platform's budgets, each as a share of the dearest architecture's cost."""
        budgets = budgets_of(self.space, platform)
        return min(b.limit / max(dearest(self.space, b.cost), 1) for b in budgets)

    @cached_property
    def last(self) -> int:
        """The exit that serves the largest platform.

        Raises:
            InfeasibleBudgetError: no exit of any architecture does, with the others served by the first one.
        """
        for exit in reversed(range(1, self.space.exits)):
            if self._reachable(exit):
                return exit
        mrf.minimise(self.space.problem(), [*self._costs(0), *self.more])
        return 0

    @property
    def budgets(self) -> list[mrf.Budget]:
        """What one architecture must meet so that everybody is served."""
        return [*self.costs, *self.more]

    @cached_property
    def costs(self) -> list[mrf.Budget]:
        """The same without those on the architecture itself; the largest platform's come first."""
        return self._costs(self.last)

    def own_budgets(self, platform: Platform, exit: int) -> list[mrf.Budget]:
        """A platform's budgets on the costs up to an exit."""
        return budgets_of(self.space, platform, exit, self.lazy)

    def exit_for(self, row: NDArray[Any], platform: Platform) -> int:
        """The latest exit of a row that meets every budget of a platform.

        Raises:
            InfeasibleBudgetError: none does.
        """
        for exit in reversed(range(self.space.exits)):
            if all(b.cost(row[None])[0] <= b.limit for b in self.own_budgets(platform, exit)):
                return exit
        asked = " and ".join(str(b) for b in self.own_budgets(platform, 0))
        raise InfeasibleBudgetError(f"platform {platform.name!r}: no exit of this architecture meets {asked}")

    def check(self) -> None:
        """Refuses platforms that cannot be served.

        Raises:
            InfeasibleBudgetError: naming the platform, or the platforms that no one architecture serves together.
        """
        for platform in self.platforms:
            try:
                _ = Service(self.space, [platform], self.lazy, self.more).last
            except InfeasibleBudgetError as error:
                where = " even at the first exit" if self.space.exits > 1 else ""
                raise InfeasibleBudgetError(f"platform {platform.name!r}{where}: {error}") from None
        try:
            _ = self.last
        except InfeasibleBudgetError as error:
            names = ", ".join(p.name for p in self.platforms)
            raise InfeasibleBudgetError(
                f"one architecture serves all platforms ({names}) by its exits, and none can: {error}; or give them "
                "jobs of their own"
            ) from None

    def _reachable(self, exit: int) -> bool:
        try:
            mrf.minimise(self.space.problem(), [*self._costs(exit), *self.more])
        except InfeasibleBudgetError:
            return False
        return True

    def _costs(self, exit: int) -> list[mrf.Budget]:
        """Of the largest platform at an exit, of all others at the first; of equal costs only the tightest."""
        asked = {(b.name, exit): b for b in self.own_budgets(self.largest, exit)}
        for platform in self.platforms:
            if platform != self.largest:
                for budget in self.own_budgets(platform, 0):
                    key = (budget.name, 0)
                    if key not in asked or budget.limit < asked[key].limit:
                        asked[key] = budget
        return [b if e == exit else _at_first_exit(b) for (_, e), b in asked.items()]


def _at_first_exit(budget: mrf.Budget) -> mrf.Budget:
    return mrf.Budget(budget.cost, budget.limit, f"{budget.name} at the first exit", budget.unit)
