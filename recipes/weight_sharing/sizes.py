"""All numbers of the experiment: one size for a CPU core, and one to try every step; and how supernets are trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shared_pictures
from sartor.data import Pictures, load
from sartor.methods.fpnas import FPNASSettings
from sartor.methods.ows import OWSSettings
from sartor.methods.tunas import TuNASSettings
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.train.settings import FinalTraining, SearchTraining
from weight_sharing.space import small_macro

# As a share of a search: to its end. Policies then stay uniform, and what remains is how weights are trained.
_ALWAYS = 0.9999


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """One way to train a supernet: a method, and what of its settings is not the default.

    ``policy_batch_size`` in place of the batch of the training, where scores steer nothing.
    """

    title: str
    method: str
    settings: Any
    policy_batch_size: int | None = None


UNIFORM = "uniform"  # the one that others are compared with
SHARINGS: Mapping[str, Sharing] = {
    # FP-NAS before its policy learns is nothing else: one uniform sample a step, which learns the labels.
    UNIFORM: Sharing(title="uniform single paths", method="fpnas", settings=FPNASSettings(samples=1, warmup=_ALWAYS)),
    # The largest, the smallest and one uniform network a step; the smaller two learn the largest one's predictions.
    "sandwich": Sharing(title="sandwich", method="ows", settings=OWSSettings()),
    # One uniform network a step; over the first quarter operations are replaced by the mean of all and widths by the
    # largest, ever more rarely. TuNAS scores every network that it trains, here for nothing: on few pictures.
    "tunas": Sharing(
        title="TuNAS warm-ups",
        method="tunas",
        settings=TuNASSettings(freeze=_ALWAYS),
        policy_batch_size=8,
    ),
    # With the method's defaults: from a seventh of the search on, samples come from a policy that learns.
    "fpnas": Sharing(title="FP-NAS", method="fpnas", settings=FPNASSettings()),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """Everything that decides the numbers, except seed and machine.

    Of the training pictures (``data`` are arguments of their source), ``policy`` steer and the others teach, networks
    alone and supernets alike; ``test`` test pictures judge. ``networks`` are drawn, the first ``twice`` of them trained
    alone twice if no other number is asked for. ``sharing`` is the training of supernets; each costs as much as
    ``passes`` pictures that teach, whatever its steps and scores are.
    """

    name: str
    source: str
    image_size: int
    in_channels: int
    num_classes: int
    data: Mapping[str, Any] = field(default_factory=dict)
    policy: int
    test: int
    networks: int
    twice: int
    alone: FinalTraining
    sharing: SearchTraining
    passes: int
    seeds: tuple[int, ...] = (0, 1)
    platform_macs: int
    calibration_pictures: int = 1024
    evaluation_batch: int = 256

    def make_space(self) -> SearchSpace:
        """The space on the pictures of this size."""
        return small_macro(num_classes=self.num_classes, image_size=self.image_size, in_channels=self.in_channels)

    def platform(self) -> Platform:
        """The one platform, within whose budget every network of the space is."""
        return Platform("all", {"macs": self.platform_macs})

    def load_pictures(self, path: Path | None) -> Pictures:
        """The pictures: from ``path``, or from where the source finds them."""
        if self.source == "cifar10_sheets" and path is None:
            return shared_pictures.load_cifar10(image_size=self.image_size, **self.data)
        return load(self.source.removesuffix("_sheets"), path, image_size=self.image_size, **self.data)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, by which a results folder recognises its size; the ways to share are part of it."""
        return {**dataclasses.asdict(self), "sharings": {n: dataclasses.asdict(s) for n, s in SHARINGS.items()}}


SIZES: Mapping[str, Size] = {
    size.name: size
    for size in (
        # 5,000 pictures of CIFAR-10 at 16 pixels, 4,500 of which teach. Alone for eight epochs, some 10 s of a core;
        # a supernet for forty epochs of single paths. Rates of supernets: the better of 0.1 and 0.3 in steps of 64
        # (here 32) for uniform paths and sandwiches of an eighth of that length; Adam with 0.003 was no better.
        Size(
            name="cpu",
            source="cifar10_sheets",
            image_size=16,
            in_channels=3,
            num_classes=10,
            data={"pictures_per_class": 500},
            policy=500,
            test=5_000,
            networks=50,
            twice=10,
            alone=FinalTraining(
                epochs=8,
                batch_size=64,
                learning_rate=0.2,
                schedule="cosine",
                warmup_share=0.05,
                weight_decay=1e-4,
                dropout=0.0,
                mode="standalone",
            ),
            sharing=SearchTraining(
                epochs=40, batch_size=32, learning_rate=0.15, schedule="cosine", warmup_share=0.05, weight_decay=1e-4
            ),
            passes=180_000,
            platform_macs=3_000_000,
        ),
        Size(
            name="smoke",
            source="digits",
            image_size=8,
            in_channels=1,
            num_classes=10,
            policy=100,
            test=200,
            networks=5,
            twice=3,
            alone=FinalTraining(epochs=1, batch_size=32, schedule="cosine", dropout=0.0, mode="standalone"),
            sharing=SearchTraining(epochs=1, batch_size=32, schedule="cosine"),
            passes=1_500,
            platform_macs=3_000_000,
            calibration_pictures=128,
        ),
    )
}
