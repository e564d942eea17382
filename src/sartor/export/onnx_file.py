"""Writing a plain network as one ONNX file: dynamic batch, weights inside, the model card in its metadata.

Two exporters of torch are known here. Measured on a MobileNetV1-like network (28 convolutions,
squeeze-excite; torch 2.13, one core): ``"torchscript"`` 0.09 s, and 0.3 s the first time in a process;
``"dynamo"`` 1.8 s and 6.9 s. Both graphs run equally fast in onnxruntime (2.18 and 2.17 ms) and hold the same
operators. The first is therefore tried first; it is deprecated, so that a torch without it, or a network it
cannot trace, gets the second.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sartor.errors import RequestError, SartorError
from sartor.export.card import ModelCard
from sartor.export.session import INPUT, OUTPUT
from sartor.optional import require

if TYPE_CHECKING:
    import torch
    from torch import nn

Exporter = Literal["auto", "torchscript", "dynamo"]

# Operator set 18 is the oldest that both exporters write without converting; onnxruntime runs it since 1.14.
DEFAULT_OPSET = 18


def export_onnx(
    network: nn.Module,
    card: ModelCard,
    path: str | Path,
    *,
    opset: int = DEFAULT_OPSET,
    exporter: Exporter = "auto",
) -> Path:
    """Writes ``network`` in evaluation mode and float32 to ``path`` and returns the path.

    The file takes ``pictures`` ``[batch, C, S, S]`` and gives ``logits`` ``[batch, classes]``; the batch is
    dynamic. The network itself is not touched: a copy on the CPU is exported. The file appears whole or not
    at
    all: it is written beside its place under another name and then renamed.

    Raises:
        RequestError: the network does not fit the card (channels, size, number of classes), or the file
            cannot be written.
        SartorError: no exporter of torch can express the network.
        MissingDependencyError: onnx is not installed.
    """
    require("onnx", extra="export")
    import torch

    plain = copy.deepcopy(network).cpu().float().eval()
    _check_fit(plain, card)
    # Two pictures: a batch of one would be taken for a constant.
    pictures = torch.zeros(2, *card.input_shape)
    model = to_model(plain, {INPUT: pictures}, [OUTPUT], card.name, opset=opset, exporter=exporter)
    label(model, card)
    return write_model(model, path)


def write_model(model: Any, path: str | Path) -> Path:
    """Writes an ``onnx.ModelProto`` to ``path`` atomically: temporary file, flush to disk, rename."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(model.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise RequestError(
            f"The network cannot be written to {path}: {error.strerror or error}. "
            "Make room or choose a folder that can be written to; an older file there is unchanged."
        ) from error
    return path


def _check_fit(network: nn.Module, card: ModelCard) -> None:
    """Runs one blank picture through the network, so that a wrong card is found before exporting."""
    import torch

    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, *card.input_shape))
    except RuntimeError as error:
        raise RequestError(
            f"The network of '{card.name}' does not accept pictures of shape {list(card.input_shape)}, "
            f"which its model card declares ({error})."
        ) from error
    if not isinstance(logits, torch.Tensor):
        raise RequestError(
            f"The network of '{card.name}' returns {type(logits).__name__}, not one tensor of logits. "
            "Export a network with one exit."
        )
    expected = (1, len(card.class_names))
    if tuple(logits.shape) != expected:
        raise RequestError(
            f"The network of '{card.name}' gives logits of shape {list(logits.shape)} for one picture; its "
            f"model card has {len(card.class_names)} classes and needs {list(expected)}."
        )


def to_model(
    network: nn.Module,
    examples: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    name: str,
    *,
    opset: int = DEFAULT_OPSET,
    exporter: Exporter = "auto",
) -> Any:
    """The ``onnx.ModelProto`` of a network, from the asked exporter or from the first that succeeds.

    Args:
        network: on the CPU and in evaluation mode; takes ``examples`` in order.
        examples: input name -> a tensor of two pictures' values; the batch is dynamic in all of them.
        outputs: names of what the network gives.
        name: of the network, for errors.

    Raises:
        SartorError: no exporter of torch can express the network.
        MissingDependencyError: onnx is not installed.
    """
    import torch

    exporters = {"torchscript": _with_torchscript, "dynamo": _with_dynamo}
    names = list(exporters) if exporter == "auto" else [exporter]
    failures = []
    for chosen in names:
        try:
            with _quiet(), torch.no_grad():
                model = exporters[chosen](network, examples, outputs, opset)
            _tidy(model)
            return model
        except SartorError:
            raise
        except Exception as error:  # The exporters raise whatever the failing pass raised.
            first_line = (str(error).strip() or "no message").splitlines()[0]
            failures.append(f"{chosen}: {type(error).__name__}: {first_line}")
    raise SartorError(f"The network of '{name}' cannot be expressed in ONNX. " + "; ".join(failures))


def _with_torchscript(
    network: nn.Module, examples: Mapping[str, torch.Tensor], outputs: Sequence[str], opset: int
) -> Any:
    import torch

    onnx = require("onnx", extra="export")
    buffer: Any = io.BytesIO()  # The annotation in torch knows paths only.
    torch.onnx.export(
        network,
        tuple(examples.values()),
        buffer,
        dynamo=False,
        opset_version=opset,
        input_names=list(examples),
        output_names=list(outputs),
        dynamic_axes={tensor: {0: "batch"} for tensor in (*examples, *outputs)},
    )
    return onnx.load_model_from_string(buffer.getvalue())


def _with_dynamo(network: nn.Module, examples: Mapping[str, torch.Tensor], outputs: Sequence[str], opset: int) -> Any:
    import torch

    require("onnxscript", extra="export")
    batch = torch.export.Dim("batch", min=1)
    shapes: tuple[Any, ...] = tuple({0: batch} for _ in examples)
    if any(p.kind is p.VAR_POSITIONAL for p in inspect.signature(network.forward).parameters.values()):
        shapes = (shapes,)  # torch.export counts *arguments as one
    program = torch.onnx.export(
        network,
        tuple(examples.values()),
        dynamo=True,
        opset_version=opset,
        input_names=list(examples),
        output_names=list(outputs),
        dynamic_shapes=shapes,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch returned no program")
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' banners, warnings and log lines away from the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _tidy(model: Any) -> None:
    """Removes what a reader of the file has no use for, and checks what is left.

    The exporters leave stack traces with paths of this machine, shapes that any reader infers, and
    ``Identity`` nodes that give two names to one weight.
    """
    onnx = require("onnx", extra="export")
    graph = model.graph
    for part in [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    del graph.value_info[:]
    weights = {tensor.name for tensor in graph.initializer}
    renamed: dict[str, str] = {}
    for node in list(graph.node):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.input[0] in weights:
            renamed[node.output[0]] = node.input[0]
            graph.node.remove(node)
    onnx.checker.check_model(model)


def label(model: Any, card: ModelCard, also: Mapping[str, str] | None = None) -> None:
    """Writes the card, and what is to stand beside it, into the metadata and names the maker of the file."""
    onnx = require("onnx", extra="export")
    onnx.helper.set_model_props(model, {**card.to_metadata(), **(also or {})})
    model.producer_name = "sartor"
    model.producer_version = card.sartor_version
    model.graph.name = card.name
