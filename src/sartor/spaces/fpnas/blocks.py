"""What a block is made of: the inverted bottleneck of FBNetV2 with its choices, the bypass, stem and heads.

Squeeze-excite sits between the depthwise convolution and the projection, squeezes the *inner* width to a quarter,
uses the block's own activation and a hard sigmoid gate. "swish" in the paper is the hard swish of every published
FBNetV2 definition (reference 1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from sartor.layers import Stack

ExpansionBase = Literal["out", "in", "max_in"]
SqueezeRule = Literal["resnest", "fixed"]

STEM_ACTIVATION = "hard_swish"
BYPASS_ACTIVATION = "relu"

# in channels, kernel, activation, splits, expansion, out channels -> the block
ResolveBlock = Callable[[int, int, str, int, float, int], Stack]


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor``, halves up, at least one; a step more where that lost over 5 %."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.95 * channels else rounded


@dataclass(frozen=True)
class BlockRules:
    """How the numbers of a block follow from its choices.

    Args:
        expansion_base: what the expansion multiplies: the block's output channels (``out``, our reading of the
            paper), its input channels (``in``, the published networks) or the largest input channels that the space
            has there (``max_in``, how an author describes the search space of FBNetV2).
        divisor: inner and squeezed widths are multiples of it.
        squeeze: the squeezed width of a split attention with R splits: ``resnest`` a quarter of R times the inner
            width, ``fixed`` a quarter of the inner width.
        share_activation: whether the two activations share their weights.
    """

    expansion_base: ExpansionBase = "out"
    divisor: int = 8
    squeeze: SqueezeRule = "resnest"
    share_activation: bool = False

    def inner(self, expansion: float, width_in: int, width: int, max_in: int) -> int:
        """The channels between expansion and projection."""
        base = {"out": width, "in": width_in, "max_in": max_in}[self.expansion_base]
        return round_channels(expansion * base, self.divisor)

    def squeezed(self, inner: int, splits: int) -> int:
        """The width between the two convolutions of a gate."""
        wanted = inner * splits if self.squeeze == "resnest" else inner
        return round_channels(int(wanted * 0.25), self.divisor)

    def suffix(self, kernel: int, activation: str, splits: int) -> str:
        """What keeps the weights of the choices apart: layers of one name share their weights."""
        shared = "" if self.share_activation else f"_{activation}"
        return f"_k{kernel}{shared}_s{splits}"


def block_resolver(side: int, stride: int, max_in: int, rules: BlockRules) -> ResolveBlock:
    """The block at one place of the network as a function of its choices.

    Parts are made once and joined: the cells of a wide row differ in few of their layers.
    """

    @cache
    def expand(width_in: int, inner: int, activation: str, suffix: str) -> Stack:
        start = Stack(width_in, side)
        if inner == width_in:
            return start
        return start.conv(f"expand{suffix}", inner).batch_norm().activation(activation)

    @cache
    def move(inner: int, kernel: int, activation: str, splits: int, suffix: str) -> Stack:
        moved = _depthwise(Stack(inner, side), kernel, stride, activation, suffix)
        if not splits:
            return moved
        return moved.gate(_squeeze_excite(moved, rules.squeezed(inner, 1), activation, suffix))

    @cache
    def project(inner: int, width: int, suffix: str) -> Stack:
        return Stack(inner, -(-side // stride)).conv(f"project{suffix}", width).batch_norm()

    @cache
    def bypassed(width_in: int, width: int) -> Stack:
        return bypass(Stack(width_in, side), width, stride)

    @cache
    def resolve(width_in: int, kernel: int, activation: str, splits: int, expansion: float, width: int) -> Stack:
        if kernel == 0:
            return bypassed(width_in, width)
        inner = rules.inner(expansion, width_in, width, max_in)
        suffix = rules.suffix(kernel, activation, splits)
        moved = expand(width_in, inner, activation, suffix).then(move(inner, kernel, activation, splits, suffix))
        body = moved.then(project(inner, width, suffix))
        return Stack(width_in, side).residual(body) if stride == 1 and width_in == width else body

    return resolve


def _depthwise(start: Stack, kernel: int, stride: int, activation: str, suffix: str) -> Stack:
    return start.depthwise(f"depthwise{suffix}", kernel=kernel, stride=stride).batch_norm().activation(activation)


def _squeeze_excite(features: Stack, squeezed: int, activation: str, suffix: str) -> Stack:
    pooled = Stack(features.out_channels, features.out_side).global_pool()
    reduced = pooled.conv(f"se_reduce{suffix}", squeezed, bias=True).activation(activation)
    return reduced.conv(f"se_expand{suffix}", features.out_channels, bias=True).activation("hard_sigmoid")


def bypass(start: Stack, width: int, stride: int) -> Stack:
    """Kernel 0: nothing where the shapes agree, and else a 1x1 convolution with batch norm and ReLU."""
    if stride == 1 and start.out_channels == width:
        return start
    return start.conv("bypass", width, stride=stride).batch_norm().activation(BYPASS_ACTIVATION)


def stem(in_channels: int, side: int, width: int, stride: int) -> Stack:
    """The first convolution."""
    start = Stack(in_channels, side).conv("conv", width, kernel=3, stride=stride)
    return start.batch_norm().activation(STEM_ACTIVATION)


def conv_head(width_in: int, side: int, width: int) -> Stack:
    """The paper's head: a 1x1 convolution before the pooling."""
    return Stack(width_in, side).conv("conv", width).batch_norm().activation(STEM_ACTIVATION)


def pool_head(width_in: int, side: int, width: int) -> Stack:
    """The head of the published networks: expand by 6, pool, then a 1x1 convolution on the single position left."""
    expanded = Stack(width_in, side).conv("expand", 6 * width_in).batch_norm().activation(STEM_ACTIVATION)
    return expanded.global_pool().conv("project", width).activation(STEM_ACTIVATION)


def classifier(width: int, side: int, num_classes: int) -> Stack:
    """Mean over all positions and a linear layer."""
    return Stack(width, side).global_pool().dropout().linear("linear", num_classes)
