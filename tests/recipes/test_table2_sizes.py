"""The sizes of Table 2: the paper's setting literally, built without memory, and two real steps at its real shape."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from sartor.data import ImageSet, Pictures
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.methods.budgets import check_reachable
from sartor.platforms import TARGET_MACS, WEIGHTINGS
from sartor.train.optimiser import learning_rate
from slimmable import work
from slimmable.pieces import PLATFORMS, ROWS, Piece, retraining
from slimmable.sizes import SIZES, original_blueprints, platforms

FULL = SIZES["full"]


def test_the_full_size_is_the_setting_of_the_paper() -> None:
    """Section 4.1, and what the AOWS code adds where the paper is silent."""
    search, train = FULL.search, FULL.train
    assert (search.epochs, search.batch_size, search.schedule, search.learning_rate) == (50, 128, "constant", 0.1)
    assert (search.momentum, search.nesterov, search.weight_decay) == (0.9, False, 1e-5)
    assert (train.epochs, train.batch_size, train.learning_rate, train.decay) == (300, 128, 0.1, 0.985)
    assert (train.momentum, train.nesterov, train.weight_decay, train.dropout) == (0.9, True, 5e-4, 0.6)
    assert (FULL.ows.random_passes, train.random_passes) == (1, 1)
    assert FULL.aows.temperature_knots[0][0] * search.epochs == 10  # warm-up in epochs
    assert FULL.aows.platform_sampling == "weight"
    assert (FULL.num_classes, FULL.image_size, dict(FULL.data)) == (100, 32, {})


def test_full_space_and_budgets() -> None:
    """Fourteen levels from 0.2 to 1.5, and the seven targets of Table 1."""
    space = FULL.make_space()
    assert space.cardinality == 6 * 11 * 14**12
    found = platforms(space, "RS")
    assert [p.budgets["macs"] for p in found] == list(TARGET_MACS)
    assert tuple(p.weight for p in found) == WEIGHTINGS["RS"]


@pytest.mark.parametrize("size", SIZES)
def test_every_budget_is_reachable(size: str) -> None:
    """The cheapest network of the search space fits the smallest platform of every size."""
    space = SIZES[size].make_space()
    check_reachable(space, platforms(space, ROWS[0]))


def test_the_cpu_size_keeps_the_number_of_choices() -> None:
    """A quarter of the widths in steps of two: the cardinality of the paper's space."""
    assert SIZES["cpu"].make_space().cardinality == FULL.make_space().cardinality


def test_full_networks_on_the_meta_device() -> None:
    """Supernet and slimmable network of the paper's size are built and run without computing anything."""
    space = FULL.make_space()
    originals = original_blueprints(space)
    with torch.device("meta"):
        x = torch.empty(2, 3, 32, 32)
        supernet = space.supernet().train()
        assert supernet(x, space.largest).shape == (2, 100)
        shared = SlimmableNetwork(originals).train()
        assert [shared(x, switch=name).shape for name in PLATFORMS] == [(2, 100)] * 7
    widest = space.blueprint(space.architecture(space.largest.row).values, "largest")
    assert sum(p.numel() for p in supernet.parameters()) == widest.params
    assert originals["p7"].params == 3_309_476


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0.1), (0.99, 0.1), (1, 0.0985), (150, 0.1 * 0.985**150), (299.99, 0.1 * 0.985**299)]
)
def test_learning_rates_of_the_final_training(epoch: float, rate: float) -> None:
    """0.1 times 0.985 per epoch, 0.00109 in the last one."""
    assert learning_rate(FULL.train, epoch) == pytest.approx(rate, rel=1e-12)
    assert learning_rate(FULL.train, 299.5) == pytest.approx(0.00109, rel=0.01)


@pytest.mark.parametrize("epoch", [0, 9.9, 10, 25, 49.99])
def test_learning_rates_of_the_search(epoch: float) -> None:
    """Constant, also across the end of the warm-up."""
    assert learning_rate(FULL.search, epoch) == 0.1


def test_two_real_steps_at_full_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search and final training of the paper's networks at batch 128, through the same code as the long run."""
    once = dataclasses.replace(
        FULL,
        search=dataclasses.replace(FULL.search, epochs=1),
        train=dataclasses.replace(FULL.train, epochs=1),
        calibration_pictures=64,
    )
    monkeypatch.setitem(work.SIZES, "full", once)
    monkeypatch.setattr(work, "_pictures", lambda *_: noise(256))
    found = work.do_piece(tmp_path, "full", Piece("search", "OWS", 0), work.Machine(device="cpu"))
    assert found["images"] == 2 * 3 * 128
    macs = [found["choices"][p]["costs"]["macs"] for p in PLATFORMS]
    assert all(cost <= target for cost, target in zip(macs, TARGET_MACS, strict=True))
    trained = work.do_piece(tmp_path, "full", retraining("U", "OWS-U", 0), work.Machine(device="cpu"))
    assert trained["images"] == 2 * 3 * 128
    assert list(trained["accuracies"]) == list(PLATFORMS)
    assert trained["macs"] == dict(zip(PLATFORMS, macs, strict=True))


def noise(count: int) -> Pictures:
    """Random pictures of a hundred classes."""
    rng = np.random.default_rng(0)
    names = tuple(f"class{i}" for i in range(100))

    def part(n: int) -> ImageSet:
        images = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        return ImageSet(images, np.arange(n) % 100, names, "noise", "made for a test")

    return Pictures(part(count), part(100))
