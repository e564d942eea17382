"""Wrong input through the real command: one paragraph on stderr, exit code 2, nothing lost or overwritten."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_jobs
import pytest

from sartor.config import Job
from sartor.run import RunFolder

Command = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Command:
    """Runs the command on a job and returns the paragraph with which it was refused."""

    def run(out: Path, *arguments: str, **changes: Any) -> str:
        job = tmp_path / "job.json"
        job.write_text(json.dumps(pipeline_jobs.job(**changes)))
        command = [sys.executable, "-m", "sartor", "run", str(job), "--out", str(out), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 2, done.stderr
        assert done.stdout == "" and "Traceback" not in done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("sartor: ") and len(lines[0]) < 700, done.stderr
        return lines[0]

    return run


def files(path: Path) -> dict[Path, bytes]:
    """Every file of a folder with its content, the lock and its holder aside."""
    own = (".lock", ".holder.json")
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name not in own}


def arrays(path: Path, images: Any, labels: Any) -> dict[str, Any]:
    """A data section for arrays in a file."""
    np.savez(path, images=np.asarray(images), labels=np.asarray(labels))
    return {"source": "arrays", "path": str(path), "pictures_per_class": None}


def no_trace(out: Path) -> None:
    """Nothing was computed: the folder can be used for another job."""
    names = {p.name for p in out.iterdir()} if out.exists() else set()
    assert not names & {"checkpoints", "metrics.jsonl", "result.json", "platforms"}


def test_an_impossible_budget(refused: Command, tmp_path: Path) -> None:
    """The platform, its budget and the cheapest reachable cost are named before anything is trained."""
    space = pipeline_jobs.digits_space()
    cheapest = int(space.cost("macs")(np.array([space.smallest.row]))[0])
    message = refused(tmp_path / "run", "--set", "platforms.watch.macs=1000")
    assert "'watch'" in message and "macs" in message and f"{cheapest:,}" in message
    no_trace(tmp_path / "run")


def test_an_unknown_key(refused: Command, tmp_path: Path) -> None:
    """The closest known key is named, and no folder is made."""
    message = refused(tmp_path / "run", "--set", "serach.epochs=3")
    assert "serach is not a known key (did you mean search?)" in message
    assert not (tmp_path / "run").exists()


def test_a_corrupt_data_file(refused: Command, tmp_path: Path) -> None:
    """A file that was cut off is named with the reason."""
    data = arrays(tmp_path / "data.npz", np.zeros((40, 8, 8), np.uint8), np.arange(40) % 4)
    whole = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "data.npz").write_bytes(whole[: len(whole) // 2])
    message = refused(tmp_path / "run", data=data)
    assert str(tmp_path / "data.npz") in message and "readable" in message
    no_trace(tmp_path / "run")


def test_labels_that_do_not_fit(refused: Command, tmp_path: Path) -> None:
    """A label that is no class is named with its row."""
    data = arrays(tmp_path / "a.npz", np.zeros((40, 8, 8), np.uint8), np.arange(40) % 4 - 1)
    message = refused(tmp_path / "run", data=data)
    assert "row 0: label -1 does not fit" in message
    no_trace(tmp_path / "run")


def test_an_empty_class(refused: Command, tmp_path: Path) -> None:
    """A class without a picture is named."""
    labels = np.array([0, 1, 3, 4] * 10)
    message = refused(tmp_path / "run", data=arrays(tmp_path / "a.npz", np.zeros((40, 8, 8), np.uint8), labels))
    assert "1 of 5 classes have no picture ('2')" in message
    no_trace(tmp_path / "run")


def test_a_folder_that_cannot_be_written(refused: Command, tmp_path: Path) -> None:
    """A run cannot be made inside a file, nor be one; the file stays."""
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert str(tmp_path / "file") in refused(out)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_of_something_else(refused: Command, tmp_path: Path) -> None:
    """A folder with other files is not taken for a run."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("mine")
    message = refused(tmp_path / "thesis")
    assert "chapter1.tex" in message
    assert files(tmp_path / "thesis") == {Path("chapter1.tex"): b"mine"}


def test_a_run_of_another_configuration(refused: Command, finished: Path, tmp_path: Path) -> None:
    """What differs is named with both values, and not a byte of the run changes."""
    shutil.copytree(finished, tmp_path / "run")
    before = files(tmp_path / "run")
    message = refused(tmp_path / "run", "--set", "seed=7", "--set", "search.epochs=3")
    assert "seed (there 0, asked for 7)" in message and "search.epochs (there 2" in message
    assert files(tmp_path / "run") == before


def test_a_run_in_use(refused: Command, tmp_path: Path) -> None:
    """A run that another process works on is left to it."""
    configuration = Job.from_dict(pipeline_jobs.job()).resolved()
    with RunFolder.create(tmp_path / "run", configuration) as folder:
        folder.log("search", 10, loss=1.0)
        before = files(tmp_path / "run")
        assert "in use by another process (pid " in refused(tmp_path / "run")
        assert files(tmp_path / "run") == before


def test_too_few_timings(refused: Command, tmp_path: Path) -> None:
    """What the export would refuse after all the training is refused at once."""
    message = refused(tmp_path / "run", "--set", "export.latency_repeats=5")
    assert "export.latency_repeats is 5, allowed is at least 10" in message
