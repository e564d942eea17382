"""What training does between blocks: which edges drop, and how the gradients of exits are brought into balance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exit_networks import conv, head, one_exit_with_auxiliary, with_exits
from torch import Tensor

import sartor
from sartor.blueprint import Block, Blueprint
from sartor.elastic.execution import Dropout, DropPath
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.stack import Stack
from sartor.train.paths import branch_rates, edge_rates, equilibrium, reader, scale_gradient

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


REDUCTIONS = (2, 3)  # the layers that halve the resolution in a network of four, counted from 1


def network(blueprint: Blueprint | None = None) -> SlimmableNetwork:
    made = SlimmableNetwork({"a": blueprint or with_exits()}, seed=0).double().train()
    made.bank.use_direct_gradients(False)
    return made


def pictures(n: int = 8) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# ---------------------------------------------------------------- drop path on edges


def test_edges_are_what_sums_alone_read() -> None:
    """What a node adds up are edges, all at one rate; but no identity, no node and no head."""
    edges = dict.fromkeys(("conv_0", "conv_1", "pool_1", "conv_2", "back_2"), 0.2)
    assert edge_rates(with_exits(), 0.2) == edges
    assert edge_rates(one_exit_with_auxiliary(), 0.2) == edges
    assert branch_rates(with_exits(), 0.2) == {}


def test_edges_of_a_cell_network() -> None:
    """In MS-RANAS every edge of every cell can be dropped but the identities; a skip that reduces is no identity."""
    space = sartor.spaces.create("ms_ranas", num_classes=5, image_size=16, scales=2, layers=4, nodes=2, channels=4)
    for row in space.sample(20, np.random.default_rng(0)):
        architecture = space.architecture(row)
        blueprint, chosen = architecture.blueprint, architecture.values
        found, expected = edge_rates(blueprint, 0.2), 0
        for layer in (2, 3, 4):
            cell = "reduction" if layer in REDUCTIONS else "normal"
            for name, operation in chosen.items():
                kind, _, source = name.split("_")
                reduces = kind == "reduction" and int(source) < 2
                if kind == cell and operation != "none" and (operation != "skip_connect" or reduces):
                    expected += 2  # one edge per scale
        assert len(found) == expected and not any("input" in name or "generator" in name for name in found)


def test_a_strided_skip_is_an_edge() -> None:
    """FactorizedReduce has layers: unlike an identity it can be left out."""
    blocks = [Block("a", ("pictures",), conv(3, 8, stride=2))]
    blocks += [Block("skip", ("pictures",), Stack(3, 8).activation().conv("halves", 4, stride=2).batch_norm())]
    blocks += [Block("node", ("a", "skip"), Stack(4, 4), "sum"), Block("head", ("node",), head(4))]
    assert set(edge_rates(Blueprint(tuple(blocks), 3, 8), 0.1)) == {"a", "skip"}


def test_what_others_read_too_is_no_edge() -> None:
    """A block that something else than a sum reads is left alone, and so is the only input of a sum."""
    base = with_exits()
    more = [
        dataclasses.replace(b, inputs=("conv_1",)) if b.name == "pooled_1" else b for b in base.blocks
    ]  # the head of an exit reads an edge
    assert "conv_1" not in edge_rates(dataclasses.replace(base, blocks=tuple(more)), 0.2)
    single = [dataclasses.replace(b, inputs=("conv_2",)) if b.name == "node_2" else b for b in base.blocks]
    assert "conv_2" not in edge_rates(dataclasses.replace(base, blocks=tuple(single)), 0.2)


def dropped(rate: float, n: int = 8) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The outputs of the exits as they are, and with all edges but those into node 2 dropped at ``rate``."""
    made, x = network(), pictures(n)
    plain = made(x)
    edges = {name: rate for name in edge_rates(with_exits(), rate) if not name.endswith("2")}
    made.read = reader({}, DropPath({}, torch.Generator().manual_seed(1), edges))
    return plain, made(x)


def test_identities_stay() -> None:
    """With (almost) every edge left out, a node is its identity, and nothing where it has none."""
    made, x = network(), pictures()
    _, outputs = dropped(1 - 1e-12)
    stem = made.extract("a").train().get_submodule("blocks.stem")(x)
    linear = made.bank.layer("exit_0", "linear")
    torch.testing.assert_close(outputs[0], F.linear(stem.mean((2, 3)), linear.weight, linear.bias))
    bias = made.bank.layer("exit_1", "linear").bias
    torch.testing.assert_close(outputs[1], torch.zeros(8, 5, dtype=torch.float64) + bias)  # type: ignore[operator,arg-type]


def test_an_edge_is_dropped_per_picture_and_rescaled() -> None:
    """Half of the pictures lose an edge; the sum of what is kept, doubled, has the expectation of the edge."""
    made, x = network(), pictures(2000)
    found: dict[str, Tensor] = {}
    drop = DropPath({}, torch.Generator().manual_seed(1), {"conv_0": 0.5})

    def read(block: str, source: str, y: Tensor) -> Tensor:
        kept = drop.edge(source, y)
        found[source, block] = torch.stack([y, kept])  # type: ignore[index]
        return kept

    made.read = read
    made(x)
    before, after = found["conv_0", "node_0"]  # type: ignore[index]
    share = (after / before).flatten(1)
    assert bool(((share == 0).all(1) | (share == 2).all(1)).all())
    assert float((share[:, 0] == 0).double().mean()) == pytest.approx(0.5, abs=0.03)
    assert all(torch.equal(*pair) for key, pair in found.items() if key[0] != "conv_0")


