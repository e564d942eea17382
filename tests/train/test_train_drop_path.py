"""Stochastic depth: which branches are left out, how often, for whom, and never when a network is judged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sartor.blueprint import Block, Blueprint
from sartor.elastic.execution import Dropout, DropPath, run_body
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.layers import Layer
from sartor.stack import Stack
from sartor.train.paths import branch_rates

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


def blueprint(layers: int = 3, width: int = 4) -> Blueprint:
    """A stem, residual layers, a block without a residual between them, and a classifier."""
    stacks = {"stem": Stack(3, 8).conv("conv", width, kernel=3).batch_norm().activation()}
    for i in range(layers):
        body = Stack(width, 8).depthwise("depthwise", kernel=3).batch_norm()
        stacks[f"layer{i}"] = Stack(width, 8).residual(body)
    stacks["plain"] = Stack(width, 8).conv("conv", width)
    stacks["classifier"] = Stack(width, 8).global_pool().dropout().linear("linear", 5)
    previous = ["pictures", *stacks]
    return Blueprint(tuple(Block(n, (p,), s) for (n, s), p in zip(stacks.items(), previous, strict=False)), 3, 8)


def pictures(n: int = 4) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def dropping(rates: dict[str, float], seed: int = 0) -> Dropout:
    return Dropout(0.0, torch.Generator().manual_seed(1), DropPath(rates, torch.Generator().manual_seed(seed)))


def test_rates_rise_with_depth() -> None:
    """The i-th of n residual blocks has rate * i / n; blocks without a residual have none and do not count."""
    assert branch_rates(blueprint(4), 0.2) == pytest.approx(
        {"layer0": 0.05, "layer1": 0.1, "layer2": 0.15, "layer3": 0.2}
    )
    assert branch_rates(blueprint(0), 0.2) == {}


def test_expectation_and_scale() -> None:
    """A branch is left out for a whole picture at its rate, and grows by 1 / (1 - rate) otherwise: unbiased."""
    paths = DropPath({"block": 0.3}, torch.Generator().manual_seed(0))
    out = paths("block", torch.full((20_000, 2, 3, 3), 2.0))
    kept = out.flatten(1)
    assert ((kept == 0).all(1) | torch.isclose(kept, torch.tensor(2 / 0.7)).all(1)).all()
    assert float((kept[:, 0] == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(out.mean()) == pytest.approx(2.0, abs=0.03)
    assert torch.equal(paths("other", out), out)


def test_only_residual_branches_are_left_out() -> None:
    """At a rate of almost 1 a residual is the identity; its shortcut, gates and plain layers go on."""
    gate = Stack(4, 6).global_pool().activation("sigmoid")
    body = Stack(4, 6).residual(Stack(4, 6).activation("relu")).gate(gate).body

    def refuse(block: str, layer: Layer, x: Tensor) -> Tensor:
        raise AssertionError(layer.name)

    x = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    without = run_body("block", body[1:], x, refuse)
    assert torch.equal(run_body("block", body, x, refuse, dropping({"block": 1 - 1e-9})), without)
    assert not torch.equal(run_body("block", body, x, refuse), without)
    assert torch.equal(run_body("block", body, x, refuse, dropping({})), run_body("block", body, x, refuse))


def test_pictures_are_dropped_one_by_one() -> None:
    """In one batch some pictures get the branch and some do not, as a generator of its own says."""
    body = Stack(4, 6).residual(Stack(4, 6).conv("conv", 4)).body
    x = torch.zeros(16, 4, 6, 6)
    out = run_body("block", body, x, lambda block, layer, y: torch.ones_like(y), dropping({"block": 0.75}))
    kept = torch.rand(16, 1, 1, 1, generator=torch.Generator().manual_seed(0)) >= 0.75
    assert torch.equal(out, 4.0 * kept.expand_as(x)) and 0 < int(kept.sum()) < 16


def test_it_is_off_when_a_network_is_judged() -> None:
    """In evaluation mode nothing is left out, and features are not dropped either."""
    network = SlimmableNetwork({"a": blueprint()}).eval()
    expected = network(pictures())
    network.dropout = Dropout(0.9, torch.Generator(), DropPath({"layer1": 0.9}, torch.Generator()))
    assert torch.equal(network(pictures()), expected)
    assert not torch.equal(network.train()(pictures()), expected)


def test_it_does_not_change_which_features_drop() -> None:
    """Both draw from generators of their own, in any order of use."""
    x = torch.ones(8, 100)
    alone = Dropout(0.5, torch.Generator().manual_seed(1))(x)
    both = Dropout(0.5, torch.Generator().manual_seed(1), DropPath({"b": 0.5}, torch.Generator().manual_seed(1)))
    both.paths("b", torch.ones(8, 1, 1, 1))  # type: ignore[misc]
    assert torch.equal(both(x), alone)
    assert torch.equal(Dropout(0.0, torch.Generator())(x), x)
