"""From fake pieces to the figures of the TuNAS recipe, and the commands around them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sartor.space import SearchSpace
from sartor.storage import to_json, write_atomically
from searches import comparison, contrasts
from searches.networks import random_network
from searches.pieces import BEST_RANDOM, RANDOM, Piece
from searches.pieces import comparison as plan_comparison
from searches.work import Job
from searches.worklist import piece_path
from tunas import ablations, cifar, rows
from tunas.sizes import SIZES
from tunas.variants import EXPERIMENT, MAIN, VARIANTS

_REST = {"warnings": [], "steps": 5500, "sampled": None}


@functools.cache
def space_of(network: str) -> SearchSpace:
    return job_of(Path("nowhere"), ()).make_space(network)


def job_of(folder: Path, plan: Sequence[Piece]) -> Job:
    return Job(folder, EXPERIMENT, SIZES["smoke"], tuple(plan))


def fake(job: Job, piece: Piece) -> dict[str, Any]:
    """A piece whose accuracies say which it is: 50 + number, 6 more if searched (5 without warm-ups), 2 if long."""
    space = space_of(piece.network)
    target = job.target(space)
    times = {"seconds": 120.0, "cpu_seconds": 60.0, "images": 1000}
    values = random_network(space, target, piece.number)
    if piece.kind == "search":
        curves = {"cost_ratio": [1.2, 1.02], "entropy_nats": [30.0, 3.0]}
        own = {"architecture": values, "costs": {"macs": 1.1 * target.value}}
        choice = {"architecture": values, "costs": {"macs": 0.9 * target.value}, "own": own}
        entropies = {"first_entropy_nats": 30.0, "last_entropy_nats": 3.0}
        return {
            **times,
            **entropies,
            "choice": choice,
            "curves": curves,
            "warnings": [],
            "steps": 5500,
            "sampled": None,
        }
    accuracy = 50.0 + piece.number + (0 if piece.network in (RANDOM, BEST_RANDOM) else 6)
    accuracy -= piece.network == "enlarged_no_warmups"
    judged = {"val_accuracy": accuracy - 1, "test_accuracy": accuracy + (2 if piece.kind == "long" else 0)}
    return {**times, **judged, "architecture": values, "costs": {"macs": target.value}}


def put(job: Job) -> None:
    for piece in job.plan:
        write_atomically(piece_path(job.results, piece), to_json(fake(job, piece)).encode())


@pytest.fixture
def compared(tmp_path: Path) -> Job:
    """Three searches and four random networks, all done."""
    job = job_of(tmp_path / "out", plan_comparison(MAIN, [0, 1, 2], 4, long=True))
    put(job)
    return job


def test_the_comparison(compared: Job) -> None:
    """Means and spreads of both groups, their difference, and where every answer stands among random networks."""
    found = comparison.collect(compared)
    short = found["short"]["test_accuracy"]
    assert (short["tunas"]["mean"], short["random"]["mean"]) == (57.0, 51.5)
    assert short["difference"]["mean"] == pytest.approx(5.5)
    assert short["difference"]["welch"][0] < 5.5 < short["difference"]["welch"][1]
    assert short["random_networks_below"] == [100.0] * 3
    assert found["random_search"] == {"1": pytest.approx(51.5)}  # of N = 1, 5, 10 only N = 1 can be had from four
    assert found["long"]["tunas"]["mean"] == 59.0
    assert found["long"]["random"]["mean"] == 52.0
    assert found["searches"]["1"]["argmax"] == pytest.approx(1.1 * 800_000)
    assert found["searches"]["1"]["samples"] == pytest.approx(1.02 * 800_000)
    text = comparison.document(found, EXPERIMENT)
    assert "57.00 ± 1.00" in text
    assert "+5.50 (" in text
    assert "| random 3 | 0.800 | 53.00 | 52.00 |" in text


def test_what_is_not_done_is_a_dash(compared: Job) -> None:
    """A folder with searches alone has tables too."""
    for piece in compared.plan:
        if piece.kind != "search":
            piece_path(compared.results, piece).unlink()
    found = comparison.collect(compared)
    assert found["long"] is None
    assert found["short"]["test_accuracy"]["difference"]["mean"] is None
    assert "| test | - | - | - | - | - |" in comparison.document(found, EXPERIMENT)


def test_the_ablations(tmp_path: Path) -> None:
    """Every question: changed minus base; argmax against the mean of the last samples, from the target."""
    job = job_of(tmp_path, EXPERIMENT.compared(tuple(VARIANTS), [0, 1]))
    put(job)
    found = contrasts.collect(job)
    assert [q["test_accuracy"]["mean"] for q in found["questions"]] == [-1.0, *[0.0] * 8]
    variant = found["variants"]["proxyless_per_block"]
    assert variant["test_accuracy"]["mean"] == 56.5
    assert variant["off_target_percent"]["argmax"]["mean"] == pytest.approx(10)
    assert variant["off_target_percent"]["samples"]["mean"] == pytest.approx(2)
    assert variant["argmax_from_samples_percent"]["mean"] == pytest.approx(8)
    assert variant["last_entropy_share"]["mean"] == pytest.approx(0.1)
    text = contrasts.document(found, EXPERIMENT)
    assert "| Table 10: without warm-ups (`enlarged_no_warmups`) | `enlarged` | -1.00 (" in text
    assert "| -0.6 |" in text
    questions = rows.ablation_rows(found, "a processor")
    assert {len(row) for row in questions} == {5}
    assert questions[0][1] == "-0.6"
    assert questions[0][2].startswith("-1.00 (")


def test_rows_of_the_overview(compared: Job) -> None:
    """The paper's figures beside ours, as many as the table has columns; no questions before they are run."""
    found = rows.comparison_rows(comparison.collect(compared), "a processor")
    assert {len(row) for row in found} == {5}
    assert found[0][1:3] == ["76.4 ± 0.1", "57.00 ± 1.00"]
    assert found[0][3] == "size `smoke`, a processor, 3 searches, 4 random networks"
    assert found[2][1] == "+4.3"
    assert found[2][2].startswith("+5.50 (")
    assert found[4][2] == "+10.0, +10.0, +10.0"
    assert len(rows.ablation_rows(contrasts.collect(compared), "a processor")) == 1  # no question has both its sides


