"""Gradients shortened to a norm: torch's, over what a step used, after averaging and before weight decay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from train_steps import first_exit, pictures, used_masks

from sartor import world
from sartor.elastic.supernet import Supernet
from sartor.testing import small_space
from sartor.train.optimiser import PrefixOptimiser
from sartor.train.settings import SearchTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


def settings(limit: float | None, **changes: Any) -> SearchTraining:
    return SearchTraining(**{"epochs": 1, "momentum": 0.0, "weight_decay": 0.0, "gradient_clip": limit, **changes})


def norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.cat([t.flatten() for t in tensors]).norm())


@pytest.mark.parametrize("limit", [0.05, 0.4, 100.0])
def test_it_is_torchs_clipping(limit: float) -> None:
    """On a plain network every weight after every step is bit for bit that of ``clip_grad_norm_`` before SGD."""
    networks = [nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    variant = {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
    ours = PrefixOptimiser(networks[0].parameters(), settings(limit, **variant), None)
    theirs = torch.optim.SGD(networks[1].parameters(), lr=0.1, foreach=True, **variant)
    for step in range(4):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        for network in networks:
            network(x).square().mean().backward()
        metrics = ours.step(0.1)
        before = float(nn.utils.clip_grad_norm_(networks[1].parameters(), limit, foreach=True))
        theirs.step()
        theirs.zero_grad()
        assert metrics == {"gradient_norm": before, "clipped": float(before > limit)}
        for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("dense", [False, True])
def test_the_norm_is_that_of_the_prefixes_in_use(dense: bool) -> None:
    """Two passes of different widths: their summed gradients, each element counted once, are shortened together."""
    supernet = Supernet(small_space("ruled"), seed=0).double().train()
    architectures = [supernet.space.architecture(row) for row in supernet.space.sample(3, np.random.default_rng(5))]
    limit = 0.3
    ours = PrefixOptimiser(supernet.parameters(), settings(limit, dense_updates=dense), supernet.bank)
    for step, used in enumerate((architectures[:2], architectures[2:])):  # the second step finds emptied gradients
        reference = Supernet(small_space("ruled"), seed=0).double().train()
        reference.load_state_dict(supernet.state_dict())
        reference.bank.use_direct_gradients(False)
        for network in (supernet, reference):
            for architecture in used:
                first_exit(network(pictures(step), architecture)).square().mean().backward()
        gradients = {n: p.grad for n, p in reference.named_parameters() if p.grad is not None}
        expected = norm(list(gradients.values()))
        old = {n: p.detach().clone() for n, p in supernet.named_parameters()}
        metrics = ours.step(0.1)
        assert metrics["gradient_norm"] == pytest.approx(expected, rel=1e-12) and metrics["clipped"] == 1.0
        masks = {n: used_masks(supernet, used)[p] for n, p in supernet.named_parameters()}
        for name, parameter in supernet.named_parameters():
            moved = gradients.get(name, torch.zeros_like(parameter)) * (limit / (expected + 1e-6)) * masks[name]
            torch.testing.assert_close(parameter.detach(), old[name] - 0.1 * moved, rtol=0, atol=1e-12, msg=name)


def test_weight_decay_is_not_clipped() -> None:
    """The limit holds for the gradients of the loss; decay is added to what is left of them."""
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = torch.tensor([30.0, 40.0])
    PrefixOptimiser([weight], settings(0.5, weight_decay=0.1), None).step(1.0)
    torch.testing.assert_close(weight.detach(), torch.tensor([3 - 0.3 - 0.3, 4 - 0.4 - 0.4]))


def test_processes_clip_their_average(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipped is the mean over the processes, so that all of them shorten by the same factor."""

    def average_(tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            tensor.mul_(0.01)

    monkeypatch.setattr(world, "average_", average_)
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([30.0, 40.0])
    metrics = PrefixOptimiser([weight], settings(5.0), None).step(1.0)
    assert metrics == {"gradient_norm": pytest.approx(0.5), "clipped": 0.0}
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.3, -0.4]))


def test_off_by_default() -> None:
    """Without a limit nothing is measured, and a step of nothing has no norm."""
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([30.0, 40.0])
    assert PrefixOptimiser([weight], settings(None), None).step(1.0) == {}
    assert PrefixOptimiser([weight], settings(1.0), None).step(1.0) == {}
    torch.testing.assert_close(weight.detach(), torch.tensor([-30.0, -40.0]))
