"""How many parameters an ONNX file holds, and whether its size is what they need."""

from __future__ import annotations

import math
from typing import Any

# What a file may hold beside its weights: names, attributes and shapes of each node, and the model card.
_BYTES_PER_NODE = 1024
_BYTES_PER_FILE = 16 * 1024
_BYTES_PER_PARAMETER = 4


def count_parameters(model: Any) -> int:
    """Elements of all weight tensors of an ``onnx.ModelProto`` that a network would call parameters.

    Counted are the floating-point initialisers and ``Constant`` tensors, without the running mean and
    variance of a BatchNormalization (they are no parameters) and without single numbers (bounds of a clip,
    factors). A batch normalisation folded into its convolution leaves one value per channel (the bias) of its
    two.
    """
    statistics = {n for node in model.graph.node if node.op_type == "BatchNormalization" for n in node.input[3:5]}
    tensors = [t for t in model.graph.initializer if t.name not in statistics]
    tensors += [a.t for n in model.graph.node if n.op_type == "Constant" for a in n.attribute if a.name == "value"]
    sizes = [math.prod(t.dims) for t in tensors if t.data_type in _float_types()]
    return sum(size for size in sizes if size > 1)


def size_problem(model: Any, file_bytes: int, params: int, network_params: int | None) -> str | None:
    """What is implausible about the file, in words; ``None`` where all is well.

    Args:
        params: what ``count_parameters`` found in the file.
        network_params: parameters of the network before folding, where known.
    """
    least = _BYTES_PER_PARAMETER * params
    metadata = sum(len(p.key) + len(p.value) for p in model.metadata_props)
    most = least + _BYTES_PER_FILE + _BYTES_PER_NODE * len(model.graph.node) + 4 * metadata
    if not least <= file_bytes <= most:
        return (
            f"it has {file_bytes:,} bytes where {params:,} float32 parameters need {least:,} to {most:,}; "
            "weights are missing, stored twice or in another type"
        )
    # Folding removes at most half (one value of two per channel, and a bias that was there before); what the
    # exporter adds are a few constants, such as the scales of a resize.
    if network_params is not None and not network_params / 2 <= params <= 1.01 * network_params + 64:
        return (
            f"it holds {params:,} parameters where the network has {network_params:,}; "
            "another network was exported than the card describes"
        )
    return None


def _float_types() -> set[int]:
    """ONNX codes of float32, float16, float64 and bfloat16."""
    return {1, 10, 11, 16}
