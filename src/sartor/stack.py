"""A sequence of layers under construction: what a block runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sartor.layers import Gate, Layer, LayerKind, Node, Parallel, Residual, SplitAttention, walk_layers


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
        padded: bool = True,
    ) -> Stack:
        """A convolution; padded, it keeps the side, which ``stride`` divides (rounding up), and its kernel is odd."""
        side = self._side(name, dilation * (kernel - 1) + 1, stride, padded)
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
            padded=padded,
        )
        return self._with(layer, channels, side)

    def depthwise(self, name: str, *, kernel: int, stride: int = 1, dilation: int = 1) -> Stack:
        """A depthwise convolution."""
        channels = self.out_channels
        return self.conv(name, channels, kernel=kernel, stride=stride, groups=channels, dilation=dilation)

    def batch_norm(self, name: str = "", *, affine: bool = True) -> Stack:
        """A batch norm, named after the layer before it."""
        previous = self.body[-1] if self.body else None
        name = name or f"{previous.name if isinstance(previous, Layer) else 'input'}_norm"
        return self._same(name, "batch_norm", affine=affine)

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

    def pool(self, function: Literal["max", "avg"], *, kernel: int = 3, stride: int = 1, padded: bool = True) -> Stack:
        """A pooling; averages leave the padding out."""
        side = self._side(f"{function} pooling", kernel, stride, padded)
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
            padded=padded,
        )
        return self._with(layer, channels, side)

    def shift(self) -> Stack:
        """Cuts off the first row and the first column."""
        channels, side = self.out_channels, self.out_side
        if side < 2:
            raise ValueError("a shift needs a side of at least 2")
        return self._with(Layer("shift", "shift", channels, channels, side, side - 1), channels, side - 1)

    def channels(self, start: int, stop: int) -> Stack:
        """The channels from ``start`` to before ``stop``."""
        if not 0 <= start < stop <= self.out_channels:
            raise ValueError(f"channels {start} to {stop} are not among {self.out_channels}")
        side, count = self.out_side, stop - start
        layer = Layer("channels", "channels", self.out_channels, count, side, side, start=start)
        return self._with(layer, count, side)

    def shuffle(self, groups: int) -> Stack:
        """The channels of ``groups`` equal parts in turn, so that what follows sees all parts in every stretch."""
        channels, side = self.out_channels, self.out_side
        if channels % groups:
            raise ValueError(f"{channels} channels do not form {groups} groups")
        return self._with(Layer("shuffle", "shuffle", channels, channels, side, side, groups=groups), channels, side)

    def parallel(self, branches: Sequence[Stack]) -> Stack:
        """Branches on the same input, their outputs concatenated along the channels."""
        if len(branches) < 2 or len({b.out_side for b in branches}) != 1 or not all(b.body for b in branches):
            raise ValueError("parallel branches are two or more, of layers that all end at one side")
        if any((b.in_channels, b.in_side) != (self.out_channels, self.out_side) for b in branches):
            raise ValueError("parallel branches must read what the stack made so far")
        channels = sum(b.out_channels for b in branches)
        return self._with(Parallel(tuple(b.body for b in branches)), channels, branches[0].out_side)

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

    def _same(self, name: str, kind: LayerKind, function: str = "", affine: bool = True) -> Stack:
        channels, side = self.out_channels, self.out_side
        layer = Layer(name, kind, channels, channels, side, side, function=function, affine=affine)
        return self._with(layer, channels, side)

    def _side(self, name: str, extent: int, stride: int, padded: bool) -> int:
        """The side after a window of ``extent`` positions."""
        if padded:
            if extent % 2 == 0:
                raise ValueError(f"{name}: padded kernels are odd, so that padding keeps the side; got {extent}")
            return -(-self.out_side // stride)
        if extent > self.out_side:
            raise ValueError(f"{name}: a window of {extent} positions does not fit a side of {self.out_side}")
        return (self.out_side - extent) // stride + 1

    def _with(self, node: Node, channels: int, side: int) -> Stack:
        return self._grown((*self.body, node), channels, side)

    def _grown(self, body: tuple[Node, ...], channels: int, side: int) -> Stack:
        # Not dataclasses.replace, which takes three times as long: large spaces make a hundred thousand stacks.
        return Stack(self.in_channels, self.in_side, body, channels, side)

    def _count(self, kind: str) -> int:
        return sum(isinstance(node, Layer) and node.kind == kind for node in self.body)
