"""What an architecture means: blocks of concrete layers, with their integer MACs, parameters and memory.

Convention, stated once: one multiply-add is 1 MAC. Convolutions and linear layers count their weights times the
output positions; batch norm, activations, pooling and bias additions count nothing. The papers' "FLOPs" are these
MACs. Parameters are the learnt ones: weights, biases and the two affine vectors of a batch norm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

LayerKind = Literal["conv", "linear", "batch_norm", "activation", "pool", "global_pool", "dropout"]
Join = Literal["single", "sum", "concat"]

BYTES_PER_ELEMENT = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
PICTURES = "pictures"  # the name of the input in Block.inputs

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

    @property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        if self.kind == "conv":
            return self.in_channels // self.groups * self.out_channels * self.kernel**2 * self.out_side**2
        return self.in_channels * self.out_channels if self.kind == "linear" else 0

    @property
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


Node = Layer | Residual | Gate


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

    def then(self, other: Stack) -> Stack:
        """This stack followed by another one."""
        if (other.in_channels, other.in_side) != (self.out_channels, self.out_side):
            raise ValueError(
                f"a stack for {other.in_channels} channels at side {other.in_side} cannot follow "
                f"{self.out_channels} channels at side {self.out_side}"
            )
        return dataclasses.replace(
            self, body=self.body + other.body, out_channels=other.out_channels, out_side=other.out_side
        )

    def _same(self, name: str, kind: LayerKind, function: str = "") -> Stack:
        channels, side = self.out_channels, self.out_side
        return self._with(Layer(name, kind, channels, channels, side, side, function=function), channels, side)

    def _with(self, node: Node, channels: int, side: int) -> Stack:
        return dataclasses.replace(self, body=(*self.body, node), out_channels=channels, out_side=side)

    def _count(self, kind: str) -> int:
        return sum(isinstance(node, Layer) and node.kind == kind for node in self.body)


@dataclass(frozen=True)
class Block:
    """A named stack in the network's graph: the unit of latency keys."""

    name: str
    inputs: tuple[str, ...]
    stack: Stack
    join: Join = "single"
    stage: int = 0
    is_exit: bool = False

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, those inside residuals and gates included, in order of execution."""
        return tuple(walk_layers(self.stack.body))

    @property
    def out_elements(self) -> int:
        """Elements of the output for one picture."""
        return self.stack.out_channels * self.stack.out_side**2

    @property
    def is_empty(self) -> bool:
        """Whether the block hands on its input as it is."""
        return self.join == "single" and not self.stack.body


@dataclass(frozen=True)
class Blueprint:
    """A network resolved to concrete layers; ``build()`` makes it, the properties count it."""

    blocks: tuple[Block, ...]
    in_channels: int
    image_size: int
    name: str = "network"

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in order of execution."""
        return tuple(layer for block in self.blocks for layer in block.layers)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        return sum(layer.macs for layer in self.layers)

    @cached_property
    def params(self) -> int:
        """Learnt parameters."""
        return sum(layer.params for layer in self.layers)

    @cached_property
    def peak_memory_bytes(self) -> int:
        """The largest sum of live activations over the execution order, batch 1, float32."""
        pictures = self.in_channels * self.image_size**2
        return peak_elements(self.blocks, pictures) * BYTES_PER_ELEMENT["float32"]

    @property
    def num_classes(self) -> int:
        """Outputs of the last block."""
        return self.blocks[-1].stack.out_channels

    def build(self, *, seed: int = 0, dropout: float = 0.0) -> nn.Module:
        """The plain network with freshly initialised weights (see :func:`sartor.network.build`)."""
        from sartor.network import build

        return build(self, seed=seed, dropout=dropout)

    def to_dict(self) -> dict[str, Any]:
        """The blueprint as plain lists and dictionaries, for JSON."""
        return {
            "name": self.name,
            "in_channels": self.in_channels,
            "image_size": self.image_size,
            "blocks": [_block_to_dict(block) for block in self.blocks],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Blueprint:
        """The inverse of :meth:`to_dict`."""
        blocks = tuple(_block_from_dict(block) for block in data["blocks"])
        return cls(blocks, data["in_channels"], data["image_size"], data["name"])


def walk_layers(body: Sequence[Node]) -> Iterator[Layer]:
    """The layers of a body in order of execution."""
    for node in body:
        if isinstance(node, Layer):
            yield node
        else:
            yield from walk_layers(node.body)


# The wiring of a network: name, inputs and whether it is an exit, in order of execution.
Wiring = Sequence[tuple[str, tuple[str, ...], bool]]


def peak_elements(blocks: Sequence[Block], pictures: int) -> int:
    """The largest number of live elements while ``blocks`` run in order, for one picture of ``pictures`` elements.

    A tensor lives from the layer that makes it to its last reader; logits live to the end. Elementwise layers
    overwrite their input unless it is still needed.
    """
    wiring = [(block.name, block.inputs, block.is_exit) for block in blocks]
    empty = {block.name for block in blocks if block.is_empty}
    size = {PICTURES: pictures} | {block.name: block.out_elements for block in blocks}
    peak = 0
    for index, block in enumerate(blocks):
        inputs, waiting, kept = live_tensors(wiring, index, empty)
        own = block_peak_elements(dataclasses.replace(block, inputs=inputs), kept, size)
        peak = max(peak, own + sum(size[name] for name in waiting))
    return peak


def live_tensors(wiring: Wiring, index: int, empty: Set[str]) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
    """The inputs of a block, the tensors that wait while it runs, and which inputs are needed after it.

    A tensor has the name of the block that made it; the ``empty`` blocks hand on their input.
    """
    maker = makers(wiring, empty)
    last_reader = {maker[n]: i for i, (_, inputs, _) in enumerate(wiring) for n in inputs}
    last_reader |= {maker[name]: len(wiring) for name, _, is_exit in wiring if is_exit}
    earlier = {PICTURES, *[maker[name] for name, _, _ in wiring[:index]]}
    alive = frozenset(name for name in earlier if last_reader.get(name, -1) > index)
    own = tuple(maker[name] for name in wiring[index][1])
    return own, alive.difference(own), alive.intersection(own)


def makers(wiring: Wiring, empty: Set[str]) -> dict[str, str]:
    """Block -> the block that made its output: itself, unless it is empty."""
    maker = {PICTURES: PICTURES}
    for name, inputs, _ in wiring:
        maker[name] = maker[inputs[0]] if name in empty else name
    return maker


def block_peak_elements(block: Block, kept: frozenset[str] = frozenset(), size: dict[str, int] | None = None) -> int:
    """The largest number of live elements inside one block; ``kept`` inputs are needed after it."""
    entering = block.stack.in_channels * block.stack.in_side**2
    if block.join == "single":
        peak, _ = _body_peak(block.stack.body, 0, bool(kept))
        return max(peak, entering)
    sizes = size or {}
    inputs = sum(sizes[name] for name in set(block.inputs))
    if block.join == "concat":  # the inputs and their copy side by side
        joined = inputs + entering
    else:  # a sum is written over one input that nobody else needs
        joined = inputs + (entering if kept.issuperset(block.inputs) else 0)
    held = sum(sizes[name] for name in kept)
    peak, _ = _body_peak(block.stack.body, held, False)
    return max(joined, peak)


def _body_peak(body: Sequence[Node], held: int, kept: bool) -> tuple[int, bool]:
    """The peak of a body while ``held`` other elements wait; ``kept`` says that its input must survive it.

    Returns the peak and whether the output still is the kept input itself.
    """
    peak = 0
    for node in body:
        if isinstance(node, Layer):
            overwrite = node.in_place and not kept
            peak = max(peak, held + node.in_elements + (0 if overwrite else node.out_elements))
            if kept:
                held, kept = held + node.in_elements, False
            continue
        entering = next(walk_layers(node.body)).in_elements
        inner, _ = _body_peak(node.body, held, True)
        # The sum is written over the body's output, the product over the gate's input.
        joined = held + entering + _out_elements(node.body)
        if kept:
            joined += entering if isinstance(node, Gate) else 0
            held, kept = held + entering, False
        peak = max(peak, inner, joined)
    return peak, kept


def _out_elements(body: Sequence[Node]) -> int:
    """Elements that a body hands on; a gate hands on its input, not the factors that its last layer makes."""
    last = body[-1]
    if isinstance(last, Layer):
        return last.out_elements
    if isinstance(last, Residual):
        return _out_elements(last.body)
    return next(walk_layers(last.body)).in_elements


def _check_kernel(name: str, kernel: int) -> None:
    if kernel % 2 == 0:
        raise ValueError(f"{name}: kernels are odd, so that padding keeps the side; got {kernel}")


def _node_to_dict(node: Node) -> dict[str, Any]:
    if isinstance(node, Layer):
        default = {f.name: f.default for f in dataclasses.fields(Layer)}
        return {k: v for k, v in dataclasses.asdict(node).items() if v != default[k]}
    return {type(node).__name__.lower(): [_node_to_dict(child) for child in node.body]}


def _node_from_dict(data: dict[str, Any]) -> Node:
    if "residual" in data:
        return Residual(tuple(_node_from_dict(child) for child in data["residual"]))
    if "gate" in data:
        return Gate(tuple(_node_from_dict(child) for child in data["gate"]))
    return Layer(**data)


def _block_to_dict(block: Block) -> dict[str, Any]:
    stack = block.stack
    shape = [stack.in_channels, stack.in_side, stack.out_channels, stack.out_side]
    rest = {"name": block.name, "inputs": list(block.inputs), "shape": shape, "join": block.join}
    return {
        **rest,
        "stage": block.stage,
        "is_exit": block.is_exit,
        "body": [_node_to_dict(node) for node in stack.body],
    }


def _block_from_dict(data: dict[str, Any]) -> Block:
    in_channels, in_side, out_channels, out_side = data["shape"]
    body = tuple(_node_from_dict(node) for node in data["body"])
    stack = Stack(in_channels, in_side, body, out_channels, out_side)
    return Block(data["name"], tuple(data["inputs"]), stack, data["join"], data["stage"], data["is_exit"])
