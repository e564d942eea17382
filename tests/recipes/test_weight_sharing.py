"""The study of weight sharing from the command line to figures, on the digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.compare.correlation import kendall, spearman
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.testing import SpaceContract, SupernetContract
from searches.machine import Machine
from weight_sharing import correlation, figures
from weight_sharing.pieces import AGAIN, ALONE, Piece, plan
from weight_sharing.rows import sharing_rows
from weight_sharing.sizes import SHARINGS, SIZES
from weight_sharing.space import small_macro
from weight_sharing.work import Job, drawn_networks, make_setting

SMOKE = SIZES["smoke"]
COMMAND = ["--size", "smoke", "--device", "cpu", "--seeds", "0"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five networks alone, three of them twice, and two supernets."""
    out = tmp_path_factory.mktemp("sharing")
    assert correlation.main([*COMMAND, "--sharings", "uniform", "sandwich", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def found(results: Path) -> dict[str, Any]:
    """The figures of the above."""
    content: dict[str, Any] = json.loads((results / "correlation_results.json").read_text())
    return content


def test_correlations_are_those_of_the_pieces(results: Path, found: dict[str, Any]) -> None:
    """Every supernet's accuracies are compared with the first training of the same networks."""
    alone = [json.loads((results / "pieces" / f"alone-{n}.json").read_text())["test_accuracy"] for n in range(5)]
    for name in ("uniform", "sandwich"):
        shared = json.loads((results / "pieces" / f"shared-{name}-0.json").read_text())["accuracies"]
        group = found["sharings"][name]
        assert group["seeds"]["0"]["spearman"] == pytest.approx(spearman(shared, alone))
        assert group["kendall"] == pytest.approx(kendall(shared, alone))
    difference = found["sharings"]["sandwich"]["spearman"] - found["sharings"]["uniform"]["spearman"]
    assert found["against_uniform"]["sandwich"]["spearman"]["difference"] == pytest.approx(difference)
    macs = [network["macs"] for network in found["networks"]]
    assert found["costs"]["macs"]["spearman"] == pytest.approx(spearman(macs, alone))


def test_the_ceiling_is_from_trainings_of_two_seeds(found: dict[str, Any]) -> None:
    """Three networks were trained twice, from different seeds: the second training is another one."""
    assert found["ceiling"]["repeats"]["count"] == 3
    repeated = [n for n in found["networks"] if n["again"] is not None]
    assert [n["number"] for n in repeated] == [0, 1, 2]
    assert any(n["again"] != n["test_accuracy"] for n in repeated)


def test_supernets_cost_the_same(found: dict[str, Any]) -> None:
    """A sandwich has three passes a step, and so a third of the steps; both see as many pictures."""
    uniform, sandwich = (found["sharings"][name] for name in ("uniform", "sandwich"))
    assert 3 * sandwich["steps"]["mean"] == pytest.approx(uniform["steps"]["mean"], abs=3)
    assert sandwich["images"]["mean"] == pytest.approx(SMOKE.passes, rel=0.07)


def test_tables_and_picture_are_written(results: Path, found: dict[str, Any]) -> None:
    """The picture, the tables, and the rows of the overview."""
    assert (results / "correlation_scatter.png").stat().st_size > 10_000
    text = (results / "correlation_tables.md").read_text()
    assert all(title in text for title in ("| ceiling |", "macs alone", "sandwich", "Less uniform single paths"))
    rows = sharing_rows(found, "a machine")
    assert len(rows) == 2 + 1 + 1
    assert "size `smoke`, a machine" in rows[0][3]
    assert all(row[3].startswith("same") and not row[4] for row in rows[1:])


def test_what_is_done_is_not_done_again(results: Path) -> None:
    """The same command has nothing to do."""
    times = {p.name: p.stat().st_mtime_ns for p in (results / "pieces").iterdir()}
    assert correlation.main([*COMMAND, "--sharings", "uniform", "sandwich", "--out", str(results)]) == 0
    assert times == {p.name: p.stat().st_mtime_ns for p in (results / "pieces").iterdir()}


def test_unfinished_folders_have_figures_of_what_is_there(tmp_path: Path) -> None:
    """Nothing done: no correlation, no ceiling, no picture."""
    job = Job(tmp_path, SMOKE, Machine(device="cpu"))
    empty = figures.collect(job, plan(SMOKE, list(SHARINGS), (0,)))
    assert (empty["sharings"], empty["ceiling"], empty["networks"]) == ({}, None, [])
    assert "Time per piece" in figures.document(empty)
    figures.draw(empty, tmp_path, "")
    assert not list(tmp_path.glob("*.png"))


def test_trainings_have_seeds_of_their_own(tmp_path: Path) -> None:
    """No two trainings of networks alone share a seed, and all have the same pictures."""
    job = Job(tmp_path, SMOKE, Machine(device="cpu"))
    pieces = [p for p in plan(SMOKE, ["uniform"], (0,)) if not p.shared]
    settings = [make_setting(job, piece) for piece in pieces]
    assert len({setting.seed for setting in settings}) == len(pieces) == 8
    shared = make_setting(job, Piece("sandwich", 1))
    assert np.array_equal(shared.index_sets.weights, settings[0].index_sets.weights)
    assert np.array_equal(shared.index_sets.test, settings[0].index_sets.test)
    assert len(shared.index_sets.test) == SMOKE.test


def test_networks_are_the_same_everywhere() -> None:
    """They are drawn from one seed, all different, within the budget."""
    rows = drawn_networks(SIZES["cpu"])
    assert rows.shape == (50, 9) and len(np.unique(rows, axis=0)) == 50
    assert np.array_equal(rows, drawn_networks(SIZES["cpu"]))
    assert int(SIZES["cpu"].make_space().cost("macs")(rows).max()) <= 3_000_000


@pytest.mark.parametrize("name", list(SHARINGS))
def test_policies_stay_uniform_where_they_should(name: str) -> None:
    """Uniform paths and TuNAS's warm-ups never learn a policy, however long they train; FP-NAS does."""
    sharing = SHARINGS[name]
    steps = SIZES["cpu"].passes / SIZES["cpu"].sharing.batch_size
    last = 1 - 1 / steps  # the progress before the last step
    start = getattr(sharing.settings, "freeze", getattr(sharing.settings, "warmup", 1.0))
    assert (last < start) == (name != "fpnas")


def test_impossible_plans_are_refused() -> None:
    """A seed below 0, or none; and more second trainings than there are networks."""
    with pytest.raises(RequestError, match="none below 0"):
        plan(SMOKE, ["uniform"], (-1,))
    with pytest.raises(RequestError, match="0 to 5 can be trained again"):
        plan(SMOKE, [], (0,), twice=6)
    assert [p.name for p in plan(SMOKE, [], (0,), twice=5)] == [ALONE, AGAIN] * 5
    assert [p.file for p in plan(SMOKE, ["uniform"], (3,))][-1] == "shared-uniform-3"
    assert [p.name for p in plan(SMOKE, [], (0,))] == [ALONE, AGAIN] * 3 + [ALONE] * 2


class TestSmallMacro(SpaceContract, SupernetContract):
    """The space and its supernet keep what every space promises."""

    @pytest.fixture
    def space(self) -> SearchSpace:
        return small_macro(num_classes=10, image_size=8, in_channels=1)
