"""What a user of these spaces can set; every space of the package has the same options."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from sartor.errors import RequestError
from sartor.spaces.fpnas.blocks import BlockRules, ExpansionBase, SqueezeRule
from sartor.spaces.layouts import Layout, settled

Head = Literal["conv", "pool"]

SMALLEST_IMAGE = 8
_ALLOWED = {
    "layout": ("auto", "small", "cifar", "imagenet"),
    "head": ("conv", "pool"),
    "expansion_base": ("out", "in", "max_in"),
    "squeeze": ("resnest", "fixed"),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The options of a space.

    Args:
        layout: the strides, see :func:`sartor.spaces.fpnas.macro.lay_out`; ``auto`` is ``small`` below 16 pixels,
            ``cifar`` up to 64 and ``imagenet`` above.
        head: ``conv`` is the paper's (1x1 convolution, pooling, linear), ``pool`` the one of the published FBNetV2
            networks (a 1x1 convolution to 224 channels, expansion by 6, pooling, 1x1 convolution, linear).
        expansion_base, squeeze, share_activation, divisor: see :class:`sartor.spaces.fpnas.blocks.BlockRules`.
        multiplier: scales all channels of the table, for networks much smaller than the paper's.
        depth: blocks of a row at most; None leaves the table's.
        channel_choices: channel values of a row at most; None leaves the table's.
    """

    num_classes: int = 1000
    image_size: int = 224
    in_channels: int = 3
    layout: Layout = "auto"
    head: Head = "conv"
    expansion_base: ExpansionBase = "out"
    squeeze: SqueezeRule = "resnest"
    share_activation: bool = False
    multiplier: float = 1.0
    depth: int | None = None
    channel_choices: int | None = None
    divisor: int = 8

    def check(self, space: str) -> None:
        """Raises a :class:`RequestError` in the name of ``space`` if an option has an impossible value."""
        for name, allowed in _ALLOWED.items():
            value = getattr(self, name)
            if value not in allowed:
                raise RequestError(f"{space}: unknown {name} {value!r}; known are {', '.join(allowed)}")
        if self.image_size < SMALLEST_IMAGE:
            raise RequestError(
                f"{space}: image_size {self.image_size} is too small, at least {SMALLEST_IMAGE} is needed"
            )
        for name in ("num_classes", "in_channels", "multiplier", "depth", "divisor"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise RequestError(f"{space}: {name} {value} is not possible, it must be above 0")
        if self.channel_choices is not None and self.channel_choices < 2:
            raise RequestError(
                f"{space}: channel_choices {self.channel_choices} is not possible, at least 2 are needed"
            )

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, as :func:`sartor.spaces.create` takes them; the layout is settled."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**given, "layout": settled(self.layout, self.image_size)}

    @property
    def rules(self) -> BlockRules:
        """How the numbers of a block follow from its choices."""
        return BlockRules(self.expansion_base, self.divisor, self.squeeze, self.share_activation)
