"""What a block is made of: the inverted bottleneck of FBNetV2 with its choices, the bypass, stem and heads.

Squeeze-excite sits between the depthwise convolution and the projection, squeezes the *inner* width to a quarter,
uses the block's own activation and a hard sigmoid gate. "swish" in the paper is the hard swish of every published
FBNetV2 definition (reference 1.3). Split attention with R splits (R = 2 or 4) has R depthwise convolutions after one
expansion, and a softmax over them in place of the gate; which part is repeated follows from the paper's Table 7
(reference 1.5). There is no batch norm between its two 1x1 convolutions, as there is none in the squeeze-excite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from sartor.stack import Stack

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

    What does not depend on the input channels is made once: a row between two wide ones has ten thousand cells.
    """

    @cache
    def expanded(width_in: int, inner: int, suffix: str) -> Stack:
        return Stack(width_in, side).conv(f"expand{suffix}", inner)

    @cache
    def rest(inner: int, kernel: int, activation: str, splits: int, width: int, expands: bool) -> Stack:
        suffix = rules.suffix(kernel, activation, splits)
        start = Stack(inner, side)
        if expands:
            start = start.batch_norm(f"expand{suffix}_norm").activation(activation)
        moved = start.then(_moved(Stack(inner, side), kernel, stride, activation, splits, rules))
        return moved.conv(f"project{suffix}", width).batch_norm()

    @cache
    def bypassed(width_in: int, width: int) -> Stack:
        return bypass(Stack(width_in, side), width, stride)

    def resolve(width_in: int, kernel: int, activation: str, splits: int, expansion: float, width: int) -> Stack:
        if kernel == 0:
            return bypassed(width_in, width)
        inner = rules.inner(expansion, width_in, width, max_in)
        body = rest(inner, kernel, activation, splits, width, inner != width_in)
        if inner != width_in:
            body = expanded(width_in, inner, rules.suffix(kernel, activation, splits)).then(body)
        return Stack(width_in, side).residual(body) if stride == 1 and width_in == width else body

    return resolve


def _moved(start: Stack, kernel: int, stride: int, activation: str, splits: int, rules: BlockRules) -> Stack:
    """The depthwise convolution with what weighs its channels."""
    suffix, inner = rules.suffix(kernel, activation, splits), start.out_channels
    if splits > 1:
        branches = [_depthwise(start, kernel, stride, activation, f"{suffix}_{r}") for r in range(1, splits + 1)]
        gate = _attention(branches[0], splits, rules.squeezed(inner, splits), activation, suffix)
        return start.split_attention(branches, gate)
    moved = _depthwise(start, kernel, stride, activation, suffix)
    return moved.gate(_squeeze_excite(moved, rules.squeezed(inner, 1), activation, suffix)) if splits else moved


def _depthwise(start: Stack, kernel: int, stride: int, activation: str, suffix: str) -> Stack:
    return start.depthwise(f"depthwise{suffix}", kernel=kernel, stride=stride).batch_norm().activation(activation)


def _squeeze_excite(features: Stack, squeezed: int, activation: str, suffix: str) -> Stack:
    pooled = Stack(features.out_channels, features.out_side).global_pool()
    reduced = pooled.conv(f"se_reduce{suffix}", squeezed, bias=True).activation(activation)
    return reduced.conv(f"se_expand{suffix}", features.out_channels, bias=True).activation("hard_sigmoid")


def _attention(features: Stack, splits: int, squeezed: int, activation: str, suffix: str) -> Stack:
    """The logits of a split attention, those of one channel side by side."""
    pooled = Stack(features.out_channels, features.out_side).global_pool()
    reduced = pooled.conv(f"attention_reduce{suffix}", squeezed, bias=True).activation(activation)
    return reduced.conv(f"attention_expand{suffix}", splits * features.out_channels, bias=True)


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
