"""OWS: train a slimmable supernet with uniform sampling, tabulate losses per width, solve each budget exactly.

Wang & Blaschko, "Optimizing Slimmable Networks for Multiple Target Platforms", sections 2.2 and 3; Berman et al.,
"AOWS" (CVPR 2020). Differences to the official code, each switchable: ridge regression in place of conditional means
(``estimator``), and the exact budgeted solver in place of the bisection on the multiplier (``solver``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import Evaluator
from sartor.methods.looks import Looks
from sartor.methods.loss_tables import Observations, Tables, additive_ridge, conditional_mean, fill_unknown
from sartor.methods.method import Choice, Method, choice_of, unary_scores
from sartor.methods.sampling import sample_distinct
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.train.passes import sandwich

# On how many occasions tables are fitted again while the best networks are checked, and the most looks at once.
_CHECKS, _LOOKS = 16, 64
# Random networks within a budget are drawn so many at a time.
_BLOCK = 1_024

Estimator = Literal["ridge", "conditional_mean"]
Solver = Literal["exact", "lagrangian", "bisection"]


@dataclass(frozen=True, kw_only=True)
class OWSSettings:
    """Settings of OWS.

    ``estimator``: how observations become tables. ``window``: the share of the search that counts; one configuration
    is drawn per batch, so the last 10 of 50 epochs (0.2) are averaged. ``ridge``: its strength in observations.
    ``random_passes``: k of the sandwich. ``distillation``: the smaller passes learn the largest one's predictions.
    ``solver``: exact, the best point of the convex hull, or the papers' bisection of the multiplier.

    Two settings that are no part of the papers, for tables (docs/methods.md): ``check``, the last share of the search,
    in which the best networks within each budget are scored, by tables that are fitted again after every sixteenth of
    it; the best one scored is the answer. ``within_budgets``: random networks are drawn within the platforms' budgets,
    a platform at a time.
    """

    estimator: Estimator = "ridge"
    window: float = 0.2
    ridge: float = 1.0
    random_passes: int = 1
    distillation: bool = True
    solver: Solver = "exact"
    check: float = 0.0
    within_budgets: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.window <= 1:
            raise RequestError(f"method.window: {self.window} is not a share of the search, allowed is 0 < window <= 1")
        if self.ridge < 0:
            raise RequestError(f"method.ridge: {self.ridge} is negative")
        if self.random_passes < 1:
            raise RequestError(f"method.random_passes: {self.random_passes}, at least one random network is observed")
        if not 0 <= self.check < 1:
            raise RequestError(f"method.check: {self.check} is not a share of the search, allowed is 0 <= check < 1")


class OWS(Method):
    """Optimal width search for several platforms on one supernet."""

    settings_type: ClassVar[type] = OWSSettings
    needs = frozenset({"widths"})
    settings: OWSSettings

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: OWSSettings | None = None, seed: int = 0
    ) -> None:
        super().__init__(space, platforms, settings or self.settings_type(), seed)
        self.observations = Observations(len(space.sizes))
        self.looks = Looks()
        self._everything_counts = False
        self._drawn: dict[tuple[int, int], NDArray[np.int64]] = {}  # a function of the seed

    @property
    def passes_per_step(self) -> int:
        return 2 + self.settings.random_passes

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        """A training step, or near the end (``check``) a look at networks that the tables hold to be good."""
        self._everything_counts = not evaluator.trains  # a table does not drift
        if self.settings.check and evaluator.progress >= 1 - self.settings.check - 1e-9:
            metrics = self._check(evaluator)
        else:
            metrics = self._explore(evaluator)
        self.steps += 1
        return metrics

    def _explore(self, evaluator: Evaluator) -> dict[str, float]:
        """Largest, smallest and k sampled networks on one batch; the sampled ones' loss differences are kept."""
        rows = self.sample(self.settings.random_passes, evaluator.progress)
        passes = sandwich(
            self.space.largest, self.space.smallest, list(rows), distillation=self.settings.distillation, observe=True
        )
        # The largest network's loss is for the log; on a table it would cost a query.
        passes[0] = dataclasses.replace(passes[0], observe=evaluator.trains)
        at = evaluator.progress
        losses = evaluator.train(passes)
        differences = losses[2:]
        for row, difference in zip(rows, differences, strict=True):
            self._observe(row, float(difference), at)
        seen = differences[~np.isnan(differences)]
        return {"loss": float(losses[0]), "loss_difference": float(seen.mean()) if len(seen) else np.nan}

    def _observe(self, row: NDArray[np.int64], loss: float, at: float) -> None:
        """What the tables learn from; on a table of networks it is the final loss, too."""
        self.observations.add(row.tolist(), loss, at)
        if self._everything_counts:
            self.looks.add(row, loss)

    def _check(self, evaluator: Evaluator) -> dict[str, float]:
        """Scores the best networks within one platform's budgets that were not scored before."""
        budgets = budgets_of(self.space, self.platforms[self.steps % len(self.platforms)])
        at, share = evaluator.progress, evaluator.scoring_share
        count = max(1, min(_LOOKS, round(self.settings.check / (_CHECKS * share)), round((1 - at) / share)))
        scores = self.scores()
        rows = self.looks.candidates(scores, self.space.problem(scores), budgets, count)
        losses, _ = evaluator.score(list(rows))
        for row, loss in zip(rows, losses, strict=True):
            if self._everything_counts:
                self._observe(row, float(loss), at)
            else:
                self.looks.add(row, float(loss))
        return {"scored": float(len(rows)), "loss": float(np.nanmin(losses))}

    def sample(self, n: int, progress: float) -> NDArray[np.int64]:
        """``n`` architectures for this step: uniform."""
        if not self.settings.within_budgets:
            return self.space.sample(n, numpy_generator(self.seed, "architectures", self.steps))
        turns, k = divmod(self.steps, len(self.platforms))
        block, place = divmod(turns * n, _BLOCK - _BLOCK % n)
        return self._within(k, block)[place : place + n]

    def _within(self, k: int, block: int) -> NDArray[np.int64]:
        """Different random networks within platform ``k``'s budgets, many at a time."""
        if (k, block) not in self._drawn:
            rng = numpy_generator(self.seed, f"architectures within {k}", block)
            budgets = budgets_of(self.space, self.platforms[k])
            self._drawn = {key: rows for key, rows in self._drawn.items() if key[1] == block}
            self._drawn[k, block] = sample_distinct(self.space, budgets, _BLOCK, rng)
        return self._drawn[k, block]

    def tables(self) -> Tables:
        """The loss table of every decision in its true scale (a difference of losses in nats)."""
        tables = self._estimate()
        if self.settings.estimator == "conditional_mean":
            # The official tables hold each option's effect divided by the number of decisions (facts, section 3).
            tables = [len(tables) * (t - np.nanmean(t)) if not np.isnan(t).all() else t for t in tables]
        return fill_unknown(tables, self._ordered())

    def official_tables(self, count: int | None = None) -> Tables:
        """The tables in the scale that the official temperatures belong to: effects divided by their number."""
        tables = self._estimate(count)
        if self.settings.estimator == "ridge":
            tables = [t / len(tables) for t in tables]
        return fill_unknown(tables, self._ordered())

    def scores(self) -> FactorCost:
        return unary_scores(self.space, self.tables())

    def choose(self, platform: Platform) -> Choice:
        """The best widths within the budgets under the additive model (equations 2 to 4)."""
        budgets = budgets_of(self.space, platform)
        best = self.looks.best(self.scores(), budgets) if self.settings.check else None
        if best is not None:
            row, loss = best
            costs = {b.name: b.cost_of(np.array(row)) for b in budgets}
            return Choice(self.space.architecture(row), loss, costs)
        summed = [b for b in budgets if b.summed]
        if self.settings.solver == "exact" or not summed:
            return super().choose(platform)
        if len(summed) > 1:
            raise RequestError(
                f"platform {platform.name!r}: solver {self.settings.solver!r} takes one summed budget, this platform "
                f"has {len(summed)} ({', '.join(b.name for b in summed)}); use solver: exact"
            )
        problem = self.space.problem(self.scores())
        budget, maxima = summed[0], [b for b in budgets if not b.summed]
        if self.settings.solver == "lagrangian":
            return choice_of(self.space, mrf.lagrangian(problem, budget, maxima), budgets)
        # Its resolution is absolute: in raw MACs it is useless, in shares of the budget it is as good as it gets.
        share = mrf.Budget(budget.cost.scaled(1 / budget.limit), 1.0, budget.name, budget.in_unit(budget.limit))
        found = mrf.bisection(problem, share, maxima=maxima)
        found = dataclasses.replace(found, multiplier=(found.multiplier or 0.0) / budget.limit)
        return choice_of(self.space, found, budgets)

    def _estimate(self, count: int | None = None) -> Tables:
        """Raw tables from the first ``count`` observations (default: all)."""
        rows, values = self.observations.window(1.0 if self._everything_counts else self.settings.window, count)
        if self.settings.estimator == "ridge":
            return additive_ridge(rows, values, self.space.sizes, self.settings.ridge)
        return conditional_mean(rows, values, self.space.sizes)

    def _ordered(self) -> list[bool]:
        return [d.kind == "width" for d in self.space.decisions]

    def state_dict(self) -> dict[str, Any]:
        state = {
            "observations": self.observations.state_dict(),
            "everything": self._everything_counts,
            "looks": self.looks.state_dict(),
        }
        return {**super().state_dict(), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.observations.load_state_dict(state["observations"])
        self._everything_counts = state["everything"]
        self.looks.load_state_dict(state["looks"])