def test_edges_and_branches_are_one_mechanism() -> None:
    """One generator serves both; a block that is an edge loses its whole output, not its branch."""
    drop = DropPath({"a": 0.5}, torch.Generator().manual_seed(3), {"b": 0.5})
    x = torch.ones(64, 1, 1, 1)
    first, second = drop("a", x), drop.edge("b", x)
    rng = torch.Generator().manual_seed(3)
    for found in (first, second):
        assert torch.equal(found, 2.0 * (torch.rand(64, 1, 1, 1, generator=rng) >= 0.5))
    assert drop("b", x) is x and drop.edge("a", x) is x


def test_nothing_happens_when_a_network_is_judged() -> None:
    """In evaluation mode edges stay, whatever the trainer left behind."""
    made = network().eval()
    expected = made(pictures())
    made.read = reader({}, DropPath({}, torch.Generator(), edge_rates(with_exits(), 0.9)))
    made.dropout = Dropout(0.0, torch.Generator())
    for a, b in zip(made(pictures()), expected, strict=True):
        assert torch.equal(a, b)


# ---------------------------------------------------------------- gradient equilibrium


def test_the_factors_by_hand() -> None:
    """Exit i of K hands back 1 / (K - i) of its gradient, the path going on (K - i - 1) / (K - i)."""
    assert equilibrium(with_exits()) == pytest.approx(
        {
            ("exit_0", "node_0"): 1 / 3,
            **{(block, "node_0"): 2 / 3 for block in ("conv_1", "pool_1", "back_2")},
            ("pooled_1", "node_1"): 1 / 2,
            ("conv_2", "node_1"): 1 / 2,
        }
    )
    assert equilibrium(with_exits(1)) == {}


def test_two_exits_on_one_tensor() -> None:
    """Scaled one after the other, as nested rescalings would be: a third for each of three exits."""
    blocks = [Block("stem", ("pictures",), conv(3, 8))]
    blocks += [Block(f"exit_{i}", ("stem",), head(8), is_exit=True) for i in range(3)]
    factors = equilibrium(Blueprint(tuple(blocks), 3, 8))
    assert factors == pytest.approx({(f"exit_{i}", "stem"): 1 / 3 for i in range(3)})


def by_hand(made: SlimmableNetwork, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The gradients in equilibrium, by one backward pass per exit and the chain rule at the nodes.

    A node's gradient is put together from those of its readers, each computed by itself.
    """
    tensors: dict[str, Tensor] = {}

    def keep(block: str, source: str, out: Tensor) -> Tensor:
        tensors[source] = out
        return out

    made.read = keep
    losses = [F.cross_entropy(out, y) for out in made(x)]
    node_0, node_1 = tensors["node_0"], tensors["node_1"]
    last, second = losses[2], losses[1]
    # Node 1: half of the second exit's gradient and half of what the third cell hands back.
    (from_second,) = torch.autograd.grad(second, node_1, retain_graph=True)
    (from_last,) = torch.autograd.grad(last, node_1, retain_graph=True)
    at_1 = 0.5 * from_second + 0.5 * from_last
    # Node 0: a third of the first exit's, two thirds of what comes through node 1 and by the way back to node 0.
    (from_first,) = torch.autograd.grad(losses[0], node_0, retain_graph=True)
    (through,) = torch.autograd.grad(node_1, node_0, at_1, retain_graph=True)
    (whole,) = torch.autograd.grad(last, node_0, retain_graph=True)
    (by_node_1,) = torch.autograd.grad(node_1, node_0, from_last, retain_graph=True)
    at_0 = from_first / 3 + 2 / 3 * (through + whole - by_node_1)
    names, weights = zip(*made.named_parameters(), strict=True)
    found = torch.autograd.grad(node_0, weights, at_0, retain_graph=True, allow_unused=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


def test_gradients_in_equilibrium() -> None:
    """What lies before the first exit is moved as the nested scaling says, by autograd one node at a time."""
    made, x = network(), pictures()
    y = torch.arange(8) % 5
    expected = by_hand(made, x, y)
    assert {"bank.blocks.stem.conv.weight", "bank.blocks.conv_0.conv.weight"} <= set(expected)
    made.read = reader(equilibrium(with_exits()), None)
    torch.stack([F.cross_entropy(out, y) for out in made(x)]).sum().backward()
    found = dict(made.named_parameters())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name].grad, gradient, rtol=1e-9, atol=1e-12, msg=name)
    # The heads themselves learn at full strength.
    made.zero_grad()
    made.read = None
    torch.stack([F.cross_entropy(out, y) for out in made(x)]).sum().backward()
    plain = made.bank.layer("exit_0", "linear").weight.grad.clone()  # type: ignore[union-attr,operator]
    made.zero_grad()
    made.read = reader(equilibrium(with_exits()), None)
    torch.stack([F.cross_entropy(out, y) for out in made(x)]).sum().backward()
    torch.testing.assert_close(made.bank.layer("exit_0", "linear").weight.grad, plain)


def test_outputs_stay_what_they_are() -> None:
    """Scaling gradients changes no output, and no gradient where the factor is 1."""
    made, x = network(), pictures()
    plain = made(x)
    made.read = reader(equilibrium(with_exits()), None)
    assert all(torch.equal(a, b) for a, b in zip(made(x), plain, strict=True))
    y = torch.ones(3, requires_grad=True)
    assert scale_gradient(y, 1.0) is y
    scale_gradient(y, 0.25).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [0.25] * 3
    with torch.no_grad():
        assert scale_gradient(y, 0.25) is y


def test_nothing_to_do_is_no_work() -> None:
    """Without edges to drop and gradients to scale, blocks read one another directly."""
    assert reader({}, None) is None
    assert reader({}, DropPath({"a": 0.5}, torch.Generator())) is None
