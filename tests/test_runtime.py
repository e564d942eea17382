"""Device, precision and allocator: what is refused, and what a network looks like where it runs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from sartor import runtime
from sartor.errors import RequestError
from sartor.runtime import Runtime, keep_freed_memory, prepare


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, r"device: 'gpu' is not known, allowed are auto, cpu and cuda"),
        ({"precision": "float16"}, r"precision: 'float16' is not known, allowed are float32 and bfloat16"),
    ],
)
def test_unknown_values_are_refused(arguments: dict[str, Any], message: str) -> None:
    """What arrived and what is allowed are named."""
    with pytest.raises(RequestError, match=message):
        prepare(**arguments)


def test_a_missing_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """``cuda`` is not silently replaced where there is none; ``auto`` then is the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RequestError, match="torch finds no CUDA device here; use auto or cpu"):
        prepare("cuda")
    assert prepare("auto").device == torch.device("cpu")


def test_auto_takes_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` is the GPU where torch finds one, this process's own of several; ``cpu`` stays the CPU."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert prepare("auto").device == prepare("cuda").device == torch.device("cuda", 3)
    assert prepare("cpu").device.type == "cpu"
    assert chosen == [3, 3]


def test_threads_are_set_only_on_request() -> None:
    """Without a number torch keeps its threads."""
    before = torch.get_num_threads()
    try:
        prepare("cpu")
        assert torch.get_num_threads() == before
        prepare("cpu", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_networks_are_placed_channels_last() -> None:
    """Weights lie channels last, which is what makes training on a CPU twice as fast; values do not change."""
    network = nn.Conv2d(4, 8, 3)
    before = network.weight.detach().clone()
    placed = Runtime(torch.device("cpu")).place(network)
    assert placed is network
    assert network.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(network.weight, before)


def test_full_precision_has_no_context() -> None:
    """In float32 nothing is cast; in bfloat16 matrix products are, inside the context only."""
    assert prepare("cpu").autocast is None
    reduced = prepare("cpu", "bfloat16").autocast
    assert reduced is not None
    x = torch.ones(2, 2)
    with reduced():
        assert (x @ x).dtype == torch.bfloat16
    assert (x @ x).dtype == torch.float32


def test_the_allocator_keeps_memory_on_glibc_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere nothing is called, and the answer says so."""
    on_glibc = sys.platform.startswith("linux") and runtime.platform.libc_ver()[0] == "glibc"
    assert keep_freed_memory() == on_glibc
    monkeypatch.setattr("sartor.runtime.platform.libc_ver", lambda: ("musl", ""))
    monkeypatch.setattr("sartor.runtime.ctypes.CDLL", lambda name: pytest.fail("called without glibc"))
    assert not keep_freed_memory()
    monkeypatch.setattr("sartor.runtime.sys.platform", "darwin")
    assert not keep_freed_memory()
