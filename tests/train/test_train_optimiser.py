"""With SGD the optimiser is torch's, bit for bit; regions of prefixes; the schedules at named points."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from train_steps import pictures

from sartor.elastic.layers import Extent
from sartor.elastic.supernet import Supernet
from sartor.testing import small_space
from sartor.train.optimiser import PrefixOptimiser, disjoint_regions, learning_rate
from sartor.train.settings import FinalTraining, SearchTraining

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

RATES = (0.1, 0.05, 0.02, 0.2)
VARIANTS = [
    {"momentum": 0.0, "weight_decay": 0.0},
    {"momentum": 0.0, "weight_decay": 0.01},
    {"momentum": 0.9, "weight_decay": 0.0},
    {"momentum": 0.9, "weight_decay": 0.01},
    {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
]


def torch_sgd(parameters: Any, variant: dict[str, Any]) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, lr=1.0, foreach=True, **variant)


def with_rate(optimiser: torch.optim.SGD, rate: float) -> torch.optim.SGD:
    optimiser.param_groups[0]["lr"] = rate
    return optimiser


# ---------------------------------------------------------------- the update


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_is_torchs_sgd(variant: dict[str, Any]) -> None:
    """On a plain network every weight after every step is bit for bit torch's."""
    networks = [nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    ours = PrefixOptimiser(networks[0].parameters(), SearchTraining(epochs=1, **variant), None)
    theirs = torch_sgd(networks[1].parameters(), variant)
    for step, rate in enumerate(RATES):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        for network in networks:
            network(x).square().mean().backward()
        ours.step(rate)
        with_rate(theirs, rate).step()
        theirs.zero_grad()
        for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_largest_network_alone_is_torchs_sgd(variant: dict[str, Any]) -> None:
    """Where every pass uses all shared weights, they move as torch moves those of the plain network."""
    supernet = Supernet(small_space("grouped"), seed=1).double().train()
    largest = supernet.space.architecture([n - 1 for n in supernet.space.sizes])
    plain = supernet.extract(largest).train()
    ours = PrefixOptimiser(supernet.parameters(), SearchTraining(epochs=1, **variant), supernet.bank)
    theirs = torch_sgd(plain.parameters(), variant)
    for step, rate in enumerate(RATES):
        x = pictures(step)
        supernet(x, largest).square().mean().backward()
        plain(x).square().mean().backward()
        ours.step(rate)
        with_rate(theirs, rate).step()
        theirs.zero_grad()
    for a, b in zip(supernet.extract(largest).parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_dense_updates_are_torchs(variant: dict[str, Any]) -> None:
    """With ``dense_updates`` weights that once had a gradient go on moving, as with torch's zeroed gradients."""
    networks = [Supernet(small_space("ruled"), seed=0).double().train() for _ in range(2)]
    settings = SearchTraining(epochs=1, dense_updates=True, **variant)
    ours = PrefixOptimiser(networks[0].parameters(), settings, networks[0].bank)
    theirs = torch_sgd(networks[1].parameters(), variant)
    rows = networks[0].space.sample(4, np.random.default_rng(5))
    for step, (row, rate) in enumerate(zip(rows, RATES, strict=True)):
        for network in networks:
            network(pictures(step), row).square().mean().backward()
        ours.step(rate)
        with_rate(theirs, rate).step()
        theirs.zero_grad(set_to_none=False)
        for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- regions


def test_disjoint_regions_are_the_union() -> None:
    """For 500 random sets of prefixes the slices cover each element of the union once and nothing else."""
    rng = np.random.default_rng(0)
    for _ in range(500):
        axes = int(rng.integers(1, 3))
        shape = tuple(int(n) for n in rng.integers(1, 8, size=axes + int(rng.integers(0, 2))))
        extents: set[Extent] = {
            tuple(int(rng.integers(1, n + 1)) for n in shape[:axes]) for _ in range(int(rng.integers(1, 7)))
        }
        union, covered = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
        for extent in extents:
            union[tuple(slice(0, n) for n in extent)] = 1
        for region in disjoint_regions(extents, shape):
            covered[region] += 1
        assert (covered == union).all(), (extents, shape)


def test_all_of_a_tensor_is_one_region() -> None:
    """A prefix that is the whole makes one region, so that whole tensors move in one operation."""
    assert list(disjoint_regions({(2, 3), (4, 5)}, (4, 5, 3, 3))) == [()]


def test_nested_prefixes_are_one_strip() -> None:
    """Prefixes inside one another cost one strip, crossing ones one strip per step of the staircase."""
    assert list(disjoint_regions({(2, 2), (3, 4)}, (8, 8))) == [(slice(0, 3), slice(0, 4))]
    stairs = [(slice(0, 2), slice(0, 4)), (slice(2, 3), slice(0, 2))]
    assert list(disjoint_regions({(3, 2), (2, 4)}, (8, 8))) == stairs


# ---------------------------------------------------------------- schedules


def test_the_papers_final_schedule() -> None:
    """0.1 times 0.985 per whole epoch: 0.1 in the first, 0.1 * 0.985^299 = 0.00109 in the last of 300."""
    settings = FinalTraining()
    assert settings.epochs == 300
    assert learning_rate(settings, 0.0) == learning_rate(settings, 0.99) == 0.1
    assert learning_rate(settings, 1.0) == pytest.approx(0.0985)
    assert learning_rate(settings, 299.5) == pytest.approx(0.1 * 0.985**299) == pytest.approx(0.00109, abs=5e-6)


def test_the_papers_search_schedule() -> None:
    """Constant 0.1 over 50 epochs."""
    assert {learning_rate(SearchTraining(), epoch) for epoch in (0, 10, 49.9)} == {0.1}


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        ("cosine", {0: 1.0, 2.5: 0.5 * (1 + 2**-0.5), 5: 0.5, 10: 0.0}),
        ("linear", {0: 1.0, 2.5: 0.75, 5: 0.5, 10: 0.0}),
    ],
)
def test_falling_schedules(schedule: Any, points: dict[float, float]) -> None:
    """Cosine and linear start at the rate, pass half of it half-way and end at zero, also beyond the end."""
    settings = SearchTraining(epochs=10, learning_rate=1.0, schedule=schedule)
    for epoch, expected in {**points, 11: 0.0}.items():
        assert learning_rate(settings, epoch) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 0.013), ("linear", 0.013)])
