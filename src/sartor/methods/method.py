"""What every method is: a step on an evaluator, and an answer by the exact solver over its own scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of, check_reachable
from sartor.methods.evaluator import Evaluator
from sartor.platforms import Platform, check_platforms
from sartor.space import Architecture, SearchSpace


@dataclass(frozen=True)
class Choice:
    """A method's answer for one platform.

    ``score`` is in the method's own unit, lower is better; ``multiplier`` is the price of a unit of the first summed
    budget at that answer; ``gap`` bounds how far the score may be from the best (0: proven optimal). ``own`` is what
    the method would have answered without budgets, where a budget forbids it, and ``own_costs`` what that costs.
    """

    architecture: Architecture
    score: float
    costs: Mapping[str, float]
    multiplier: float | None = None
    gap: float = 0.0
    exit: int | None = None
    own: Architecture | None = None
    own_costs: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with every analytic cost."""
        own = self.own
        return {
            "architecture": self.architecture.values,
            "costs": self._costs(self.architecture, self.costs),
            "predicted_loss": self.score,
            "multiplier": self.multiplier,
            "gap": self.gap,
            "exit": self.exit,
            "own": None if own is None else {"architecture": own.values, "costs": self._costs(own, self.own_costs)},
            "notes": list(self.notes),
        }

    def _costs(self, architecture: Architecture, budgeted: Mapping[str, float]) -> dict[str, float]:
        network = architecture.blueprint if self.exit is None else architecture.blueprint.cut(self.exit)
        analytic = {name: int(getattr(network, name)) for name in ANALYTIC_COSTS}
        return {**analytic, **{name: value for name, value in budgeted.items() if name not in analytic}}


class Method(ABC):
    """A way to choose. The loop is ``while not evaluator.done: method.step(evaluator)``.

    ``needs`` names what the space or the evaluator must have: ``"widths"`` (a smallest and a largest network),
    ``"mixtures"`` (decisions between operations alone) or ``"gradient"`` (an evaluator that differentiates).
    Randomness depends on the seed and the number of the step alone, so that a resumed search is the same search.
    ``search_defaults`` and ``train_defaults`` are the training recipe of the method's paper: values of
    :class:`~sartor.train.settings.SearchTraining` and :class:`~sartor.train.settings.FinalTraining` that hold where a
    job leaves them open.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    search_defaults: ClassVar[Mapping[str, Any]] = {}
    train_defaults: ClassVar[Mapping[str, Any]] = {}
    # Whether steps differ in cost: the search then ends after its epochs, whatever they cost.
    varying_cost: ClassVar[bool] = False
    # Whether one architecture answers all platforms by its exits, which any-time training needs.
    answers_exits: ClassVar[bool] = False

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

    @property
    def scorings_per_step(self) -> int:
        """Networks scored in one step of those methods that do so all along; part of the same cost."""
        return 0

    @property
    def updates_per_step(self) -> int:
        """Updates of the shared weights in one step."""
        return 1

    @property
    def stopped(self) -> bool:
        """Whether the search ends here, before the evaluator is done."""
        return False

    def check_reachable(self) -> None:
        """Refuses platforms that no answer of this method can serve, before anything is trained.

        Raises:
            InfeasibleBudgetError: naming the platform, the budget and the cheapest reachable cost.
            RequestError: the platform's device has no latencies for this space.
        """
        check_reachable(self.space, self.platforms)

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

    def most_probable(self) -> dict[str, NDArray[np.int64]]:
        """Platform -> the row that the method holds most probable; empty for methods without a policy."""
        return {}

    def finalists(self) -> list[NDArray[np.int64]]:
        """The rows among which the search is to choose by the area under the any-time curve; empty for most methods."""
        return []

    def settle(self, row: NDArray[np.int64]) -> None:
        """Takes a finalist for the answer."""
        raise NotImplementedError(f"{type(self).__name__} has no finalists")

    def trace(self) -> dict[str, Any]:
        """What the method believed over time, as plain data for the report; empty for methods without beliefs."""
        return {}

    def warnings(self) -> list[str]:
        """Sentences about a search that ended badly, with what to do."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Everything that steps have learnt."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.steps = state["steps"]


def choice_of(space: SearchSpace, solution: mrf.Solution, budgets: Sequence[mrf.Budget]) -> Choice:
    """A solver's solution as a choice, with its costs and its multiplier in the budgets' own units."""
    architecture = space.architecture(solution.row)
    costs = {b.name: b.cost_of(solution.row) for b in budgets}
    unit = next((b.unit for b in budgets if b.summed), 1.0)
    multiplier = None if solution.multiplier is None else solution.multiplier / unit
    return Choice(architecture, float(solution.score), costs, multiplier, solution.gap)


def unary_scores(space: SearchSpace, tables: Sequence[np.ndarray[Any, Any]]) -> FactorCost:
    """One table per decision as a sum of factors."""
    factors = [Factor((i,), np.asarray(t, dtype=np.float64)) for i, t in enumerate(tables)]
    return FactorCost(space.sizes, factors, 0.0, "sum", "loss")
