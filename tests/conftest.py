"""Shared fixtures: one thread per process, and the folder of real data where it exists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

# Two-thread torch collapses when several test processes share the cores.
torch.set_num_threads(1)

SHARED_DATA = Path(os.environ.get("SARTOR_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures and tables; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"shared data not found at {SHARED_DATA} (set SARTOR_SHARED_DATA)")
    return SHARED_DATA
