"""Work on the graphs of stages that the exporter of a single stage cannot see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
                    _drop_relus(model, name)


def _readers(model: Any, name: str) -> list[Any]:
    return [node for node in model.graph.node if name in node.input]


def _rectify_output(model: Any, name: str) -> None:
    """Gives the ReLU of what was called ``name`` under that name."""
    helper = require("onnx", extra="export").helper
    before = f"{name}_before_relu"
    for node in model.graph.node:
        node.input[:] = [before if n == name else n for n in node.input]
        node.output[:] = [before if n == name else n for n in node.output]
    model.graph.node.append(helper.make_node("Relu", [before], [name], name=f"{name}_relu"))


def _drop_relus(model: Any, name: str) -> None:
    """Reads ``name`` where its ReLU was read."""
    renamed: Mapping[str, str] = {node.output[0]: name for node in _readers(model, name)}
    for node in _readers(model, name):
        model.graph.node.remove(node)
    for node in model.graph.node:
        node.input[:] = [renamed.get(n, n) for n in node.input]
