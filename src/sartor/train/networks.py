"""Final training: one slimmable network for all platforms; with one platform, that network alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from sartor.blueprint import Blueprint
from sartor.elastic.execution import Dropout, DropPath
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.layers import Residual
from sartor.runtime import Runtime
from sartor.seeds import numpy_generator, torch_generator
from sartor.train.average import WeightAverage
from sartor.train.loop import State, Store, run_until
from sartor.train.optimiser import PrefixOptimiser, learning_rate
from sartor.train.passes import EXTERNAL, Pass, sandwich
from sartor.train.runner import PassRunner
from sartor.train.settings import FinalTraining
from sartor.train.teacher import Outputs, Teacher


class Stream(Protocol):
    """Training batches as a function of the step."""

    steps_per_epoch: int
    batch_size: int

    def batch(self, step: int) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Trained:
    """A trained network with one switch per platform, and the pictures it has seen (every pass counts).

    Its batch-norm statistics are those of the steps; measure them anew (:func:`sartor.train.calibration.recalibrate`)
    before it is evaluated.
    """

    network: SlimmableNetwork
    images: int


def train_slimmable(
    blueprints: Mapping[str, Blueprint],
    weights: Mapping[str, float],
    stream: Stream,
    settings: FinalTraining,
    runtime: Runtime,
    store: Store,
    *,
    seed: int = 0,
    teacher: Outputs | None = None,
) -> Trained:
    """One network with shared weights for all platforms, trained by the sandwich rule (sections 2.1 and 4.1).

    The platform with the most MACs is the largest pass and the one with the fewest the smallest; the others are
    drawn uniformly or by ``weights``, without replacement inside a step, as ``settings.sampling`` says. With one
    platform this is the training of that network alone: the same layers, one pass per step.

    ``teacher`` answers pictures as batches hold them; the largest pass learns from it, as the settings weigh it.
    """
    if settings.teacher is not None and teacher is None:
        raise ValueError(f"the settings name a teacher, {settings.teacher}, which was not loaded")
    training = _SlimmableTraining(blueprints, weights, stream, settings, runtime, seed, teacher)
    run_until(training.step, training.position, {"training": training}, store)
    if training.average is not None:
        training.average.apply()  # after the last checkpoint, which holds the weights themselves
    return Trained(training.network, training.position()[2])


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
        teacher: Outputs | None,
    ) -> None:
        self.network = SlimmableNetwork(blueprints, seed=seed, initialiser=settings.initialiser)
        runtime.place(self.network)
        self.optimiser = PrefixOptimiser(self.network.parameters(), settings, self.network.bank)
        decay = settings.weight_average
        self.average = WeightAverage(self.network.parameters(), decay) if decay else None
        taught = None
        if teacher is not None:
            taught = Teacher(teacher, settings.teacher_weight, settings.teacher_temperature)
        smoothing = settings.label_smoothing
        self.runner = PassRunner(self._forward, settings.micro_batch, smoothing, runtime.autocast, taught)
        self.stream, self.settings, self.seed = stream, settings, seed
        self.order = sorted(blueprints, key=lambda name: blueprints[name].macs)
        self.path_rates = path_rates(blueprints[self.order[-1]], settings.drop_path)
        self.weights = weights
        self.passes_per_step = min(len(self.order), 2 + settings.random_passes)
        self.steps = max(1, round(settings.epochs * stream.steps_per_epoch))
        self.number = 0

    def position(self) -> tuple[float, float, int]:
        """Steps done, steps to do, pictures seen (every pass counts)."""
        return self.number, self.steps, self.number * self.passes_per_step * self.stream.batch_size

    def step(self) -> dict[str, float]:
        """All passes of one step, then one update of the shared weights."""
        number = self.number
        self.network.train()
        x, y = self.stream.batch(number)
        paths = DropPath(self.path_rates, torch_generator(self.seed, "drop path", number))
        self._dropout = Dropout(self.settings.dropout_rate, torch_generator(self.seed, "dropout", number), paths)
        losses = self.runner(x, y, self._passes(number))
        rate = learning_rate(self.settings, number / self.stream.steps_per_epoch, self.stream.batch_size)
        self.optimiser.step(rate)
        if self.average is not None:
            self.average.update()
        self.number += 1
        metrics = {"loss": float(losses[0]), "learning_rate": rate}
        return metrics if len(losses) == 1 else {**metrics, "loss_smallest": float(losses[1])}

    def state_dict(self) -> State:
        """Weights and their average, what the optimiser remembers, and the number of the step."""
        parts = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        average = {} if self.average is None else {"average": self.average.state_dict()}
        return {**parts, **average, "number": self.number}

    def load_state_dict(self, state: State) -> None:
        """The inverse of :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.number = state["number"]

    def _passes(self, number: int) -> list[Pass]:
        smallest, largest = self.order[0], self.order[-1]
        drawn = draw_platforms(
            self.order[1:-1], self.weights, self.settings, numpy_generator(self.seed, "platforms", number)
        )
        dropout = self.settings.dropout_rate > 0 or self.settings.drop_path > 0
        first = Pass(largest, dropout=dropout, teacher=EXTERNAL if self.runner.teacher else None)
        others: list[Pass] = []
        if smallest != largest:
            others = sandwich(largest, smallest, drawn, distillation=self.settings.distillation)[1:]
        return [dataclasses.replace(p, observe=True) for p in (first, *others)]

    def _forward(self, x: Tensor, switch: str, drop: bool) -> Tensor:
        self.network.dropout = self._dropout if drop else None
        logits: Tensor = self.network(x, switch=switch)
        return logits


def path_rates(blueprint: Blueprint, rate: float) -> dict[str, float]:
    """How often each block leaves out its residual branch: linear in its rank, up to ``rate`` for the last one.

    Huang et al., stochastic depth, equation 4.
    """
    names = [b.name for b in blueprint.blocks if any(isinstance(node, Residual) for node in b.stack.body)]
    return {name: rate * (i + 1) / len(names) for i, name in enumerate(names)}


def draw_platforms(
    middle: Sequence[str], weights: Mapping[str, float], settings: FinalTraining, rng: np.random.Generator
) -> list[str]:
    """The middle platforms of one step: distinct, uniformly or in proportion to their weights."""
    count = min(settings.random_passes, len(middle))
    if not count:
        return []
    share = np.array([weights[name] if settings.sampling == "weight" else 1.0 for name in middle])
    return [middle[i] for i in rng.choice(len(middle), size=count, replace=False, p=share / share.sum())]
