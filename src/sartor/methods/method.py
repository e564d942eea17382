"""What every method is: a step on an evaluator, and an answer by the exact solver over its own scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sartor import mrf
from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.evaluator import Evaluator
from sartor.platforms import Platform, check_platforms
from sartor.space import Architecture, SearchSpace


@dataclass(frozen=True)
class Choice:
    """A method's answer for one platform.

    ``score`` is in the method's own unit, lower is better; ``multiplier`` is the price of a unit of the first summed
    budget at that answer; ``gap`` bounds how far the score may be from the best (0: proven optimal).
    """

    architecture: Architecture
    score: float
    costs: Mapping[str, float]
    multiplier: float | None = None
    gap: float = 0.0
    exit: int | None = None
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with every analytic cost."""
        space, row = self.architecture.space, np.array([self.architecture.row])
        costs = {name: int(space.cost(name, exit=self.exit)(row)[0]) for name in ANALYTIC_COSTS}
        return {
            "architecture": self.architecture.values,
            "costs": {**costs, **{k: v for k, v in self.costs.items() if k not in costs}},
            "predicted_loss": self.score,
            "multiplier": self.multiplier,
            "gap": self.gap,
            "exit": self.exit,
            "notes": list(self.notes),
        }


class Method(ABC):
    """A way to choose. The loop is ``while not evaluator.done: method.step(evaluator)``.

    ``needs`` names what the space or the evaluator must have: ``"widths"`` (a smallest and a largest network).
    Randomness depends on the seed and the number of the step alone, so that a resumed search is the same search.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, space: SearchSpace, platforms: Sequence[Platform], settings: Any, seed: int = 0) -> None:
        self.space = space
        self.platforms = check_platforms(platforms)
        self.settings = settings
        self.seed = seed
        self.steps = 0
        if "widths" in self.needs and (space.smallest is None or space.largest is None):
            raise RequestError(
                f"method {type(self).__name__} needs a smallest and a largest network for its sandwich, and space "
                f"{space.name!r} has none; choose another method"
            )

    @property
    def passes_per_step(self) -> int:
        """Training passes in one step, the unit in which a search's cost is allowed."""
        return 1

    @abstractmethod
    def step(self, evaluator: Evaluator) -> dict[str, float]:
        """One step; returns metrics for the log."""

    @abstractmethod
    def scores(self) -> FactorCost:
        """The method's scores as factors, lower is better, in their true scale."""

    def choose(self, platform: Platform) -> Choice:
        """The best architecture within every budget of a platform, exactly."""
        budgets = budgets_of(self.space, platform)
        return choice_of(self.space, mrf.minimise(self.space.problem(self.scores()), budgets), budgets)

    def state_dict(self) -> dict[str, Any]:
        """Everything that steps have learnt."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.steps = state["steps"]


def choice_of(space: SearchSpace, solution: mrf.Solution, budgets: Sequence[mrf.Budget]) -> Choice:
    """A solver's solution as a choice, with its costs in the budgets' own units."""
    architecture = space.architecture(solution.row)
    row = np.array([architecture.row])
    costs = {b.name: b.cost(row)[0].item() for b in budgets}
    return Choice(architecture, float(solution.score), costs, solution.multiplier, solution.gap)


def budgets_of(space: SearchSpace, platform: Platform) -> list[mrf.Budget]:
    """A platform's budgets on the costs of a space.

    Raises:
        RequestError: a budget needs a latency table, which no device provides here.
    """
    if "latency_ms" in platform.budgets:
        raise RequestError(
            f"platform {platform.name!r}: there is no latency table for device {platform.device!r}; this version "
            "enforces budgets in macs, params and peak_memory_bytes"
        )
    return [mrf.Budget(space.cost(kind), limit, kind) for kind, limit in platform.budgets.items()]


def check_reachable(space: SearchSpace, platforms: Sequence[Platform]) -> None:
    """Refuses platforms that no architecture fits, before anything is trained.

    Raises:
        InfeasibleBudgetError: naming the platform, the budget and the cheapest reachable cost.
    """
    for platform in platforms:
        try:
            mrf.minimise(space.problem(), budgets_of(space, platform))
        except InfeasibleBudgetError as error:
            raise InfeasibleBudgetError(f"platform {platform.name!r}: {error}") from None


def forbid_above(budgets: Sequence[mrf.Budget]) -> list[Factor]:
    """Maximum budgets as rules: a cell above the limit is forbidden."""
    return [Factor(f.scope, f.table <= b.limit) for b in budgets if not b.summed for f in b.cost.factors]


def unary_scores(space: SearchSpace, tables: Sequence[np.ndarray[Any, Any]]) -> FactorCost:
    """One table per decision as a sum of factors."""
    factors = [Factor((i,), np.asarray(t, dtype=np.float64)) for i, t in enumerate(tables)]
    return FactorCost(space.sizes, factors, 0.0, "sum", "loss")
