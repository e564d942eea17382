"""``sartor compare JOB``: a table for people, one JSON document, files, and wrong requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from training_samples import job, plain_job, timeless

from sartor.cli import main
from sartor.compare.result import compare_training
from sartor.storage import to_json

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

_PATIENCE_SECONDS = 600  # of a busy machine


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A job file."""
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(plain_job()))
    return path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["compare", *words])
    return int(end.value.code or 0)


def test_people_and_programs(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON alone on stdout and in the folder, the page with its data; the same command again prints for people."""
    pytest.importorskip("vl_convert")
    words = [
        str(file),
        "--methods",
        "ms_ranas,random",
        "--seeds",
        "1",
        "--processes",
        "1",
        "--out",
        str(tmp_path / "c"),
    ]
    assert run(*words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "c" / "result.json").read_text()) == found
    page = (tmp_path / "c" / "report.html").read_text()
    assert "not applicable: space &#39;mobilenet_v1&#39;" in page and "https://" not in page.split("<script>")[0]
    row = found["methods"]["random"]
    assert f"{row['accuracy_mean']:.2f}" in page and f"{row['search_cost_images'][0]:,.0f}<small>" in page
    lines = (tmp_path / "c" / "searches.csv").read_text().splitlines()
    assert lines[0] == "method,seed,platform,accuracy,macs,architecture" and len(lines) == 1 + 2
    assert run(*words) == 0
    text = capsys.readouterr().out
    assert "ms_ranas: not applicable: space" in text and "Note: one seed has neither" in text
    assert f"{found['methods']['random']['accuracy_mean']:.2f}" in text and str(tmp_path / "c") in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "compare needs a job file"),
        (["JOB", "--table", "t.npz"], "one of them"),
        (["JOB", "--queries", "5", "--noise", "1"], "--queries and --noise: for tables only"),
        (["JOB", "--budget", "macs=1M"], "--budget: for tables only"),
        (["--table", "t.npz", "--budget", "macs=1M", "--set", "seed=1"], "--set: for a job"),
        (["JOB", "--methods", "owl"], "did you mean 'ows'"),
        (["JOB", "--seeds", "0"], "--seeds 0"),
        (["JOB", "--processes", "2", "--dask", "tcp://x:1"], "give one of them"),
        (["nothing.yaml"], "there is no such job file"),
        (["JOB", "--set", "serach.epochs=1"], "search"),
    ],
)
def test_wrong_requests_exit_with_2(
    file: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and one paragraph, before anything is trained or written."""
    monkeypatch.chdir(file.parent)
    given = [str(file) if word == "JOB" else word for word in words]
    assert run(*given) == 2
    captured = capsys.readouterr()
    assert said in captured.err and "Traceback" not in captured.err and captured.out == ""
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.slow
def test_killed_and_started_again(file: Path, tmp_path: Path) -> None:
    """SIGKILL to all processes in the middle of a search: the same command ends with what an undisturbed one finds."""
    out = tmp_path / "killed"
    words = [str(file), "--methods", "ows", "--seeds", "1", "--processes", "2", "--set", "search.epochs=8"]
    command = [sys.executable, "-m", "sartor", "compare", *words, "--out", str(out), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (out / "searches" / "ows-0" / "checkpoints" / "search.pt").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (out / "pieces" / "ows-0.json").exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    assert again.returncode == 0, again.stderr
    found: dict[str, Any] = json.loads(again.stdout)
    expected = compare_training(job(search={"epochs": 8}), ("ows",), 1, folder=tmp_path / "whole")
    assert timeless(found) == timeless(json.loads(to_json(expected)))