def test_the_commands_write_tables_and_a_picture(compared: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """With --tables-only nothing is trained; both commands share a folder; one of another size is refused."""
    options = ["--size", "smoke", "--out", str(compared.results), "--tables-only"]
    pieces, kept = compared.results / "pieces", compared.results.with_name("kept")
    pieces.rename(kept)
    compared.results.rmdir()
    assert cifar.main(options) == 0  # nothing is done yet
    kept.rename(pieces)
    assert cifar.main([*options, "--seeds", "0", "1", "2", "--randoms", "4"]) == 0
    for name in ("cifar_results.json", "cifar_tables.md", "cifar_figure1.png"):
        assert (compared.results / name).stat().st_size > 0
    assert ablations.main([*options, "--variants", "enlarged", "--seeds", "0"]) == 0
    assert "| tunas | 2 |" in (compared.results / "ablations_tables.md").read_text()
    capsys.readouterr()
    assert cifar.main(["--size", "cpu", "--out", str(compared.results), "--tables-only"]) == 2
    assert "another configuration" in capsys.readouterr().err
    assert cifar.main([*options, "--space", "mobilenet_v1"]) == 2
    assert "--space" in capsys.readouterr().err
    assert cifar.main([*options, "--seeds", "0"]) == 2
    assert "at least two seeds" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_recipe_at_toy_size(tmp_path: Path) -> None:
    """Searches, short and long trainings, and an ablation, through the commands."""
    options = ["--size", "smoke", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert cifar.main(options) == 0
    assert ablations.main([*options, "--variants", "proxyless_uncollapsed", "--seeds", "0"]) == 0
    assert len(list((tmp_path / "out" / "pieces").iterdir())) == 2 + 2 + 3 + 3 + 2
