"""All numbers of an experiment at one size, and what networks of its spaces should cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shared_pictures
from sartor import spaces
from sartor.data import Augmentation, Pictures, load
from sartor.errors import RequestError
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.train.settings import FinalTraining, SearchTraining

# Of a size on CIFAR-10: 40,000 pictures teach, 5,000 steer, 5,000 choose among random networks.
CIFAR10: Mapping[str, Any] = {
    "source": "cifar10_sheets",
    "in_channels": 3,
    "num_classes": 10,
    "policy": 5_000,
    "selection": 5_000,
}
PLATFORM = "target"  # the name of the one platform of every search


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a network of this space should cost, and between which costs random networks count as the same.

    ``cost`` is ``macs`` or ``latency_ms`` (with a ``device``). ``dropout`` is that of the long training, which differs
    between families of networks.
    """

    value: float
    low: float
    high: float
    cost: str = "macs"
    device: str | None = None
    dropout: float = 0.0

    def moved_to(self, cost: float) -> Target:
        """The same with a window of 5 % around another cost."""
        return dataclasses.replace(self, low=0.95 * cost, high=1.05 * cost)

    def platform(self) -> Platform:
        """The platform of the search."""
        return Platform(PLATFORM, {self.cost: self.value}, device=self.device)


def around(value: float, share: float = 0.05, dropout: float = 0.0) -> Target:
    """A target in MACs with a window of a share to both sides."""
    return Target(value=value, low=value * (1 - share), high=value * (1 + share), dropout=dropout)


@dataclass(frozen=True, kw_only=True)
class Alone:
    """The pictures of networks that are trained alone, where they are not those of the search: all of them teach."""

    num_classes: int
    data: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Augmentation | None = None


@dataclass(frozen=True, kw_only=True)
class Size:
    """Everything that decides the numbers, except seed and machine.

    ``method`` with its ``settings``. ``source`` and ``data`` are arguments of :func:`sartor.data.load`
    (``cifar10_sheets``: of the shared sheets); ``targets`` and ``space_options`` are by name of space, of which
    ``space`` is the one to search if none is asked for. ``policy`` pictures (a number, or a share) steer, ``selection``
    pictures choose among random networks (None: the same as steer, as in the paper of TuNAS); both are training
    pictures that teach no weights. ``long`` is the second stage (None: there is none), which has all training pictures.
    ``alone``: the search has a part of the pictures only, and costs are those of networks for all classes.
    ``matched``: random networks cost what answers do, within 5 %, number i as the i-th answer (in turn), whatever the
    window of the target. ``ablation_share``: the length of the searches that are compared with each other, as a part
    of ``search``.
    """

    name: str
    method: str
    settings: Any
    source: str
    image_size: int
    in_channels: int
    num_classes: int
    data: Mapping[str, Any] = field(default_factory=dict)
    augmentation: Augmentation | None = None
    policy: int | float
    selection: int | None
    space: str
    space_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    targets: Mapping[str, Target]
    search: SearchTraining
    short: FinalTraining
    long: FinalTraining | None
    randoms: int
    seeds: tuple[int, ...]
    alone: Alone | None = None
    matched: bool = False
    ablation_share: float = 0.25
    calibration_pictures: int = 2048
    evaluation_batch: int = 256

    def make_space(
        self, name: str | None = None, options: Mapping[str, Any] | None = None, searched: bool = False
    ) -> SearchSpace:
        """A space of this size; ``options`` are those of one variant.

        Its networks are those that are trained alone; ``searched``: for the classes that the search has.

        Raises:
            RequestError: this size has no target in that space.
        """
        chosen = name or self.space
        if chosen not in self.targets:
            raise RequestError(f"--space {chosen}: size {self.name} has targets in {', '.join(self.targets)}")
        return spaces.create(
            chosen,
            num_classes=self.num_classes if searched or self.alone is None else self.alone.num_classes,
            image_size=self.image_size,
            in_channels=self.in_channels,
            **{**self.space_options.get(chosen, {}), **(options or {})},
        )

    def load_pictures(self, path: Path | None = None, searched: bool = False) -> Pictures:
        """The pictures: from ``path``, or from where the source finds them.

        Raises:
            RequestError: a folder of pictures without its path.
        """
        data = self.data_of(searched)
        if self.source == "folder" and path is None:
            raise RequestError(f"size {self.name} reads a folder of pictures, one folder per class: give --data FOLDER")
        if self.source == "cifar10_sheets" and path is None:
            return shared_pictures.load_cifar10(image_size=self.image_size, **data)
        return load(self.source, path, image_size=self.image_size, **data)

    def data_of(self, searched: bool) -> Mapping[str, Any]:
        """Which pictures of the source a search has, or a network alone."""
        return self.data if searched or self.alone is None else self.alone.data

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data, by which a results folder recognises its size."""
        found = dataclasses.asdict(self)
        found[found.pop("method")] = found.pop("settings")
        unused = [name for name in ("alone", "matched") if not found[name]]
        return {name: value for name, value in found.items() if name not in unused}
