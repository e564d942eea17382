"""Leaves that are kept between passes never outlive the weights and gradients they stand for."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from sartor.blueprint import Stack
from sartor.elastic.layers import SlicedLinear


def sliced_linear() -> SlicedLinear:
    """A linear layer of six inputs and five outputs."""
    widest = Stack(6, 1).linear("linear", 5).body[0]
    return SlicedLinear(widest, torch.Generator().manual_seed(0))  # type: ignore[arg-type]


def gradient_of_prefix(sliced: SlicedLinear) -> torch.Tensor:
    """The weight's gradient after the sum of its prefix [2, 3] was taken; a correct one holds six ones."""
    sliced.prefix("weight", 2, 3).sum().backward()
    assert sliced.weight.grad is not None
    return sliced.weight.grad


def test_leaves_are_kept() -> None:
    """The second pass gets the leaf of the first, and both add up in the parameter's gradient."""
    sliced = sliced_linear()
    first = sliced.prefix("weight", 2, 3)
    assert sliced.prefix("weight", 2, 3) is first
    gradient_of_prefix(sliced)
    assert gradient_of_prefix(sliced).sum() == 12


def _drop(sliced: SlicedLinear) -> None:
    sliced.zero_grad()


def _replace(sliced: SlicedLinear) -> None:
    sliced.weight.grad = torch.zeros(5, 6)


def _convert(sliced: SlicedLinear) -> None:
    sliced.double().zero_grad(set_to_none=False)


def _set_data(sliced: SlicedLinear) -> None:
    sliced.weight.data = torch.full((5, 6), 7.0)
    sliced.zero_grad(set_to_none=False)


def _load(sliced: SlicedLinear) -> None:
    sliced.load_state_dict({k: v.clone() for k, v in sliced.state_dict().items()}, assign=True)


@pytest.mark.parametrize("change", [_drop, _replace, _convert, _set_data, _load])
def test_changes_are_noticed(change: Callable[[SlicedLinear], None]) -> None:
    """However weights or gradients are replaced, the next pass reads the new weights and fills the new gradient."""
    sliced = sliced_linear()
    gradient_of_prefix(sliced)
    change(sliced)
    assert torch.equal(sliced.prefix("weight", 2, 3).detach(), sliced.weight.detach()[:2, :3])
    assert gradient_of_prefix(sliced).sum() == 6


def test_copies_have_leaves_of_their_own() -> None:
    """A copy's passes leave the original's gradient alone."""
    sliced = sliced_linear()
    gradient_of_prefix(sliced)
    twin = copy.deepcopy(sliced)
    twin.zero_grad()
    assert gradient_of_prefix(twin).sum() == 6
    assert sliced.weight.grad is not None and sliced.weight.grad.sum() == 6


def test_dropped_gradients_are_freed() -> None:
    """After a step no leaf keeps a gradient alive that the parameter has dropped."""
    sliced = sliced_linear()
    buffer = weakref.ref(gradient_of_prefix(sliced))
    sliced.weight.grad = None
    sliced.forget_prefixes()
    gc.collect()
    assert buffer() is None


def test_switches_are_obeyed() -> None:
    """Without gradients, or with ordinary autograd slices, no kept leaf is handed out."""
    sliced = sliced_linear()
    leaf = sliced.prefix("weight", 2, 3)
    with torch.no_grad():
        assert sliced.prefix("weight", 2, 3) is not leaf
    sliced.direct_gradients = False
    assert sliced.prefix("weight", 2, 3).grad_fn is not None
