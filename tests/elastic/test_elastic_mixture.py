"""Choices as nested branches: what runs once, what is averaged where, and what is kept for the backward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sartor.decisions import Decision, Template
from sartor.elastic.mixture import Branches, Shortcut, make_plan
from sartor.elastic.supernet import Supernet
from sartor.space import SearchSpace
from sartor.stack import Stack

SIDE, WIDTH = 8, 6


def bottleneck(width: int, present: str, kernel: int, expansion: int, gated: bool) -> Stack:
    """A collapsed bottleneck: own depthwise convolution per kernel, everything else shared."""
    start = Stack(width, SIDE)
    if present == "skip":
        return start
    hidden = width * expansion
    body = start.conv("expand", hidden).batch_norm().activation()
    body = body.depthwise(f"depthwise_k{kernel}", kernel=kernel).batch_norm().activation()
    if gated:
        squeeze = Stack(hidden, SIDE).global_pool().conv("se_reduce", 4, bias=True).activation()
        body = body.gate(squeeze.conv("se_expand", hidden, bias=True).activation("sigmoid"))
    return start.residual(body.conv("project", width).batch_norm())


@pytest.fixture
def space() -> SearchSpace:
    """One bottleneck with every kind of choice, and a classifier."""
    decisions = [
        Decision("width", (4, WIDTH), "width"),
        Decision("layer", ("layer", "skip")),
        Decision("kernel", (3, 5, 7), when=("layer", ("layer",))),
        Decision("expansion", (1, 2), "width", when=("layer", ("layer",))),
        Decision("se", (False, True), when=("layer", ("layer",))),
    ]
    templates = [
        Template("stem", ("width",), lambda w: Stack(3, SIDE).conv("conv", w, kernel=3).batch_norm()),
        Template("block", ("width", "layer", "kernel", "expansion", "se"), bottleneck),
        Template("classifier", ("width",), lambda w: Stack(w, SIDE).global_pool().linear("linear", 5)),
    ]
    return SearchSpace("one_bottleneck", decisions, templates, image_size=SIDE)


@pytest.fixture
def supernet(space: SearchSpace) -> Supernet:
    """The space's supernet in double precision."""
    return space.supernet(seed=1).double()


def pictures(n: int = 2) -> Tensor:
    return torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def even(n: int) -> np.ndarray[Any, Any]:
    return np.full(n, 1 / n)


def all_on(space: SearchSpace) -> list[Any]:
    """Widths at their largest, every other option on: the first step of the warm-up."""
    return [len(d.options) - 1 if d.kind == "width" else even(len(d.options)) for d in space.decisions]


