"""One piece of work: same result after a kill, and every sampling and weight where it belongs."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

import table2
from sartor.errors import RequestError
from sartor.platforms import WEIGHTINGS
from slimmable import work
from slimmable.pieces import PLATFORMS, Piece, retraining
from slimmable.sizes import SIZES

MACHINE = work.Machine(device="cpu")
SEARCH = Piece("search", "AOWS", 0, search_row="RS")


class Kill(BaseException):
    """Ends a piece from outside."""


class KilledStore(work.ClockedStore):
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


class WatchedStore(work.ClockedStore):
    """Notes at which step it went on."""

    went_on_at: ClassVar[list[int | None]] = []

    def load(self) -> Any:
        state = super().load()
        self.went_on_at.append(None if state is None else state["step"])
        return state


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one search done."""
    folder = tmp_path_factory.mktemp("results")
    work.do_piece(folder, "smoke", SEARCH, MACHINE)
    return folder


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """What must be equal."""
    return {key: value for key, value in found.items() if key not in ("seconds", "cpu_seconds")}


@pytest.mark.parametrize("piece", [SEARCH, retraining("RS", "AOWS-W", 0), Piece("alone", "Slim", 0, platform="p2")])
def test_a_killed_piece_ends_as_if_undisturbed(
    piece: Piece, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on from its checkpoint; before it is done there is no result file."""
    calm_folder, killed = tmp_path / "calm", tmp_path / "killed"
    for folder in (calm_folder, killed):
        for need in piece.needs:
            work.piece_path(folder, need).parent.mkdir(parents=True)
            work.piece_path(folder, need).write_bytes(work.piece_path(searched, need).read_bytes())
    calm = work.do_piece(calm_folder, "smoke", piece, MACHINE)
    with monkeypatch.context() as patch:
        patch.setattr(work, "ClockedStore", KilledStore)
        with pytest.raises(Kill):
            work.do_piece(killed, "smoke", piece, MACHINE)
    assert work.read_piece(killed, piece) is None
    assert list((killed / "work" / piece.file / "checkpoints").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(work, "ClockedStore", WatchedStore)
        again = work.do_piece(killed, "smoke", piece, MACHINE)
    assert WatchedStore.went_on_at[-1] == 10  # of 11 steps
    assert without_times(again) == without_times(calm)
    assert work.read_piece(killed, piece) is not None


def test_a_search_meets_every_budget(searched: Path) -> None:
    """Exactly, platform by platform."""
    found = work.read_piece(searched, SEARCH)
    assert found is not None
    setting = work.make_setting(SIZES["smoke"], SEARCH, MACHINE)
    for platform in setting.platforms:
        assert found["choices"][platform.name]["costs"]["macs"] <= platform.budgets["macs"]


def test_samplings_and_weights() -> None:
    """AOWS draws platforms by its row; -W draws middle platforms by the row, -U uniformly; seeds shuffle anew."""
    smoke = SIZES["smoke"]
    search = work.make_setting(smoke, SEARCH, MACHINE)
    assert (search.method_name, tuple(p.weight for p in search.platforms)) == ("aows", WEIGHTINGS["RS"])
    weighted = work.make_setting(smoke, retraining("RS", "OWS-W", 0), MACHINE)
    assert (weighted.train.sampling, tuple(p.weight for p in weighted.platforms)) == ("weight", WEIGHTINGS["RS"])
    assert work.make_setting(smoke, retraining("RS", "OWS-U", 0), MACHINE).train.sampling == "uniform"
    assert work.make_setting(smoke, retraining("U", "AOWS-W", 0), MACHINE).train.sampling == "uniform"
    alone = work.make_setting(smoke, Piece("alone", "Slim", 0, platform="p3"), MACHINE)
    assert [p.name for p in alone.platforms] == ["p3"]
    assert work.make_setting(smoke, retraining("U", "Slim-U", 1), MACHINE).seed == 1


def test_all_pictures_teach_and_the_test_pictures_judge() -> None:
    """As in the paper; nothing is selected on the test pictures."""
    sets = work.make_setting(SIZES["smoke"], SEARCH, MACHINE).index_sets
    assert len(sets.policy) == len(sets.selection) == 0
    assert len(sets.weights) == len(work._pictures("smoke", None).train)
    assert len(sets.test) > 0


def test_original_and_found_widths_are_trained(searched: Path) -> None:
    """Slim trains the uniform networks, AOWS what its search found."""
    found = work.read_piece(searched, SEARCH)
    assert found is not None
    piece = retraining("RS", "AOWS-U", 0)
    setting = work.make_setting(SIZES["smoke"], piece, MACHINE)
    macs = {name: blueprint.macs for name, blueprint in work._blueprints(setting, piece, searched).items()}
    assert macs == {p: found["choices"][p]["costs"]["macs"] for p in PLATFORMS}
    slim = work._blueprints(setting, retraining("RS", "Slim-U", 0), searched)
    assert {n: b.macs for n, b in slim.items()} == {p.name: p.budgets["macs"] for p in setting.platforms}


def test_a_piece_of_another_size_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of other settings is refused, not mixed in."""
    with monkeypatch.context() as patch:
        patch.setattr(work, "ClockedStore", KilledStore)
        with pytest.raises(Kill):
            work.do_piece(tmp_path, "smoke", SEARCH, MACHINE)
    other = dataclasses.replace(SIZES["smoke"], calibration_pictures=128)
    monkeypatch.setitem(work.SIZES, "smoke", other)
    with pytest.raises(RequestError, match="another configuration"):
        work.do_piece(tmp_path, "smoke", SEARCH, MACHINE)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed by SIGKILL, which this system lacks")
def test_the_command_killed_leaves_no_workers_and_goes_on(tmp_path: Path) -> None:
    """SIGKILL on the command: its workers end too, and started again it finishes."""
    recipe = Path(work.__file__).parents[1] / "table2.py"
    options = ["--size", "smoke", "--rows", "U", "--table3-seeds", "--workers", "2", "--out", str(tmp_path / "out")]
    command = [sys.executable, str(recipe), *options]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert first.stdout is not None
    first.stdout.readline()  # one piece is done
    workers = _children(first.pid)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert table2.main([*options, "--workers", "1"]) == 0
    assert len(list((tmp_path / "out" / "pieces").iterdir())) == 5


def _children(pid: int) -> list[int]:
    """The processes that a process started."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    if not tasks.exists():
        pytest.skip("the system does not list the children of a process")
    return [int(child) for child in tasks.read_text().split()]
