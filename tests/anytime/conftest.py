"""A network with three scales, three exits and real statistics, shared by the tests of the folder."""

from __future__ import annotations

import pytest
from anytime_networks import grid, settled
from torch import nn

from sartor.blueprint import Blueprint


@pytest.fixture(scope="session")
def blueprint() -> Blueprint:
    """Three scales, layers 2 to 4 with an exit each."""
    return grid(scales=3, layers=4)


@pytest.fixture(scope="session")
def network(blueprint: Blueprint) -> nn.Module:
    """The network of it in evaluation mode."""
    return settled(blueprint)
