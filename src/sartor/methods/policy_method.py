"""What the methods with a policy share: one distribution per platform, its answer, and what it believed over time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of, dearest
from sartor.methods.method import Choice, Method, choice_of
from sartor.platforms import Platform
from sartor.policy import Policy
from sartor.space import SearchSpace

_SNAPSHOTS = 40
# A policy that keeps more than this share of its first entropy has hardly decided.
_UNDECIDED = 0.5
# An answer that costs less than this share of what it may cost has left accuracy behind.
_FAR_BELOW = 0.75


class PolicyMethod(Method):
    """A search that learns one distribution over architectures per platform, on shared weights.

    Subclasses make their policies, call :meth:`remember` at the end of every step, and say how to learn.
    """

    # What to do about an answer that is far cheaper than it may be.
    far_below_advice: ClassVar[str] = "search longer (search.epochs), or raise the policy's rate (method)"

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: Any, policies: Sequence[Policy], seed: int = 0
    ) -> None:
        super().__init__(space, platforms, settings, seed)
        self.policies = list(policies)
        self.budgets = [budgets_of(space, p) for p in self.platforms]
        self.first_entropy_nats = [policy.entropy_nats for policy in self.policies]
        # Per platform: the probabilities of every option of every decision, at moments of ``_moments``.
        self._moments: list[float] = []
        self._beliefs: list[list[list[list[float]]]] = [[] for _ in self.platforms]

    def choose(self, platform: Platform) -> Choice:
        """The most probable architecture; where a budget forbids it, the most probable one within all budgets."""
        k = self.position(platform)
        policy, budgets = self.policies[k], self.budgets[k]
        mode = np.asarray(policy.mode())
        own = mrf.Solution(mode, -float(policy.log_probability(mode[None])[0]), costs_of(mode, budgets))
        if all(b.cost(mode[None])[0] <= b.limit for b in budgets):
            return choice_of(self.space, own, budgets)
        solution = mrf.minimise(self.space.problem(policy.scores()), budgets)
        if policy.active_only:  # inert decisions were solved for, and are neither part of the answer nor of its score
            row = self.space.canonical(solution.row[None])
            solution = dataclasses.replace(solution, row=row[0], score=-float(policy.log_probability(row)[0]))
        best = choice_of(self.space, solution, budgets)
        note = "the most probable architecture exceeds a budget; this is the most probable one within all of them"
        return Choice(
            best.architecture,
            best.score,
            best.costs,
            best.multiplier,
            best.gap,
            own=self.space.architecture(mode),
            own_costs=own.costs,
            notes=(note,),
        )

    def scores(self) -> FactorCost:
        """-log p of the only platform's policy.

        Raises:
            RequestError: with several platforms there are as many policies.
        """
        if len(self.policies) > 1:
            raise RequestError(
                f"there is a policy for each of {', '.join(p.name for p in self.platforms)}: choose for one of them"
            )
        return self.policies[0].scores()

    def position(self, platform: Platform) -> int:
        """Which of the job's platforms this is.

        Raises:
            RequestError: the policies were learnt for the budgets of the job alone.
        """
        if platform not in self.platforms:
            raise RequestError(
                f"method {type(self).__name__} has no answer for platform {platform.name!r}: it learnt a policy for "
                f"the platforms of its job alone ({', '.join(p.name for p in self.platforms)}); add it to the job, or "
                "use ows or aows, whose scores serve any budget"
            )
        return self.platforms.index(platform)

    def most_probable(self) -> dict[str, NDArray[np.int64]]:
        """Platform -> the most probable row, budgets left aside."""
        return {p.name: np.asarray(q.mode()) for p, q in zip(self.platforms, self.policies, strict=True)}

    def remember(self, progress: float) -> None:
        """Keeps the probabilities, about forty times over the search."""
        if not self._moments or progress >= 1 or progress - self._moments[-1] >= 1 / _SNAPSHOTS:
            self._moments.append(progress)
            for kept, policy in zip(self._beliefs, self.policies, strict=True):
                kept.append([np.round(p, 4).tolist() for p in policy.decision_probabilities()])

    def trace(self) -> dict[str, Any]:
        return {
            platform.name: {"progress": self._moments, "probabilities": beliefs}
            for platform, beliefs in zip(self.platforms, self._beliefs, strict=True)
        }

    def warnings(self) -> list[str]:
        found = []
        for platform, policy, first in zip(self.platforms, self.policies, self.first_entropy_nats, strict=True):
            share = self._share_of_budget(platform)
            if policy.entropy_nats > _UNDECIDED * first > 0:
                found.append(
                    f"platform {platform.name!r}: the policy ended at {policy.entropy_nats:.1f} of {first:.1f} nats, "
                    "so its answer is hardly better than a guess; search longer, or raise the policy's rate (method)"
                )
            elif share is not None and share < _FAR_BELOW:
                found.append(
                    f"platform {platform.name!r}: the answer uses {share:.0%} of its budget, where the space holds "
                    f"dearer networks; {self.far_below_advice}"
                )
        return found

    def _share_of_budget(self, platform: Platform) -> float | None:
        """What the policy's own answer costs over the budget that it uses up most; None where no budget keeps a network
        out."""
        choice, budgets = self.choose(platform), self.budgets[self.position(platform)]
        row = np.array((choice.own or choice.architecture).row)
        binding = [b for b in budgets if b.limit < dearest(self.space, b.cost)]
        return max((float(b.cost(row[None])[0]) / b.limit for b in binding), default=None)

    def platform_metrics(self, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The metrics of every platform as their means and, with several platforms, each by its name."""
        names = list(dict.fromkeys(name for m in metrics for name in m))
        found = {}
        for name in names:
            values = [m[name] for m in metrics if not math.isnan(m.get(name, math.nan))]
            found[name] = float(np.mean(values)) if values else math.nan
        if len(metrics) > 1:
            for platform, own in zip(self.platforms, metrics, strict=True):
                found |= {f"{name}/{platform.name}": value for name, value in own.items()}
        return found

    def state_dict(self) -> dict[str, Any]:
        policies = [policy.state_dict() for policy in self.policies]
        return {**super().state_dict(), "policies": policies, "moments": self._moments, "beliefs": self._beliefs}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        for policy, kept in zip(self.policies, state["policies"], strict=True):
            policy.load_state_dict(kept)
        self._moments, self._beliefs = list(state["moments"]), [list(b) for b in state["beliefs"]]


