"""All numbers of the experiments: the paper's size, one for two CPU cores, and one to try every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.data import Pictures
from sartor.methods.mixture.settings import MSRANASSettings
from sartor.methods.ms_ranas import MSRANAS
from sartor.space import SearchSpace
from sartor.spaces.msdnet import closest_msdnet, msdnet
from sartor.train.settings import FinalTraining, SearchTraining
from searches.sizes import Target, around

_SHEETS = {"cifar10": "cifar10_sheets", "cifar100": "cifar100_sheets"}
_DIGITS = {"cifar10": "digits", "cifar100": "digits"}
# More than any network has: a search without a budget.
_NO_TARGET = Target(value=1e15, low=0.0, high=1e15)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Everything that decides the numbers, except seed and machine.

    ``sources`` of the pictures by data set, ``image_size`` their side. ``space`` are options of the networks that are
    trained, ``search_space`` those in which the network that is searched differs. ``target``: MACs of the last exit
    that a search aims at and stays within, between whose ends random cells are drawn. ``area``: the any-time MACs
    between which areas under curves are taken, for all networks of this size; they have an answer at the lower end.
    ``msdnet``: options of the baseline; its growth and channels follow from the target, where there is one. ``cutout``:
    the side of the hole, where pictures have one. Of the training pictures, ``selection`` teach and steer nothing:
    thresholds are solved on them.
    """

    name: str
    sources: Mapping[str, str] = field(default_factory=lambda: _SHEETS)
    image_size: int
    space: Mapping[str, Any]
    search_space: Mapping[str, Any] = field(default_factory=dict)
    settings: MSRANASSettings
    search: SearchTraining
    train: FinalTraining
    target: Target = _NO_TARGET
    area: tuple[float, float] | None = None
    msdnet: Mapping[str, Any] = field(default_factory=dict)
    cutout: int
    selection: int
    seeds: tuple[int, ...] = (0, 1)
    randoms: int = 0
    calibration_pictures: int = 2048

    def make_space(self, pictures: Pictures, options: Mapping[str, Any] | None = None) -> SearchSpace:
        """The space for these pictures; ``options`` are those of one search or training."""
        return spaces.create("ms_ranas", **_shape(pictures), **{**self.space, **(options or {})})

    def make_msdnet(self, space: SearchSpace) -> Blueprint:
        """The baseline on the pictures of a space."""
        shape = {name: getattr(space, name) for name in ("num_classes", "image_size", "in_channels")}
        if self.target == _NO_TARGET:
            return msdnet(**shape, **self.msdnet)
        return closest_msdnet(round(self.target.value), **shape, **self.msdnet)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, by which a results folder recognises its size."""
        return dataclasses.asdict(self)


def _shape(pictures: Pictures) -> dict[str, int]:
    train = pictures.train
    return {"num_classes": train.num_classes, "image_size": train.image_size, "in_channels": train.channels}


# The method's defaults are those of DARTS, which the paper follows.
_PAPER = {
    "image_size": 32,
    "settings": MSRANASSettings(rate_rule="paper", cost_weight=0.0),
    "search": SearchTraining(**MSRANAS.search_defaults),
    "cutout": 16,
    "selection": 0,
    "calibration_pictures": 16_384,
}
# One exit is trained as DARTS trains it; MSDNet and MS-RANAS have no other training than one on all exits.
_PAPER_TRAINING = FinalTraining(**MSRANAS.train_defaults)

# Of alpha, in searches of a few hundred steps. At the paper's 3e-4, even grown with the root of the missing steps,
# mixtures stay as they start: 0.007 of 20.79 nats lost after 90 of 176 steps.
_RATE = 3e-3

_TRAINING: dict[str, Any] = {
    "batch_size": 32,
    "schedule": "cosine",
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 3e-4,
    "gradient_clip": 5.0,
    "dropout": 0.0,
}


def _searching(epochs: float, rate: float) -> SearchTraining:
    return SearchTraining(**{**MSRANAS.search_defaults, "epochs": epochs, "batch_size": 32, "learning_rate": rate})


def _training(epochs: float, rate: float, mode: Any = "anytime") -> FinalTraining:
    return FinalTraining(epochs=epochs, learning_rate=rate, mode=mode, **_TRAINING)


ANYTIME: Mapping[str, Size] = {
    size.name: size
    for size in (
        # Section 4.4: three scales, seven layers, two nodes; 32 channels are ours (facts 3.3), as is the search at 16.
        # All training pictures teach, as in any-time figures; so there are none on which thresholds could be solved.
        Size(
            name="full",
            space={"scales": 3, "layers": 7, "nodes": 2, "channels": 32},
            search_space={"channels": 16},
            train=_PAPER_TRAINING,
            area=(22e6, 150e6),
            randoms=4,
            **_PAPER,  # type: ignore[arg-type]
        ),
        # Deviations, all for the sake of two cores: five layers, 12 channels (4 in search), searches and trainings of
        # minutes, with batches of 32. No cutout, which slows trainings of one epoch down. Alpha waits for a fifth of
        # the search. Cells that no exit reads are neither counted nor trained, so that networks of equal MACs compute
        # equally much. The target is a little above the median of all cells, random ones are from the 5 % below it.
        Size(
            name="cpu",
            image_size=32,
            space={"scales": 3, "layers": 5, "nodes": 2, "channels": 12, "full_grid": False},
            search_space={"channels": 4},
            settings=MSRANASSettings(rate=_RATE, warmup=0.2, cost_weight=0.1, cost_temperature=0.1),
            search=_searching(0.4, 0.05),
            train=_training(1.2, 0.1),
            target=Target(value=12.3e6, low=11.7e6, high=12.3e6),
            area=(4e6, 15e6),
            msdnet={"blocks": 4, "base": 2, "step": 2},
            cutout=12,
            selection=5_000,
            randoms=3,
        ),
        Size(
            name="smoke",
            sources=_DIGITS,
            image_size=16,
            space={"scales": 2, "layers": 3, "nodes": 1, "channels": 4, "full_grid": False},
            settings=MSRANASSettings(),
            search=_searching(0.2, 0.05),
            train=_training(0.3, 0.1),
            target=around(1.45e6, 0.1),
            area=(0.8e6, 2e6),
            msdnet={"blocks": 2, "base": 1, "step": 1, "scales": 2},
            cutout=8,
            selection=300,
            randoms=2,
            calibration_pictures=256,
        ),
    )
}

# Section 4.1: five layers, 16 channels, four nodes, one scale and one classifier, which is what searches differ from.
_BASELINE: dict[str, Any] = {"scales": 1, "layers": 5, "nodes": 4, "channels": 16, "exits": "last"}
ABLATIONS: Mapping[str, Size] = {
    size.name: size
    for size in (
        Size(name="full", space=_BASELINE, train=_PAPER_TRAINING, **_PAPER),  # type: ignore[arg-type]
        # As above, and: pictures of 16 pixels, two nodes, a quarter of the channels.
        Size(
            name="cpu",
            image_size=16,
            space={**_BASELINE, "nodes": 2, "channels": 8},
            search_space={"channels": 4},
            settings=MSRANASSettings(rate=_RATE, warmup=0.2, cost_weight=0.0),
            search=_searching(0.2, 0.05),
            train=_training(0.6, 0.1, "standalone"),
            area=(1.6e6, 6e6),
            cutout=8,
            selection=5_000,
        ),
        Size(
            name="smoke",
            sources=_DIGITS,
            image_size=16,
            space={**_BASELINE, "layers": 3, "nodes": 1, "channels": 4},
            settings=MSRANASSettings(cost_weight=0.0),
            search=_searching(0.2, 0.05),
            train=_training(0.3, 0.1, "standalone"),
            area=(0.8e6, 2e6),
            cutout=8,
            selection=300,
            calibration_pictures=256,
        ),
    )
}

# Skips against separable convolutions: the more layers, and the more exits that hurry them, the sooner skips win.
_SKIPS: dict[str, Any] = {"operations": ["skip_connect", "sep_conv_3x3"]}
COLLAPSE: Mapping[str, Size] = {
    size.name: size
    for size in (
        # Pictures of 16 pixels, two scales, an eighth of the channels. Searches of the paper's length let alpha move by
        # up to 19,550 x 0.0003; these of some hundred steps have a rate that lets it move as far.
        Size(
            name="cpu",
            image_size=16,
            space={"scales": 2, "layers": 5, "nodes": 4, "channels": 4, **_SKIPS},
            settings=MSRANASSettings(rate=0.05, rate_rule="paper", none=False, cost_weight=0.0),
            search=_searching(0.3, 0.025),
            train=_training(0.4, 0.1),
            cutout=8,
            selection=5_000,
        ),
        Size(
            name="smoke",
            sources=_DIGITS,
            image_size=16,
            space={"scales": 2, "layers": 3, "nodes": 1, "channels": 4, **_SKIPS},
            settings=MSRANASSettings(rate=0.05, rate_rule="paper", none=False, cost_weight=0.0, eigenvalue_every=0.5),
            search=_searching(0.2, 0.05),
            train=_training(0.3, 0.1),
            cutout=8,
            selection=300,
            calibration_pictures=256,
        ),
    )
}
