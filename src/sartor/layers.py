"""Concrete layers, with their integer MACs and parameters, and the stacks that they form.

Convention, stated once: one multiply-add is 1 MAC. Convolutions and linear layers count their weights times the
output positions; batch norm, activations, pooling and bias additions count nothing. The papers' "FLOPs" are these
MACs. Parameters are the learnt ones: weights, biases and the two affine vectors of a batch norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

LayerKind = Literal["conv", "linear", "batch_norm", "activation", "pool", "global_pool", "dropout"]

WITH_WEIGHTS: frozenset[str] = frozenset({"conv", "linear", "batch_norm"})
_IN_PLACE: frozenset[str] = frozenset({"batch_norm", "activation", "dropout"})


@dataclass(frozen=True)
class Layer:
    """One concrete layer. ``name`` is unique inside its block: choices that share a name share weights."""

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
            return 2 * self.out_channels
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


Node = Layer | Residual | Gate | SplitAttention


@dataclass(frozen=True)
class Stack:
    """A sequence of layers under construction; every method returns a longer stack.

    ``Stack(3, 32).conv("stem", 16, kernel=3).batch_norm().activation()`` is a convolution from 3 to 16 channels
    at side 32. An empty stack hands its input on.
    """

    in_channels: int
    in_side: int
    body: tuple[Node, ...] = ()
    out_channels: int = field(default=-1)
    out_side: int = field(default=-1)

    def __post_init__(self) -> None:
        if self.out_channels < 0:
            object.__setattr__(self, "out_channels", self.in_channels)
            object.__setattr__(self, "out_side", self.in_side)

    def conv(
        self,
        name: str,
        channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
    ) -> Stack:
        """A convolution padded to keep the side, which ``stride`` divides (rounding up); kernels are odd."""
        _check_kernel(name, kernel)
        side = -(-self.out_side // stride)
        layer = Layer(
            name,
            "conv",
            self.out_channels,
            channels,
            self.out_side,
            side,
            kernel,
            stride,
            groups,
            dilation,
            bias,
        )
        return self._with(layer, channels, side)

    def depthwise(self, name: str, *, kernel: int, stride: int = 1, dilation: int = 1) -> Stack:
        """A depthwise convolution."""
        channels = self.out_channels
        return self.conv(name, channels, kernel=kernel, stride=stride, groups=channels, dilation=dilation)

    def batch_norm(self, name: str = "") -> Stack:
        """A batch norm, named after the layer before it."""
        previous = self.body[-1] if self.body else None
        name = name or f"{previous.name if isinstance(previous, Layer) else 'input'}_norm"
        return self._same(name, "batch_norm")

    def activation(self, function: str = "relu") -> Stack:
        """An elementwise activation: relu, relu6, hard_swish, hard_sigmoid, swish or sigmoid."""
        return self._same(f"{function}{self._count('activation')}", "activation", function)

    def dropout(self, name: str = "dropout") -> Stack:
        """A dropout whose rate is a setting of the training, zero unless it is asked for."""
        return self._same(name, "dropout")

    def global_pool(self) -> Stack:
        """The mean over all positions."""
        layer = Layer("pool", "global_pool", self.out_channels, self.out_channels, self.out_side, 1)
        return self._with(layer, self.out_channels, 1)

    def pool(self, function: Literal["max", "avg"], *, kernel: int = 3, stride: int = 1) -> Stack:
        """A padded pooling with an odd kernel; averages leave the padding out."""
        _check_kernel(f"{function} pooling", kernel)
        side = -(-self.out_side // stride)
        channels = self.out_channels
        layer = Layer(
            f"{function}{kernel}",
            "pool",
            channels,
            channels,
            self.out_side,
            side,
            kernel,
            stride,
            function=function,
        )
        return self._with(layer, channels, side)

    def linear(self, name: str, features: int) -> Stack:
        """A linear layer with bias on pooled features (side 1)."""
        if self.out_side != 1:
            raise ValueError(f"linear layer {name!r} needs pooled features, got side {self.out_side}")
        return self._with(Layer(name, "linear", self.out_channels, features, 1, 1, bias=True), features, 1)

    def residual(self, body: Stack) -> Stack:
        """Adds ``body`` to the identity; shapes must agree."""
        if (body.in_channels, body.in_side) != (body.out_channels, body.out_side):
            raise ValueError("a residual body must keep the number of channels and the side")
        return self._with(Residual(body.body), self.out_channels, self.out_side)

    def gate(self, body: Stack) -> Stack:
        """Multiplies by ``body``, which must end in one value per channel."""
        if body.out_channels != self.out_channels or body.out_side != 1:
            raise ValueError("a gate must end in one value per channel")
        if any(layer.kind == "linear" for layer in walk_layers(body.body)):
            raise ValueError("a gate keeps its positions: use 1x1 convolutions in place of linear layers")
        return self._with(Gate(body.body), self.out_channels, self.out_side)

    def split_attention(self, branches: Sequence[Stack], gate: Stack) -> Stack:
        """The attention-weighted sum of ``branches``; ``gate`` must end in one value per branch and channel."""
        shapes = {(b.in_channels, b.in_side, b.out_channels, b.out_side) for b in branches}
        if len(branches) < 2 or len(shapes) != 1 or not all(b.body for b in branches):
            raise ValueError("a split attention needs two or more branches of layers, all of one shape")
        _, _, channels, side = next(iter(shapes))
        if (branches[0].in_channels, branches[0].in_side) != (self.out_channels, self.out_side):
            raise ValueError("the branches of a split attention must read what it reads")
        if (gate.in_channels, gate.in_side) != (channels, side):
            raise ValueError("the gate of a split attention must read the sum of its branches")
        if gate.out_channels != len(branches) * channels or gate.out_side != 1:
            raise ValueError("the gate of a split attention must end in one value per branch and channel")
        if any(layer.kind == "linear" for layer in walk_layers([node for s in (*branches, gate) for node in s.body])):
            raise ValueError("a split attention keeps its positions: use 1x1 convolutions in place of linear layers")
        return self._with(SplitAttention(tuple(b.body for b in branches), gate.body), channels, side)

    def then(self, other: Stack) -> Stack:
        """This stack followed by another one."""
        if (other.in_channels, other.in_side) != (self.out_channels, self.out_side):
            raise ValueError(
                f"a stack for {other.in_channels} channels at side {other.in_side} cannot follow "
                f"{self.out_channels} channels at side {self.out_side}"
            )
        return self._grown(self.body + other.body, other.out_channels, other.out_side)

    def _same(self, name: str, kind: LayerKind, function: str = "") -> Stack:
        channels, side = self.out_channels, self.out_side
        return self._with(Layer(name, kind, channels, channels, side, side, function=function), channels, side)

    def _with(self, node: Node, channels: int, side: int) -> Stack:
        return self._grown((*self.body, node), channels, side)

    def _grown(self, body: tuple[Node, ...], channels: int, side: int) -> Stack:
        # Not dataclasses.replace, which takes three times as long: large spaces make a hundred thousand stacks.
        return Stack(self.in_channels, self.in_side, body, channels, side)

    def _count(self, kind: str) -> int:
        return sum(isinstance(node, Layer) and node.kind == kind for node in self.body)


def walk_layers(body: Sequence[Node]) -> Iterator[Layer]:
    """The layers of a body in order of execution."""
    for node in body:
        if isinstance(node, Layer):
            yield node
        else:
            for inner in inner_bodies(node):
                yield from walk_layers(inner)


def inner_bodies(node: Residual | Gate | SplitAttention) -> tuple[tuple[Node, ...], ...]:
    """The bodies inside a node in order of execution."""
    return (*node.branches, node.gate) if isinstance(node, SplitAttention) else (node.body,)


def _check_kernel(name: str, kernel: int) -> None:
    if kernel % 2 == 0:
        raise ValueError(f"{name}: kernels are odd, so that padding keeps the side; got {kernel}")
