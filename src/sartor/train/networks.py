"""Final training: one slimmable network for all platforms, one platform's network alone, or one with exits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor import world
from sartor.blueprint import Blueprint
from sartor.elastic.execution import Dropout, DropPath
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.runtime import Runtime
from sartor.seeds import numpy_generator, torch_generator
from sartor.train.average import WeightAverage
from sartor.train.exits import Auxiliary, Exits, with_auxiliary, without_auxiliary
from sartor.train.loop import State, Store, run_until
from sartor.train.optimiser import PrefixOptimiser, learning_rate
from sartor.train.passes import EXTERNAL, Pass, sandwich
from sartor.train.paths import branch_rates, edge_rates, equilibrium, reader
from sartor.train.runner import PassRunner
from sartor.train.settings import FinalTraining
from sartor.train.teacher import Outputs, Teacher

# The switch of a network that is trained by :func:`train_anytime`.
ANYTIME = "anytime"


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
    An auxiliary exit of a blueprint is trained beside the others and is not part of the result.
    """
    if settings.teacher is not None and teacher is None:
        raise ValueError(f"the settings name a teacher, {settings.teacher}, which was not loaded")
    training = _SlimmableTraining(blueprints, weights, stream, settings, runtime, seed, teacher)
    run_until(training.step, training.position, {"training": training}, store)
    if training.average is not None:
        training.average.apply()  # after the last checkpoint, which holds the weights themselves
    network = without_auxiliary(training.network, blueprints)
    runtime.place(network)
    return Trained(network, training.position()[2])


def train_anytime(
    blueprint: Blueprint,
    stream: Stream,
    settings: FinalTraining,
    runtime: Runtime,
    store: Store,
    *,
    seed: int = 0,
    teacher: Outputs | None = None,
) -> Trained:
    """One network with exits, trained on all of them at once; it serves every platform by one of its exits.

    It is the switch ``ANYTIME`` of the result, one forward and backward computation per step; a platform's network up
    to its exit is cut out of it by ``network.extract(ANYTIME, blueprint.cut(exit, lazy=True))``. MS-RANAS (sections
    2.3 and 4.3) and MSDNet are trained so.

    Raises:
        RequestError: the settings weigh another number of exits.
    """
    Exits.of(settings).weights_of(blueprint.exits)
    only, weight = {ANYTIME: blueprint}, {ANYTIME: 1.0}
    return train_slimmable(only, weight, stream, settings, runtime, store, seed=seed, teacher=teacher)


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
        forms, auxiliary = _trained_forms(blueprints, settings)
        self.network = SlimmableNetwork(forms, seed=seed, initialiser=settings.initialiser)
        runtime.place(self.network)
        self.optimiser = PrefixOptimiser(self.network.parameters(), settings, self.network.bank)
        decay = settings.weight_average
        self.average = WeightAverage(self.network.parameters(), decay) if decay else None
        taught = None
        if teacher is not None:
            taught = Teacher(teacher, settings.teacher_weight, settings.teacher_temperature)
        smoothing, exits = settings.label_smoothing, Exits.of(settings, auxiliary)
        self.runner = PassRunner(self._forward, settings.micro_batch, smoothing, runtime.autocast, taught, exits)
        self.stream, self.settings, self.seed = stream, settings, seed
        self.order = sorted(blueprints, key=lambda name: blueprints[name].macs)
        largest = blueprints[self.order[-1]]
        self.branch_rates = branch_rates(largest, settings.drop_path)
        self.edge_rates = edge_rates(largest, settings.drop_path)
        self.gradients = {n: equilibrium(b) if settings.gradient_equilibrium else {} for n, b in blueprints.items()}
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
        self._dropout = Dropout(
            self.settings.dropout_rate, torch_generator(self.seed, "dropout", number), self._paths(number)
        )
        self._outputs: list[tuple[Tensor, ...]] = []
        losses = self.runner(x, y, self._passes(number))
        rate = learning_rate(self.settings, number / self.stream.steps_per_epoch, self.stream.batch_size)
        clipping = self.optimiser.step(rate)
        if self.average is not None:
            self.average.update()
        self.number += 1
        smallest = {"loss_smallest": float(losses[1])} if len(losses) > 1 else {}
        return {"loss": float(losses[0]), "learning_rate": rate, **smallest, **self._exit_losses(y), **clipping}

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

    def _paths(self, number: int) -> DropPath:
        """Which branches and edges a step leaves out, and how often."""
        share = number / self.steps if self.settings.drop_path_ramp else 1.0
        branches, edges = (
            {name: share * rate for name, rate in rates.items()} for rates in (self.branch_rates, self.edge_rates)
        )
        return DropPath(branches, torch_generator(self.seed, "drop path", number), edges)

    def _forward(self, x: Tensor, switch: str, drop: bool) -> Any:
        self.network.dropout = self._dropout if drop else None
        self.network.read = reader(self.gradients[switch], self._dropout.paths if drop else None)
        outputs = self.network(x, switch=switch)
        if switch == self.order[-1] and isinstance(outputs, tuple):
            self._outputs.append(tuple(out.detach().float() for out in outputs))
        return outputs

    def _exit_losses(self, y: Tensor) -> dict[str, float]:
        """The loss of each exit of the largest network in this step, where it has several."""
        if not self._outputs:
            return {}
        outputs = [torch.cat(pieces) for pieces in zip(*self._outputs, strict=True)]
        losses = world.average(torch.stack([F.cross_entropy(out, y) for out in outputs]).double().cpu().numpy())
        auxiliary = self.runner.exits.auxiliary
        names = [f"exit{k}" for k in range(len(outputs))]
        if auxiliary is not None:
            names = [*names[: auxiliary.place], "auxiliary", *names[auxiliary.place : -1]]
        return {f"loss/{name}": float(loss) for name, loss in zip(names, losses, strict=True)}


def _trained_forms(
    blueprints: Mapping[str, Blueprint], settings: FinalTraining
) -> tuple[dict[str, Blueprint], Auxiliary | None]:
    """The networks with their auxiliary exits, if they have any and these count; and what that exit is."""
    if not settings.auxiliary_weight:
        return dict(blueprints), None
    forms = {name: with_auxiliary(blueprint) for name, blueprint in blueprints.items()}
    places = {place for _, place in forms.values()}
    if len(places) > 1:
        raise ValueError(f"networks that share weights have their auxiliary exits at different places: {places}")
    place = places.pop()
    auxiliary = None if place is None else Auxiliary(place, settings.auxiliary_weight)
    return {name: form for name, (form, _) in forms.items()}, auxiliary


def draw_platforms(
    middle: Sequence[str], weights: Mapping[str, float], settings: FinalTraining, rng: np.random.Generator
) -> list[str]:
    """The middle platforms of one step: distinct, uniformly or in proportion to their weights."""
    count = min(settings.random_passes, len(middle))
    if not count:
        return []
    share = np.array([weights[name] if settings.sampling == "weight" else 1.0 for name in middle])
    return [middle[i] for i in rng.choice(len(middle), size=count, replace=False, p=share / share.sum())]