def costs_of(row: NDArray[np.int64], budgets: Sequence[mrf.Budget]) -> dict[str, float]:
    """What a row costs under every budget, in the budget's own unit."""
    return {b.name: b.cost_of(row) for b in budgets}


def one_each(space: SearchSpace) -> list[list[str]]:
    """Every decision as a group of its own, whatever the space's groups."""
    return [[decision.name] for decision in space.decisions]


def root_of_steps(steps: int, start: float, before: float, after: float) -> float:
    """The root of the number of steps in which a policy learns, over that of a published run.

    The steps are counted as if all moved progress as far as the one from ``before`` to ``after``.
    """
    return math.sqrt((1.0 - start) / max(after - before, 1e-9) / steps)


def share_of_rate(total: float, growth: float, start: float, before: float, after: float) -> float:
    """The part of ``total`` that a step from one progress to another may learn with.

    Rates grow exponentially, ``growth``-fold from ``start`` (where learning begins) to the end of the search, and sum
    to ``total`` however many steps there are: TuNAS's rule (base 10^((step - D)/(S - D))) without its dependence on
    27,050 steps of 4,096 pictures. With Adam a rate is how far a logit moves at most.
    """
    low, high = (min(1.0, max(0.0, (p - start) / (1.0 - start))) for p in (before, after))
    if growth == 1.0:
        return total * (high - low)
    return total * float(growth**high - growth**low) / (growth - 1.0)
