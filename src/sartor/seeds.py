"""Random numbers that depend on names and not on history: a resumed run draws what an undisturbed one draws."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """A generator for one purpose and one step of a run."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), step])


def torch_generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """The same for torch, on the CPU."""
    import torch

    state = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))
