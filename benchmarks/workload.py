"""What the benchmarks run on: a space, a batch, the supernet, and plain children of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sartor.spaces
from sartor.elastic import Supernet
from sartor.runtime import Runtime, keep_freed_memory
from sartor.space import Architecture, SearchSpace
from sartor.train.optimiser import PrefixOptimiser
from sartor.train.settings import SearchTraining

SEED = 0
PAIRS = 30


@dataclass(frozen=True)
class Scale:
    """How large the work is; tests shrink it. ``space`` are the options of the space ``name``."""

    name: str = "mobilenet_v1"
    space: dict[str, Any] = field(default_factory=dict)
    image_size: int = 32
    num_classes: int = 100
    batch_size: int = 128
    pairs: int = PAIRS

    def settings(self) -> dict[str, Any]:
        """As plain data for the result file."""
        network = {"space": self.name, **self.space, "image_size": self.image_size, "classes": self.num_classes}
        memory = {"threads": 1, "memory_format": "channels_last", "keep_freed_memory": True}
        return {**network, "batch_size": self.batch_size, "pairs": self.pairs, "seed": SEED, **memory}


# The space of TuNAS with the strides of the paper; a step takes a fraction of a second.
PROXYLESSNAS = Scale("proxylessnas", {"layout": "imagenet"}, image_size=96, batch_size=32)


class Workload:
    """A supernet in training mode with one batch, everything channels last, on one thread."""

    def __init__(self, scale: Scale, *, keep_memory: bool = True) -> None:
        torch.set_num_threads(1)
        if keep_memory:
            keep_freed_memory()
        self.runtime = Runtime(torch.device("cpu"))
        self.scale = scale
        self.space: SearchSpace = sartor.spaces.create(
            scale.name, num_classes=scale.num_classes, image_size=scale.image_size, **scale.space
        )
        self.rng = np.random.default_rng(SEED)
        self.x, self.y = batch(scale)
        self.supernet: Supernet = self.space.supernet(seed=SEED).train()
        self.runtime.place(self.supernet)

    def architecture(self, which: str) -> Architecture:
        """The ``smallest`` or the ``largest`` one, or a ``random`` one, another at every call."""
        known = {"smallest": self.space.smallest, "largest": self.space.largest}
        chosen = known[which] if which in known else self.space.architecture(self.space.sample(1, self.rng)[0])
        assert chosen is not None
        return chosen

    def child(self, architecture: Architecture) -> nn.Module:
        """The plain network with weights of its own, in training mode, channels last."""
        return self.supernet.extract(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def optimiser(self, settings: SearchTraining) -> PrefixOptimiser:
        """The optimiser of a search over the supernet's weights."""
        return PrefixOptimiser(self.supernet.parameters(), settings, self.supernet.bank)

    def supernet_pass(self, architecture: Architecture) -> None:
        """Forward and backward computation through the shared weights."""
        F.cross_entropy(self.supernet(self.x, architecture), self.y).backward()  # type: ignore[no-untyped-call]

    def child_pass(self, child: nn.Module) -> None:
        """The same through a plain network."""
        F.cross_entropy(child(self.x), self.y).backward()  # type: ignore[no-untyped-call]


def batch(scale: Scale, memory_format: torch.memory_format = torch.channels_last) -> tuple[Tensor, Tensor]:
    """Random pictures and labels: speed does not depend on what is in the pictures."""
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(scale.batch_size, 3, scale.image_size, scale.image_size, generator=generator)
    y = torch.randint(0, scale.num_classes, (scale.batch_size,), generator=generator)
    return x.to(memory_format=memory_format), y


def describe(architectures: Sequence[Architecture]) -> dict[str, Any]:
    """MACs of what was run, for the result file."""
    macs = [a.blueprint.macs for a in architectures]
    return {"macs": macs[0] if len(macs) == 1 else {"mean": sum(macs) / len(macs), "count": len(macs)}}
