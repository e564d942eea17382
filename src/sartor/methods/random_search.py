"""Random search: the honest baseline, at the cost of the method beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import Evaluator
from sartor.methods.method import Choice, Method
from sartor.methods.sampling import sample_distinct, sample_in_window, sample_within
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.train.passes import Pass, sandwich


@dataclass(frozen=True, kw_only=True)
class RandomSettings:
    """Settings of random search.

    ``scoring``: the share of the cost spent on scoring candidates once the supernet is trained; on a table
    everything is scored. ``candidates``: networks scored per platform, fewer where the cost does not allow as many;
    all share the same pictures. ``window``: candidates use at least 1 - window of the first summed budget (TuNAS draws
    its random networks within a millisecond of the target, 0.012 of 84); null: anything within the budgets.
    ``distillation``: as in the methods beside it.
    """

    scoring: float = 0.25
    candidates: int = 50
    window: float | None = None
    distillation: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.scoring < 1 or self.candidates < 1:
            raise RequestError(
                f"method: scoring {self.scoring} must lie between 0 and 1, candidates {self.candidates} be at least 1"
            )
        if self.window is not None and not 0 < self.window < 1:
            raise RequestError(f"method.window: {self.window} must be a share of the budget between 0 and 1, or null")


class RandomSearch(Method):
    """Networks drawn at random within each budget; the best observed one wins.

    The supernet is trained like that of OWS (sandwich where the space has widths, single networks elsewhere); then
    each platform's candidates are scored, round after round, until the cost is spent. On a table every query goes to
    a fresh candidate, and to none a second time before all within the budget were looked at.
    """

    settings_type: ClassVar[type] = RandomSettings
    settings: RandomSettings

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: RandomSettings | None = None, seed: int = 0
    ) -> None:
        super().__init__(space, platforms, settings or RandomSettings(), seed)
        # Per platform: row -> [sum of losses, times observed].
        self.seen: list[dict[tuple[int, ...], list[float]]] = [{} for _ in self.platforms]
        self.affordable = 0  # candidates per platform that the share for scoring pays for; 0 before it starts
        self._orders: dict[int, NDArray[np.int64]] = {}  # on a table, per platform; a function of the seed

    @property
    def passes_per_step(self) -> int:
        return 3 if self.space.smallest is not None else 1

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        training = evaluator.trains and evaluator.progress < 1 - self.settings.scoring
        metrics = self._train(evaluator) if training else self._score(evaluator)
        self.steps += 1
        return metrics

    def _train(self, evaluator: Evaluator) -> dict[str, float]:
        row = self.space.sample(1, numpy_generator(self.seed, "architectures", self.steps))[0]
        if self.space.smallest is None:
            return {"loss": float(evaluator.train([Pass(row, observe=True)])[0])}
        passes = sandwich(
            self.space.largest, self.space.smallest, [row], distillation=self.settings.distillation, observe=True
        )
        return {"loss_difference": float(evaluator.train(passes)[2])}

    def _score(self, evaluator: Evaluator) -> dict[str, float]:
        """One round: every platform in turn, all its candidates on one batch."""
        k = self.steps % len(self.platforms)
        rows = self._candidates(k, evaluator)
        losses, _ = evaluator.score(list(rows))
        for row, loss in zip(rows, losses, strict=True):
            if not np.isnan(loss):
                entry = self.seen[k].setdefault(tuple(int(v) for v in row), [0.0, 0.0])
                entry[0] += float(loss)
                entry[1] += 1.0
        return {"scored": float(len(rows))}

    def _candidates(self, k: int, evaluator: Evaluator) -> NDArray[np.int64]:
        if not evaluator.trains:  # a fresh one per query, as a table does not drift
            if k not in self._orders:
                queries = -(-round(1 / evaluator.scoring_share) // len(self.platforms))
                self._orders[k] = self._draw(k, queries, numpy_generator(self.seed, "candidates", k), distinct=True)
            place = self.steps // len(self.platforms) % len(self._orders[k])
            return self._orders[k][place : place + 1]
        if not self.affordable:
            # As many as the rest of the cost scores once, for every platform.
            fitting = (1 - evaluator.progress) / (evaluator.scoring_share * len(self.platforms))
            self.affordable = max(1, min(self.settings.candidates, int(fitting + 1e-9)))
        if not self.seen[k]:
            rng = numpy_generator(self.seed, "candidates", k)
            return np.unique(self._draw(k, self.affordable, rng), axis=0)
        return np.array(list(self.seen[k]))

    def _draw(self, k: int, n: int, rng: np.random.Generator, distinct: bool = False) -> NDArray[np.int64]:
        """``n`` random networks for platform ``k``."""
        if self.settings.window is None:
            draw = sample_distinct if distinct else sample_within
            return draw(self.space, budgets_of(self.space, self.platforms[k]), n, rng)
        return sample_in_window(self.space, self.platforms[k], self.settings.window, n, rng)

    def scores(self) -> FactorCost:
        raise RequestError("random search has no scores to solve with: its answer is the best network that it observed")

    def choose(self, platform: Platform) -> Choice:
        """The candidate with the lowest mean loss; ties go to the one seen first."""
        if platform not in self.platforms:
            raise RequestError(
                f"random search has no answer for platform {platform.name!r}: it observed networks for the platforms "
                f"of its job alone ({', '.join(p.name for p in self.platforms)}); use ows or aows for other budgets"
            )
        k = self.platforms.index(platform)
        if not self.seen[k]:
            raise RequestError(
                f"random search ended before it scored a network for platform {platform.name!r}; allow more "
                "search.epochs"
            )
        budgets = budgets_of(self.space, platform)
        # Candidates were drawn within the budgets of the search; those of a later correction may be tighter.
        rows = [row for row in self.seen[k] if all(b.cost(np.array([row]))[0] <= b.limit for b in budgets)]
        if not rows:
            raise InfeasibleBudgetError(
                f"platform {platform.name!r}: none of the {len(self.seen[k])} networks that random search observed "
                f"meets {' and '.join(map(str, budgets))}; search again with that budget"
            )
        row = min(rows, key=lambda seen: self.seen[k][seen][0] / self.seen[k][seen][1])
        total, count = self.seen[k][row]
        costs = {b.name: b.cost_of(np.array(row)) for b in budgets}
        return Choice(self.space.architecture(row), total / count, costs)

    def state_dict(self) -> dict[str, Any]:
        seen = [[[list(row), *entry] for row, entry in platform.items()] for platform in self.seen]
        return {**super().state_dict(), "seen": seen, "affordable": self.affordable}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.seen = [{tuple(row): [total, count] for row, total, count in p} for p in state["seen"]]
        self.affordable = state["affordable"]
