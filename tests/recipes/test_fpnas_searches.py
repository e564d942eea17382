"""The compared searches of FP-NAS: what is derived from what, figures, curves and rows from fake pieces."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpnas import ablations, cifar, curves, paper, rows
from fpnas.sizes import SIZES
from fpnas.variants import EXPERIMENT, QUESTIONS, VARIANTS, uniform_splits
from sartor.space import SearchSpace
from sartor.storage import to_json, write_atomically
from searches import comparison, contrasts, work
from searches.networks import random_network
from searches.pieces import RANDOM, Piece
from searches.pieces import comparison as comparison_plan
from searches.work import Job
from searches.worklist import piece_path

NAMES = tuple(VARIANTS)


def job_of(folder: Path, plan: Sequence[Piece] = ()) -> Job:
    return Job(folder, EXPERIMENT, SIZES["smoke"], tuple(plan))


@functools.cache
def space_of(network: str) -> SearchSpace:
    return job_of(Path("nowhere")).make_space(network)


def fake(job: Job, piece: Piece) -> dict[str, Any]:
    """A piece whose accuracies say which it is: 50 + number, 2 more with splits; 14 fixed samples take longer."""
    space = space_of(piece.network)
    target = job.target(space)
    values = space.architecture(space.sample(1, np.random.default_rng(piece.number))[0]).values
    slow = piece.network.endswith("fixed_14")
    times = {"seconds": 120.0, "cpu_seconds": 100.0 if slow else 50.0, "images": 1000}
    if piece.kind == "search":
        courses = {"cost_ratio": [1.2, 1.0], "entropy_nats": [50.0, 3.0], "samples_per_step": [14.0, 1.0]}
        return {
            **times,
            "choice": {"architecture": values, "costs": {"macs": target.value}, "own": None},
            "curves": {**courses, "mode_accuracy": [None, 20.0]},
            "first_entropy_nats": 50.0,
            "last_entropy_nats": 3.0,
            "warnings": [],
            "steps": 100,
            "sampled": 1400 if slow else 560,
        }
    accuracy = 50.0 + piece.number + 2 * piece.network.startswith("splits")
    costs = {"macs": target.value, "params": 1e5}
    return {**times, "architecture": values, "costs": costs, "val_accuracy": accuracy, "test_accuracy": accuracy}


@pytest.fixture
def ablated(tmp_path: Path) -> Job:
    """Every variant from two seeds, all done."""
    job = job_of(tmp_path / "out", EXPERIMENT.compared(NAMES, [0, 1]))
    for piece in job.plan:
        write_atomically(piece_path(job.results, piece), to_json(fake(job, piece)).encode())
    return job


def test_uniform_splits_change_nothing_but_the_squeeze_excites() -> None:
    """A network of the space without splits, in the one with them: the same where there is no squeeze-excite."""
    plain, split = space_of("mixed_80"), space_of("splits_2")
    values = random_network(plain, SIZES["smoke"].targets["fbnetv2_f"], 0)
    excited = [name for name, value in values.items() if name.endswith("_se") and value]
    assert excited
    macs = [split.cost("macs")(split.encode(uniform_splits(values, n))[None])[0] for n in (1, 2, 4)]
    assert macs[0] == plain.cost("macs")(plain.encode(values)[None])[0]
    assert macs[0] < macs[1] < macs[2]
    changed = uniform_splits(values, 4)
    assert sum(changed[name.replace("_se", "_splits")] == 4 for name in excited) == len(excited)
    assert sum(value == 4 for name, value in changed.items() if name.endswith("_splits")) == len(excited)


def test_derived_networks_wait_for_the_search_they_come_from(ablated: Job) -> None:
    """No search of their own; what is trained is that search's answer, changed."""
    searched = {p.network for p in ablated.plan if p.kind == "search"}
    assert searched == {name for name in NAMES if VARIANTS[name].derived is None}
    piece = Piece("short", "splits_4", 1)
    assert EXPERIMENT.needs(piece, ()) == (Piece("search", "mixed_80", 1),)
    assert EXPERIMENT.compared(["splits_2", "splits_4"], [1]) == [
        Piece("search", "mixed_80", 1),
        Piece("short", "splits_2", 1),
        Piece("short", "splits_4", 1),
    ]
    found = fake(ablated, Piece("search", "mixed_80", 1))["choice"]["architecture"]
    assert work.network_of(space_of("splits_4"), ablated, piece) == uniform_splits(found, 4)


def test_every_question_is_about_searches_that_there_are() -> None:
    """Both sides are variants, and every variant answers something; the paper's signs."""
    assert {name for q in QUESTIONS for name in (q.changed, q.base)} == set(NAMES)
    assert all(changed[0] > base[0] for changed, base in (*paper.TABLE_7.values(), paper.FINE))
    assert VARIANTS["mixed_150"].settings["conversion"] == pytest.approx(150 / 315)


def test_the_main_search_has_the_whole_length() -> None:
    """And those that are compared a part of it."""
    size = SIZES["cpu"]
    assert EXPERIMENT.variant(EXPERIMENT.main).epochs(size) == size.search.epochs
    assert VARIANTS["joint"].epochs(size) == pytest.approx(0.16 * size.search.epochs)


