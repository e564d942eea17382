"""Opening an ONNX file in onnxruntime on the CPU, with errors a user can act on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.export.card import ModelCard
from sartor.optional import require

INPUT = "pictures"
OUTPUT = "logits"


def open_session(source: str | Path | bytes, *, optimise: bool = True, threads: int = 1) -> Any:
    """An ``onnxruntime.InferenceSession`` on the CPU.

    Args:
        source: an ONNX file, or the bytes of one.
        optimise: let onnxruntime fuse and fold operators, as it does by default.
        threads: how many compute one operator.

    Raises:
        RequestError: the file does not exist or is no ONNX file that onnxruntime can run.
        MissingDependencyError: onnxruntime is not installed.
    """
    runtime = require("onnxruntime", extra="export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # The reason arrives in the exception; its log line would only repeat it.
    if not optimise:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise RequestError(f"The ONNX file {source} does not exist. Check the path.")
    model = source if isinstance(source, bytes) else str(source)
    try:
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has one exception class per status code and no common base.
        name = "The model" if isinstance(source, bytes) else str(source)
        raise RequestError(f"{name} is not an ONNX file that onnxruntime can run ({error}).") from error


def read_card(session: Any, source: object) -> ModelCard:
    """The model card in the metadata of an open session; ``source`` names the file in errors."""
    return ModelCard.from_metadata(session.get_modelmeta().custom_metadata_map, source)


def run_session(session: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits ``[n, classes]`` for network inputs ``[n, C, S, S]``."""
    logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: inputs})[0]
    return logits
