"""The sizes of the TuNAS recipe: the paper's numbers, reachable targets, and real steps at the full shape."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of, check_reachable
from sartor.train.optimiser import learning_rate
from searches import work
from searches.machine import Machine
from searches.networks import costs_of, random_network
from searches.pieces import RANDOM, Piece
from searches.sizes import Size
from tunas.sizes import SIZES
from tunas.variants import EXPERIMENT, MAIN, VARIANTS

FULL = SIZES["full"]


def job_at(size: Size, folder: Path = Path("nowhere"), plan: tuple[Piece, ...] = (), **machine: Any) -> work.Job:
    return work.Job(folder, EXPERIMENT, size, plan, Machine(device="cpu", **machine))


def test_the_full_size_is_the_paper_s() -> None:
    """Sections 5 and 6 and the official code: targets, windows, lengths, repetitions, rates, pictures."""
    assert {n: (t.value, t.low, t.high) for n, t in FULL.targets.items()} == {
        "proxylessnas": (84.0, 83.0, 85.0),
        "proxylessnas_enlarged": (84.0, 83.0, 85.0),
        "mobilenetv3_like": (57.0, 57.0, 59.0),
    }
    assert FULL.long is not None
    assert (FULL.search.epochs, FULL.short.epochs, FULL.long.epochs) == (90, 90, 360)
    assert (FULL.randoms, len(FULL.seeds), FULL.policy, FULL.image_size) == (50, 5, 50_046, 224)
    for settings in (FULL.search, FULL.short, FULL.long):
        assert (settings.optimiser, settings.rmsprop_epsilon, settings.momentum) == ("rmsprop", 1.0, 0.9)
        assert (settings.weight_decay, settings.weight_decay_on) == (4e-5, "convolutions")
        assert (settings.label_smoothing, settings.initialiser, settings.schedule) == (0.1, "tensorflow", "cosine")
    at_peak = FULL.short.epochs * FULL.short.warmup_share
    assert learning_rate(FULL.short, at_peak, FULL.short.batch_size) == pytest.approx(2.64)
    assert (FULL.search.batch_size, FULL.search.policy_batch_size) == (128, 512)
    assert FULL.settings.rate_sum == 380
    assert {n: t.dropout for n, t in FULL.targets.items()}["mobilenetv3_like"] == 0.25
    assert FULL.short.dropout == 0


@pytest.mark.parametrize("name", ["cpu", "smoke"])
def test_every_search_of_a_size_has_a_reachable_target(name: str) -> None:
    """Main search and ablations alike; random networks lie in the window, and near it there is a choice of them."""
    job = job_at(SIZES[name])
    for network in VARIANTS:
        space = job.make_space(network)
        target = job.target(space)
        check_reachable(space, [target.platform()])
        costs = space.cost("macs")(space.sample(2000, np.random.default_rng(0)))
        below = float(np.mean(costs < target.value))
        assert 0.2 < below < 0.8, f"{network}: {below:.0%} of random networks cost less than the target"
        found = costs_of(space, target, random_network(space, target, 3))
        assert target.low <= found["macs"] <= target.high


def test_latency_targets_of_the_full_size() -> None:
    """The published model of the Pixel 1: a random network of every space inside the paper's window."""
    for name, target in FULL.targets.items():
        space = FULL.make_space(name)
        check_reachable(space, [target.platform()])
        found = costs_of(space, target, random_network(space, target, 0))
        assert target.low <= found["latency_ms"] <= target.high
        assert [b.name for b in budgets_of(space, target.platform())] == ["latency_ms"]