def test_a_rate_to_end_at(schedule: Any, half: float) -> None:
    """DARTS: from 0.025 to 0.001, half-way between them in the middle; it grows with the batch as the peak does."""
    settings = SearchTraining(epochs=50, learning_rate=0.025, final_rate=0.001, schedule=schedule)
    points = {0: 0.025, 25: half, 50: 0.001, 60: 0.001}
    assert {epoch: learning_rate(settings, epoch) for epoch in points} == pytest.approx(points)
    grown = SearchTraining(
        epochs=50, learning_rate=0.025, final_rate=0.001, schedule=schedule, per_pictures=64, batch_size=128
    )
    assert {epoch: learning_rate(grown, epoch) for epoch in points} == pytest.approx(
        {epoch: 2 * rate for epoch, rate in points.items()}
    )


def test_warm_up_rises_and_then_the_schedule_starts() -> None:
    """The rate rises linearly from zero; what follows is stretched over the epochs that are left."""
    settings = SearchTraining(epochs=12, learning_rate=1.0, schedule="linear", warmup_share=1 / 6)
    expected = {0: 0.0, 1: 0.5, 2: 1.0, 7: 0.5, 12: 0.0}
    assert {epoch: learning_rate(settings, epoch) for epoch in expected} == pytest.approx(expected)


def test_the_schedule_of_tunas() -> None:
    """Peak 2 over 100 steps, the first 5 % of them warm-up: the points that the official code tests."""
    settings = SearchTraining(epochs=100, learning_rate=2.0, schedule="cosine", warmup_share=0.05)
    expected = {0: 0.0, 2: 0.8, 5: 2.0, 10: 1 + math.cos(5 / 95 * math.pi), 100: 0.0}
    assert {epoch: learning_rate(settings, epoch) for epoch in expected} == pytest.approx(expected)


def test_the_rate_may_grow_with_the_batch() -> None:
    """0.165 per 256 pictures is 2.64 at 4096 and 0.0825 at 128; a stream with smaller batches says so."""
    rates = {
        size: learning_rate(SearchTraining(learning_rate=0.165, per_pictures=256, batch_size=size), 0)
        for size in (4096, 256, 128)
    }
    assert rates == pytest.approx({4096: 2.64, 256: 0.165, 128: 0.0825})
    settings = SearchTraining(learning_rate=0.165, per_pictures=256, batch_size=128)
    assert learning_rate(settings, 0, batch_size=64) == pytest.approx(0.04125)
    assert learning_rate(SearchTraining(batch_size=4096), 0, batch_size=64) == 0.1


def test_dropout_by_the_length_of_the_training() -> None:
    """TuNAS drops features from 150 epochs on; without a length always."""
    rates = [FinalTraining(epochs=e, dropout=0.15, dropout_from_epochs=150).dropout_rate for e in (90, 149.9, 150, 360)]
    assert rates == [0.0, 0.0, 0.15, 0.15]
    assert FinalTraining(epochs=1).dropout_rate == 0.6


def test_schedules_never_rise_after_warm_up() -> None:
    """No schedule jumps up: rates after the warm-up never grow."""
    for schedule in ("constant", "exponential", "cosine", "linear"):
        settings = SearchTraining(epochs=20, schedule=schedule, warmup_share=0.15)
        rates = [learning_rate(settings, epoch) for epoch in np.linspace(3, 20, 100)]
        assert all(b <= a + 1e-15 for a, b in itertools.pairwise(rates))
