"""The run folder: what is kept, what is refused, what survives a kill and a full disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sartor import storage
from sartor.errors import RequestError
from sartor.run import RunFolder, differences

CONFIGURATION = {"name": "job", "device": "cpu", "threads": None, "search": {"epochs": 5}}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    with RunFolder.create(tmp_path / "run", CONFIGURATION) as folder:
        yield folder


def files(path: Path) -> dict[str, bytes]:
    """Every file below a folder with its content, the lock's own files left out."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in (".lock", ".holder.json")
    }


# ---------------------------------------------------------------- opening


def test_create_and_reopen(tmp_path: Path) -> None:
    """A closed run is found again with its configuration and its environment, which is written once."""
    with RunFolder.create(tmp_path / "a" / "run", CONFIGURATION) as first:
        assert first.configuration == CONFIGURATION
    before = files(first.path)
    with RunFolder.reopen(first.path) as again:
        assert again.configuration == CONFIGURATION
    assert files(first.path) == before
    environment = json.loads(before["environment.json"])
    assert environment["packages"]["torch"] == torch.__version__ and environment["resumed_with"] == []


def test_resuming_elsewhere_is_noted(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on in another environment says so, once."""
    folder.close()
    monkeypatch.setattr("sartor.environment._cpu_name", lambda: "another processor")
    for _ in range(2):
        RunFolder.reopen(folder.path).close()
    noted = json.loads((folder.path / "environment.json").read_text())["resumed_with"]
    assert [session["cpu"] for session in noted] == ["another processor"]


def test_another_configuration_is_refused(folder: RunFolder) -> None:
    """A folder of another configuration is refused, with the keys that differ, and nothing is touched."""
    folder.log("search", 1)
    folder.close()
    before = files(folder.path)
    with pytest.raises(RequestError, match=r"search\.epochs \(there 5, asked for 6\)"):
        RunFolder.create(folder.path, {**CONFIGURATION, "search": {"epochs": 6}})
    assert files(folder.path) == before


def test_nothing_computed_nothing_to_lose(folder: RunFolder) -> None:
    """A run refused before any work (an impossible budget, say) may be started again with another configuration."""
    folder.write_json("index_sets.json", {"drawn": "for the old one"})
    folder.close()
    corrected = {**CONFIGURATION, "search": {"epochs": 6}}
    with RunFolder.create(folder.path, corrected) as again:
        assert again.read_json("config.json") == corrected and again.read_json("index_sets.json") is None


def test_free_keys_may_change(folder: RunFolder) -> None:
    """Another number of threads goes on with the run and is remembered."""
    folder.close()
    with RunFolder.create(folder.path, {**CONFIGURATION, "threads": 3}) as again:
        assert again.read_json("config.json")["threads"] == 3


def test_differences_name_list_items() -> None:
    """Platforms are compared by name, lists of numbers as a whole."""
    one = {"platforms": [{"name": "watch", "macs": 1}], "widths": [1, 2]}
    two = {"platforms": [{"name": "watch", "macs": 2}], "widths": [1, 3]}
    assert differences(one, two) == [
        "platforms.watch.macs (there 1, asked for 2)",
        "widths (there [1, 2], asked for [1, 3])",
    ]


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """Somebody's files are no run: refused, and left alone."""
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RequestError, match=r"holds no run \(it has thesis\.tex\)"):
        RunFolder.create(tmp_path, CONFIGURATION)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """A file where the folder should be is refused, also above it."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RequestError, match="file"):
            RunFolder.create(path, CONFIGURATION)


def test_no_run_to_reopen(tmp_path: Path) -> None:
    """Reopening a folder without a run says so."""
    with pytest.raises(RequestError, match="no run folder"):
        RunFolder.reopen(tmp_path)


def test_a_folder_in_use_is_refused(folder: RunFolder) -> None:
    """A second opener is refused with the pid of the first; a reader is not."""
    with pytest.raises(RequestError, match=f"in use by another process \\(pid {os.getpid()}\\)"):
        RunFolder.reopen(folder.path)
    assert RunFolder.reopen(folder.path, lock=False).configuration == CONFIGURATION
    folder.close()
    RunFolder.reopen(folder.path).close()


def test_the_lock_is_released_by_a_kill(tmp_path: Path) -> None:
    """SIGKILL leaves a folder that can be opened at once: a torn line and a partial file are tidied away."""
    script = (
        "import sys, time; from sartor.run import RunFolder\n"
        f"run = RunFolder.create({str(tmp_path / 'run')!r}, {CONFIGURATION!r})\n"
        "run.log('search', 1, loss=0.5)\n"
        "run.file('metrics.jsonl').open('ab').write(b'{\"stage\": \"sea')\n"
        "run.file('platforms', 'net.onnx.partial').write_bytes(b'half')\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    with pytest.raises(RequestError, match=rf"\(pid {process.pid}\)"):
        RunFolder.reopen(tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with RunFolder.reopen(tmp_path / "run") as run:
        run.log("search", 2)
        assert [line["step"] for line in run.metrics()] == [1, 2]
        assert not list(run.path.rglob("*.partial"))


def test_killed_before_the_configuration(tmp_path: Path) -> None:
    """A folder that was killed while it was being made can be used."""
    for name in (".lock", ".holder.json", "config.json.partial"):
        (tmp_path / name).write_text("{}")
    with RunFolder.create(tmp_path, CONFIGURATION) as folder:
        assert folder.read_json("config.json") == CONFIGURATION


# ---------------------------------------------------------------- writing


def test_json_takes_numpy_and_no_nan(folder: RunFolder) -> None:
    """Numpy numbers and arrays are written as plain ones, numbers that are not finite as null."""
    folder.write_json("sub/x.json", {"a": np.int64(3), "b": np.array([1.5, np.nan]), "c": float("inf"), "d": (1,)})
    assert folder.read_json("sub/x.json") == {"a": 3, "b": [1.5, None], "c": None, "d": [1]}
    assert folder.read_json("absent.json") is None
    with pytest.raises(TypeError, match="object"):
        folder.write_json("y.json", object())


def test_checkpoints_come_back(folder: RunFolder) -> None:
    """Tensors, numbers and the state of a generator survive exactly; an absent checkpoint is None."""
    state = np.random.default_rng(3).bit_generator.state
    folder.write_checkpoint("search", {"weight": torch.arange(3.0), "step": 7, "rng": state})
    found = folder.read_checkpoint("search")
    assert found is not None and found["step"] == 7 and found["rng"] == state
    assert torch.equal(found["weight"], torch.arange(3.0))
    folder.remove_checkpoint("search")
    assert folder.read_checkpoint("search") is None


def test_unsafe_checkpoints_are_not_written(folder: RunFolder) -> None:
    """What could not be read back safely is refused before the old checkpoint is replaced."""
    folder.write_checkpoint("search", {"step": 1})
    with pytest.raises(TypeError, match=r"search\.pt"):
        folder.write_checkpoint("search", {"step": Path("x")})
    assert folder.read_checkpoint("search") == {"step": 1}


def test_a_damaged_checkpoint_says_what_to_do(folder: RunFolder) -> None:
    """A checkpoint that the disk damaged is one paragraph, no traceback of torch."""
    folder.write_checkpoint("search", {"step": 1})
    (folder.path / "checkpoints" / "search.pt").write_bytes(b"noise")
    with pytest.raises(RequestError, match="Delete it and start the same command again"):
        folder.read_checkpoint("search")


@contextlib.contextmanager
def refusing_disk(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """A disk that refuses to finish any file."""

    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", fsync)
        yield


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission"), (errno.EROFS, "read-only")],
)
def test_a_refusing_disk(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    """No space, no permission, read-only: one paragraph with the file's name, and every file as it was."""
    folder.write_checkpoint("search", {"step": 1})
    folder.write_json("result.json", {"name": "old"})
    before = files(folder.path)
    with refusing_disk(monkeypatch, number):
        with pytest.raises(RequestError, match=words) as caught:
            folder.write_checkpoint("search", {"step": 2})
        assert "search.pt" in str(caught.value)
        with pytest.raises(RequestError, match=words):
            folder.write_json("result.json", {"name": "new"})
    assert files(folder.path) == before


