"""One piece of the TuNAS recipe: same result after a kill, the right pictures, the right network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from searches import work
from searches.machine import ClockedStore, Machine
from searches.networks import random_network
from searches.pieces import BEST_RANDOM, RANDOM, Piece, comparison
from searches.work import Job
from searches.worklist import piece_path, read_piece
from tunas.sizes import SIZES
from tunas.variants import EXPERIMENT, MAIN

PLAN = tuple(comparison(MAIN, [0, 1], 2, long=True))
SEARCH = Piece("search", MAIN, 0)


class Kill(BaseException):
    """Ends a piece from outside."""


class KilledStore(ClockedStore):
    """Dies at the second checkpoint, of which nothing is written."""

    def __init__(self, folder: Any, stage: str) -> None:
        super().__init__(folder, stage)
        self.checkpoint_seconds = 0.0
        self.saved = 0

    def save(self, state: Any) -> None:
        self.saved += 1
        if self.saved == 2:
            raise Kill
        super().save(state)


def job(folder: Path) -> Job:
    return Job(folder, EXPERIMENT, SIZES["smoke"], PLAN, Machine(device="cpu"))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of one search."""
    return work.do_piece(job(tmp_path_factory.mktemp("results")), SEARCH)


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """What must be equal."""
    return {key: value for key, value in found.items() if key not in ("seconds", "cpu_seconds")}


def put(folder: Path, piece: Piece, content: dict[str, Any]) -> None:
    """A piece that is done."""
    path = piece_path(folder, piece)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_a_killed_search_ends_as_if_undisturbed(
    searched: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on from its checkpoint to the same answer, policy and curves; before it is done there is no result."""
    with monkeypatch.context() as patch:
        patch.setattr(work, "ClockedStore", KilledStore)
        with pytest.raises(Kill):
            work.do_piece(job(tmp_path), SEARCH)
    assert read_piece(tmp_path, SEARCH) is None
    assert list((tmp_path / "work" / SEARCH.file / "checkpoints").iterdir())
    assert without_times(work.do_piece(job(tmp_path), SEARCH)) == without_times(searched)


def test_what_a_search_leaves(searched: dict[str, Any]) -> None:
    """An answer within the target, curves of its policy, and what a warning would be about."""
    assert searched["choice"]["costs"]["macs"] <= 800_000
    assert len(searched["curves"]["cost_ratio"]) == len(searched["curves"]["entropy_nats"])
    assert searched["first_entropy_nats"] > searched["last_entropy_nats"]
    assert searched["steps"] > 10


def test_the_network_that_is_trained(searched: dict[str, Any], tmp_path: Path) -> None:
    """The search's answer, random network i, or the random network that validation pictures prefer."""
    here = job(tmp_path)
    space = here.make_space(MAIN)
    with pytest.raises(RuntimeError, match="before"):
        work.network_of(space, here, Piece("short", MAIN, 0))
    put(tmp_path, SEARCH, searched)
    assert work.network_of(space, here, Piece("short", MAIN, 0)) == searched["choice"]["architecture"]
    networks = [random_network(space, here.target(space), i) for i in range(2)]
    assert work.network_of(space, here, Piece("short", RANDOM, 1)) == networks[1]
    for i, accuracy in enumerate((40.0, 50.0)):
        put(tmp_path, Piece("short", RANDOM, i), {"architecture": networks[i], "val_accuracy": accuracy})
    assert work.network_of(space, here, Piece("long", BEST_RANDOM)) == networks[1]


def test_trained_networks_come_with_costs_and_accuracies(tmp_path: Path) -> None:
    """Short training: validation and test; the pictures that steer teach nothing. Long: all pictures, test alone."""
    short = work.do_piece(job(tmp_path), Piece("short", RANDOM, 0))
    assert 640_000 <= short["costs"]["macs"] <= 960_000
    assert 0 <= short["val_accuracy"] <= 100
    assert 0 <= short["test_accuracy"] <= 100
    sets = work.make_setting(job(tmp_path), Piece("short", RANDOM, 0)).index_sets
    assert len(sets.policy) == len(sets.selection) == 200
    assert not set(sets.policy) & set(sets.weights)
    long = work.make_setting(job(tmp_path), Piece("long", MAIN, 0))
    assert len(long.index_sets.weights) == len(sets.weights) + 200
    assert long.train.dropout == 0.15
    assert long.train.epochs > work.make_setting(job(tmp_path), Piece("short", MAIN, 0)).train.epochs


def test_every_seed_has_the_same_pictures() -> None:
    """Searches of other seeds differ in everything but the split: no accuracy is better for its pictures."""
    first, second = (work.make_setting(job(Path("nowhere")), Piece("search", MAIN, seed)) for seed in (0, 1))
    assert (first.index_sets.weights == second.index_sets.weights).all()
    assert (first.seed, second.seed) == (0, 1)


def test_curves_are_means_of_parts() -> None:
    """Twenty parts at most; what a line lacks is left out."""
    lines = [{"cost_ratio": float(i), "quality": 0.5 if i % 2 else None} for i in range(40)]
    found = work.curves(lines)
    assert found["cost_ratio"] == [2 * i + 0.5 for i in range(20)]
    assert found["quality"] == [0.5] * 20
    assert found["loss"] == [None] * 20
    assert len(work.curves(lines[:3])["cost_ratio"]) == 3
