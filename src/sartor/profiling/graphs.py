"""Blocks and whole networks as ONNX files that a runtime can be timed with, written in about a millisecond each.

How long a prediction takes does not depend on the weights' values, so the file holds none: each weight is a constant of
its shape, which every runtime fills in when it loads the file, and a file stays at a few kilobytes. The constant is
one over the number of summed values, so that numbers neither grow nor vanish (denormal numbers are slow). Batch norms
are folded into the convolution before them, as exporters and runtimes do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sartor.costs.keys import Piece
from sartor.layers import Gate, Layer, Node, Parallel, Residual, SplitAttention
from sartor.memory import PICTURES
from sartor.network import exit_names, padding
from sartor.optional import require

if TYPE_CHECKING:
    from sartor.blueprint import Block, Blueprint

OPSET = 18
_IR_VERSION = 10  # read by every onnxruntime since 1.18

_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "hard_swish": ("HardSwish", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "sigmoid": ("Sigmoid", {}),
}


def piece_graph(piece: Piece, batch: int = 1) -> bytes:
    """One block as an ONNX file; where it joins several inputs, the file takes them.

    A concatenation gets its channels in parts as equal as can be: what it copies is the same.
    """
    graph = _Graph()
    stack = piece.stack
    channels = [stack.in_channels] * piece.inputs
    if piece.join == "concat":
        channels = [stack.in_channels * (i + 1) // piece.inputs for i in range(piece.inputs)]
        channels = [high - low for low, high in zip([0, *channels], channels, strict=False)]
    inputs = [graph.input([batch, c, stack.in_side, stack.in_side]) for c in channels]
    output = graph.body(stack.body, graph.join(inputs, piece.join))
    return graph.serialised([output])


def network_graph(blueprint: Blueprint, batch: int = 1) -> bytes:
    """A whole network as an ONNX file, with one output per exit."""
    graph = _Graph()
    side = blueprint.image_size
    outputs = {PICTURES: graph.input([batch, blueprint.in_channels, side, side])}
    for block in blueprint.blocks:
        outputs[block.name] = _block(graph, block, outputs)
    return graph.serialised([outputs[name] for name in exit_names(blueprint.blocks)])


def call_graph() -> bytes:
    """The smallest file there is: what it takes is what every call takes, whatever it computes."""
    graph = _Graph()
    return graph.serialised([graph.node("Relu", graph.input([1, 1, 1, 1]))])


def _block(graph: _Graph, block: Block, outputs: dict[str, str]) -> str:
    return graph.body(block.stack.body, graph.join([outputs[name] for name in block.inputs], block.join))


class _Graph:
    """Nodes under construction; values are known by their names."""

    def __init__(self) -> None:
        self.onnx = require("onnx", extra="export")
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.numbers: list[Any] = []

    def input(self, shape: Sequence[int]) -> str:
        """A new input of floating-point numbers."""
        name = f"input{len(self.inputs)}"
        info = self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, list(shape))
        self.inputs.append(info)
        return name

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A new node; the name of its output, or of the first of several, which end in their number."""
        start = f"value{len(self.nodes)}"
        names = [start] if outputs == 1 else [f"{start}.{i}" for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0]

    def join(self, inputs: Sequence[str], join: str) -> str:
        """One value from the inputs of a block."""
        if len(inputs) == 1:
            return inputs[0]
        if join == "concat":
            return self.node("Concat", *inputs, axis=1)
        total = inputs[0]
        for other in inputs[1:]:
            total = self.node("Add", total, other)
        return total

    def body(self, body: Sequence[Node], value: str) -> str:
        """The layers of a body on a value."""
        flat = False
        for i, node in enumerate(body):
            if isinstance(node, Layer):
                if node.kind == "linear" and not flat:
                    value, flat = self.node("Flatten", value), True
                value = self._layer(node, value, body[i - 1] if i else None, body[i + 1] if i + 1 < len(body) else None)
            elif isinstance(node, Residual):
                value = self.node("Add", value, self.body(node.body, value))
            elif isinstance(node, Gate):
                value = self.node("Mul", value, self.body(node.body, value))
            elif isinstance(node, SplitAttention):
                value = self._attention(node, value)
            else:
                assert isinstance(node, Parallel)
                value = self.node("Concat", *[self.body(branch, value) for branch in node.branches], axis=1)
        return value

    def serialised(self, outputs: Sequence[str]) -> bytes:
        """The file."""
        helper = self.onnx.helper
        # A value that nothing computed cannot be an output.
        names = [name if not name.startswith("input") else self.node("Identity", name) for name in outputs]
        infos = [helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, None) for name in names]
        graph = helper.make_graph(self.nodes, "profile", self.inputs, infos, self.numbers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        model.producer_name = "sartor"
        content: bytes = model.SerializeToString()
        return content

    def _layer(self, layer: Layer, value: str, before: Node | None, after: Node | None) -> str:
        if layer.kind == "conv":
            return self._conv(layer, value, biased=layer.bias or _is(after, "batch_norm"))
        if layer.kind == "batch_norm":
            if _is(before, "conv"):
                return value
            ones, zeros = self._constant([layer.in_channels], 1.0), self._constant([layer.in_channels], 0.0)
            return self.node("BatchNormalization", value, ones, zeros, zeros, ones)
        if layer.kind == "linear":
            weight = self._constant([layer.out_channels, layer.in_channels], 1 / layer.in_channels)
            return self.node("Gemm", value, weight, self._constant([layer.out_channels], 0.0), transB=1)
        if layer.kind == "activation":
            return self._activation(layer.function, value)
        if layer.kind == "pool":
            window: dict[str, Any] = {
                "kernel_shape": [layer.kernel] * 2,
                "strides": [layer.stride] * 2,
                "pads": [padding(layer)] * 4,
            }
            return self.node("MaxPool" if layer.function == "max" else "AveragePool", value, **window)
        if layer.kind == "global_pool":
            return self.node("GlobalAveragePool", value)
        return value if layer.kind == "dropout" else self._moved(layer, value)

    def _conv(self, layer: Layer, value: str, biased: bool) -> str:
        summed = layer.in_channels // layer.groups * layer.kernel**2
        shape = [layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel]
        weights = [self._constant(shape, 1 / summed)]
        if biased:
            weights.append(self._constant([layer.out_channels], 0.0))
        return self.node(
            "Conv",
            value,
            *weights,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[padding(layer)] * 4,
            dilations=[layer.dilation] * 2,
            group=layer.groups,
        )

    def _activation(self, function: str, value: str) -> str:
        if function == "relu6":
            return self.node("Clip", value, self._number(0.0), self._number(6.0))
        if function == "swish":
            return self.node("Mul", value, self.node("Sigmoid", value))
        kind, attributes = _ACTIVATIONS[function]
        return self.node(kind, value, **attributes)

    def _moved(self, layer: Layer, value: str) -> str:
        """Layers that only take or order what is there."""
        if layer.kind == "shift":
            starts, stops, axes = [1, 1], [layer.in_side] * 2, [2, 3]
            return self.node("Slice", value, self._integers(starts), self._integers(stops), self._integers(axes))
        if layer.kind == "channels":
            starts, stops = [layer.start], [layer.start + layer.out_channels]
            return self.node("Slice", value, self._integers(starts), self._integers(stops), self._integers([1]))
        assert layer.kind == "shuffle"
        side, channels, groups = layer.in_side, layer.in_channels, layer.groups
        split = self.node("Reshape", value, self._integers([0, groups, channels // groups, side, side]))
        turned = self.node("Transpose", split, perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", turned, self._integers([0, channels, side, side]))

    def _attention(self, node: SplitAttention, value: str) -> str:
        parts = [self.body(branch, value) for branch in node.branches]
        logits = self.body(node.gate, self.join(parts, "sum"))
        count = len(parts)
        split = self.node("Reshape", logits, self._integers([0, node.channels, count, 1, 1]))
        shares = self.node("Split", self.node("Softmax", split, axis=2), outputs=count, axis=2, num_outputs=count)
        start = shares.removesuffix(".0")
        weighted = []
        for i, part in enumerate(parts):
            share = self.node("Squeeze", f"{start}.{i}", self._integers([2]))
            weighted.append(self.node("Mul", part, share))
        return self.join(weighted, "sum")

    def _constant(self, shape: Sequence[int], number: float) -> str:
        """A weight that the runtime fills in when it loads the file."""
        tensor = self.onnx.helper.make_tensor("value", self.onnx.TensorProto.FLOAT, [1], [number])
        assert math.prod(shape) > 0
        return self.node("ConstantOfShape", self._integers(shape), value=tensor)

    def _integers(self, values: Sequence[int]) -> str:
        name = f"integers{len(self.numbers)}"
        self.numbers.append(
            self.onnx.helper.make_tensor(name, self.onnx.TensorProto.INT64, [len(values)], list(values))
        )
        return name

    def _number(self, value: float) -> str:
        name = f"number{len(self.numbers)}"
        self.numbers.append(self.onnx.helper.make_tensor(name, self.onnx.TensorProto.FLOAT, [], [value]))
        return name


def _is(node: Node | None, kind: str) -> bool:
    return isinstance(node, Layer) and node.kind == kind
