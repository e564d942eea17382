"""Cells of mixtures run together: what edges share runs once, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor import spaces
from sartor.elastic import Supernet, supernet
from sartor.elastic.mixture import Beginnings
from sartor.space import SearchSpace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """A normal and two reduction cells of three nodes."""
    return spaces.create(
        "ms_ranas",
        image_size=8,
        num_classes=3,
        scales=1,
        layers=3,
        nodes=3,
        channels=4,
        generator="extra_layer",
        head="pool",
        exits="last",
    )


def outcome(space: SearchSpace) -> list[Tensor]:
    """Logits, and the gradients of their weighted sum with respect to all mixture weights and all shared weights."""
    network = Supernet(space, seed=0).train()
    network.recompute_branches = False
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.rand(n, generator=generator).requires_grad_() for n in space.sizes]
    logits = network(torch.randn(4, 3, 8, 8, generator=generator), vectors)
    weights = [p for p in network.parameters() if p.ndim == 4]
    loss = (logits * torch.linspace(-1, 1, logits.numel()).reshape(logits.shape)).sum()
    return [logits, *torch.autograd.grad(loss, [*vectors, *weights])]


def test_sharing_and_summing_at_once_change_nothing(space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against every edge by itself, with its batch norms as layers of their own."""
    together = outcome(space)
    monkeypatch.setattr(supernet, "_in_single_precision", lambda x: False)
    monkeypatch.setattr(Beginnings, "run", lambda self, block, body, x, apply: (x, body))
    for ours, alone in zip(together, outcome(space), strict=True):
        torch.testing.assert_close(ours, alone, atol=2e-4, rtol=2e-3)


def test_every_node_is_pooled_once(space: SearchSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine edges leave four nodes in each of the three cells."""
    pooled: list[int] = []
    usual: Any = F.max_pool2d
    monkeypatch.setattr(F, "max_pool2d", lambda x, *rest: pooled.append(id(x)) or usual(x, *rest))
    outcome(space)
    assert len(pooled) == 3 * 4


def test_beginnings_are_let_go_after_the_last_reader() -> None:
    """A cell's tensors are freed while the next one runs."""
    space = spaces.create("ms_ranas", image_size=8, num_classes=3, scales=1, nodes=2, channels=4)
    stack = space.template_cells(next(t for t in space.templates if t.scope), "search")[1][1]
    assert stack is not None
    shared = Beginnings(readers=2)
    x = torch.randn(2, 4, 8, 8)
    norm = lambda block, layer, y: F.batch_norm(y, None, None, None, None, True)  # noqa: E731
    first, rest = shared.run("edge", stack.body, x, norm)
    assert rest == () and first is shared.run("another", stack.body, x, norm)[0]
    shared.leave()
    assert first is shared.run("another", stack.body, x, norm)[0]
    shared.leave()
    assert first is not shared.run("third", stack.body, x, norm)[0]
