"""The machine: allocator, threads, device and precision, set once at the start of a run."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sartor import world
from sartor.errors import RequestError

# mallopt's parameters in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@dataclass(frozen=True)
class Runtime:
    """Where and in which precision networks run."""

    device: torch.device
    precision: str = "float32"

    @property
    def autocast(self) -> Callable[[], AbstractContextManager[Any]] | None:
        """A context for forward computations in reduced precision, or None in full precision."""
        if self.precision == "float32":
            return None
        return lambda: torch.autocast(self.device.type, dtype=torch.bfloat16)

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, with channels last in memory (1.5 to 1.7 times as fast on a CPU)."""
        return network.to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def prepare(device: str = "auto", precision: str = "float32", threads: int | None = None) -> Runtime:
    """Chooses the device and tunes the process; call it before the first large tensor.

    Raises:
        RequestError: an unknown device or precision, or ``cuda`` where torch finds none.
    """
    if precision not in ("float32", "bfloat16"):
        raise RequestError(f"precision: {precision!r} is not known, allowed are float32 and bfloat16")
    if device not in ("auto", "cpu", "cuda"):
        raise RequestError(f"device: {device!r} is not known, allowed are auto, cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise RequestError("device: cuda was asked for, but torch finds no CUDA device here; use auto or cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    if device == "cpu" or not torch.cuda.is_available():
        return Runtime(torch.device("cpu"), precision)
    torch.cuda.set_device(world.local_rank())
    return Runtime(torch.device("cuda", world.local_rank()), precision)


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory instead of returning it to the system; False where there is no glibc.

    By default every tensor of 32 MB and more is mapped and unmapped anew, which costs a training step a sixth to a
    third of its time in the system (benchmarks/allocator.py).
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_M_TOP_PAD, 128 * 2**20)
    return True
