"""A network with three scales and three exits, and its exported stages, shared by the tests of the folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anytime_networks import grid, settled
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from sartor.anytime.budgeted import BudgetedBatch
from sartor.blueprint import Blueprint
from sartor.export import ModelCard, export_stages

BUDGETS = (
    BudgetedBatch(20_000.0, 20_100.0, 90.0, (0.5, 0.25, 0.25), (0.6, 0.7, -np.inf)),
    BudgetedBatch(30_000.0, 29_900.0, 92.0, (0.0, 0.5, 0.5), (np.inf, 0.8, -np.inf)),
)


@pytest.fixture(scope="session")
def blueprint() -> Blueprint:
    """Three scales, layers 2 to 4 with an exit each."""
    return grid(scales=3, layers=4)


@pytest.fixture(scope="session")
def network(blueprint: Blueprint) -> nn.Module:
    """The network of it in evaluation mode."""
    return settled(blueprint)


@pytest.fixture(scope="session")
def card() -> ModelCard:
    """The card of the network."""
    names = tuple(f"digit {i}" for i in range(10))
    return ModelCard(name="phone", mean=(0.3,), std=(0.35,), image_size=8, colour_order="grey", class_names=names)


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """100 real handwritten digits, uint8 ``[100, 8, 8, 1]``."""
    pixels: NDArray[np.uint8] = np.round(load_digits().images[:100] * (255 / 16)).astype(np.uint8)
    return pixels[..., None]


@pytest.fixture(scope="session")
def folder(network: nn.Module, blueprint: Blueprint, card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported stages, written once; tests that change them make a copy."""
    return export_stages(network, blueprint, card, tmp_path_factory.mktemp("run") / "anytime", budgets=BUDGETS)
