"""Killed with SIGKILL in the search, in the training and in the export, a run ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pipeline_jobs
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

_PATIENCE_SECONDS = 600  # of a busy machine


def lines(run: Path, stage: str) -> list[dict[str, Any]]:
    """The whole lines of a stage in the metrics."""
    path = run / "metrics.jsonl"
    text = path.read_bytes() if path.exists() else b""
    found = [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
    return [line for line in found if line["stage"] == stage]


def done(run: Path) -> set[str]:
    """The stages that are done."""
    path = run / "stages.json"
    stages = json.loads(path.read_text()) if path.exists() else {}
    return {name for name, stage in stages.items() if "finished" in stage}


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "search": lambda run: (run / "checkpoints" / "search.pt").exists() and len(lines(run, "search")) == 1,
    "train": lambda run: (run / "checkpoints" / "train.pt").exists() and len(lines(run, "train")) == 1,
    "baseline": lambda run: len(lines(run, "baseline:random:_search")) == 1,
    "export": lambda run: "train" in done(run) and (run / "platforms" / "watch.onnx").exists(),
}
# What must not be done yet when the kill has come.
BEFORE_THE_END_OF = {"search": "search", "train": "train", "baseline": "baseline:random", "export": "export"}


def start(job: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own, which a kill reaches as a whole."""
    command = [sys.executable, "-m", "sartor", "run", str(job), "--out", str(out), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def kill_at(moment: str, job: Path, out: Path) -> None:
    """Starts the command and kills it when the moment has come."""
    process = start(job, out)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not MOMENTS[moment](out):
            assert process.poll() is None, f"it ended before it could be killed in {moment}: {process.communicate()}"
            assert time.monotonic() < deadline, f"{moment} never came"
            time.sleep(0.005)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert BEFORE_THE_END_OF[moment] not in done(out), f"the kill came after the end of {moment}"


def test_a_run_killed_four_times_is_the_same_run(finished: Path, result: dict[str, Any], tmp_path: Path) -> None:
    """One run is killed in search, training, a baseline and export; its end equals an undisturbed run.

    Equal are the whole result (times aside), every weight to the bit, and every line of the metrics.
    """
    job, out = tmp_path / "job.json", tmp_path / "run"
    job.write_text(json.dumps(pipeline_jobs.job()))
    for moment in MOMENTS:
        kill_at(moment, job, out)
    process = start(job, out)
    stdout, stderr = process.communicate(timeout=_PATIENCE_SECONDS)
    assert process.returncode == 0, stderr.decode()
    assert pipeline_jobs.timeless(json.loads(stdout)) == pipeline_jobs.timeless(result)
    assert json.loads((out / "result.json").read_text()) == {
        k: v for k, v in json.loads(stdout).items() if k != "folder"
    }
    for name in ("platforms/watch", "platforms/phone", "platforms/tablet", "slimmable"):
        ours, theirs = (load_file(run / f"{name}.safetensors") for run in (out, finished))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    for stage in ("search", "train", "baseline:uniform", "baseline:random:_search", "baseline:standalone:phone"):
        logged, expected = ([{**line, "time": 0} for line in lines(run, stage)] for run in (out, finished))
        assert logged == expected, stage
    assert (out / "report.html").exists()
    left = [p for p in out.rglob("*") if p.name.endswith((".partial", ".part"))]
    assert left == []
