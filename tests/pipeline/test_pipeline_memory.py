"""The memory that a budget counts is what the exported file needs, simulated tensor by tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor import spaces
from sartor.export import ModelCard, export_onnx, peak_activation_bytes
from sartor.space import SearchSpace
from sartor.testing import small_space

COUNTS = {
    "mobilenet_v1": 8,
    "channel_bench_macro": 6,
    "nas_bench_macro": 6,
    "proxylessnas": 4,
    "proxylessnas_enlarged": 3,
    "mobilenetv3_like": 4,
    "fbnetv2_f": 3,
    "fbnetv2_f_fine": 2,
    "fbnetv2_f_plus": 4,
    "fpnas_l0": 1,
    "fpnas_l1": 1,
    "fpnas_l2": 1,
}
# 50 random architectures over the registered spaces at a small size.
SPACES: dict[str, tuple[SearchSpace, int]] = {
    **{name: (small_space(name), count) for name, count in COUNTS.items()},
    "mobilenet_v1 on grey pictures of 28": (
        spaces.create("mobilenet_v1", num_classes=7, image_size=28, in_channels=1, multiplier=0.25, divisor=4),
        7,
    ),
}


def card(space: SearchSpace) -> ModelCard:
    colour = "RGB" if space.in_channels == 3 else "grey"
    values: dict[str, Any] = {
        "name": "memory",
        "mean": (0.5,) * space.in_channels,
        "std": (0.25,) * space.in_channels,
        "image_size": space.image_size,
        "colour_order": colour,
        "class_names": tuple(str(i) for i in range(space.num_classes)),
    }
    return ModelCard(**values)


@pytest.mark.parametrize("name", SPACES)
def test_peak_memory_is_that_of_the_exported_graph(name: str, tmp_path: Path) -> None:
    """For random architectures the cost equals the liveness simulation on the ONNX file, to the byte."""
    space, count = SPACES[name]
    rows = space.sample(count, np.random.default_rng(11))
    costs = space.cost("peak_memory_bytes")(rows)
    assert len(set(costs.tolist())) > count // 4  # the rows differ in what is checked
    for row, cost in zip(rows, costs, strict=True):
        path = export_onnx(space.architecture(row).build(), card(space), tmp_path / "network.onnx")
        assert peak_activation_bytes(path) == cost, space.architecture(row)


def test_fifty_architectures_over_all_registered_spaces() -> None:
    """The promise of the check: every space in which memory is a budget takes part, 50 architectures in all.

    Cells are left out: their exported files compute equal activations of one tensor once, the network each by itself.
    """
    assert sum(count for _, count in SPACES.values()) == 50
    budgeted = {name for name in spaces.names() if "peak_memory_bytes" in small_space(name).cost_names}
    assert {space.name for space, _ in SPACES.values()} == budgeted
