"""MS-RANAS: cells found by gradient for a multi-scale network with early exits (Cioflan & Timofte, 2020).

The search is that of DARTS (Liu, Simonyan & Yang, 2019). One step:

    1. selection = softmax(alpha) on every edge (equation 1)
    2. alpha moves down the gradient of the validation loss, summed over all exits, with Adam (order 2: of that loss
       after one unrolled training step), and of cost_weight |E[cost of the derived cell] / target - 1|
    3. one update of the shared weights on a training batch, for the mixture with the new alpha

The answer is the derived cell: per node the two edges whose best operation but ``none`` weighs most, with that
operation. Where it breaks a budget, the one of highest total weight that meets all of them takes its place. The paper
names budgets as future work: the second half of step 2, and which exit serves which platform, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.methods.evaluator import Evaluator
from sartor.methods.method import Choice, Method
from sartor.methods.mixture.cells import Cells
from sartor.methods.mixture.cost_pull import CostPull
from sartor.methods.mixture.exits import Service
from sartor.methods.mixture.relaxation import Relaxation
from sartor.methods.mixture.settings import SEARCH_RECIPE, TRAIN_RECIPE, MSRANASSettings
from sartor.methods.mixture.stability import EigenvalueWatch
from sartor.methods.mixture.trace import MixtureTrace
from sartor.methods.policy_method import costs_of, root_of_steps
from sartor.platforms import Platform
from sartor.policy import Adam
from sartor.seeds import numpy_generator
from sartor.train.passes import Pass

Row = NDArray[np.int64]

_PAPER_STEPS = 50 * 391  # epochs of 25,000 pictures in batches of 64
# A normal cell of which more than this share are skips has collapsed.
_COLLAPSED = 0.5
# A mixture that keeps so much of the entropy of uniform weights has hardly learnt.
_UNMOVED = 0.98
_PASSES = {1: 2, 2: 5}  # forward and backward computations in a step, by order


class MSRANAS(Method):
    """One mixture for all platforms: one architecture, whose exits serve them."""

    needs: ClassVar[frozenset[str]] = frozenset({"mixtures", "gradient"})
    settings_type: ClassVar[type] = MSRANASSettings
    settings: MSRANASSettings
    # A search lasts its epochs, whatever the measurements of its curvature cost.
    varying_cost: ClassVar[bool] = True
    answers_exits: ClassVar[bool] = True
    search_defaults: ClassVar[Mapping[str, Any]] = SEARCH_RECIPE
    train_defaults: ClassVar[Mapping[str, Any]] = TRAIN_RECIPE

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: MSRANASSettings | None = None, seed: int = 0
    ) -> None:
        settings = settings or MSRANASSettings()
        super().__init__(space, platforms, settings, seed)
        self.cells = Cells(space)
        self._check_skips()
        rng = numpy_generator(seed, "alpha")
        self.relaxation = Relaxation(self.cells, none=settings.none, edge_weights=settings.edge_weights, rng=rng)
        self.optimiser = Adam(self.relaxation.values.shape, beta1=0.5, beta2=0.999)
        self.service = self._service(self.platforms)
        self.watch = None if settings.stop_eigenvalue is None else self._make_watch(settings.stop_eigenvalue, rng)
        self.beliefs = MixtureTrace()
        self.step_share: float | None = None  # of the search, that the last step took
        self.stop: str | None = None  # why the search ended early
        self.settled: list[int] | None = None

    @property
    def passes_per_step(self) -> int:
        return _PASSES[self.settings.order]

    @property
    def stopped(self) -> bool:
        return self.stop is not None

    def check_reachable(self) -> None:
        """Refuses platforms that no exit of an architecture can serve, and those that none serves together."""
        self.service.check()

    # ------------------------------------------------------------------ learning

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        """Move alpha, then train the shared weights on the mixture.

        Raises:
            RequestError: the evaluator is no supernet.
        """
        if not evaluator.differentiates:
            raise RequestError(
                "method ms_ranas learns by the gradient of the validation loss, which a table of known architectures "
                "does not have; search with shared weights, or use random, tunas or fpnas on the table"
            )
        before, metrics = evaluator.progress, {}
        if before >= self.settings.warmup and not self.stopped:
            metrics = self._learn(evaluator, before)
        losses = evaluator.train([Pass(self._selection(before), observe=True)])
        self.steps += 1
        self.step_share = evaluator.progress - before
        if metrics and not self.stopped:
            metrics |= self._look(evaluator, before)
        ratio = self.pull(self.relaxation.log_weights())[0]
        readings = {**self.relaxation.readings(), **({} if ratio is None else {"cost_ratio": ratio})}
        self.beliefs.remember(evaluator.progress, self.relaxation, readings, last=self.stopped)
        skips = {"skips": float(self.cells.skips(self.derived()))}
        return {"loss": float(losses[0]), **metrics, **readings, **skips}

    def _learn(self, evaluator: Evaluator, before: float) -> dict[str, float]:
        """One step of alpha."""
        relaxation, settings = self.relaxation, self.settings
        loss, outer = evaluator.gradient(self._selection(before), order=settings.order)
        of_loss = relaxation.pullback(outer)
        gradient = of_loss + self.pull.gradient(relaxation, of_loss) + settings.weight_decay * relaxation.values
        rate = settings.rate
        if settings.rate_rule == "scaled" and self.step_share:  # the first step does not know how many there are
            rate /= root_of_steps(_PAPER_STEPS, settings.warmup, 0.0, self.step_share)
        relaxation.values = relaxation.values + self.optimiser.change(gradient, rate)
        return {"validation_loss": float(loss), "policy_rate": rate}

    def _look(self, evaluator: Evaluator, progress: float) -> dict[str, float]:
        """Whether to end here."""
        found, most = {}, self.settings.stop_skips
        if self.watch is not None and self.watch.due(progress):
            found["eigenvalue"] = self._measure(self.watch, evaluator, progress)
        skips = self.cells.skips(self.derived())
        if most is not None and progress >= self.settings.stop_from and skips >= most and not self.stopped:
            self.stop = f"the search ended at {progress:.0%}, as the normal cell derived to {skips} skips (stop_skips)"
        return found

    def _measure(self, watch: EigenvalueWatch, evaluator: Evaluator, progress: float) -> float:
        def gradient_at(values: NDArray[np.float64]) -> NDArray[np.float64]:
            _, outer = evaluator.gradient(self._selection(progress, values), order=1, batch=0)
            return self.relaxation.pullback(outer, values)

        value = watch.measure(progress, gradient_at, self.relaxation.values)
        risen = watch.risen()
        if risen is not None:
            moment, self.relaxation.values = risen
            self.stop = (
                f"the search ended at {progress:.0%}, as the dominant eigenvalue of the validation loss had risen; the "
                f"mixture is that of {moment:.0%} (stop_eigenvalue)"
            )
        return value

    def _selection(self, progress: float, values: NDArray[np.float64] | None = None) -> list[NDArray[np.float64]]:
        auxiliary = 1.0 - progress if self.settings.auxiliary_skip else 0.0
        return self.relaxation.vectors(auxiliary, values)

    @cached_property
    def pull(self) -> CostPull:
        """What budgets add to the gradient."""
        s = self.settings
        return CostPull(self.cells, self.service, s.cost, s.cost_temperature, s.cost_weight)

    # ------------------------------------------------------------------ answers

    def derived(self) -> Row:
        """The derived cells ``[D]``, budgets left aside."""
        return self.cells.best(self.relaxation.score_table())

    def scores(self) -> FactorCost:
        """Minus the weight of every operation, 0 for ``none``."""
        return self.relaxation.scores()

    def choose(self, platform: Platform) -> Choice:
        """The architecture of all platforms, and the exit for this one; another platform is answered as if alone."""
        mine = platform in self.platforms
        service = self.service if mine else self._service([platform])
        own = self.derived()
        broken = [b.name for b in service.budgets if b.cost(own[None])[0] > b.limit]
        solution = self._solution(service, own, broken, self.settled if mine else None)
        exit = service.exit_for(solution.row, platform)
        budgets = service.own_budgets(platform, exit)
        selected = mine and self.settled is not None
        taken = (
            "selected among the finalists of the search" if selected else "this is the heaviest one within all budgets"
        )
        notes = [f"the derived cell exceeds {' and '.join(broken)}; {taken}"] if broken else [taken] if selected else []
        return Choice(
            self.space.architecture(solution.row),
            float(solution.score),
            costs_of(solution.row, budgets),
            solution.multiplier if platform == service.largest else None,
            solution.gap,
            exit if self.space.exits > 1 else None,
            own=self.space.architecture(own) if broken else None,
            own_costs=costs_of(own, budgets) if broken else {},
            notes=tuple(notes),
        )

    def finalists(self, k: int | None = None) -> list[Row]:
        """The ``k`` cells of highest weight within everything asked, best first (default: the setting)."""
        count = self.settings.finalists if k is None else k
        return [s.row for s in mrf.k_best(self.space.problem(self.scores()), self.service.budgets, count)]

    def settle(self, row: Row) -> None:
        """Takes a finalist for the answer, as a selection by the area under the any-time curve found it best."""
        self.settled = [int(option) for option in self.space.architecture(row).row]

    def _solution(
        self, service: Service, own: Row, broken: Sequence[str], settled: Sequence[int] | None
    ) -> mrf.Solution:
        problem = self.space.problem(self.scores())
        if broken and settled is None:
            solution = mrf.minimise(problem, service.budgets)
            unit = next((b.unit for b in service.budgets if b.summed), 1.0)
            price = None if solution.multiplier is None else solution.multiplier / unit
            return mrf.Solution(solution.row, solution.score, solution.costs, price, solution.gap)
        row = own if settled is None else np.array(settled)
        return mrf.Solution(row, float(problem.scores(row[None])[0]))

    def most_probable(self) -> dict[str, Row]:
        """The derived cells, once for all platforms."""
        return {self.service.largest.name: self.derived()}

    # ------------------------------------------------------------------ beliefs

    def trace(self) -> dict[str, Any]:
        """The one mixture under the name of the platform that decides."""
        names = [decision.name for decision in self.space.decisions]
        found = {**self.beliefs.to_dict(), "decisions": names, "stopped": self.stop}
        if self.watch is not None:
            found["eigenvalues"] = {"progress": self.watch.moments, "values": self.watch.values}
        return {self.service.largest.name: found}

    def warnings(self) -> list[str]:
        found = [] if self.stop is None else [self.stop]
        entropy_nats, uniform_nats = self.relaxation.readings()["entropy_nats"], self.relaxation.uniform_entropy_nats
        if self.steps and entropy_nats >= _UNMOVED * uniform_nats > 0:
            found.append(
                f"the mixture hardly moved: it ended at {entropy_nats:.1f} of {uniform_nats:.1f} nats, so its cells "
                "are hardly better than random ones; search longer (search.epochs), raise method.rate, leave "
                "method.rate_rule at scaled, or shorten method.warmup"
            )
        row = self.derived()
        skips, kept = self.cells.skips(row), self.cells.kept(row)
        if self.cells.has_cells and skips > _COLLAPSED * kept:
            cap = self.settings.skip_cap
            remedy = "method.stop_eigenvalue or method.stop_skips, or cap them with method.skip_cap"
            found.append(
                f"the normal cell collapsed: {skips} of its {kept} edges are skips; search with method.warmup, "
                f"method.auxiliary_skip, {remedy}"
                if cap is None
                else f"the mixture of the normal cell collapsed to {skips} skips of {kept} edges; the answer has at "
                f"most {cap} (method.skip_cap)"
            )
        return found

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "values": self.relaxation.values.tolist(),
            "optimiser": self.optimiser.state_dict(),
            "watch": None if self.watch is None else self.watch.state_dict(),
            "beliefs": self.beliefs.state_dict(),
            "step_share": self.step_share,
            "loss_length": self.pull.loss_length,
            "stop": self.stop,
            "settled": self.settled,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.relaxation.values = np.array(state["values"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.watch is not None:
            self.watch.load_state_dict(state["watch"])
        self.beliefs.load_state_dict(state["beliefs"])
        self.step_share, self.pull.loss_length = state["step_share"], state["loss_length"]
        self.stop, self.settled = state["stop"], state["settled"]

    # ------------------------------------------------------------------ inside

    def _service(self, platforms: Sequence[Platform]) -> Service:
        cap = self.settings.skip_cap
        return Service(
            self.space, platforms, self.settings.lazy_costs, [] if cap is None else [self.cells.skip_budget(cap)]
        )

    def _make_watch(self, ratio: float, rng: np.random.Generator) -> EigenvalueWatch:
        s = self.settings
        return EigenvalueWatch(
            ratio,
            every=s.eigenvalue_every,
            window=s.eigenvalue_window,
            delay=s.eigenvalue_delay,
            iterations=s.eigenvalue_iterations,
            start=s.stop_from,
            direction=rng.standard_normal(self.relaxation.values.shape),
        )

    def _check_skips(self) -> None:
        asked = {
            "skip_cap": self.settings.skip_cap is not None,
            "stop_skips": self.settings.stop_skips is not None,
            "auxiliary_skip": self.settings.auxiliary_skip,
        }
        for name in (name for name, on in asked.items() if on):
            if not (self.cells.skip[self.cells.normal] >= 0).any():
                raise RequestError(f"method.{name}: no operation of space {self.space.name!r} is a skip; leave it out")
