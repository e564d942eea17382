"""Regularised evolution from a library, PyGlove: an outside yardstick, so nothing of it is ours but the budgets.

Real et al., "Regularized Evolution for Image Classifier Architecture Search" (AAAI 2019): of some networks drawn from a
population the best one is mutated, and the oldest one dies. PyGlove brings selection and mutation. The first population
is drawn at random within the budgets; a child that breaks a budget, or that was looked at before, is mutated again from
other parents, as looking at it would cost a query and tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import Evaluator
from sartor.methods.method import Choice, Method
from sartor.methods.policy_method import costs_of
from sartor.methods.sampling import sample_distinct
from sartor.optional import require
from sartor.platforms import Platform
from sartor.seeds import numpy_generator

Row = tuple[int, ...]

# Children that are tried before a random network takes the place of one.
_TRIES = 16


@dataclass(frozen=True, kw_only=True)
class EvolutionSettings:
    """Settings of regularised evolution: networks alive, and how many of them are drawn to find a parent."""

    population: int = 20
    tournament: int = 5

    def __post_init__(self) -> None:
        if not 2 <= self.tournament <= self.population:
            raise RequestError(
                f"method: tournament {self.tournament} and population {self.population}, allowed is 2 <= tournament <= "
                "population"
            )


class Evolution(Method):
    """Regularised evolution for one platform; every network is looked at once.

    Raises:
        MissingDependencyError: the package pyglove is absent.
    """

    settings_type: ClassVar[type] = EvolutionSettings
    settings: EvolutionSettings

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: EvolutionSettings | None = None, seed: int = 0
    ) -> None:
        super().__init__(space, platforms, settings or EvolutionSettings(), seed)
        if len(self.platforms) != 1:
            raise RequestError(f"regularised evolution serves one platform, not {len(self.platforms)}")
        self._library = require("pyglove", extra="compare")
        names = [d.name for d in space.decisions]
        options = {name: self._library.oneof(list(range(n))) for name, n in zip(names, space.sizes, strict=True)}
        self._spec = self._library.dna_spec(self._library.Dict(options))
        self._budgets = budgets_of(space, self.platforms[0])
        self.seen: dict[Row, float] = {}

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        row = self._random() if len(self.seen) < self.settings.population else self._child()
        losses, _ = evaluator.score([np.array(row)])
        if not np.isnan(losses[0]):
            self.seen.setdefault(row, float(losses[0]))
        self.steps += 1
        return {"loss": float(losses[0])}

    def _random(self) -> Row:
        rng = numpy_generator(self.seed, "architectures", self.steps)
        rows = sample_distinct(self.space, self._budgets, 1, rng)
        return tuple(int(option) for option in rows[0])

    def _child(self) -> Row:
        """A mutated network within the budgets that is new; a random one where none is found."""
        operators, seed = self._library.evolution, 100_003 * self.seed + self.steps
        parent = operators.selectors.Random(self.settings.tournament, seed=seed) >> operators.selectors.Top(1)
        reproduction = parent >> operators.mutators.Uniform(seed=seed)
        population = [self._individual(row) for row in list(self.seen)[-self.settings.population :]]
        for _ in range(_TRIES):
            row = tuple(int(option) for option in reproduction(population)[0].to_numbers())
            if row not in self.seen and self._fits(row):
                return row
        return self._random()

    def _individual(self, row: Row) -> Any:
        found = self._library.DNA.from_numbers(list(row), self._spec)
        return self._library.evolution.set_fitness(found, -self.seen[row])

    def _fits(self, row: Row) -> bool:
        rows = np.array([row])
        return bool(self.space.valid(rows)[0]) and all(b.cost(rows)[0] <= b.limit for b in self._budgets)

    def scores(self) -> FactorCost:
        raise RequestError("evolution has no scores to solve with: its answer is the best network that it observed")

    def choose(self, platform: Platform) -> Choice:
        """The network with the lowest loss; ties go to the one seen first."""
        if platform not in self.platforms or not self.seen:
            raise RequestError(f"evolution observed no network for platform {platform.name!r}; allow it more queries")
        row, loss = min(self.seen.items(), key=lambda item: item[1])
        return Choice(self.space.architecture(row), loss, costs_of(np.array(row), self._budgets))

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seen": [[list(row), loss] for row, loss in self.seen.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.seen = {tuple(row): loss for row, loss in state["seen"]}