def test_a_full_disk_for_metrics(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metrics line that cannot be written is said like any other file."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (folder.path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(RequestError, match=r"metrics\.jsonl.*no space left"):
        folder.log("search", 1)
    folder.close()


def test_other_failures_of_the_disk_are_not_the_users(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input/output error is no wrong request: it stays what it is."""
    with refusing_disk(monkeypatch, errno.EIO), pytest.raises(OSError, match="Input/output"):
        folder.write_json("result.json", {})


# ---------------------------------------------------------------- metrics and stages


def test_metrics_go_back_to_the_checkpoint(folder: RunFolder) -> None:
    """Lines of a stage beyond its checkpoint are dropped, those of other stages stay, and logging goes on."""
    for step in (10, 20, 30):
        folder.log("search", step, loss=1 / step)
    folder.log("train", 30, loss=float("nan"))
    folder.truncate_metrics("search", 20)
    folder.log("search", 30, loss=0.0)
    assert [(line["stage"], line["step"]) for line in folder.metrics()] == [
        ("search", 10),
        ("search", 20),
        ("train", 30),
        ("search", 30),
    ]
    assert [line["loss"] for line in folder.metrics("train")] == [None]


def test_damaged_metrics(folder: RunFolder) -> None:
    """A torn last line is left out; damage inside the file is said."""
    folder.log("search", 1)
    with (folder.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"stage"')
        file.flush()
        assert len(folder.metrics()) == 1
        file.write(b"\n")
    with pytest.raises(RequestError, match="damaged"):
        folder.metrics()


def test_stages_are_remembered(folder: RunFolder) -> None:
    """A completed stage and its payload are there after a restart; a stage is not done because it was timed."""
    with folder.clock("search"):
        folder.write_checkpoint("search", {"step": 1})
    assert not folder.done("search") and folder.payload("search") is None
    folder.mark_done("search", {"rows": np.array([[1, 2]])})
    folder.close()
    with RunFolder.reopen(folder.path) as again:
        assert again.done("search") and again.payload("search") == {"rows": [[1, 2]]}
        assert not again.done("train")


def test_seconds_add_up_over_restarts(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds up to the last checkpoint survive a restart and add up; those of lost work do not count."""
    now = [100.0]
    monkeypatch.setattr("sartor.run.stages.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sartor.run.stages.time.process_time", lambda: now[0] / 2)
    with folder.clock("search"):
        now[0] += 5
        folder.write_checkpoint("search", {"step": 1})
        now[0] += 3
    assert folder.seconds("search") == 8
    folder.close()
    with RunFolder.reopen(folder.path) as again:
        assert again.seconds("search") == 5
        with again.clock("search"):
            now[0] += 4
            assert again.seconds("search") == 9
            again.mark_done("search")
    with RunFolder.reopen(folder.path) as third:
        assert third.seconds("search") == 9 and third.cpu_seconds("search") == 4.5
