"""FP-NAS: a learnt distribution over architectures, sampled as often as its entropy asks (Yan et al., CVPR 2021).

Per step, for every platform's distribution P(A | alpha):

    K = max(1, floor(entropy_scale H(P)))                                              eq. 4
    draw A_1 ... A_K from P; update the weights by the gradient of log mean_k P(y_train | A_k)   eq. 3
    rho_k = softmax_k(log P(y_val | A_k)),  c_k = C(A_k) / sum_j C(A_j),  C = max(0, cost / target - 1)
    update alpha along sum_k m_k grad -log P(A_k | alpha),  m_k = rho_k - cost_weight c_k        eq. 7

The likelihood of a batch is that of a mean picture: with the sum over a batch the weights would be one-hot (facts,
section 2.3). c_k = 0 where no sample exceeds the target, which is common in small spaces (facts, 2.4). The paper does
not say how the training weights are found; here they are the softmax of the *training* likelihoods (facts, 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.methods.evaluator import Evaluator
from sartor.methods.policy_method import PolicyMethod, one_each, root_of_steps
from sartor.platforms import Platform
from sartor.policy import Adam, Policy
from sartor.seeds import numpy_generator
from sartor.train.passes import Pass

_PAPER_STEPS = 270 * 32  # that the paper's policies learn in
# The spread, in nats, of the losses of random architectures with which the paper's entropies come out (facts, 2.3);
# losses of a table, whose unit is another one, are brought to it.
_SPREAD_NATS = 0.35


@dataclass(frozen=True, kw_only=True)
class FPNASSettings:
    """Settings of FP-NAS; the defaults are the paper's.

    ``entropy_scale`` (lambda): samples per nat; ``samples``: a fixed number in its place. ``distribution``: one joint
    choice per group of the space, one per decision (``factorised``), or factorised until the share ``conversion`` of
    the search and joint from there on (``mixed``, theta = epoch 80 of 315). ``warmup``: the share (45 of 315 epochs) in
    which the weights alone learn, from uniform samples of equal weight.

    ``cost_weight`` (beta): the weight of all samples above a target together; with ``cost_normalised: false`` each
    counts by how far it is above. ``temperature`` divides log-likelihoods. ``centred`` subtracts the mean of the
    weights m_k, which changes no expectation but the variance; on tables always, where K is at least 2.

    ``rate``: of Adam. It suits the paper's 8,640 steps of learning; with the rule ``scaled`` it grows with the root of
    8,640 over the number of steps, so that noise, which adds up like a random walk, moves logits as far in a short
    search as in the paper's; ``paper`` takes it as it is.
    """

    entropy_scale: float = 0.25
    samples: int | None = None
    distribution: Literal["joint", "factorised", "mixed"] = "mixed"
    conversion: float = 80 / 315
    warmup: float = 45 / 315
    cost_weight: float = 0.3
    cost_normalised: bool = True
    temperature: float = 1.0
    centred: bool = False
    rate: float = 0.016
    rate_rule: Literal["scaled", "paper"] = "scaled"

    def __post_init__(self) -> None:
        allowed = {
            "entropy_scale": (self.entropy_scale > 0, "more than 0"),
            "samples": (self.samples is None or self.samples >= 1, "null or at least 1"),
            "conversion": (0 <= self.conversion <= 1, "a share from 0 to 1"),
            "warmup": (0 <= self.warmup < 1, "a share from 0 to below 1"),
            "cost_weight": (self.cost_weight >= 0, "at least 0"),
            "temperature": (self.temperature > 0, "more than 0"),
            "rate": (self.rate > 0, "more than 0"),
        }
        wrong = [name for name, (holds, _) in allowed.items() if not holds]
        if wrong:
            raise RequestError("; ".join(f"method.{n}: {getattr(self, n)}, allowed is {allowed[n][1]}" for n in wrong))


class FPNAS(PolicyMethod):
    """Fast probabilistic search with adaptive sampling and coarse-to-fine distributions."""

    settings_type: ClassVar[type] = FPNASSettings
    settings: FPNASSettings
    varying_cost: ClassVar[bool] = True
    far_below_advice: ClassVar[str] = (
        "the cost term acts above the target alone, and small networks, which learn faster, win a short search: search "
        "longer (search.epochs), raise method.warmup, or see what method random finds at the same cost"
    )
    # One of the paper's eight GPUs: 256 pictures, and 0.1 of the rate 0.8 that belongs to 2,048. Momentum and weight
    # decay are not stated there: ours.
    search_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 315,
        "batch_size": 256,
        "learning_rate": 0.1,
        "per_pictures": 256,
        "schedule": "cosine",
        "momentum": 0.9,
        "weight_decay": 1e-5,
    }
    # Stated: epochs, RMSProp with momentum 0.9, 0.2 times 0.9875 per epoch, smoothing, average of the weights and
    # stochastic depth without their values. What is missing is EfficientNet's published recipe, whose rate falls as
    # fast (0.97 per 2.4 epochs) from 0.256 for 4,096 pictures after 5 epochs of warm-up; it drops 0.2 of the features.
    train_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 420,
        "batch_size": 256,
        "mode": "standalone",
        "optimiser": "rmsprop",
        "learning_rate": 0.2,
        "per_pictures": 4096,
        "schedule": "exponential",
        "decay": 0.9875,
        "warmup_share": 5 / 420,
        "momentum": 0.9,
        "nesterov": False,
        "rmsprop_decay": 0.9,
        "rmsprop_epsilon": 1e-3,
        "weight_decay": 1e-5,
        "weight_decay_on": "convolutions",
        "label_smoothing": 0.1,
        "weight_average": 0.9999,
        "drop_path": 0.2,
        "dropout": 0.2,
    }

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: FPNASSettings | None = None, seed: int = 0
    ) -> None:
        settings = settings or FPNASSettings()
        groups = space.groups if settings.distribution == "joint" else one_each(space)
        super().__init__(space, platforms, settings, [Policy(space, groups) for _ in platforms], seed)
        self.optimisers = [Adam(policy.logits.shape) for policy in self.policies]
        self.spread = _RunningSpread()

    @property
    def passes_per_step(self) -> int:
        """Samples of the first step, of all platforms."""
        return sum(self._samples(policy.entropy_nats, least=1) for policy in self.policies)

    @property
    def scorings_per_step(self) -> int:
        return self.passes_per_step

    @property
    def updates_per_step(self) -> int:
        return len(self.platforms)

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        before = evaluator.progress
        self._convert(before)
        learning = before >= self._start(evaluator)
        metrics = [self._platform_step(k, evaluator, learning) for k in range(len(self.platforms))]
        self.steps += 1
        self.remember(evaluator.progress)
        return self.platform_metrics(metrics)

    def _platform_step(self, k: int, evaluator: Evaluator, learning: bool) -> dict[str, float]:
        policy, before = self.policies[k], evaluator.progress
        entropy_nats = policy.entropy_nats
        count = self._samples(entropy_nats, least=1 if evaluator.trains else 2)
        rng = numpy_generator(self.seed, "architectures", self.steps * len(self.platforms) + k)
        rows = policy.sample(count, rng)
        metrics = {"entropy_nats": entropy_nats, "samples_per_step": float(count)}
        metrics["cost_ratio"] = float(np.mean(self._ratios(k, rows)))
        if evaluator.trains:
            passes = [Pass(row, weight=1.0 if learning else 1.0 / count, observe=True) for row in rows]
            combine: Literal["likelihood", "sum"] = "likelihood" if learning else "sum"
            metrics["loss"] = float(np.mean(evaluator.train(passes, combine, self.settings.temperature)))
        if learning:
            metrics |= self._learn(k, rows, evaluator, before)
        return metrics

    def _learn(self, k: int, rows: NDArray[np.int64], evaluator: Evaluator, before: float) -> dict[str, float]:
        """One step of alpha along equation 7, on data that the weights never learn from."""
        losses, qualities = evaluator.score(list(rows))
        known = ~np.isnan(losses)
        if not known.any():
            return {}
        rows, losses = rows[known], losses[known]
        if not evaluator.trains:
            self.spread.add(losses)
            losses = losses * self.spread.to(_SPREAD_NATS)
        rho = _softmax(-losses / self.settings.temperature)
        weights = rho - self.settings.cost_weight * self._cost_weights(k, rows)
        if self.settings.centred or not evaluator.trains:
            weights = weights - weights.mean()
        policy, optimiser = self.policies[k], self.optimisers[k]
        # Every other platform moves progress too, about as far, before this one learns again.
        rate = self._rate(self._start(evaluator), len(self.platforms) * (evaluator.progress - before))
        policy.logits = policy.logits + optimiser.change(-policy.gradient(rows, weights), rate)
        effective = 1.0 / float(np.square(rho).sum())
        return {"quality": float(np.mean(qualities[known])), "effective_samples": effective, "policy_rate": rate}

    def _samples(self, entropy_nats: float, least: int) -> int:
        """Equation 4, with the rounding that gives the paper's 14 samples (facts, section 3)."""
        asked = self.settings.samples
        return max(least, math.floor(self.settings.entropy_scale * entropy_nats) if asked is None else asked)

    def _ratios(self, k: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cost over target ``[n]``, of the budget that is exceeded most (used up most) by each row."""
        return np.asarray(np.max([b.cost(rows) / b.limit for b in self.budgets[k]], axis=0))

    def _cost_weights(self, k: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """c_k of equation 7: the share of each sample in what exceeds the targets, 0 where nothing does."""
        excess = np.sum([np.maximum(0.0, b.cost(rows) / b.limit - 1.0) for b in self.budgets[k]], axis=0)
        total = float(excess.sum())
        if total == 0.0 or not self.settings.cost_normalised:
            return np.asarray(excess)
        return np.asarray(excess / total)

    def _start(self, evaluator: Evaluator) -> float:
        """When alpha begins to learn: tables have no weights to warm up."""
        return self.settings.warmup if evaluator.trains else 0.0

    def _rate(self, start: float, moved: float) -> float:
        """Adam's rate where policies learn from progress ``start`` on and a step moves progress by ``moved``."""
        if self.settings.rate_rule == "paper":
            return self.settings.rate
        return self.settings.rate / root_of_steps(_PAPER_STEPS, start, 0.0, moved)

    def _convert(self, progress: float) -> None:
        """From factorised to joint at the share ``conversion``; Adam starts anew, as its moments do not map."""
        if self.settings.distribution != "mixed" or progress < self.settings.conversion:
            return
        for k, policy in enumerate(self.policies):
            if policy.groups != self.space.groups:
                self.policies[k] = policy.regrouped(self.space.groups)
                self.optimisers[k] = Adam(self.policies[k].logits.shape)

    def state_dict(self) -> dict[str, Any]:
        optimisers = [optimiser.state_dict() for optimiser in self.optimisers]
        return {**super().state_dict(), "optimisers": optimisers, "spread": self.spread.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.spread.load_state_dict(state["spread"])


class _RunningSpread:
    """The standard deviation of all losses so far, which makes the unit of a table's losses irrelevant."""

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        for value in values:  # Welford's update
            self.count += 1
            step = float(value) - self.mean
            self.mean += step / self.count
            self.squares += step * (float(value) - self.mean)

    def to(self, spread: float) -> float:
        """The factor that brings the losses to a spread; 0 while they are all equal."""
        deviation = math.sqrt(self.squares / max(1, self.count - 1))
        return spread / deviation if deviation > 0 else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count, self.mean, self.squares = state["count"], state["mean"], state["squares"]


def _softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(values - values.max())
    return np.asarray(shifted / shifted.sum())
