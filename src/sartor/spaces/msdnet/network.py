"""MSDNet: a network of several scales with exits, the baseline of any-time prediction (Huang et al. 2018).

Every layer adds channels to each scale: half by a 3x3 convolution of what the scale holds, half by a strided one of
what the next finer scale holds, each after a narrowing 1x1 convolution; the finest scale has the first only. The exits
read the coarsest scale. The official code is in Lua; our figures are those of the PyTorch port
(kalviny/MSDNet-PyTorch).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sartor.blueprint import Block, Blueprint
from sartor.errors import RequestError
from sartor.memory import PICTURES
from sartor.spaces.msdnet.heads import conv_head
from sartor.spaces.msdnet.setting import Setting
from sartor.stack import Stack

# First channels over growth in the published networks: 16 / 6.
_CHANNELS_PER_GROWTH = 16 / 6


def msdnet(*, name: str = "msdnet", **options: Any) -> Blueprint:
    """An MSDNet with an exit after each of its blocks (see :class:`Setting`).

    Raises:
        RequestError: an option has an impossible value.
    """
    setting = Setting(**options)
    blocks = tuple(_Builder(setting).blocks())
    return Blueprint(blocks, setting.in_channels, setting.image_size, name)


def closest_msdnet(macs: int, *, name: str = "msdnet", **options: Any) -> Blueprint:
    """The MSDNet whose MACs up to the last exit are closest to ``macs``, for given other options.

    Growth and first channels are free, the latter between 2 and 4 times the growth (published: 2.67 times, to which
    equals are preferred).

    Raises:
        RequestError: even the smallest one is more than a tenth above.
    """
    if {"growth", "channels"} & set(options):
        raise RequestError("msdnet: growth and channels follow from the MACs; leave them out")
    growth = 1
    while msdnet(**options, growth=growth, channels=4 * growth).macs < macs:
        growth += 1
    found: list[tuple[int, float, Blueprint]] = []
    # One less with the most first channels, or one or two more with few, can come closer than this growth.
    for own in range(max(1, growth - 1), growth + 3):
        for channels in range(2 * own, 4 * own + 1):
            network = msdnet(name=name, **options, growth=own, channels=channels)
            found.append((abs(network.macs - macs), abs(channels / own - _CHANNELS_PER_GROWTH), network))
    best = min(found, key=lambda candidate: candidate[:2])[2]
    if best.macs > 1.1 * macs:
        raise RequestError(
            f"msdnet: the smallest network of these options has {best.macs:,} MACs, {macs:,} were asked for; take "
            "fewer blocks, layers (base, step) or scales"
        )
    return best


@dataclass(frozen=True)
class _Builder:
    """The blocks of a network, in order of execution."""

    setting: Setting

    def blocks(self) -> Iterator[Block]:
        setting, unit = self.setting, self.setting.channels
        yield from self._first()
        maps = {scale: f"first_scale{scale}" for scale in range(setting.scales)}
        for layer in range(1, setting.layers + 1):
            stage = sum(other < layer for other in setting.exit_layers)
            made = {}
            for scale in range(setting.finest(layer), setting.scales):
                yield from self._layer(layer, scale, unit, maps, stage)
                made[scale] = f"layer{layer}_scale{scale}"
            unit, maps = unit + setting.growth, made
            if setting.reduces(layer):
                reduced = int(setting.reduction * unit)
                yield from self._transition(unit, reduced, maps, stage)
                unit, maps = reduced, {scale: f"{source}_reduced" for scale, source in maps.items()}
            if layer in setting.exit_layers:
                scale = setting.scales - 1
                head = conv_head(self._start(unit, scale), setting.num_classes)
                yield Block(f"exit{stage}", (maps[scale],), head, stage=stage, is_exit=True)

    def _start(self, unit: int, scale: int) -> Stack:
        """What a scale holds."""
        return Stack(unit * self.setting.growth_factors[scale], self._side(scale))

    def _side(self, scale: int) -> int:
        return -(-self.setting.image_size >> scale)

    def _first(self) -> Iterator[Block]:
        stack, source = Stack(self.setting.in_channels, self.setting.image_size), PICTURES
        for scale in range(self.setting.scales):
            channels = self.setting.channels * self.setting.growth_factors[scale]
            stack = stack.conv("conv", channels, kernel=3, stride=2 if scale else 1).batch_norm().activation()
            yield Block(f"first_scale{scale}", (source,), stack)
            stack, source = Stack(channels, stack.out_side), f"first_scale{scale}"

    def _layer(self, layer: int, scale: int, unit: int, maps: dict[int, str], stage: int) -> Iterator[Block]:
        """The branches of one scale, joined to what the scale holds."""
        name = f"layer{layer}_scale{scale}"
        added = self.setting.growth * self.setting.growth_factors[scale]
        joined = [maps[scale]]
        strided = added // 2 if scale - 1 in maps else 0
        if strided:
            branch = self._branch(unit, scale - 1, strided, stride=2)
            yield Block(f"{name}_diagonal", (maps[scale - 1],), branch, stage=stage)
            joined.append(f"{name}_diagonal")
        yield Block(f"{name}_horizontal", (maps[scale],), self._branch(unit, scale, added - strided), stage=stage)
        joined.append(f"{name}_horizontal")
        whole = self._start(unit + self.setting.growth, scale)
        yield Block(name, tuple(joined), whole, "concat", stage)

    def _branch(self, unit: int, scale: int, channels: int, stride: int = 1) -> Stack:
        """A narrowing 1x1 convolution and a 3x3 one, each with batch norm and ReLU; ``scale`` is the one it reads."""
        stack, factors = self._start(unit, scale), self.setting.bottleneck_factors
        if factors is not None:
            narrow = min(stack.out_channels, factors[scale] * channels)
            stack = stack.conv("narrow", narrow).batch_norm().activation()
        return stack.conv("conv", channels, kernel=3, stride=stride).batch_norm().activation()

    def _transition(self, unit: int, reduced: int, maps: dict[int, str], stage: int) -> Iterator[Block]:
        for scale, source in maps.items():
            channels = reduced * self.setting.growth_factors[scale]
            stack = self._start(unit, scale).conv("conv", channels).batch_norm().activation()
            yield Block(f"{source}_reduced", (source,), stack, stage=stage)