def reference(supernet: Supernet, x: Tensor) -> Tensor:
    """The official semantics by hand: kernels averaged after their activation, then half of SE, then half the layer."""
    bank: Any = supernet.bank.blocks
    relu, block = torch.relu, bank["block"]

    def norm(name: str, y: Tensor) -> Tensor:
        return nn.functional.batch_norm(y, None, None, block[name].weight, block[name].bias, training=True, eps=1e-5)

    expanded = relu(norm("expand_norm", nn.functional.conv2d(x, block["expand"].weight)))
    moved = torch.zeros_like(expanded)
    for k in (3, 5, 7):
        weight = block[f"depthwise_k{k}"].weight
        y = nn.functional.conv2d(expanded, weight, padding=k // 2, groups=len(weight))
        moved = moved + relu(norm(f"depthwise_k{k}_norm", y)) / 3
    pooled = moved.mean((2, 3), keepdim=True)
    squeezed = relu(nn.functional.conv2d(pooled, block["se_reduce"].weight, block["se_reduce"].bias))
    gate = torch.sigmoid(nn.functional.conv2d(squeezed, block["se_expand"].weight, block["se_expand"].bias))
    halved = 0.5 * moved + 0.5 * moved * gate
    return x + 0.5 * norm("project_norm", nn.functional.conv2d(halved, block["project"].weight))


def test_all_options_on_is_the_official_nesting(space: SearchSpace, supernet: Supernet) -> None:
    """Means are taken choice by choice, inside out, not over whole combinations."""
    bank: Any = supernet.bank.blocks
    x = nn.functional.conv2d(pictures(), bank["stem"]["conv"].weight, padding=1)
    stem = bank["stem"]["conv_norm"]
    x = nn.functional.batch_norm(x, None, None, stem.weight, stem.bias, training=True, eps=1e-5)
    linear = bank["classifier"]["linear"]
    expected = reference(supernet, x).mean((2, 3)) @ linear.weight.T + linear.bias
    for recompute in (True, False):
        supernet.recompute_branches = recompute
        torch.testing.assert_close(supernet(pictures(), all_on(space)), expected, rtol=0, atol=1e-12)


def test_recomputing_changes_no_gradient(space: SearchSpace, supernet: Supernet) -> None:
    """Recomputed and kept branches give the same gradients, of the weights and of the mixture's weights."""
    found: list[list[Tensor]] = []
    for recompute in (True, False):
        supernet.recompute_branches = recompute
        supernet.zero_grad()
        vector = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, requires_grad=True)
        selection = [1, 0, vector, 1, even(2)]
        supernet(pictures(), selection).square().sum().backward()
        assert vector.grad is not None
        found.append([vector.grad, *[p.grad for p in supernet.parameters() if p.grad is not None]])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_one_hot_vectors_are_the_option(space: SearchSpace, supernet: Supernet) -> None:
    """A vector with one option on computes what the index computes, and keeps what it keeps."""
    with_index = supernet(pictures(), [1, 0, 1, 0, 1])
    one_hot = [1, np.array([1.0, 0.0]), np.array([0.0, 1.0, 0.0]), 0, np.array([0.0, 1.0])]
    assert torch.equal(supernet(pictures(), one_hot), with_index)


def test_a_skipped_layer_makes_its_choices_inert(space: SearchSpace, supernet: Supernet) -> None:
    """Options of a skipped layer may be on: nothing of it runs."""
    skipped = supernet(pictures(), [1, 1, even(3), 1, even(2)])
    assert torch.equal(skipped, supernet(pictures(), [1, 1, 0, 0, 0]))


def test_the_plan_follows_the_choices(space: SearchSpace) -> None:
    """Layer outside, kernels in the middle of the shared convolutions, squeeze-excite after the kernels."""
    grid = {
        (p, k, s): bottleneck(6, ("layer", "skip")[p], (3, 5, 7)[k], 2, bool(s)).body
        for p in (0, 1)
        for k in (0, 1, 2)
        for s in (0, 1)
    }
    (outer,) = make_plan([1, 2, 4], grid)
    assert isinstance(outer, Branches) and outer.decision == 1
    (shortcut,), skipped = outer.options[0][1], outer.options[1][1]
    assert skipped == () and isinstance(shortcut, Shortcut)
    head, kernels, squeeze, tail = shortcut.inside
    assert [getattr(n, "name", None) for n in head] == ["expand", "expand_norm", "relu0"]  # type: ignore[union-attr]
    assert isinstance(kernels, Branches) and kernels.decision == 2 and len(kernels.options) == 3
    assert isinstance(squeeze, Branches) and squeeze.decision == 4
    assert [getattr(n, "name", None) for n in tail] == ["project", "project_norm"]  # type: ignore[union-attr]


def kept_bytes(supernet: Supernet, selection: list[Any]) -> int:
    """Bytes of the activations that a forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = supernet(pictures(16), selection)  # alive, and with it all that it keeps
    for parameter in supernet.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    del output
    return sum(kept.values())


def test_step_with_all_options_keeps_what_one_keeps(space: SearchSpace, supernet: Supernet) -> None:
    """Kept for the backward pass: no more than 1.15 times a single branch's; without recomputing, far more."""
    single = [1, 0, 2, 1, 1]
    one = kept_bytes(supernet, single)
    assert kept_bytes(supernet, all_on(space)) <= 1.15 * one
    supernet.recompute_branches = False
    assert kept_bytes(supernet, all_on(space)) > 1.5 * one
