"""TuNAS: a policy learns by REINFORCE which architecture is best near a target cost, on weights that all share.

Bender, Liu et al., "Can weight sharing outperform random architecture search? An investigation with TuNAS"
(CVPR 2020), section 4. One step:

    1. sample architectures alpha ~ pi; early on, decisions are replaced by warm-ups (section 4.3)
    2. one update of the shared weights W on a training batch, for the sampled architectures
    3. their qualities Q(alpha) with the new weights on a validation batch, and their costs T(alpha)
    4. reward r = Q + beta |T / T0 - 1| (section 4.2), then REINFORCE: ascend (r - baseline) grad log pi(alpha)

The paper's prose has 3 and 4 before 2; this is the order of the official code. The answer is the most probable option
of each decision. Numbers that the paper leaves out are those of that code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.methods.evaluator import Evaluator
from sartor.methods.policy_method import PolicyMethod, one_each, root_of_steps, share_of_rate
from sartor.methods.reinforce import Controller
from sartor.methods.rewards import Reward, RewardName
from sartor.platforms import Platform
from sartor.policy import Policy
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.train.passes import Pass

Rows = NDArray[np.int64]

_WARMUP_SHARE = 0.25

# How shared and final weights are trained, as far as the job leaves it open (facts, section 5.1).
_RECIPE: Mapping[str, Any] = {
    "optimiser": "rmsprop",
    "learning_rate": 0.165,
    "per_pictures": 256,
    "schedule": "cosine",
    "warmup_share": 0.025,
    "momentum": 0.9,
    "rmsprop_decay": 0.9,
    "rmsprop_epsilon": 1.0,
    "weight_decay": 4e-5,
    "weight_decay_on": "convolutions",
    "label_smoothing": 0.1,
    "initialiser": "tensorflow",
}

# The official policy learns in steps 6,762 to 27,050, with rates that add up to 380.
_OFFICIAL_STEPS, _OFFICIAL_SUM = 20_288, 380.0


@dataclass(frozen=True, kw_only=True)
class TuNASSettings:
    """Settings of TuNAS; the defaults are those of the official code but for the rate.

    ``samples``: architectures per platform and step (officially one per core: 32). ``reward``, ``cost_exponent``: see
    :mod:`sartor.methods.rewards`. ``baseline_momentum``: of the moving average of rewards.

    ``op_warmup``, ``filter_warmup``: the share of the search over which the probability that a decision is replaced
    falls from 1 to 0 (true: 0.25, false: off). ``freeze``: the share of the search before the policy learns. All three
    count only where there are weights to warm up.

    ``rate_sum``: the policy's rates over all steps add up to this, whatever their number. The official run's add up to
    380 in 20,288 steps. null: 380 times the root of the steps at hand over 20,288, that is 150 in 3,000 steps and 47 in
    300: noise, which adds up like a random walk, then moves the policy as far as in the official run, and few steps are
    not spent on following it (recipes/results/tunas_table_oracle.md has the figures).
    ``rate_growth``: the rate's growth from the end of the freeze to the end of the search, exponential (1: constant).
    ``rate_rule``: ``paper`` takes ``base_rate`` as the first rate per step in place of the sum. It is 0.0003 per 256
    pictures of a training step, 0.0048 at 4,096, and meant for 27,050 steps.
    ``entropy_weight``: of an entropy bonus, a plain gradient step beside Adam's. The official code has it, at 0; there
    the entropies of the sampled decisions are differentiated, here the exact entropy serves as a baseline for
    -log pi(alpha).
    """

    samples: int = 1
    reward: RewardName = "absolute"
    cost_exponent: float = -0.10
    baseline_momentum: float = 0.95
    op_warmup: bool | float = True
    filter_warmup: bool | float = True
    freeze: float = 0.25
    rate_rule: Literal["scaled", "paper"] = "scaled"
    rate_sum: float | None = None
    rate_growth: float = 10.0
    base_rate: float = 0.0048
    entropy_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise RequestError(f"method.samples: {self.samples}, at least one architecture per step is needed")
        if self.cost_exponent >= 0:
            raise RequestError(f"method.cost_exponent: {self.cost_exponent} would reward cost; it must be negative")
        if not 0 <= self.baseline_momentum < 1 or not 0 <= self.freeze < 1:
            raise RequestError(
                f"method: baseline_momentum {self.baseline_momentum} and freeze {self.freeze} must be at least 0 and "
                "below 1"
            )
        for name in ("op_warmup", "filter_warmup"):
            if not 0 <= warmup_share(getattr(self, name)) <= self.freeze:
                raise RequestError(
                    f"method.{name}: {getattr(self, name)}; a warm-up must end before the policy learns, so it is a "
                    f"share from 0 to method.freeze ({self.freeze}), true or false"
                )
        if (
            (self.rate_sum is not None and self.rate_sum < 0)
            or self.base_rate < 0
            or self.rate_growth <= 0
            or self.entropy_weight < 0
        ):
            raise RequestError("method: rate_sum, base_rate and entropy_weight may not be negative, rate_growth not 0")


class TuNAS(PolicyMethod):
    """One policy per platform, all on the same shared weights."""

    settings_type: ClassVar[type] = TuNASSettings
    settings: TuNASSettings
    # One core of the official run: 128 pictures teach, 512 steer.
    search_defaults: ClassVar[Mapping[str, Any]] = {
        **_RECIPE,
        "epochs": 90,
        "batch_size": 128,
        "policy_batch_size": 512,
    }
    # Dropout is that of the ProxylessNAS spaces; the code has 0.25 for the MobileNetV3-like one.
    train_defaults: ClassVar[Mapping[str, Any]] = {
        **_RECIPE,
        "epochs": 360,
        "mode": "standalone",
        "nesterov": False,
        "dropout": 0.15,
        "dropout_from_epochs": 150,
    }

    def __init__(
        self, space: SearchSpace, platforms: Sequence[Platform], settings: TuNASSettings | None = None, seed: int = 0
    ) -> None:
        settings = settings or TuNASSettings()
        # Section 4, "independent multinomials".
        policies = [Policy(space, one_each(space), active_only=True) for _ in platforms]
        super().__init__(space, platforms, settings, policies, seed)
        rewards = [Reward(settings.reward, settings.cost_exponent, budgets) for budgets in self.budgets]
        self.controllers = [
            Controller(policy, reward, settings.baseline_momentum, settings.entropy_weight)
            for policy, reward in zip(self.policies, rewards, strict=True)
        ]

    @property
    def passes_per_step(self) -> int:
        return len(self.platforms) * self.settings.samples

    @property
    def scorings_per_step(self) -> int:
        return self.passes_per_step

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        """Sample, train the shared weights, score, and move every platform's policy."""
        before = evaluator.progress
        rows, replaced = self._sample(before if evaluator.trains else 1.0)  # [platforms, samples, D] each
        selections = [
            selection_of(self.space, row, on)
            for row, on in zip(rows.reshape(-1, rows.shape[2]), replaced.reshape(-1, rows.shape[2]), strict=True)
        ]
        if evaluator.trains:
            evaluator.train([Pass(selection, weight=1 / len(selections)) for selection in selections])
        losses, qualities = evaluator.score(selections)
        rate = self.policy_rate(before, evaluator.progress, evaluator.trains)
        seen = zip(self.controllers, rows, replaced, qualities.reshape(len(rows), -1), strict=True)
        found = [controller.learn(drawn, on, answers, rate) for controller, drawn, on, answers in seen]
        self.steps += 1
        self.remember(evaluator.progress)
        loss = float(np.nanmean(losses))  # a step begins where at least one answer is left
        return {"loss": loss, "policy_rate": rate, **self.platform_metrics(found)}

    def policy_rate(self, before: float, after: float, frozen_first: bool) -> float:
        """The policy's rate for a step that takes the search from progress ``before`` to ``after``.

        It is 0 during the freeze, then grows: the integral of the growing rate over the step, so that the rates of
        all steps add up to the sum whatever their number.
        """
        s = self.settings
        freeze = s.freeze if frozen_first else 0.0
        if s.rate_rule == "paper":
            grown = s.rate_growth ** ((before - freeze) / (1 - freeze))
            return 0.0 if before < freeze else float(s.base_rate * grown)
        total = s.rate_sum
        if total is None:
            total = _OFFICIAL_SUM * root_of_steps(_OFFICIAL_STEPS, freeze, before, after)
        return share_of_rate(total, s.rate_growth, freeze, before, after)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "controllers": [controller.state_dict() for controller in self.controllers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        for controller, kept in zip(self.controllers, state["controllers"], strict=True):
            controller.load_state_dict(kept)

    def _sample(self, progress: float) -> tuple[Rows, NDArray[np.bool_]]:
        """Every platform's rows, and which of their decisions a warm-up replaces ``[platforms, samples, D]``."""
        chance = warmup_probability(self.space, self.settings, progress)
        rows, replaced = [], []
        for k, policy in enumerate(self.policies):
            rng = numpy_generator(self.seed, f"architectures {k}", self.steps)
            rows.append(policy.sample(self.settings.samples, rng))
            replaced.append(rng.random(rows[-1].shape) < chance)
        return np.array(rows), np.array(replaced)


def warmup_share(given: bool | float) -> float:
    """A warm-up's share of the search, from its setting."""
    return (_WARMUP_SHARE if given else 0.0) if isinstance(given, bool) else given


def warmup_probability(space: SearchSpace, settings: TuNASSettings, progress: float) -> NDArray[np.float64]:
    """How likely each decision ``[D]`` is replaced: falls linearly from 1 to 0 over the warm-up of its kind."""
    kinds = {"op": warmup_share(settings.op_warmup), "width": warmup_share(settings.filter_warmup)}
    chance = {kind: max(0.0, 1.0 - progress / share) if share else 0.0 for kind, share in kinds.items()}
    return np.array([chance[d.kind] if len(d.options) > 1 else 0.0 for d in space.decisions])


def selection_of(space: SearchSpace, row: NDArray[np.int64], replaced: NDArray[np.bool_]) -> list[Any]:
    """What runs for a row: replaced operations are the mean of all options, replaced widths the largest option."""
    selection: list[Any] = [int(option) for option in row]
    for d in np.flatnonzero(replaced):
        options = len(space.decisions[d].options)
        selection[d] = options - 1 if space.decisions[d].kind == "width" else np.full(options, 1 / options)
    return selection
