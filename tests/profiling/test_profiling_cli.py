"""``sartor profile`` on the command line: what it prints, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from profiling_fakes import FakeClock, FakeRuntime, FakeTimer

from sartor.cli import main
from sartor.cli import profile as commands
from sartor.profiling import session

SMALL = ["--option", "image_size=8", "--option", "levels=2", "--option", "multiplier=0.25"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """The exit code and what was printed."""
    with pytest.raises(SystemExit) as ended:
        main(["profile", *words])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real measuring."""
    real = session.profile

    def profile(plan: Any, runtime: Any, out: Path, progress: Any = None) -> Any:
        return real(plan, FakeRuntime(), out, timer=FakeTimer(), clock=FakeClock(1.0))

    monkeypatch.setattr(session, "profile", profile)


@pytest.mark.usefixtures("faked")
def test_a_table_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary says what was measured and how far it is off; as JSON it is one document."""
    out = tmp_path / "T.json"
    code, printed, _ = run(capsys, "mobilenet_v1", *SMALL, "--out", str(out), "--minutes", "30")
    assert code == 0 and out.is_file()
    assert "table for mobilenet_v1 at 8 pixels" in printed
    assert "plain: off 0.0%" in printed and "corrected by other networks" in printed
    code, printed, _ = run(capsys, "mobilenet_v1", *SMALL, "--out", str(out), "--minutes", "30", "--json")
    document = json.loads(printed)
    assert document["table"] == str(out) and document["errors"]["raw"]["worst"] == 0
    assert "entries" not in document and "points" not in document["errors"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mobilenet_v1"], "profile needs a table to write, --out T.json"),
        (["--out", "T.json"], "profile needs a space"),
        (["mobilenet_v9", "--out", "T.json"], "did you mean 'mobilenet_v1'"),
        (["mobilenet_v1", "--out", "T.txt"], "ends in .json"),
        (["mobilenet_v1", "--out", "T.json", "--option", "levles=2"], "levels"),
        (["mobilenet_v1", "--out", "T.json", "--runtime", "onnxrutime"], "did you mean 'onnxruntime'"),
        (["mobilenet_v1", "--out", "T.json", "--predictor", "tabel"], "did you mean table"),
        (["mobilenet_v1", "--out", "T.json", "--minutes", "0"], "minutes must be above 0"),
        (["mobilenet_v1", "--out", "T.json", "--threads", "0"], "threads and batch must be at least 1"),
        (["mobilenet_v1", "--out", "T.json", "--bundle", "B"], "profile needs a table to write"),
        (["mobilenet_v1", "--bundle", "B", "--collect", "B"], "give one of them"),
        (["mobilenet_v1", "--bundle", "B", "--runtime", "pytorch"], "a bundle is measured in onnxruntime"),
        (["--collect", "absent", "--out", "T.json"], "plan.json is missing"),
    ],
)
def test_wrong_requests(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's mistake is one paragraph and exit code 2, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    code, _, error = run(capsys, *words)
    assert code == 2
    assert message in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_missing_runtimes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runtime that is not installed: the package and the extra that brings it."""
    monkeypatch.setitem(sys.modules, "openvino", None)
    code, _, error = run(capsys, "mobilenet_v1", "--out", str(tmp_path / "T.json"), "--runtime", "openvino")
    assert code == 2
    assert "'openvino'" in error and "sartor[openvino]" in error


def test_summaries_say_when_the_machine_is_noisy(capsys: pytest.CaptureFixture[str]) -> None:
    """Noise is said in words, and so is that nothing judged the table."""
    found = {
        "table": "T.json",
        "kind": "table",
        "space": {"name": "mobilenet_v1"},
        "image_size": 32,
        "runtime": {"name": "onnxruntime", "version": "1"},
        "threads": 1,
        "batch": 1,
        "dtype": "float32",
        "errors": {"entries": {"measured": 1612, "interpolated": 0}},
        "noise": {"clock": "wall", "network_median": 0.09, "network_p99": 0.3, "noisy": True},
    }
    commands.print_summary(found)
    printed = capsys.readouterr().out
    assert "1,612 measured" in printed and "NOISY" in printed and "no whole network was measured" in printed
