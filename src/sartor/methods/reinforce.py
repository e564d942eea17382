"""REINFORCE for one platform: how TuNAS's policy moves (section 4; facts, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.methods.rewards import Reward
from sartor.policy import Adam, Policy

Array = NDArray[Any]


class Controller:
    """A policy, its reward, the baseline and the optimiser.

    Args:
        policy: the distribution that it moves; every decision a group of its own.
        reward: what an architecture of some quality is worth.
        baseline_momentum: of the moving average of rewards.
        entropy_weight: of the entropy bonus (see :class:`sartor.methods.tunas.TuNASSettings`).
    """

    def __init__(self, policy: Policy, reward: Reward, baseline_momentum: float, entropy_weight: float = 0.0) -> None:
        self.policy, self.reward = policy, reward
        self.baseline_momentum, self.entropy_weight = baseline_momentum, entropy_weight
        self.optimiser = Adam(policy.logits.shape, beta1=0.0)
        self.baseline = (0.0, 0.0)  # of the moving average: weighted sum of rewards, sum of weights

    def learn(self, rows: Array, replaced: Array, qualities: Array, rate: float) -> dict[str, float]:
        """One step from rows ``[n, D]``, which of their decisions were replaced, and their qualities ``[n]``.

        Samples without an answer (NaN) are left out. Baseline and moments move while the rate is 0, too. Costs are
        those of the sampled rows even where a warm-up replaced a decision (the official code interpolates): the
        policy is frozen then, so that only baseline and log see them.
        """
        known = ~np.isnan(qualities)
        if not known.any():
            return {"entropy_nats": self.policy.entropy_nats}
        rows, replaced, qualities = rows[known], replaced[known], qualities[known]
        rewards = self.reward(rows, qualities)
        advantages = rewards - self._updated_baseline(float(rewards.mean()))
        change = self._change(rows, replaced, advantages, rate)
        if rate:
            self.policy.logits = self.policy.logits + change
        return {
            "quality": float(qualities.mean()),
            "reward": float(rewards.mean()),
            "cost_ratio": float(self.reward.cost_ratio(rows).mean()),
            "entropy_nats": self.policy.entropy_nats,
        }

    def _change(self, rows: Array, replaced: Array, advantages: Array, rate: float) -> Array:
        """Adam's step along the mean of (r - baseline) grad log pi, its second moment the mean of squares."""
        gradients = self.policy.gradients(rows)  # [n, D, O]
        gradients[replaced] = 0.0  # a replaced decision was not the policy's: its log-probability is constant
        of_loss = -advantages[:, None, None] * gradients
        change = self.optimiser.change(of_loss.mean(axis=0), rate, squares=(of_loss**2).mean(axis=0))
        if self.entropy_weight:
            surprise = -self.policy.log_probability(rows) - self.policy.entropy_nats
            change += rate * self.entropy_weight * (surprise[:, None, None] * gradients).mean(axis=0)
        return change

    def _updated_baseline(self, reward: float) -> float:
        """The debiased moving average of rewards; this step's is already in it, as in the official code."""
        keep = self.baseline_momentum
        total, weight = self.baseline
        self.baseline = (keep * total + (1 - keep) * reward, keep * weight + (1 - keep))
        return self.baseline[0] / self.baseline[1]

    def state_dict(self) -> dict[str, Any]:
        """Baseline and moments; the policy is kept by its owner."""
        return {"baseline": list(self.baseline), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        total, weight = state["baseline"]
        self.baseline = (total, weight)
        self.optimiser.load_state_dict(state["optimiser"])
