"""Work on the graphs of stages that the exporter of a single stage cannot see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sartor.optional import require


def hand_on_rectified(models: Sequence[Any], gives: Sequence[Sequence[str]]) -> None:
    """Moves a ReLU with which every reader of a handed-on tensor begins to the stage that makes the tensor.

    The cells of DARTS rectify what they read. Between files onnxruntime does so in the plain memory layout, in every
    stage that reads the tensor; inside the stage that makes it, it does so once and in its own layout. Such a tensor
    keeps its name and shape, and holds the rectified values.

    Args:
        models: one ``onnx.ModelProto`` per stage, changed in place.
        gives: the names of the tensors that each stage hands on.
    """
    for position, names in enumerate(gives):
        for name in names:
            later = [model for model in models[position + 1 :] if _readers(model, name)]
            if later and all(node.op_type == "Relu" for model in later for node in _readers(model, name)):
                _rectify_output(models[position], name)
                for model in later:
                    _skip_relus(model, name, name)


def _readers(model: Any, name: str) -> list[Any]:
    return [node for node in model.graph.node if name in node.input]


def _rectify_output(model: Any, name: str) -> None:
    """Gives the ReLU of what was called ``name`` under that name; readers in this stage that rectify it share that."""
    helper = require("onnx", extra="export").helper
    before = f"{name}_before_relu"
    for node in model.graph.node:
        node.input[:] = [before if n == name else n for n in node.input]
        node.output[:] = [before if n == name else n for n in node.output]
    _skip_relus(model, before, name)
    # Nodes of a graph stand in order of execution: a ReLU comes right after what it rectifies.
    place, maker = next((i, node) for i, node in enumerate(model.graph.node) if before in node.output)
    if maker.op_type == "Concat" and not _readers(model, before):
        # Parts are rectified before they are joined: onnxruntime does so within the convolutions that make them.
        relus = [helper.make_node("Relu", [part], [f"{name}_part{i}"]) for i, part in enumerate(maker.input)]
        maker.input[:], maker.output[:] = [relu.output[0] for relu in relus], [name]
    else:
        relus, place = [helper.make_node("Relu", [before], [name])], place + 1
    for relu in reversed(relus):
        relu.name = f"{relu.output[0]}_relu"
        model.graph.node.insert(place, relu)


def _skip_relus(model: Any, name: str, rectified: str) -> None:
    """Reads ``rectified`` where a ReLU of ``name`` was read, and removes that ReLU unless it is an output itself."""
    outputs = {output.name for output in model.graph.output}
    relus = [n for n in _readers(model, name) if n.op_type == "Relu" and not outputs.intersection(n.output)]
    renamed = {node.output[0]: rectified for node in relus}
    for node in relus:
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [renamed.get(n, n) for n in node.input]
