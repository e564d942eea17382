"""Concrete layers, with their integer MACs and parameters, and the nodes that join them.

Convention, stated once: one multiply-add is 1 MAC. Convolutions and linear layers count their weights times the
output positions; batch norm, activations, pooling and bias additions count nothing. The papers' "FLOPs" are these
MACs. Parameters are the learnt ones: weights, biases and the two affine vectors of a batch norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

LayerKind = Literal[
    "conv", "linear", "batch_norm", "activation", "pool", "global_pool", "dropout", "shift", "channels", "shuffle"
]

WITH_WEIGHTS: frozenset[str] = frozenset({"conv", "linear", "batch_norm"})
_IN_PLACE: frozenset[str] = frozenset({"batch_norm", "activation", "dropout"})


@dataclass(frozen=True)
class Layer:
    """One concrete layer. ``name`` is unique inside its block: choices that share a name share weights.

    A ``shift`` cuts off the first row and column, ``channels`` hands on those from ``start``, a ``shuffle`` takes the
    channels of its ``groups`` in turn.
    """

    name: str
    kind: LayerKind
    in_channels: int
    out_channels: int
    in_side: int
    out_side: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    bias: bool = False
    function: str = ""  # of an activation ("relu", ...) or a pool ("max", "avg")
    affine: bool = True  # of a batch norm: whether it learns a scale and a shift
    padded: bool = True  # of a convolution or a pool: whether its border is padded, so that stride 1 keeps the side
    start: int = 0  # of channels: the first one

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        if self.kind == "conv":
            return self.in_channels // self.groups * self.out_channels * self.kernel**2 * self.out_side**2
        return self.in_channels * self.out_channels if self.kind == "linear" else 0

    @cached_property
    def params(self) -> int:
        """Learnt parameters."""
        if self.kind == "batch_norm":
            return 2 * self.out_channels * self.affine
        if self.kind not in ("conv", "linear"):
            return 0
        weights = self.in_channels // self.groups * self.out_channels * self.kernel**2
        return weights + (self.out_channels if self.bias else 0)

    @property
    def in_elements(self) -> int:
        """Elements of the input for one picture."""
        return self.in_channels * self.in_side**2

    @property
    def out_elements(self) -> int:
        """Elements of the output for one picture."""
        return self.out_channels * self.out_side**2

    @property
    def in_place(self) -> bool:
        """Whether the output may overwrite the input (every runtime fuses or overwrites elementwise layers)."""
        return self.kind in _IN_PLACE

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved on its own."""
        return self.kind == "conv" and self.groups == self.in_channels == self.out_channels and self.groups > 1


@dataclass(frozen=True)
class Residual:
    """Adds the input to the output of ``body``."""

    body: tuple[Node, ...]


@dataclass(frozen=True)
class Gate:
    """Multiplies the input by the output of ``body``, one factor per channel (squeeze-excite)."""

    body: tuple[Node, ...]


@dataclass(frozen=True)
class SplitAttention:
    """The sum of its branches, each weighted per channel by a softmax over the branches (Zhang et al., ResNeSt).

    The branches u_1 ... u_R read the same input and have the same shape. ``gate`` reads their plain sum and ends in R
    logits per channel at side 1. *The logits of one channel lie next to each other*: output ``channel * R + r`` of the
    gate belongs to branch r. So the first R * m outputs belong to the first m channels, and a prefix of the channels
    needs a prefix of the weights. (ResNeSt keeps the logits of one branch together, which cannot be sliced.)
    """

    branches: tuple[tuple[Node, ...], ...]
    gate: tuple[Node, ...]

    @property
    def channels(self) -> int:
        """Channels of every branch, of their sum, and of the result."""
        return next(walk_layers(self.gate)).in_channels


@dataclass(frozen=True)
class Parallel:
    """Branches on one input, whose outputs are concatenated along the channels."""

    branches: tuple[tuple[Node, ...], ...]


Node = Layer | Residual | Gate | SplitAttention | Parallel


def walk_layers(body: Sequence[Node]) -> Iterator[Layer]:
    """The layers of a body in order of execution."""
    for node in body:
        if isinstance(node, Layer):
            yield node
        else:
            for inner in inner_bodies(node):
                yield from walk_layers(inner)


def inner_bodies(node: Residual | Gate | SplitAttention | Parallel) -> tuple[tuple[Node, ...], ...]:
    """The bodies inside a node in order of execution."""
    if isinstance(node, Parallel):
        return node.branches
    return (*node.branches, node.gate) if isinstance(node, SplitAttention) else (node.body,)
