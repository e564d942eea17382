"""Pieces of MS-RANAS from the command line to figures, on the digits; costs to the digit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ranas import ablations, anytime, anytime_figures, collapse, collapse_figures, costs
from ranas.rows import anytime_rows
from ranas.sizes import ANYTIME
from ranas.work import Job
from searches.machine import Machine

SMOKE = ["--size", "smoke", "--device", "cpu"]
NAMED = ["--trainings", "cifar10", "cifar10_msdnet", "cifar10_random"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two searches, and networks of found and of random cells beside an MSDNet."""
    out = tmp_path_factory.mktemp("anytime")
    assert anytime.main([*SMOKE, *NAMED, "--out", str(out)]) == 0
    return out


def test_a_run_ends_in_curves_areas_and_batches(results: Path) -> None:
    """Every network is judged exit by exit, single and as running means; budgets are counted as their batches say."""
    found = json.loads((results / "anytime_results.json").read_text())
    assert [found["groups"][name]["areas"]["single"]["count"] for name in list(found["groups"])[:3]] == [2, 2, 2]
    network = found["groups"]["cifar10"]["networks"]["0"]
    assert len(network["exits"]) == 2
    assert network["exits"][0]["test_accuracy"] == network["exits"][0]["test_ensemble_accuracy"]
    assert len(network["batches"]) == 10
    right = sum(0.97 <= b["mean_cost"] / b["planned"] <= 1.03 for b in network["batches"])
    assert anytime_figures.batches_within(network) == right
    assert (results / "anytime_curves.png").stat().st_size > 10_000
    assert "MSDNet" in (results / "anytime_tables.md").read_text()


def test_areas_are_between_the_accuracies_of_the_exits(results: Path) -> None:
    """A mean over budgets that all have an answer; from 0 MACs it is lower by the guesses."""
    found = json.loads((results / "anytime_results.json").read_text())
    for group in list(found["groups"].values())[:3]:
        for network in group["networks"].values():
            single = [exit["test_accuracy"] for exit in network["exits"]]
            assert min(single) <= network["areas"]["single"] <= max(single)
            assert network["areas"]["from_zero"] < network["areas"]["ensemble"]


def test_what_is_done_is_not_done_again(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command has nothing to do; more seeds add their own pieces."""
    times = {p.name: p.stat().st_mtime_ns for p in (results / "pieces").iterdir()}
    assert anytime.main([*SMOKE, *NAMED, "--seeds", "0", "1", "--out", str(results)]) == 0
    assert "search-cifar10" not in capsys.readouterr().out.split("###")[0]
    assert times == {p.name: p.stat().st_mtime_ns for p in (results / "pieces").iterdir()}


def test_cells_of_one_search_are_trained_as_found(results: Path) -> None:
    """The choices of a training are those of its search, of the same seed."""
    for seed in (0, 1):
        found = json.loads((results / "pieces" / f"search-cifar10-{seed}.json").read_text())
        trained = json.loads((results / "pieces" / f"train-cifar10-{seed}.json").read_text())
        assert trained["architecture"] == found["choice"]["architecture"]
        assert trained["macs"] == found["choice"]["costs"]["macs"] <= ANYTIME["smoke"].target.value


def test_other_sizes_are_refused_in_the_same_folder(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Results of two sizes are never mixed."""
    assert anytime.main(["--size", "cpu", "--tables-only", "--out", str(results)]) == 2
    assert capsys.readouterr().err


def test_the_grid_runs_with_one_exit_and_with_several(tmp_path: Path) -> None:
    """Trainings of Figure 4 have a last exit alone, those of Figure 5 all; what is missing is left out."""
    names = ["single_cutout", "anytime_cutout"]
    assert ablations.main([*SMOKE, "--trainings", *names, "--seeds", "0", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "ablations_results.json").read_text())
    single, several = (found["trainings"][name]["networks"]["0"] for name in names)
    assert "exits" not in single
    assert several["last"] == several["exits"][-1]["test_accuracy"]
    assert single["architecture"] == several["architecture"]
    assert (tmp_path / "pieces" / "search-cutout-0.json").exists()
    assert not (tmp_path / "pieces" / "search-baseline-0.json").exists()


def test_a_cap_on_skips_holds(tmp_path: Path) -> None:
    """Skips of the derived cell are counted, and the capped search has at most half."""
    given = [*SMOKE, "--remedies", "plain", "skip_cap", "--seeds", "0", "1", "2", "--searches-only"]
    assert collapse.main([*given, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "collapse_results.json").read_text())
    assert found["kept_edges"] == 2
    assert max(found["groups"]["skip_cap"]["skips"].values()) <= 1
    plain = found["searches"]["plain"]["0"]
    assert found["groups"]["plain"]["skips"]["0"] == plain["genotype"].split("reduce")[0].count("skip_connect")


def test_skips_are_those_of_one_kind_of_cell() -> None:
    """Reduction cells are counted apart."""
    cells = {"normal_0_0": "skip_connect", "normal_0_1": "none", "reduction_0_0": "skip_connect"}
    assert collapse_figures.skips_of(cells) == collapse_figures.skips_of(cells, "reduction_") == 1


def test_costs_are_those_of_the_reconstruction(tmp_path: Path) -> None:
    """Facts 3.5 and 4.2: 12 % at the first exit, and exits on an axis of 1e8 MACs."""
    assert costs.main(["--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "ranas_costs.json").read_text())
    assert [exit["macs"] for exit in found["final"]["10"]][::5] == [21_558_528, 131_137_024]
    assert found["final"]["100"][-1]["macs"] == 131_206_144
    assert costs.share(found["ablation"]["3"], "macs") == pytest.approx(0.127, abs=0.0005)
    assert costs.share(found["ablation"]["3"], "params") == pytest.approx(0.141, abs=0.0005)
    assert found["msdnet"]["10"][0]["macs"] == pytest.approx(14.96e6, abs=1e4)
    assert found["msdnet"]["10"][-1]["macs"] == pytest.approx(120.97e6, abs=1e4)


def test_unfinished_folders_have_figures_of_what_is_there(tmp_path: Path) -> None:
    """Nothing done: empty groups, no differences, no area of anything."""
    job = Job(tmp_path, anytime.study(cutout=False), ANYTIME["smoke"], Machine(device="cpu"))
    found = anytime_figures.collect(job, job.study.plan(["cifar10"], (0,), 0))
    assert found["groups"]["cifar10"]["areas"]["single"]["mean"] is None
    assert "Exit by exit" in anytime_figures.document(found)


def test_rows_say_what_was_run(results: Path) -> None:
    """One row per group, per comparison that has an answer, and one for batches; the first names the command."""
    found = json.loads((results / "anytime_results.json").read_text())
    rows = anytime_rows(found, "a machine")
    assert len(rows) == 3 + 3 + 1
    assert "size `smoke`, a machine" in rows[0][3]
    assert all(row[3].startswith("same") and not row[4] for row in rows[1:])
    assert rows[-1][2].startswith(
        f"{anytime_figures.batches_within(found['groups']['cifar10']['networks']['0'])} of 10"
    )
