"""Peak activation memory of an ONNX graph, by simulating which tensors are alive: the oracle for our memory
cost.

The rules, for one picture, nodes in the order of the graph:

- A tensor lives from the node that writes it to its last reader; a graph input from the start to its last
  reader; a graph output to the end. While a node runs, its inputs and its outputs are alive together.
- Weights, and whatever is computed from weights and shapes alone, are constants and do not count; neither do
  tensors that are not floating point (shapes, indices).
- Elementwise nodes and batch normalisations write into an input of the same size that dies there. The two
  nodes of ``x * sigmoid(x)`` (or hard sigmoid) are one such node: older operator sets have none for it.
- Reshape, Flatten, Squeeze, Unsqueeze, and Identity and Dropout at inference, are views: no bytes of their
own. - A runtime's scratch memory (im2col, tiles) is its own affair and not in the definition.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sartor.errors import RequestError
from sartor.export.session import open_session
from sartor.optional import require

InputShapes: TypeAlias = Mapping[str, Sequence[int]]

VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
GATES = frozenset({"Sigmoid", "HardSigmoid"})
_ACTIVATIONS = {"Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "HardSwish", "Swish", "Gelu", "Mish", "Tanh"}
_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Abs", "Neg", "Sqrt"}
IN_PLACE = GATES | _ACTIVATIONS | _ARITHMETIC | {"BatchNormalization"}
# Bytes per element of the floating-point types, by their ONNX code: float, float16, double, bfloat16.
_BYTES = {1: 4, 10: 2, 11: 8, 16: 2}
_IR_VERSION = 10


def peak_activation_bytes(model: Any, input_shapes: InputShapes | None = None) -> int:
    """The largest sum of live activation bytes while ``model`` runs.

    Args:
        model: an ONNX file or an ``onnx.ModelProto``.
        input_shapes: shapes by name of graph input; by default the file's own, with 1 for every open
        dimension.

    Raises:
        RequestError: the file cannot be read, or the size of a tensor cannot be found.
    """
    return max(live_bytes for _, live_bytes in activation_timeline(model, input_shapes))


def activation_timeline(model: Any, input_shapes: InputShapes | None = None) -> list[tuple[str, int]]:
    """Live activation bytes while each node runs, as (``operator -> output``, bytes), in the graph's order.

    It shows where a peak comes from; arguments and errors are those of ``peak_activation_bytes``.
    """
    fixed = _with_fixed_shapes(_load(model), input_shapes or {})
    constants = _constants(fixed.graph)
    nodes = [node for node in fixed.graph.node if not set(node.output) <= constants]
    sizes = _activation_bytes(fixed, constants)
    storage = _storage(nodes, sizes)
    last_reader = _last_readers(fixed.graph, nodes, storage)
    live = {name: sizes[name] for name in (i.name for i in fixed.graph.input) if name in last_reader}
    timeline = []
    for index, node in enumerate(nodes):
        dying = {s for s in _stored(node.input, storage) if s in live and last_reader[s] == index}
        written = [name for name in node.output if storage.get(name) == name]
        reused = 0
        if node.op_type in IN_PLACE and written:
            reused = max((live[s] for s in dying if live[s] == sizes[written[0]]), default=0)
        live.update({name: sizes[name] for name in written})
        timeline.append((f"{node.op_type} -> {node.output[0]}", sum(live.values()) - reused))
        live = {name: size for name, size in live.items() if last_reader.get(name, index) > index}
    return timeline


def _load(model: Any) -> Any:
    """The model as a ``ModelProto`` of our own, which may be changed."""
    onnx = require("onnx", extra="export")
    if isinstance(model, (str, Path)):
        try:
            return onnx.load(str(model))
        except Exception as error:  # protobuf, OSError, and whatever the parser meets.
            raise RequestError(f"{model} cannot be read as an ONNX file ({error}).") from error
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _with_fixed_shapes(model: Any, input_shapes: InputShapes) -> Any:
    """The model with concrete input shapes and every shape that follows from them."""
    onnx = require("onnx", extra="export")
    names = {i.name for i in model.graph.input}
    for name in input_shapes:
        if name not in names:
            raise RequestError(f"The graph has no input '{name}'; its inputs are {', '.join(sorted(names))}.")
    for graph_input in model.graph.input:
        dims = graph_input.type.tensor_type.shape.dim
        shape = input_shapes.get(graph_input.name, [dim.dim_value or 1 for dim in dims])
        for dim, size in zip(dims, shape, strict=True):
            dim.dim_value = size
    # Old annotations hold the symbolic batch and would win over the inferred size.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _constants(graph: Any) -> set[str]:
    """Names of tensors that do not depend on the picture: weights, shapes, and what follows from them."""
    constants = {tensor.name for tensor in graph.initializer} | {""}
    for node in graph.node:
        if node.op_type in ("Constant", "Shape") or all(name in constants for name in node.input):
            constants.update(node.output)
    return constants


def _activation_bytes(model: Any, constants: set[str]) -> dict[str, int]:
    """Bytes of every floating-point tensor that depends on the picture."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    known: dict[str, int] = {}
    unknown: dict[str, int] = {}
    for info in [*graph.input, *graph.value_info, *graph.output]:
        kind, dims = info.type.tensor_type.elem_type, info.type.tensor_type.shape.dim
        if info.name in constants or info.name in weights or kind not in _BYTES:
            continue
        if info.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            known[info.name] = _BYTES[kind] * math.prod(dim.dim_value for dim in dims)
        else:
            unknown[info.name] = kind
    inferred = {info.name for info in [*graph.input, *graph.value_info, *graph.output]}
    lost = [o for n in graph.node for o in n.output[:1] if o not in inferred and o not in constants]
    if lost:
        raise RequestError(f"The size of the tensor '{lost[0]}' cannot be inferred: unknown operator.")
    return known | (_measured_bytes(model, unknown) if unknown else {})


