"""Batch-norm statistics are measured anew, from the pictures given and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sartor.train.calibration import recalibrate


def small_network() -> nn.Sequential:
    """Two norms, of which the second sees what the first made; frozen statistics from other pictures."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2, momentum=0.3))
    network = nn.Sequential(*layers).double()
    network(10 + pictures(9))
    return network.eval()


def pictures(seed: int, n: int = 6) -> Tensor:
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_statistics_are_means_over_the_batches() -> None:
    """Means and unbiased variances of every batch, averaged over batches of unequal contents, equal numpy's."""
    network = small_network()
    batches = [pictures(seed) for seed in (1, 2, 3)]
    assert recalibrate(network, network, batches) == 18
    with torch.no_grad():
        inputs = [network[0](x).numpy() for x in batches]
    norm: nn.BatchNorm2d = network[1]
    np.testing.assert_allclose(norm.running_mean, np.mean([x.mean((0, 2, 3)) for x in inputs], axis=0), atol=1e-12)
    variances = [x.transpose(1, 0, 2, 3).reshape(4, -1).var(axis=1, ddof=1) for x in inputs]
    np.testing.assert_allclose(norm.running_var, np.mean(variances, axis=0), atol=1e-12)


def test_deeper_norms_see_batch_statistics() -> None:
    """While statistics are measured, norms run on those of the batch: what lies behind does not see the old ones."""
    network = small_network()
    x = pictures(1)
    recalibrate(network, network, [x])
    fresh = small_network().train()
    with torch.no_grad():
        behind = fresh[3](fresh[2](fresh[1](fresh[0](x)))).numpy()
    np.testing.assert_allclose(network[4].running_mean, behind.mean((0, 2, 3)), atol=1e-12)


def test_old_statistics_are_forgotten() -> None:
    """Two networks with different histories end with the same statistics, which differ from both histories."""
    networks = [small_network(), small_network()]
    networks[1].train()(-5 * pictures(8))
    networks[1].eval()
    before = networks[0][1].running_mean.clone()
    for network in networks:
        recalibrate(network, network, [pictures(1)])
    assert torch.equal(networks[0][1].running_mean, networks[1][1].running_mean)
    assert not torch.allclose(before, networks[0][1].running_mean)


def test_weights_modes_and_momenta_stay() -> None:
    """Weights do not change, no gradient appears, and modes and momenta come back."""
    network = small_network()
    network[4].train()
    weights = {name: p.clone() for name, p in network.named_parameters()}
    recalibrate(network, network, [pictures(1)])
    assert all(torch.equal(p, weights[name]) and p.grad is None for name, p in network.named_parameters())
    assert [network[1].training, network[4].training] == [False, True]
    assert [network[1].momentum, network[4].momentum] == [0.1, 0.3]


def test_only_the_norms_given_change() -> None:
    """Norms outside the part that is calibrated keep their statistics."""
    network = small_network()
    kept = network[4].running_mean.clone()
    recalibrate(network[:2], network, [pictures(1)])
    assert torch.equal(network[4].running_mean, kept)


def test_no_batch_is_an_error() -> None:
    """Without a picture there is nothing to measure, and that is said."""
    network = small_network()
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(network, network, [])
