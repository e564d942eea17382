"""What an MSDNet is made from; the defaults are the network for any-time prediction on CIFAR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from sartor.errors import RequestError

Placement = Literal["anytime", "budgeted"]
Pruning = Literal["max", "min"]

_ALLOWED: dict[str, tuple[Any, ...]] = {"placement": ("anytime", "budgeted"), "pruning": ("max", "min")}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The options of an MSDNet (Huang et al. 2018). Scale 0 is the finest one; layers count from 1.

    Args:
        blocks: one exit each.
        base: layers before the first exit.
        step: layers between exits.
        placement: of the exits. ``anytime`` has ``step`` layers between two of them; ``budgeted`` has
            ``step * k + 1`` before the k-th one after the first, so with base and step 1 they follow after 1, 3, 6, ...
        growth: channels that a layer adds on scale 0.
        channels: of the first layer on scale 0.
        scales: each has half the side of the one before it.
        growth_factors: what multiplies all channels on each scale.
        bottleneck_factors: a branch first narrows its input to so many times the channels it makes, on each scale;
            None: it does not.
        pruning: ``max`` leaves out the finest scale after each third of the layers (of any number of scales),
            ``min`` keeps every scale that a later layer can still need.
        reduction: what the channels are multiplied with where a scale is left out (``max``) or after a third and two
            thirds of the layers (``min``); 0: nowhere.
    """

    num_classes: int = 10
    image_size: int = 32
    in_channels: int = 3
    blocks: int = 10
    base: int = 4
    step: int = 2
    placement: Placement = "anytime"
    growth: int = 6
    channels: int = 16
    scales: int = 3
    growth_factors: tuple[int, ...] = (1, 2, 4)
    bottleneck_factors: tuple[int, ...] | None = (1, 2, 4)
    pruning: Pruning = "max"
    reduction: float = 0.5

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if (value := getattr(self, name)) not in allowed:
                raise RequestError(f"msdnet: unknown {name} {value!r}; known are {', '.join(allowed)}")
        numbers = ("num_classes", "image_size", "in_channels", "blocks", "base", "step", "growth", "channels", "scales")
        for name in numbers:
            if (value := getattr(self, name)) < 1:
                raise RequestError(f"msdnet: {name} {value} is not possible, it must be at least 1")
        for name in ("growth_factors", "bottleneck_factors"):
            factors = getattr(self, name)
            if factors is not None and (len(factors) < self.scales or min(factors) < 1):
                raise RequestError(f"msdnet: {name} {factors} is not possible; give {self.scales} whole factors from 1")
        if not 0 <= self.reduction <= 1:
            raise RequestError(f"msdnet: reduction {self.reduction} is not possible; 0 (none) to 1 is")

    @property
    def exit_layers(self) -> tuple[int, ...]:
        """The layers with an exit."""
        even = self.placement == "anytime"
        spans = [self.base, *(self.step if even else self.step * k + 1 for k in range(1, self.blocks))]
        return tuple(accumulate(spans))

    @property
    def layers(self) -> int:
        """All layers but the first convolutions."""
        return self.exit_layers[-1]

    def finest(self, layer: int) -> int:
        """The finest scale that a layer makes; layer 0 are the first convolutions."""
        if layer == 0:
            return 0
        if self.pruning == "min":
            return max(0, self.scales - (self.layers - layer + 1))
        return (layer - 1) // math.ceil(self.layers / self.scales)

    def reduces(self, layer: int) -> bool:
        """Whether 1x1 convolutions reduce the channels after a layer."""
        if not self.reduction:
            return False
        if self.pruning == "min":
            return layer in (self.layers // 3, 2 * self.layers // 3)
        return self.finest(layer) > self.finest(layer - 1)
