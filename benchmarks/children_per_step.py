"""What do the children of a search step cost? K of FP-NAS through the supernet against K plain ones, and together.

Space fbnetv2_f with the strides of the paper at 64x64, batch 32; K architectures are drawn five times.
Supernet: the passes of a step, each weighted by its likelihood. Plain: forward and backward computation of the
extracted children. Updates are on neither side. *Peak* is exact, as in op_warmup: the most that tensors hold above what
stood before, with gradient buffers in place; of K children against the largest peak of one of them.

Batching: children are sorted and prefixes of equal blocks run once (shared_prefix.py, a trial), with as many children
as a policy of that entropy asks for. *Different networks* of a fixed 14 samples: what running equal ones once would
save. Policies between uniform and certain are random logits, scaled until the entropy is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from measure import Figure, Seconds, pairs, ratio, ratio_of_bytes, report
from peak_memory import tensor_bytes
from sartor.policy import Policy
from sartor.space import Architecture
from sartor.train.passes import Pass
from sartor.train.runner import PassRunner
from sartor.train.settings import SearchTraining
from shared_prefix import SharedPrefixes
from workload import SEED, Scale, Workload, describe

GOAL = 1.03
FBNETV2_F = Scale("fbnetv2_f", {"layout": "imagenet"}, image_size=64, batch_size=32)
SETS = 5  # of architectures; each is used for the same number of pairs
KS = (1, 4, 8, 14)
KS_OF_MEMORY = (1, 4, 14)
# Shares of the uniform entropy, and the samples they ask for at a scale of 1/4: 14, 7 and 3 in the space at hand.
ENTROPIES = (1.0, 0.5, 0.22)
FIXED, SETTLED_NATS = 14, (8.0, 2.0)


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or FBNETV2_F
    steps = Steps(scale)
    figures = [children(steps, k) for k in KS]
    figures += memory(steps)
    figures += [figure for share in ENTROPIES for figure in together(steps, share)]
    figures += [different(steps, nats) for nats in SETTLED_NATS]
    report("children_per_step", __doc__.splitlines()[0], figures, scale.settings())
    return figures


class Steps:
    """Passes of a step of FP-NAS, and the same networks by themselves."""

    def __init__(self, scale: Scale) -> None:
        self.work = Workload(scale)
        self.runner = PassRunner(lambda x, row, _: self.work.supernet(x, row))
        # Rate 0 without momentum and decay: the weights stay as they are, and so does the work.
        self.optimiser = self.work.optimiser(SearchTraining(momentum=0.0, weight_decay=0.0))
        self.prefixes = SharedPrefixes(self.work.supernet)
        self.rng = np.random.default_rng(SEED)

    def one_by_one(self, rows: Sequence[Any]) -> None:
        """As the search does it."""
        passes = [Pass(tuple(row), observe=True) for row in rows]
        self.runner.likelihood(self.work.x, self.work.y, passes, self.gradients, 1.0)

    def plain(self, networks: Sequence[nn.Module]) -> None:
        """Networks with weights of their own."""
        for network in networks:
            self.work.child_pass(network)

    def together(self, rows: Sequence[Any]) -> None:
        """Prefixes of equal blocks once."""
        self.prefixes.likelihood(self.work.x, self.work.y, rows)

    def gradients(self) -> list[Any]:
        """The buffers that passes add to."""
        return [p.grad for p in self.optimiser.parameters if p.grad is not None]

    def clear(self) -> None:
        """As the optimiser leaves gradients."""
        self.optimiser.step(0.0)

    def policy(self, nats: float) -> Policy:
        """A policy of so many nats, or the uniform one where that is all there is."""
        policy = Policy(self.work.space, self.work.space.groups)
        drawn = np.where(np.isfinite(policy.logits), self.rng.normal(size=policy.logits.shape), 0.0)
        uniform, low, high = policy.logits, 0.0, 100.0
        for _ in range(40 if policy.entropy_nats > nats + 1e-9 else 0):
            policy.logits = uniform + (low + high) / 2 * drawn
            low, high = ((low + high) / 2, high) if policy.entropy_nats > nats else (low, (low + high) / 2)
        return policy


def children(steps: Steps, k: int) -> Figure:
    """K children through the supernet against K plain ones."""
    parts: list[Seconds] = []
    every: list[Architecture] = []
    # More pairs where one is short, for a disturbance weighs more there.
    count = -(-4 * steps.work.scale.pairs // (SETS * (k + 1)))
    for _ in range(SETS):
        drawn = [steps.work.architecture("random") for _ in range(k)]
        every += drawn
        parts.append(_pairs_of(steps, drawn, count))
    seconds = np.concatenate(parts)
    return ratio(f"step, K = {k}: supernet / plain children", seconds, goal=GOAL, **describe(every))


def _pairs_of(steps: Steps, drawn: Sequence[Architecture], count: int) -> Seconds:
    networks = [steps.work.child(architecture) for architecture in drawn]
    rows = [architecture.row for architecture in drawn]

    def clear() -> None:
        for network in networks:
            network.zero_grad()

    return pairs(
        lambda: steps.one_by_one(rows), lambda: steps.plain(networks), count, after=(steps.clear, clear), warm_up=1
    )


def memory(steps: Steps) -> list[Figure]:
    """The peak of a step of K children against that of the one among them that needs most."""
    rows = [steps.work.architecture("random").row for _ in range(max(KS_OF_MEMORY))]
    steps.one_by_one(rows)  # gradient buffers are made, and stand

    def peak(some: Sequence[Any]) -> int:
        return int(tensor_bytes(lambda: steps.one_by_one(some)).max())

    alone = [peak([row]) for row in rows]
    figures = []
    for k in KS_OF_MEMORY:
        name = f"peak of tensors, K = {k}: all children / the largest"
        figures.append(ratio_of_bytes(name, peak(rows[:k]), max(alone[:k]), goal=GOAL))
    steps.clear()
    return figures


def together(steps: Steps, share: float) -> list[Figure]:
    """Training passes and scoring with prefixes run once, against one by one, for as many samples as asked for."""
    policy = steps.policy(share * steps.policy(np.inf).entropy_nats)
    k = max(2, int(policy.entropy_nats / 4))
    trained, scored, blocks, asked = [], [], 0, 0
    for _ in range(SETS):
        rows = policy.sample(k, steps.rng)
        count = -(-steps.work.scale.pairs // (3 * SETS))
        clear = (steps.clear, steps.clear)
        trained.append(
            pairs(lambda r=rows: steps.together(r), lambda r=rows: steps.one_by_one(r), count, after=clear, warm_up=1)  # type: ignore[misc]
        )
        scored.append(pairs(lambda r=rows: _score(steps, r, True), lambda r=rows: _score(steps, r, False), count))  # type: ignore[misc]
        steps.prefixes.blocks = 0
        _score(steps, rows, True)
        blocks, asked = blocks + steps.prefixes.blocks, asked + k * len(steps.prefixes.scopes)
    at = f"{policy.entropy_nats:.0f} nats, K = {k}"
    ran = {"share_of_blocks": round(blocks / asked, 3)}
    return [
        ratio(f"training passes, {at}: prefixes once / one by one", np.concatenate(trained), **ran),
        ratio(f"scoring, {at}: prefixes once / one by one", np.concatenate(scored), **ran),
    ]


def _score(steps: Steps, rows: Sequence[Any], shared: bool) -> None:
    """All losses, without gradients."""
    if shared:
        steps.prefixes.score(steps.work.x, steps.work.y, rows)
        return
    with torch.no_grad():
        for row in rows:
            float(F.cross_entropy(steps.work.supernet(steps.work.x, row), steps.work.y))


def different(steps: Steps, nats: float) -> Figure:
    """Different networks among a fixed number of samples."""
    policy, space = steps.policy(nats), steps.work.space
    counts = [len(np.unique(space.canonical(policy.sample(FIXED, steps.rng)), axis=0)) for _ in range(200)]
    mean = float(np.mean(counts)) / FIXED
    spread = 1.96 * float(np.std(counts)) / FIXED / np.sqrt(len(counts))
    name = f"different networks, {policy.entropy_nats:.0f} nats, K = {FIXED}: share of the samples"
    return Figure(name, mean, mean - spread, mean + spread, samples=len(counts))


if __name__ == "__main__":
    main()
