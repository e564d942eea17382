"""The published FBNetV2 networks F1 to F4, L1 and L2 (Wan et al., 2020), as their authors' model zoo defines them.

A row is one block: kernel (0: bypass, a 1x1 convolution where shapes differ), output channels, stride, expansion
relative to the *input* channels, squeeze-excite, activation. Widths, costs and parameters are the zoo's to the digit;
its initial zero in the last batch norm before a shortcut is not taken over.
"""

from __future__ import annotations

from dataclasses import dataclass

from sartor.blueprint import Block, Blueprint
from sartor.memory import PICTURES
from sartor.spaces.fpnas import blocks
from sartor.spaces.fpnas.blocks import BlockRules, block_resolver
from sartor.spaces.fpnas.macro import lay_out
from sartor.stack import Stack

RULES = BlockRules(expansion_base="in")
RELU, SWISH = "relu", "hard_swish"

ZooRow = tuple[int, int, int, float, int, str]


@dataclass(frozen=True)
class Zoo:
    """A published network: the size of its pictures, the channels of stem and head, and its blocks."""

    image_size: int
    stem: int
    rows: tuple[ZooRow, ...]
    head: int


_F1: tuple[ZooRow, ...] = (
    (5, 8, 1, 1.0, 0, RELU),
    (5, 24, 2, 5.4566, 0, RELU),
    (5, 24, 1, 4.7912, 0, RELU),
    (5, 32, 2, 5.3501, 1, RELU),
    (5, 24, 1, 4.5379, 1, RELU),
    (5, 56, 2, 5.7133, 0, SWISH),
    (3, 56, 1, 4.1212, 0, SWISH),
    (3, 56, 1, 5.1246, 1, SWISH),
    (0, 80, 1, 0.0, 0, RELU),
    (5, 80, 1, 4.5070, 1, SWISH),
    (5, 80, 1, 1.7712, 1, SWISH),
    (3, 144, 2, 4.5685, 1, SWISH),
    (5, 144, 1, 5.8400, 1, SWISH),
    (5, 144, 1, 6.8754, 1, SWISH),
    (0, 224, 1, 0.0, 0, RELU),
)
_F4: tuple[ZooRow, ...] = (
    (3, 16, 1, 1.0, 0, SWISH),
    (5, 24, 2, 5.4566, 0, SWISH),
    (5, 24, 1, 1.7912, 0, SWISH),
    (5, 24, 1, 1.7912, 0, SWISH),
    (5, 32, 2, 5.3501, 1, RELU),
    (5, 32, 1, 3.5379, 1, RELU),
    (5, 32, 1, 4.5379, 1, RELU),
    (5, 32, 1, 4.5379, 1, RELU),
    (5, 64, 2, 5.7133, 0, SWISH),
    (3, 64, 1, 2.1212, 0, SWISH),
    (0, 64, 1, 0.0, 0, RELU),
    (3, 104, 1, 5.0333, 0, SWISH),
    (5, 104, 1, 2.5070, 1, SWISH),
    (5, 104, 1, 1.7712, 1, SWISH),
    (5, 112, 1, 3.7712, 1, SWISH),
    (3, 184, 2, 5.5685, 1, SWISH),
    (5, 184, 1, 2.8400, 1, SWISH),
    (5, 184, 1, 4.8754, 1, SWISH),
    (0, 224, 1, 0.0, 0, RELU),
)
_L1: tuple[ZooRow, ...] = (
    (3, 16, 1, 1.0, 0, SWISH),
    (5, 24, 2, 5.4566, 0, SWISH),
    (5, 24, 1, 1.7912, 0, SWISH),
    (3, 24, 1, 1.7912, 0, SWISH),
    (5, 24, 1, 1.7912, 0, SWISH),
    (5, 40, 2, 5.3501, 1, SWISH),
    (5, 32, 1, 3.5379, 1, SWISH),
    (5, 32, 1, 4.5379, 1, SWISH),
    (5, 32, 1, 4.5379, 1, SWISH),
    (5, 64, 2, 5.7133, 0, SWISH),
    (3, 64, 1, 2.1212, 0, SWISH),
    (0, 64, 1, 0.0, 0, RELU),
    (3, 64, 1, 3.1246, 0, SWISH),
    (3, 112, 1, 5.0333, 0, SWISH),
    (5, 112, 1, 2.5070, 1, SWISH),
    (5, 112, 1, 1.7712, 1, SWISH),
    (5, 112, 1, 2.7712, 1, SWISH),
    (5, 112, 1, 3.7712, 1, SWISH),
    (5, 112, 1, 3.7712, 1, SWISH),
    (3, 184, 2, 5.5685, 1, SWISH),
    (5, 184, 1, 2.8400, 1, SWISH),
    (5, 184, 1, 2.8400, 1, SWISH),
    (5, 184, 1, 4.8754, 1, SWISH),
    (5, 184, 1, 4.8754, 1, SWISH),
    (0, 224, 1, 0.0, 0, RELU),
)

FBNETV2 = {
    "fbnetv2_f1": Zoo(128, 8, _F1, 1600),
    "fbnetv2_f2": Zoo(160, 8, _F1, 1600),
    "fbnetv2_f3": Zoo(192, 8, _F1, 1984),
    "fbnetv2_f4": Zoo(224, 16, _F4, 1984),
    "fbnetv2_l1": Zoo(224, 16, _L1, 1984),
    "fbnetv2_l2": Zoo(256, 16, _L1, 1984),
}


def fbnetv2(name: str, *, num_classes: int, image_size: int) -> Blueprint:
    """A published network by its name in :data:`FBNETV2`.

    Up to 64 pixels the strides are those of the ``cifar`` layout, below 16 those of the ``small`` one (see
    :func:`sartor.spaces.fpnas.macro.lay_out`).
    """
    zoo = FBNETV2[name]
    strides = lay_out([2, *[row[2] for row in zoo.rows]], "auto", image_size)
    stacks = {"stem": blocks.stem(3, image_size, zoo.stem, strides[0])}
    last = stacks["stem"]
    for i, (row, stride) in enumerate(zip(zoo.rows, strides[1:], strict=True), 1):
        last = stacks[f"block{i}"] = _block(last, row, stride)
    stacks["head"] = blocks.pool_head(last.out_channels, last.out_side, zoo.head)
    stacks["classifier"] = blocks.classifier(zoo.head, 1, num_classes)
    inputs = (PICTURES, *stacks)
    wired = (Block(block, (before,), stack) for (block, stack), before in zip(stacks.items(), inputs, strict=False))
    return Blueprint(tuple(wired), 3, image_size, name)


def _block(before: Stack, row: ZooRow, stride: int) -> Stack:
    kernel, width, _, expansion, squeeze_excite, activation = row
    resolve = block_resolver(before.out_side, stride, before.out_channels, RULES)
    return resolve(before.out_channels, kernel, activation, squeeze_excite, expansion, width)
