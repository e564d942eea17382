"""Blocks and networks as ONNX files compute what torch computes with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sartor.costs.keys import Piece, space_pieces
from sartor.export.session import open_session
from sartor.network import build_body
from sartor.profiling.graphs import call_graph, network_graph, piece_graph
from sartor.profiling.runtimes import OnnxRuntime, PyTorch, create
from sartor.stack import Stack
from sartor.testing.examples import small_space, space_names


def constant(module: nn.Module) -> nn.Module:
    """The weights that the files have: one over the number of summed values, no biases, batch norms that do nothing."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.constant_(part.weight, 1 / part.weight[0].numel())
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0
    return module.eval()


def ran(model: bytes, inputs: list[torch.Tensor]) -> list[Any]:
    """The outputs of a file."""
    session = open_session(model)
    feed = {node.name: x.numpy() for node, x in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, feed))


@pytest.mark.parametrize("name", [n for n in space_names() if n not in ("fpnas_l1", "fpnas_l2", "fbnetv2_f_plus")])
def test_networks_agree_with_torch(name: str) -> None:
    """A whole network of every space, and of its search's extremes where it has them."""
    space = small_space(name)
    blueprint = space.architecture(space.sample(1, np.random.default_rng(0))[0]).blueprint
    x = torch.randn(2, blueprint.in_channels, blueprint.image_size, blueprint.image_size)
    with torch.no_grad():
        expected = constant(blueprint.build())(x)
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = ran(network_graph(blueprint, batch=2), [x])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-3, atol=1e-5)


START = Stack(6, 9)
BODIES = {
    "shift": START.shift(),
    "channels": START.channels(2, 5),
    "shuffle": START.shuffle(3).conv("a", 4, bias=True),
    "pools": START.pool("max", stride=2).pool("avg").pool("avg", kernel=2, stride=2, padded=False),
    "activations": START.activation("relu6").activation("swish").activation("hard_sigmoid").activation("sigmoid"),
    "parallel": START.parallel([START.conv("a", 4, kernel=3, stride=2), START.pool("max", stride=2)]),
    "groups": START.conv("a", 8, kernel=3, groups=2, dilation=2).batch_norm("n"),
    "norm": START.batch_norm("n").conv("a", 3).batch_norm("m", affine=False),
    "open": START.conv("a", 3, kernel=4, stride=3, padded=False),
    "linear": START.global_pool().linear("a", 7),
}


@pytest.mark.parametrize("name", BODIES)
def test_nodes_agree_with_torch(name: str) -> None:
    """Nodes that few spaces have, one by one."""
    body = BODIES[name].body
    x = torch.randn(2, 6, 9, 9)
    with torch.no_grad():
        expected = constant(build_body(body))(x.clone())
    np.testing.assert_allclose(ran(piece_graph(Piece(BODIES[name]), 2), [x])[0], expected.numpy(), rtol=1e-4, atol=1e-6)


def test_joins() -> None:
    """A block that joins takes its inputs by themselves."""
    parts = [torch.randn(1, 6, 9, 9) for _ in range(3)]
    summed = ran(piece_graph(Piece(START.activation(), "sum", 3)), parts)[0]
    np.testing.assert_allclose(summed, sum(parts).relu().numpy(), rtol=1e-5)  # type: ignore[union-attr]
    halves = [torch.randn(1, 3, 9, 9), torch.randn(1, 3, 9, 9)]
    joined = ran(piece_graph(Piece(START, "concat", 2)), halves)[0]
    np.testing.assert_allclose(joined, torch.cat(halves, 1).numpy())


def test_files_are_small() -> None:
    """A file holds no weights, however many the block has."""
    stack = Stack(1536, 2).conv("a", 1536).batch_norm()
    assert len(piece_graph(Piece(stack))) < 2_000
    assert len(call_graph()) < 500


@pytest.mark.parametrize("runtime", [OnnxRuntime, PyTorch])
@pytest.mark.parametrize("batch", [1, 3])
def test_runtimes_run_every_block(runtime: Any, batch: int) -> None:
    """Every block of a space with joins, gates and pools, and its networks, can be called in either runtime."""
    space = small_space("two_exits")
    opened = runtime(batch=batch)
    opened.open_empty()()
    for piece in space_pieces(space).values():
        opened.open_piece(piece)()
    opened.open_network(space.architecture(space.sample(1, np.random.default_rng(0))[0]).blueprint)()
    assert opened.version
    assert opened.clock == "thread CPU time"
    assert create("onnxruntime", threads=2).clock == "wall"