def test_random_networks_cost_what_the_answers_do(tmp_path: Path) -> None:
    """In turn: number 3 of two searches has the MACs of the second one's answer, within 5 %, and waits for it."""
    size = dataclasses.replace(SIZES["smoke"], matched=True)
    job = Job(tmp_path, EXPERIMENT, size, tuple(comparison_plan(EXPERIMENT.main, [4, 2], 4, long=False)))
    piece = Piece("short", RANDOM, 3)
    assert job.needs(piece) == (Piece("search", EXPERIMENT.main, 2),)
    for piece_done in job.plan:
        content = fake(job, piece_done)
        if piece_done.kind == "search":
            content["choice"]["costs"] = {"macs": 7e4 if piece_done.number == 2 else 1e5}
        write_atomically(piece_path(tmp_path, piece_done), to_json(content).encode())
    space = space_of(RANDOM)
    macs = space.cost("macs")(space.encode(work.network_of(space, job, piece))[None])[0]
    assert 0.95 * 7e4 <= macs <= 1.05 * 7e4
    matched = comparison.collect(job)["matched"]["test_accuracy"]
    assert matched["differences"] == {"4": 54 - (50 + 52) / 2, "2": 52 - (51 + 53) / 2}
    assert matched["interval"][0] < matched["mean"] < matched["interval"][1]
    assert "+3.00, +0.00" in comparison.document(comparison.collect(job), EXPERIMENT)


def test_samples_are_counted_from_the_lines_of_the_log() -> None:
    """A line is the mean over the steps since the last; methods that draw no samples have none."""
    lines = [{"step": 10, "samples_per_step": 14.0}, {"step": 15, "samples_per_step": 2.0}]
    assert work.sampled(lines) == 150
    assert work.sampled([{"step": 10}]) is None


def test_figures_and_curves(ablated: Job, tmp_path: Path) -> None:
    """Samples, costs and differences of every variant; a picture even while variants are missing."""
    found = contrasts.collect(ablated)
    joint = found["variants"]["joint"]
    assert (joint["sampled"]["mean"], joint["seconds"]["mean"]) == (560.0, 50.0)
    assert joint["costs"]["params"]["mean"] == 1e5
    differences = {q["title"]: q["test_accuracy"]["mean"] for q in found["questions"]}
    assert differences["Table 7: searched splits against squeeze-excite"] == 2.0
    assert "| joint | 2 | 50.50 ± 0.71 |" in contrasts.document(found, EXPERIMENT)
    found["variants"]["fixed_8"]["searches"] = {}
    curves.draw(found, tmp_path, "curves_")
    assert (tmp_path / "curves_figure1.png").stat().st_size > 10_000


def test_rows_of_the_overview(ablated: Job) -> None:
    """The paper's figures beside ours, and what was saved; nothing before anything is run."""
    found = rows.ablation_rows(contrasts.collect(ablated), "a processor")
    assert {len(row) for row in found} == {5}
    shown = {row[0]: row[1:3] for row in found}
    saved = shown["FP-NAS, `joint` against `fixed_14`: samples saved, processor time saved"]
    assert saved == ["60 %, 1.8 times", "60%, 2.00 times"]
    table_4 = next(row for row in found if "Table 4" in row[0])
    assert table_4[1] == "+0.9"
    empty = contrasts.collect(job_of(ablated.results.with_name("empty")))
    assert rows.ablation_rows(empty, "a processor") == []


def test_the_commands_write_tables_and_pictures(ablated: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """With --tables-only nothing is trained; a size of the paper takes one search, and no random networks."""
    options = ["--size", "smoke", "--tables-only", "--out"]
    pieces, kept = ablated.results / "pieces", ablated.results.with_name("kept")
    pieces.rename(kept)
    ablated.results.rmdir()
    assert ablations.main([*options, str(ablated.results)]) == 0  # nothing is done yet
    kept.rename(pieces)
    assert ablations.main([*options, str(ablated.results), "--seeds", "0", "1"]) == 0
    for name in ("ablations_results.json", "ablations_tables.md", "ablations_figure1.png"):
        assert (ablated.results / name).stat().st_size > 0
    assert cifar.main([*options, str(ablated.results)]) == 0
    full = ["--size", "l1", "--teacher", "b4.onnx", "--tables-only", "--out", str(ablated.results.with_name("l1"))]
    assert cifar.main(full) == 0
    assert "fpnas_l1" in capsys.readouterr().out
    assert cifar.main([*full[:2], *full[4:]]) == 2  # without the teacher: another configuration
    assert "teacher" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_recipe_at_toy_size(tmp_path: Path) -> None:
    """Searches and short trainings, an ablation, and networks derived from its answer, through the commands."""
    options = ["--size", "smoke", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert cifar.main(options) == 0
    assert ablations.main([*options, "--variants", "mixed_80", "splits_2", "--seeds", "0"]) == 0
    pieces = {path.stem for path in (tmp_path / "out" / "pieces").iterdir()}
    assert len(pieces) == 2 + 2 + 3 + 3
    assert f"short-{RANDOM}-2" in pieces
