"""What the exits of a network learn together, and the exit that only training has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.blueprint import Blueprint
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.errors import RequestError
from sartor.network import exit_names
from sartor.train.settings import FinalTraining, OptimiserSettings
from sartor.train.teacher import Lesson


class Auxiliary(NamedTuple):
    """An exit that serves training alone: its place among the exits, and its weight in the loss."""

    place: int
    weight: float


@dataclass(frozen=True, kw_only=True)
class Exits:
    """The loss of a network with exits: the sum of their losses, each times its weight (MSDNet; MS-RANAS, section 2.3).

    Args:
        weights: one per exit; None: 1 each.
        averaged: divides the sum by the number of exits, so that the weights before them move as they do under one.
        share, temperature: every exit but the last learns (1 - share) * CE(labels) + share * T^2 * KL(last || exit),
            the last one's predictions taken as they are (after Phuong & Lampert 2019).
        auxiliary: an exit that serves training alone; it is neither counted nor taught by the last one.
    """

    weights: tuple[float, ...] | None = None
    averaged: bool = False
    share: float = 0.0
    temperature: float = 1.0
    auxiliary: Auxiliary | None = None

    @classmethod
    def of(cls, settings: OptimiserSettings, auxiliary: Auxiliary | None = None) -> Exits:
        """What the settings of a training say."""
        share, temperature = 0.0, 1.0
        if isinstance(settings, FinalTraining):
            share, temperature = settings.exit_distillation, settings.exit_temperature
        return cls(
            weights=settings.exit_weights,
            averaged=settings.exits_averaged,
            share=share,
            temperature=temperature,
            auxiliary=auxiliary,
        )

    def weights_of(self, count: int) -> tuple[float, ...]:
        """The weight of each of ``count`` outputs; a network with one exit is trained on that one's loss as it is.

        Weights belong to exits: of a network that is cut off after an exit, the first ones count.

        Raises:
            RequestError: there are fewer weights than exits.
        """
        own = count - (self.auxiliary is not None)
        weights = (1.0,) * own if self.weights is None or own == 1 else self.weights[:own]
        if len(weights) < own:
            raise RequestError(_unfitting("exit_weights", len(weights), own))
        if self.averaged:
            weights = tuple(weight / own for weight in weights)
        if self.auxiliary is None:
            return weights
        place = self.auxiliary.place
        return (*weights[:place], self.auxiliary.weight, *weights[place:])

    def loss(
        self, logits: Sequence[Tensor], y: Tensor, label_smoothing: float = 0.0, lesson: Lesson | None = None
    ) -> Tensor:
        """The loss that trains, from the logits of every exit ``[B, classes]``.

        ``lesson``: what a teacher says, which each exit learns beside the above, or in place of it.
        """
        if lesson is not None and lesson.share == 1.0:
            return self._sum(lesson.losses(logits))
        own = [F.cross_entropy(out, y, label_smoothing=label_smoothing) for out in logits]
        if self.share:
            own = self._with_last(own, logits)
        if lesson is not None:
            taught = lesson.losses(logits)
            own = [(1 - lesson.share) * a + lesson.share * b for a, b in zip(own, taught, strict=True)]
        return self._sum(own)

    def hard_loss(self, logits: Sequence[Tensor], y: Tensor) -> Tensor:
        """What is reported, without gradient: the cross-entropies to the labels, summed as weights say.

        The auxiliary exit is no part of the network that is reported on.
        """
        weights = self.weights_of(len(logits))
        skipped = None if self.auxiliary is None else self.auxiliary.place
        losses = [w * F.cross_entropy(out.detach(), y) for w, out in zip(weights, logits, strict=True)]
        return torch.stack([loss for k, loss in enumerate(losses) if k != skipped]).sum()

    def _with_last(self, own: Sequence[Tensor], logits: Sequence[Tensor]) -> list[Tensor]:
        """Losses to the labels joined by those to the last exit's predictions."""
        taught = Lesson((logits[-1].detach(),), self.share, self.temperature).losses(logits)
        labelled = {len(own) - 1} | ({self.auxiliary.place} if self.auxiliary is not None else set())
        return [
            loss if k in labelled else (1 - self.share) * loss + self.share * soft
            for k, (loss, soft) in enumerate(zip(own, taught, strict=True))
        ]

    def _sum(self, losses: Sequence[Tensor]) -> Tensor:
        weights = self.weights_of(len(losses))
        return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum()


def check_exits(settings: OptimiserSettings, exits: int, key: str) -> None:
    """Refuses settings of exits that a network with so many ``exits`` has no use for; ``key`` names the section.

    Raises:
        RequestError: one sentence on what does not fit.
    """
    given = settings.exit_weights
    if exits > 1 and given is not None and len(given) != exits:
        raise RequestError(_unfitting(f"{key}.exit_weights", len(given), exits))
    asked = {"exit_weights": given is not None, "exits_averaged": settings.exits_averaged}
    if isinstance(settings, FinalTraining):
        asked |= {
            "exit_distillation": settings.exit_distillation > 0,
            "gradient_equilibrium": settings.gradient_equilibrium,
        }
    if exits == 1 and any(asked.values()):
        names = ", ".join(f"{key}.{name}" for name, is_asked in asked.items() if is_asked)
        raise RequestError(f"{names}: the network has one exit; leave this out, or choose a space with several exits")


def _unfitting(name: str, given: int, exits: int) -> str:
    return f"{name} has {given} values, but the network has {exits} exits; give one each"


def with_auxiliary(blueprint: Blueprint) -> tuple[Blueprint, int | None]:
    """The network that is trained, its auxiliary exit among the exits; and that one's place (None: it has none).

    It follows the block that it reads, so that nothing waits for it.
    """
    block = blueprint.auxiliary
    if block is None:
        return blueprint, None
    exits = exit_names(blueprint.blocks)
    blocks = []
    for other in blueprint.blocks:
        blocks.append(dataclasses.replace(other, is_exit=other.name in exits))
        if other.name == block.inputs[-1]:
            blocks.append(dataclasses.replace(block, is_exit=True))
    place = exit_names(blocks).index(block.name)
    return dataclasses.replace(blueprint, blocks=tuple(blocks), auxiliary=None), place


def without_auxiliary(network: SlimmableNetwork, blueprints: Mapping[str, Blueprint]) -> SlimmableNetwork:
    """The network of the plain ``blueprints`` with the weights and statistics of the trained one."""
    if network.blueprints == dict(blueprints):
        return network
    plain, state = SlimmableNetwork(blueprints), network.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    return plain.train(network.training)
