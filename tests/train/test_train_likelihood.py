"""Passes weighted by their likelihood: the exact gradient of the averaged likelihood, one pass in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.train.passes import Pass
from sartor.train.runner import PassRunner

K = 4


class Children(nn.Module):
    """K linear classifiers on shared features: the child is the selection."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.shared = nn.Parameter(torch.randn(6, 5, generator=generator, dtype=torch.float64))
        self.own = nn.Parameter(2 * torch.randn(K, 5, 3, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor, child: int, drop: bool = False) -> Tensor:
        return (x @ self.shared).tanh() @ self.own[child]

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters() if p.grad is not None]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (8,), generator=generator)


def passes(**settings: Any) -> list[Pass]:
    return [Pass(k, observe=True, **settings) for k in range(K)]


def weighted(temperature: float, micro_batch: int | None = None) -> tuple[Children, np.ndarray[Any, Any]]:
    """The children with the gradients of one step, and the observed losses."""
    network = Children()
    runner = PassRunner(network, micro_batch)
    return network, runner.likelihood(*batch(), passes(), network.gradients, temperature)


def exact(temperature: float) -> Iterator[Tensor]:
    """Gradients of -T log mean_k exp(-loss_k / T) by autograd, all children in memory at once."""
    network = Children()
    x, y = batch()
    losses = torch.stack([F.cross_entropy(network(x, k).float(), y) for k in range(K)])
    (-temperature * torch.logsumexp(-losses / temperature, 0)).backward()
    for p in network.parameters():
        assert p.grad is not None
        yield p.grad


@pytest.mark.parametrize("micro_batch", [None, 8, 3])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01, 1e-4])
def test_gradient_is_that_of_the_averaged_likelihood(temperature: float, micro_batch: int | None) -> None:
    """Summed pass by pass, in pieces or whole, at any temperature: the gradient of the marginal likelihood."""
    network, _ = weighted(temperature, micro_batch)
    for found, expected in zip(network.gradients(), exact(temperature), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_losses_observed_are_the_plain_ones() -> None:
    """The weights change the update, not what is observed; passes that are not observed stay unknown."""
    _, losses = weighted(0.5)
    x, y = batch()
    network = Children()
    expected = [float(F.cross_entropy(network(x, k).detach().float(), y)) for k in range(K)]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    silent = PassRunner(network).likelihood(x, y, [Pass(0), Pass(1, observe=True)], network.gradients, 1.0)
    assert np.isnan(silent[0]) and not np.isnan(silent[1])


def test_one_pass_learns_as_alone() -> None:
    """A single pass has weight 1 whatever its likelihood."""
    network, alone = Children(), Children()
    PassRunner(network).likelihood(*batch(), passes()[:1], network.gradients, 0.01)
    PassRunner(alone)(*batch(), passes()[:1])
    for a, b in zip(network.gradients(), alone.gradients(), strict=True):
        torch.testing.assert_close(a, b)


def test_only_one_pass_is_kept_in_memory() -> None:
    """When a pass starts, nothing of the pass before it is kept for a backward pass."""
    alive: set[int] = set()
    starts: list[int] = []
    network = Children()

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    def forward(x: Tensor, child: int, drop: bool) -> Tensor:
        starts.append(len(alive))
        return network(x, child)

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        PassRunner(forward).likelihood(*batch(), passes(), network.gradients, 1.0)
    assert len(starts) == K and max(starts) <= 3  # at most the last loss, not yet collected


def test_teachers_are_refused() -> None:
    """A likelihood is one of the labels."""
    with pytest.raises(ValueError, match="labels"):
        PassRunner(Children()).likelihood(*batch(), [Pass(0), Pass(1, teacher=0)], list, 1.0)
