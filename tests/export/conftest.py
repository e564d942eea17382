"""A network on real digits, its card, its file and its pictures: shared by the export tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_networks import SmallNetwork, reference_logits, settled
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from sartor.export import ModelCard, export_onnx


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """200 real handwritten digits, uint8 ``[200, 8, 8, 1]``."""
    pixels: NDArray[np.uint8] = np.round(load_digits().images[:200] * (255 / 16)).astype(np.uint8)
    return pixels[..., None]


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """The network behind the exported file."""
    return settled(SmallNetwork())


@pytest.fixture(scope="session")
def card(network: nn.Module) -> ModelCard:
    """A card for the network, every field filled."""
    return ModelCard(
        name="watch",
        mean=(0.3,),
        std=(0.35,),
        image_size=8,
        colour_order="grey",
        class_names=tuple(f"digit {i}" for i in range(10)),
        budgets={"macs": 200_000, "latency_ms": 1.5},
        costs={"macs": 150_000, "params": sum(p.numel() for p in network.parameters())},
        architecture={"width": [0.5, 1.0]},
        space="a space of the tests",
    )


@pytest.fixture(scope="session")
def exported(network: nn.Module, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported file, written once; tests that change it make a copy."""
    return export_onnx(network, card, tmp_path_factory.mktemp("export") / "watch.onnx")


@pytest.fixture(scope="session")
def logits(network: nn.Module, digits: NDArray[np.uint8], card: ModelCard) -> NDArray[np.float32]:
    """The network's logits on the digits."""
    return reference_logits(network, digits, card)