def _measured_bytes(model: Any, kinds: Mapping[str, int]) -> dict[str, int]:
    """Bytes of tensors whose shapes no inference found (computed reshapes), by running the graph once."""
    onnx = require("onnx", extra="export")
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    # A format number of the library, not of the graph: onnx writes newer ones than onnxruntime reads.
    probe.ir_version = min(probe.ir_version, _IR_VERSION)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_tensor_value_info(n, k, None) for n, k in kinds.items())
    session = open_session(probe.SerializeToString(), optimise=False)
    blank = {
        i.name: np.zeros(
            [dim.dim_value for dim in i.type.tensor_type.shape.dim],
            dtype=onnx.helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type),
        )
        for i in probe.graph.input
    }
    arrays = session.run(list(kinds), blank)
    return {name: _BYTES[kinds[name]] * int(array.size) for name, array in zip(kinds, arrays, strict=True)}


def _storage(nodes: Sequence[Any], sizes: Mapping[str, int]) -> dict[str, str]:
    """Which tensor's memory each activation uses: its own, or the one it is a view of."""
    readers = Counter(name for node in nodes for name in set(node.input))
    gated = {
        name: other
        for node in nodes
        if node.op_type == "Mul"
        for name, other in [node.input, reversed(node.input)]
        if readers[name] == 1
    }
    storage = {name: name for name in sizes}
    for node in nodes:
        output = node.output[0]
        gate = node.op_type in GATES and gated.get(output) == node.input[0]
        if (node.op_type in VIEWS or gate) and output in sizes:
            storage[output] = storage[node.input[0]]
    return storage


def _stored(names: Sequence[str], storage: Mapping[str, str]) -> set[str]:
    return {storage[name] for name in names if name in storage}


def _last_readers(graph: Any, nodes: Sequence[Any], storage: Mapping[str, str]) -> dict[str, int]:
    """The index of the last node that reads each stored tensor; the end of the graph for outputs."""
    last = {s: index for index, node in enumerate(nodes) for s in _stored(node.input, storage)}
    last.update(dict.fromkeys(_stored([o.name for o in graph.output], storage), len(nodes)))
    return last
