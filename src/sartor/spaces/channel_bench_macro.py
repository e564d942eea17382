"""The MobileNet half of Channel-Bench-Macro: seven widths in quarters, 16,384 networks trained alone on CIFAR-10.

| block                       | hidden  | out     | stride |
|-----------------------------|---------|---------|--------|
| stem 3x3, batch norm, ReLU  |         | width1  | 2      |
| expand, 3x3 depthwise, project | width2 | width1 | 1 (adds its input) |
| expand, 3x3 depthwise, project | width3 | width1 | 1 (adds its input) |
| expand, 3x3 depthwise, project | width4 | width5 | 2      |
| expand, 3x3 depthwise, project | width6 | width5 | 1 (adds its input) |
| 1x1 conv, batch norm, ReLU  |         | width7  | 1      |
| average pool, linear        |         | classes |        |

Two of the widths are read by several blocks, so the factors form a graph and not a chain.
"""

from __future__ import annotations

from typing import Any

from sartor.decisions import Decision, Template
from sartor.space import SearchSpace
from sartor.stack import Stack

FULL_CHANNELS = (128, 768, 768, 768, 256, 1536, 1024)


def channel_bench_macro(*, num_classes: int = 10, image_size: int = 32, in_channels: int = 3) -> SearchSpace:
    """The benchmark's space; option ``i`` of a decision is ``(i + 1) / 4`` of the full width."""
    decisions = [
        Decision(f"width{i}", tuple(full * quarter // 4 for quarter in (1, 2, 3, 4)), "width")
        for i, full in enumerate(FULL_CHANNELS, 1)
    ]
    half, quarter = -(-image_size // 2), -(-image_size // 4)

    def stem(width: int) -> Stack:
        return Stack(in_channels, image_size).conv("conv", width, kernel=3, stride=2).batch_norm().activation()

    def head(width_in: int, width: int) -> Stack:
        features = Stack(width_in, quarter).conv("conv", width).batch_norm().activation()
        return features.global_pool().dropout().linear("linear", num_classes)

    templates = [
        Template("stem", ("width1",), stem),
        Template("block1", ("width1", "width2"), _residual(half)),
        Template("block2", ("width1", "width3"), _residual(half)),
        Template("block3", ("width1", "width4", "width5"), _reduction(half)),
        Template("block4", ("width5", "width6"), _residual(quarter)),
        Template("head", ("width5", "width7"), head),
    ]
    options = {"num_classes": num_classes, "image_size": image_size, "in_channels": in_channels}
    return SearchSpace(
        "channel_bench_macro",
        decisions,
        templates,
        image_size=image_size,
        in_channels=in_channels,
        options=options,
        uniform=lambda width: {f"width{i}": max(1, round(full * width)) for i, full in enumerate(FULL_CHANNELS, 1)},
    )


def inverted_bottleneck(
    stack: Stack, hidden: int, width: int, kernel: int = 3, stride: int = 1, name: str = ""
) -> Stack:
    """Expand, depthwise, project; ReLU after the first two. ``name`` keeps the weights of variants apart."""
    expanded = stack.conv(f"expand{name}", hidden).batch_norm().activation()
    moved = expanded.depthwise(f"depthwise{name}", kernel=kernel, stride=stride).batch_norm().activation()
    return moved.conv(f"project{name}", width).batch_norm()


def _residual(side: int) -> Any:
    def resolve(width: int, hidden: int) -> Stack:
        return Stack(width, side).residual(inverted_bottleneck(Stack(width, side), hidden, width))

    return resolve


def _reduction(side: int) -> Any:
    def resolve(width_in: int, hidden: int, width: int) -> Stack:
        return inverted_bottleneck(Stack(width_in, side), hidden, width, stride=2)

    return resolve
