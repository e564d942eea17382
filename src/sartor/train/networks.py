"""Final training: one slimmable network for all platforms, or every network alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from sartor.blueprint import Blueprint
from sartor.elastic.execution import Dropout
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.runtime import Runtime
from sartor.seeds import numpy_generator, torch_generator
from sartor.train.loop import Store, run_steps
from sartor.train.optimiser import PrefixSGD, learning_rate
from sartor.train.passes import Pass, PassRunner, sandwich
from sartor.train.settings import FinalTraining


class Stream(Protocol):
    """Training batches as a function of the step."""

    steps_per_epoch: int
    batch_size: int

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Trained:
    """What a final training leaves: the networks by platform, the pictures seen, and the shared network if any.

    ``images`` counts every pass over a picture.
    """

    networks: dict[str, nn.Module]
    images: int
    slimmable: SlimmableNetwork | None = None


def total_steps(settings: FinalTraining, stream: Stream) -> int:
    """Steps of the whole training, at least one."""
    return max(1, round(settings.epochs * stream.steps_per_epoch))


def train_slimmable(
    blueprints: Mapping[str, Blueprint],
    weights: Mapping[str, float],
    stream: Stream,
    settings: FinalTraining,
    runtime: Runtime,
    store: Store,
    *,
    seed: int = 0,
) -> Trained:
    """One network with shared weights for all platforms, trained by the sandwich rule (sections 2.1 and 4.1).

    The platform with the most MACs is the largest pass and the one with the fewest the smallest; the others are
    drawn uniformly or by ``weights``, without replacement inside a step, as ``settings.sampling`` says.
    """
    training = _SlimmableTraining(blueprints, weights, stream, settings, runtime, seed)
    steps = total_steps(settings, stream)
    images = stream.batch_size * training.passes_per_step
    parts = {"network": training.network, "optimiser": training.optimiser}
    run_steps(training.step, steps, parts, store, images_per_step=images)
    networks = {name: training.network.extract(name) for name in blueprints}
    return Trained(networks, steps * images, training.network)


def train_standalone(
    name: str,
    blueprint: Blueprint,
    stream: Stream,
    settings: FinalTraining,
    runtime: Runtime,
    store: Store,
    *,
    seed: int,
) -> Trained:
    """One network alone, with the same schedule (Table 3)."""
    # A slimmable network with one switch is the plain network: same layers, same batch norm, one pass per step.
    alone = train_slimmable({name: blueprint}, {name: 1.0}, stream, settings, runtime, store, seed=seed)
    return Trained(alone.networks, alone.images)


class _SlimmableTraining:
    """The state of one training: network, optimiser, and the step that moves them."""

    def __init__(
        self,
        blueprints: Mapping[str, Blueprint],
        weights: Mapping[str, float],
        stream: Stream,
        settings: FinalTraining,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.network = SlimmableNetwork(blueprints, seed=seed)
        runtime.place(self.network)
        self.optimiser = PrefixSGD(self.network.parameters(), settings, self.network.bank)
        self.runner = PassRunner(self._forward, settings.micro_batch, settings.label_smoothing, runtime.autocast)
        self.stream, self.settings, self.seed = stream, settings, seed
        self.order = sorted(blueprints, key=lambda name: blueprints[name].macs)
        self.weights = weights
        self.passes_per_step = min(len(self.order), 2 + settings.random_passes)

    def step(self, number: int) -> dict[str, float]:
        """All passes of one step, then one update of the shared weights."""
        self.network.train()
        x, y = self.stream.batch(number)
        self._dropout = Dropout(self.settings.dropout, torch_generator(self.seed, "dropout", number))
        losses = self.runner(x, y, self._passes(number))
        rate = learning_rate(self.settings, number / self.stream.steps_per_epoch)
        self.optimiser.step(rate)
        metrics = {"loss": float(losses[0]), "learning_rate": rate}
        return metrics if len(losses) == 1 else {**metrics, "loss_smallest": float(losses[1])}

    def _passes(self, number: int) -> list[Pass]:
        smallest, largest = self.order[0], self.order[-1]
        drawn = draw_platforms(
            self.order[1:-1], self.weights, self.settings, numpy_generator(self.seed, "platforms", number)
        )
        dropout = self.settings.dropout > 0
        if smallest == largest:
            return [Pass(largest, dropout=dropout, observe=True)]
        passes = sandwich(largest, smallest, drawn, distillation=self.settings.distillation, dropout=dropout)
        return [dataclasses.replace(p, observe=True) for p in passes]

    def _forward(self, x: Tensor, switch: str, drop: bool) -> Tensor:
        self.network.dropout = self._dropout if drop else None
        logits: Tensor = self.network(x, switch=switch)
        return logits


def draw_platforms(
    middle: Sequence[str], weights: Mapping[str, float], settings: FinalTraining, rng: np.random.Generator
) -> list[str]:
    """The middle platforms of one step: distinct, uniformly or in proportion to their weights."""
    count = min(settings.random_passes, len(middle))
    if not count:
        return []
    share = np.array([weights[name] if settings.sampling == "weight" else 1.0 for name in middle])
    return [middle[i] for i in rng.choice(len(middle), size=count, replace=False, p=share / share.sum())]
