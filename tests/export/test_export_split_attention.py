"""A network with split attention as an ONNX file: both exporters, the same logits, the memory that is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from sartor.blueprint import Block, Blueprint
from sartor.export import ModelCard, export_onnx, peak_activation_bytes
from sartor.memory import PICTURES
from sartor.spaces.fpnas.blocks import BlockRules, block_resolver, classifier
from sartor.stack import Stack

CARD = ModelCard(
    name="split",
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
    image_size=8,
    colour_order="RGB",
    class_names=("a", "b", "c"),
)


def two_blocks() -> Blueprint:
    """A block with 4 splits and a shortcut around one with 2 splits."""
    stem = Stack(3, 8).conv("conv", 8, kernel=3).batch_norm().activation()
    first = block_resolver(8, 2, 8, BlockRules())(8, 5, "hard_swish", 4, 3.0, 16)
    second = block_resolver(4, 1, 16, BlockRules())(16, 3, "relu", 2, 1.5, 16)
    stacks = {"stem": stem, "first": first, "second": second, "classifier": classifier(16, 4, 3)}
    inputs = (PICTURES, *stacks)
    blocks = [Block(name, (i,), stack) for (name, stack), i in zip(stacks.items(), inputs, strict=False)]
    return Blueprint(tuple(blocks), 3, 8)


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_exported_split_attention(tmp_path: Path, exporter: Any) -> None:
    """2 and 4 splits export with either exporter: equal logits, peak memory to the byte, no shape arithmetic."""
    blueprint = two_blocks()
    network = blueprint.build(seed=1).eval()
    path = export_onnx(network, CARD, tmp_path / "network.onnx", exporter=exporter)
    assert peak_activation_bytes(path) == blueprint.peak_memory_bytes
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("Softmax") == 2
    assert not {"Shape", "Gather", "Concat"}.intersection(operators)
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    (logits,) = onnxruntime.InferenceSession(str(path)).run(None, {"pictures": x.numpy()})
    np.testing.assert_allclose(logits, network(x).detach().numpy(), rtol=0, atol=1e-5)
