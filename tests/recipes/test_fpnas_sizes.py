"""The sizes of the FP-NAS recipe: the paper's numbers, reachable targets, and real steps at the full shape."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fpnas.sizes import SIZES
from fpnas.variants import EXPERIMENT
from sartor.methods.budgets import check_reachable
from sartor.methods.fpnas import FPNAS
from sartor.pipeline.training import save_network
from sartor.train.optimiser import learning_rate
from searches import work
from searches.machine import Machine
from searches.networks import costs_of, random_network
from searches.pieces import RANDOM, Piece

PAPER = {
    **dict(zip(("s1", "s2", "s3", "s4"), [(128, 60e6), (160, 90e6), (192, 130e6), (256, 250e6)], strict=True)),
    **dict(zip(("l0", "l1", "l2"), [(224, 0.4e9), (240, 0.7e9), (256, 1.0e9)], strict=True)),
}
# Samples of the first step by the literal tables (facts, section 3).
FIRST_SAMPLES = {"fbnetv2_f": 14, "fbnetv2_f_plus": 15, "fpnas_l0": 18, "fpnas_l1": 20, "fpnas_l2": 20}


def job_at(name: str, folder: Path = Path("nowhere"), plan: tuple[Piece, ...] = (), **changes: Any) -> work.Job:
    size = dataclasses.replace(SIZES[name], **changes)
    return work.Job(folder, EXPERIMENT, size, plan, Machine(device="cpu"))


def test_targets_and_pictures_are_the_paper_s() -> None:
    """Tables 6 and 8: S1 to S4 and S1++ to S4++ share them, L0 to L2 have a space each."""
    for name, (side, macs) in PAPER.items():
        for size in (SIZES[name], SIZES.get(f"{name}_plus", SIZES[name])):
            assert (size.image_size, size.targets[size.space].value) == (side, macs)
    assert {SIZES[f"s{i}"].space for i in range(1, 5)} == {"fbnetv2_f"}
    assert {SIZES[f"s{i}_plus"].space for i in range(1, 5)} == {"fbnetv2_f_plus"}
    assert [SIZES[f"l{i}"].space for i in range(3)] == ["fpnas_l0", "fpnas_l1", "fpnas_l2"]


def test_search_and_training_are_the_paper_s() -> None:
    """Section 5.1: half of 100 classes steer; rates, lengths and schedules of both trainings; the cost's weight."""
    for name in (*PAPER, "s1_plus"):
        size = SIZES[name]
        assert (size.num_classes, size.policy, size.data["classes"]) == (100, 0.5, 100)
        assert (size.search.epochs, size.search.batch_size, size.search.schedule) == (315, 2048, "cosine")
        assert learning_rate(size.search, 0.0, size.search.batch_size) == pytest.approx(0.8)
        settings = size.settings
        assert (settings.rate, settings.rate_rule, settings.cost_weight) == (0.016, "paper", 0.3)
        assert (settings.entropy_scale, settings.warmup, settings.conversion) == (0.25, 45 / 315, 80 / 315)
        alone, train = size.alone, size.short
        assert alone is not None
        assert alone.num_classes == 1000
        assert alone.augmentation is not None
        assert alone.augmentation.autoaugment == "imagenet"
        assert (train.epochs, train.optimiser, train.momentum, train.decay) == (420, "rmsprop", 0.9, 0.9875)
        assert train.schedule == "exponential"
        peak = train.warmup_share * train.epochs
        assert learning_rate(train, peak, train.batch_size) == pytest.approx(0.2, rel=0.1)
        assert min(train.label_smoothing, train.weight_average, train.drop_path) > 0


@pytest.mark.parametrize("name", [name for name in SIZES if SIZES[name].alone])
def test_every_size_of_the_paper_can_be_searched(name: str) -> None:
    """Its space and platform are built, networks of the target's cost exist, and the first step draws 1/4 of H."""
    size = SIZES[name]
    space = size.make_space()
    target = size.targets[size.space]
    check_reachable(space, [target.platform()])
    method = FPNAS(space, [target.platform()], size.settings)
    assert method.passes_per_step == FIRST_SAMPLES[size.space]
    assert size.make_space(searched=True).decisions == space.decisions


@pytest.mark.parametrize("name", ["cpu", "cpu_fine", "smoke"])
def test_small_sizes_have_networks_of_the_target_s_cost(name: str) -> None:
    """In all three spaces, and random ones lie in the window."""
    job = job_at(name)
    for network in ("fine", "splits", EXPERIMENT.main):
        space = job.make_space(network)
        target = job.target(space)
        check_reachable(space, [target.platform()])
        found = costs_of(space, target, random_network(space, target, 3))
        assert target.low <= found["macs"] <= target.high


def pictures(folder: Path, classes: int) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 2)):
        for label in range(classes):
            here = folder / part / f"class{label}"
            here.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(here / f"{i}.png")


@pytest.mark.slow
def test_two_real_steps_at_the_full_shape(tmp_path: Path) -> None:
    """S1++: a search on two classes of three for a cost with all three, then the answer alone with a teacher."""
    pictures(tmp_path / "data", 3)
    full = SIZES["s1_plus"]
    assert full.alone is not None
    tiny = {"batch_size": 2, "micro_batch": None}
    cache = {"cache": tmp_path / "cache"}
    changes = {
        "num_classes": 2,
        "data": {"classes": 2, "seed": 0, **cache},
        "search": dataclasses.replace(full.search, epochs=0.5, policy_batch_size=2, **tiny),
        "short": dataclasses.replace(full.short, epochs=0.2, **tiny),
        "alone": dataclasses.replace(full.alone, num_classes=3, data=cache),
        "settings": dataclasses.replace(full.settings, entropy_scale=0.06, warmup=0.5),
        "calibration_pictures": 4,
        "evaluation_batch": 4,
    }
    plan = (Piece("search", EXPERIMENT.main, 0), Piece("short", EXPERIMENT.main, 0))
    job = job_at("s1_plus", tmp_path, plan, **changes)
    job = dataclasses.replace(job, machine=Machine(device="cpu", data=tmp_path / "data"))
    found = work.do_piece(job, plan[0])
    assert (found["steps"], found["sampled"]) == (2, 2 * 3)
    assert found["choice"]["costs"]["macs"] <= 60e6
    setting = work.make_setting(job, plan[1])
    assert len(setting.index_sets.weights) == 3 * 8
    assert setting.space.smallest is not None
    blueprint = setting.space.blueprint(setting.space.smallest.values, "teacher")
    save_network(setting, blueprint.build(seed=0), blueprint, tmp_path / "teacher.safetensors", "teacher")
    taught = dataclasses.replace(job, teacher=str(tmp_path / "teacher.safetensors"))
    trained = work.do_piece(taught, plan[1])
    assert trained["images"] == 2 * 2
    assert trained["architecture"] == found["choice"]["architecture"]
    assert trained["val_accuracy"] is None
    assert trained["test_accuracy"] is not None
    assert work.make_setting(taught, Piece("short", RANDOM, 0)).train.teacher is not None
