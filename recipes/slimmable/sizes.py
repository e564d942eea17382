"""The same experiment at three sizes: the paper's, one for two CPU cores, and one that tries everything in a minute."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shared_pictures
from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.data import Pictures, load
from sartor.methods.aows import AOWSSettings
from sartor.methods.ows import OWSSettings
from sartor.platforms import TARGET_WIDTHS, WEIGHTINGS, Platform
from sartor.space import SearchSpace
from sartor.train.settings import FinalTraining, SearchTraining
from slimmable.pieces import PLATFORMS, UNIFORM


@dataclass(frozen=True, kw_only=True)
class Size:
    """Everything that decides the numbers, except seed and machine.

    ``data`` are arguments of :func:`sartor.data.load`; ``space`` options of ``mobilenet_v1``. ``dataset`` is
    ``cifar100`` or ``digits``.
    """

    name: str
    dataset: str
    num_classes: int
    image_size: int
    in_channels: int = 3
    data: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Any] = field(default_factory=dict)
    search: SearchTraining
    ows: OWSSettings = field(default_factory=OWSSettings)
    aows: AOWSSettings = field(default_factory=AOWSSettings)
    train: FinalTraining
    calibration_pictures: int = 2048
    evaluation_batch: int = 256

    def make_space(self) -> SearchSpace:
        """The space of all searches."""
        return spaces.create(
            "mobilenet_v1",
            num_classes=self.num_classes,
            image_size=self.image_size,
            in_channels=self.in_channels,
            **self.space,
        )

    def load_pictures(self, path: Path | None = None) -> Pictures:
        """The pictures: from a published archive at ``path``, or from the shared sheets."""
        wanted = {"image_size": self.image_size, **self.data}
        if self.dataset == "cifar100" and path is None:
            return shared_pictures.load_cifar100(**wanted)
        return load(self.dataset, path, **wanted)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, by which a results folder recognises its size."""
        return dataclasses.asdict(self)


def original_blueprints(space: SearchSpace) -> dict[str, Blueprint]:
    """The seven uniform networks, the paper's original configurations."""
    assert space.uniform is not None
    return {p: space.blueprint(space.uniform(w), p) for p, w in zip(PLATFORMS, TARGET_WIDTHS, strict=True)}


def platforms(space: SearchSpace, row: str = UNIFORM) -> tuple[Platform, ...]:
    """The seven platforms of Table 1: the budgets are the MACs of the uniform networks, the weights those of a row."""
    networks = original_blueprints(space).values()
    rows = zip(PLATFORMS, networks, WEIGHTINGS[row], strict=True)
    return tuple(Platform(name, {"macs": network.macs}, weight) for name, network, weight in rows)


SIZES = {
    # The paper's setting (section 4.1): the defaults of the two trainings and of OWS and AOWS.
    "full": Size(
        name="full",
        dataset="cifar100",
        num_classes=100,
        image_size=32,
        space={"layout": "cifar"},
        search=SearchTraining(epochs=50, batch_size=128),
        train=FinalTraining(epochs=300, batch_size=128),
    ),
    # Deviations from the paper, each for the sake of two CPU cores: 20 classes at 16 x 16; a quarter of the widths, in
    # steps of 2, which keeps the paper's number of choices in every layer; two of the four strides (at 16 pixels the
    # four leave a single position); batches of 64. 10 epochs of search with a rate that falls with a cosine, the second
    # half of it in the loss tables, a ridge of 30 observations: what the tables from half of the observations explain
    # of the other half is 41 %, against 29 % at a constant rate and 20 % with a ridge of 1 (three random networks per
    # step would give more observations, but the sum of five gradients at rate 0.1 did not train at all). 10 epochs of
    # final training with a cosine, as 0.985 per epoch leaves a short training too little of its rate; no dropout, which
    # networks this small do not need.
    "cpu": Size(
        name="cpu",
        dataset="cifar100",
        num_classes=20,
        image_size=16,
        data={"classes": 20, "seed": 0},
        space={"layout": "small", "multiplier": 0.25, "divisor": 2},
        search=SearchTraining(epochs=10, batch_size=64, schedule="cosine"),
        ows=OWSSettings(window=0.5, ridge=30.0),
        aows=AOWSSettings(window=0.5, ridge=30.0),
        train=FinalTraining(epochs=10, batch_size=64, schedule="cosine", dropout=0.0),
    ),
    "smoke": Size(
        name="smoke",
        dataset="digits",
        num_classes=10,
        image_size=8,
        in_channels=1,
        space={"layout": "small", "multiplier": 0.125, "divisor": 2, "levels": 4},
        search=SearchTraining(epochs=0.5, batch_size=64),
        train=FinalTraining(epochs=0.5, batch_size=64),
        calibration_pictures=256,
    ),
}