def test_random_networks_do_not_depend_on_how_many_there_are() -> None:
    """Each has a generator of its own; they differ from each other."""
    space, target = SIZES["smoke"].make_space(), SIZES["smoke"].targets["proxylessnas_enlarged"]
    first = [random_network(space, target, i) for i in range(3)]
    assert first == [random_network(space, target, i) for i in range(3)]
    assert first[0] != first[1] != first[2]
    nowhere = dataclasses.replace(target, low=1.0, high=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("searches.networks._TRIES", 1)
        with pytest.raises(RequestError, match="widen the window"):
            random_network(space, nowhere, 0)


def test_a_space_without_a_target_and_pictures_without_a_path() -> None:
    """Both are refused in words."""
    with pytest.raises(RequestError, match="--space mobilenet_v1"):
        FULL.make_space("mobilenet_v1")
    with pytest.raises(RequestError, match="--data FOLDER"):
        FULL.load_pictures()


def test_only_the_main_search_has_the_whole_length() -> None:
    """Compared searches are equally long, a quarter of it: "four times as long" is true."""
    job = job_at(SIZES["smoke"])
    full = work.make_setting(job, Piece("search", MAIN, 0)).search.epochs
    lengths = {work.make_setting(job, Piece("search", name, 0)).search.epochs for name in EXPERIMENT.ablations}
    assert lengths == {full * SIZES["smoke"].ablation_share}
    assert SIZES["cpu"].ablation_share == FULL.ablation_share == 0.25
    settings = work.make_setting(job, Piece("search", "enlarged_no_warmups", 0)).method_settings
    assert settings == dataclasses.replace(SIZES["smoke"].settings, **VARIANTS["enlarged_no_warmups"].settings)


def test_constant_rates_of_the_policy() -> None:
    """One learns as much in all as the growing rate, the other as fast as that one at first."""
    job = job_at(SIZES["smoke"])
    names = ("enlarged", "enlarged_constant_rate", "enlarged_low_rate")
    growing, same_sum, low = (work.make_setting(job, Piece("search", name, 0)).method() for name in names)
    steps = np.linspace(0.25, 1, 1001)
    rates = [[m.policy_rate(a, b, True) for a, b in itertools.pairwise(steps)] for m in (growing, same_sum, low)]
    assert sum(rates[0]) == pytest.approx(sum(rates[1]))
    assert rates[2] == pytest.approx([rates[0][0]] * 1000, rel=2e-3)
    assert rates[0][-1] == pytest.approx(10 * rates[0][0], rel=5e-3)


@pytest.mark.slow
def test_two_real_steps_at_the_full_shape(tmp_path: Path) -> None:
    """Search at 57 ms and the paper's training at 224 pixels, on a folder of pictures, by the code of the long run."""
    data = tmp_path / "data"
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 2)):
        for label in ("a", "b"):
            (data / part / label).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(
                    data / part / label / f"{i}.png"
                )
    tiny = {"batch_size": 2, "epochs": 0.4}
    assert FULL.long is not None
    once = dataclasses.replace(
        FULL,
        num_classes=2,
        data={"cache": tmp_path / "cache"},
        policy=4,
        search=dataclasses.replace(FULL.search, policy_batch_size=2, **tiny),
        short=dataclasses.replace(FULL.short, micro_batch=2, **tiny),
        long=dataclasses.replace(FULL.long, micro_batch=2, **tiny),
        calibration_pictures=4,
        evaluation_batch=4,
    )
    plan = (Piece("search", MAIN, 0), Piece("long", MAIN, 0), Piece("short", RANDOM, 0))
    job = job_at(once, tmp_path, plan, data=data)
    found = work.do_piece(job, plan[0])
    assert found["steps"] == 2
    assert found["choice"]["costs"]["latency_ms"] <= 57.0
    long = work.do_piece(job, plan[1])
    assert long["images"] == 3 * 2  # all 16 pictures teach: 8 steps an epoch
    assert long["val_accuracy"] is None
    assert long["test_accuracy"] is not None
    short = work.do_piece(job, plan[2])
    assert 57.0 <= short["costs"]["latency_ms"] <= 59.0
    assert short["val_accuracy"] is not None  # on the pictures that steered, as in the paper
