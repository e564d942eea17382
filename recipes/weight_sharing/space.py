"""A space of 46,656 small networks with choices of every kind: NAS-Bench-Macro, shrunk, its widths searched.

| part     | stride of the first | choices per stage                                                            |
|----------|---------------------|------------------------------------------------------------------------------|
| stem     | 1                   | 3x3 conv to 16 channels                                                      |
| stage 1  | 2                   | 8, 12, 16 or 24 channels, and two layers of identity, k3e2 or k5e4            |
| stage 2  | 2                   | 16, 24, 32 or 48 channels, and the same                                      |
| stage 3  | 2                   | 32, 48, 64 or 96 channels, and the same                                      |
| head     | 1                   | 1x1 conv to 128 channels, average pool, linear                               |

A layer is a bottleneck with kernel 3 and expansion 2 or kernel 5 and expansion 4, with a residual connection where it
can have one; an identity in the first layer of a stage is a strided 1x1 convolution. Every convolution has a batch
norm. Operations have weights of their own, widths share theirs.
"""

from __future__ import annotations

from collections.abc import Callable

from sartor.decisions import Decision, Template
from sartor.space import SearchSpace
from sartor.stack import Stack

OPERATIONS = {"identity": None, "k3e2": (3, 2), "k5e4": (5, 4)}  # kernel and expansion
WIDTHS = ((8, 12, 16, 24), (16, 24, 32, 48), (32, 48, 64, 96))
STEM, HEAD = 16, 128


def small_macro(*, num_classes: int, image_size: int, in_channels: int) -> SearchSpace:
    """The space for these pictures."""

    def stem() -> Stack:
        return Stack(in_channels, image_size).conv("conv", STEM, kernel=3).batch_norm().activation("relu6")

    decisions: list[Decision] = []
    templates = [Template("stem", (), stem)]
    before: tuple[str, ...] = ()  # the decision on the width of the stage before; the stem has none
    side = image_size
    for stage, widths in enumerate(WIDTHS, 1):
        width, layers = f"width{stage}", (f"layer{stage}a", f"layer{stage}b")
        decisions.append(Decision(width, widths, "width"))
        decisions += [Decision(layer, tuple(OPERATIONS)) for layer in layers]
        templates.append(Template(layers[0], (*before, width, layers[0]), _reducing(side)))
        side = -(-side // 2)
        templates.append(Template(layers[1], (width, layers[1]), _keeping(side)))
        before = (width,)

    def head(width: int) -> Stack:
        features = Stack(width, side).conv("conv", HEAD).batch_norm().activation("relu6")
        return features.global_pool().dropout().linear("linear", num_classes)

    templates.append(Template("head", before, head))
    return SearchSpace(
        "small_macro",
        decisions,
        templates,
        image_size=image_size,
        in_channels=in_channels,
        options={"num_classes": num_classes, "image_size": image_size, "in_channels": in_channels},
        smallest=[0] * len(decisions),
        largest=[len(d.options) - 1 for d in decisions],
    )


def _reducing(side: int) -> Callable[..., Stack]:
    """The first layer of a stage: it changes the width and halves the side."""

    def resolve(*choices: int | str) -> Stack:
        *widths, operation = choices
        width_in, width = (STEM, *widths)[-2:]
        start = Stack(int(width_in), side)
        if OPERATIONS[str(operation)] is None:
            return start.conv("shortcut", int(width), stride=2).batch_norm()
        return _bottleneck(start, int(width), 2, str(operation))

    return resolve


def _keeping(side: int) -> Callable[..., Stack]:
    """The second layer of a stage: nothing, or a residual bottleneck."""

    def resolve(width: int, operation: str) -> Stack:
        start = Stack(width, side)
        return start if OPERATIONS[operation] is None else start.residual(_bottleneck(start, width, 1, operation))

    return resolve


def _bottleneck(start: Stack, width: int, stride: int, operation: str) -> Stack:
    kernel, expansion = OPERATIONS[operation] or (1, 1)
    expanded = start.conv(f"expand_{operation}", start.out_channels * expansion).batch_norm().activation("relu6")
    moved = expanded.depthwise(f"depthwise_{operation}", kernel=kernel, stride=stride).batch_norm().activation("relu6")
    return moved.conv(f"project_{operation}", width).batch_norm()
