"""The command line: what is printed where, exit codes, and that starting is light."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor import mrf, spaces
from sartor.cli import describe, main, tables
from sartor.config import Job
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError, VerificationError
from sartor.platforms import Platform
from sartor.run import RunFolder

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "digits.yaml")

RESULT = {
    "format_version": 1,
    "name": "digits",
    "method": "ows",
    "seed": 0,
    "platforms": [
        {
            "name": "watch",
            "budgets": {"macs": 60000},
            "costs": {"macs": 59900, "params": 5000},
            "architecture": {"width1": 8},
            "test_accuracy": 97.5,
            "latency_ms": 0.0421,
            "onnx": "platforms/watch.onnx",
        }
    ],
    "warnings": ["the uniform baseline does not fit"],
}


class Pipeline(types.ModuleType):
    """Stands in for the stages: remembers what it was asked, prints like a noisy library, returns or raises."""

    def __init__(self) -> None:
        super().__init__("sartor.pipeline")
        self.asked: list[Any] = []
        self.error: BaseException | None = None
        self.result: dict[str, Any] = RESULT

    def run_job(self, folder: RunFolder, stages: Sequence[str]) -> dict[str, Any]:
        self.asked.append((folder.path, tuple(stages), folder.configuration["search"]["epochs"]))
        folder.log("search", 1)
        print("noise of a library")
        if self.error is not None:
            raise self.error
        return self.result

    def pick(self, folder: RunFolder, platform: Platform, train: bool) -> dict[str, Any]:
        self.asked.append((folder.path, platform, train))
        return {"costs": {"macs": 11_000_000}, "architecture": {"width1": 8, "width2": 16}}


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    fake = Pipeline()
    monkeypatch.setitem(sys.modules, "sartor.pipeline", fake)
    return fake


def call(*tokens: str | Path) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as exit:
        main([str(token) for token in tokens])
    assert isinstance(exit.value.code, int)
    return exit.value.code


# ---------------------------------------------------------------- starting


@pytest.mark.parametrize("command", ["import sartor", "main(['spaces', '--help'])", "main(['run', '--help'])"])
def test_starting_is_light(command: str) -> None:
    """Neither importing Sartor nor asking for help loads torch."""
    script = (
        "import sys\nfrom sartor.cli import main\n"
        f"try:\n    {command}\nexcept SystemExit as exit:\n    assert exit.code == 0\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'altair', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_version_and_bare_command(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the version, and no command at all prints the help."""
    import sartor

    assert call("--version") == 0 and capsys.readouterr().out.strip() == sartor.__version__
    assert call() == 0
    commands = capsys.readouterr().out
    assert all(word in commands for word in ("run", "search", "train", "export", "report", "pick", "predict"))


# ---------------------------------------------------------------- run


def test_run_prints_a_table(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run asks for all stages of the job with its overrides, and ends with a table; noise goes to stderr."""
    out = tmp_path / "out"
    assert call("run", EXAMPLE, "--out", out, "--set", "search.epochs=2", "--set", "seed=1") == 0
    assert pipeline.asked == [(out, ("search", "train", "export", "measure", "report"), 2)]
    printed = capsys.readouterr()
    assert "noise" in printed.err and "noise" not in printed.out
    row = next(line for line in printed.out.splitlines() if line.startswith("watch"))
    assert row.split("  ")[0] == "watch"
    for cell in ("60k MACs", "59.9k MACs", "97.50 % (test)", "0.0421 ms", "platforms/watch.onnx"):
        assert cell in row
    assert "Note: the uniform baseline does not fit" in printed.out and str(out) in printed.out


def test_run_in_json(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json stdout is one document: the result and the folder."""
    assert call("run", EXAMPLE, "--out", tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "out"), **RESULT}


MISSED = {
    **RESULT,
    "missed": ["watch"],
    "platforms": [{**RESULT["platforms"][0], "latency": {"measured_ms": 5.25, "missed": True}}],  # type: ignore[index, dict-item]
}


def test_a_missed_latency_is_red_and_exits_with_1(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is printed with the miss in red on a terminal, a sentence follows, and the exit code is 1."""
    pipeline.result = MISSED
    assert call("run", EXAMPLE, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "5.25 ms MISSED" in printed.out and "\x1b" not in printed.out
    assert "the network of platform watch misses its latency budget" in printed.err
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert call("measure", tmp_path / "out") == 1
    red = capsys.readouterr().out
    assert "\x1b[1;31m5.25 ms MISSED" in red
    assert call("export", tmp_path / "out") == 0  # what it asked for is done


def test_a_missed_latency_in_json(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document: the result, with the error and the exit code in it."""
    pipeline.result = MISSED
    assert call("run", EXAMPLE, "--out", tmp_path / "out", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 1 and "misses its latency budget" in document["error"]
    assert document["platforms"] == MISSED["platforms"]


def test_the_default_folder(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --out a run goes to runs/ and its name."""
    monkeypatch.chdir(tmp_path)
    assert call("search", EXAMPLE, "--json") == 0
    assert pipeline.asked[0][:2] == (Path("runs/digits"), ("search",))


def test_stages_of_a_run_folder(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run folder stands for its job; its configuration cannot be overridden."""
    out = tmp_path / "out"
    assert call("search", EXAMPLE, "--out", out, "--set", "search.epochs=3") == 0
    stages = ("train", "export", "measure", "report")
    for stage in stages:
        assert call(stage, out) == 0
    assert [asked[1:] for asked in pipeline.asked[1:]] == [((stage,), 3) for stage in stages]
    assert call("train", out, "--set", "search.epochs=4") == 2
    assert "--set and --out belong to a job file" in capsys.readouterr().err


def test_config_json_is_a_job_file(pipeline: Pipeline, tmp_path: Path) -> None:
    """The configuration in a run folder can be run again elsewhere, with overrides."""
    assert call("run", EXAMPLE, "--out", tmp_path / "one") == 0
    again = ("run", tmp_path / "one" / "config.json", "--out", tmp_path / "two", "--set", "search.epochs=7")
    assert call(*again) == 0 and pipeline.asked[1][2] == 7


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (("rn",), 'Did you mean "run"?'),
        (("run",), "JOB"),
        (("run", EXAMPLE, "--oot", "x"), "Did you mean --out?"),
        (("run", "absent.yaml"), "no such job file"),
        (("run", EXAMPLE, "--set", "serch.epochs=2"), "did you mean search?"),
        (("run", EXAMPLE, "--set", "search.epochs"), "expected a key and a value"),
        (("spaces", "mobilnet"), "did you mean 'mobilenet_v1'?"),
        (("spaces", "mobilenet_v1", "--option", "levls=3"), "did you mean levels?"),
        (("spaces", "mobilenet_v1", "--option", "levels=x"), "allowed is a whole number"),
        (("spaces", "--option", "levels=3"), "belongs to one space"),
        (("pick", "."), "needs a budget"),
        (("pick", "absent", "--macs", "12M"), "no run folder"),
        (("pick", ".", "--macs", "12X"), "unknown unit 'X'"),
        (("pick", ".", "--macs", "12M", "--device", "pixel1_tunas"), "--device pixel1_tunas belongs to a latency"),
        (("pick", ".", "--macs", "12M", "--latency-margin", "0.1"), "--latency-margin 0.1 belongs to a latency"),
        (("predict", "absent.onnx", "a.png"), "absent.onnx"),
    ],
)
def test_wrong_requests(
    tokens: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A wrong request is one paragraph on stderr and exit code 2, or one JSON document on stdout."""
    monkeypatch.chdir(tmp_path)
    assert call(*tokens) == 2
    printed = capsys.readouterr()
    assert words in printed.err and printed.out == "" and "Traceback" not in printed.err
    assert call(*tokens, "--json") == 2
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert words in document["error"] and document["exit_code"] == 2 and printed.err == ""
    assert list(tmp_path.iterdir()) == []


def test_another_configuration_and_a_folder_in_use(
    pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of another configuration, or in use, is refused with exit code 2 before any stage."""
    out = tmp_path / "out"
    assert call("run", EXAMPLE, "--out", out) == 0
    capsys.readouterr()
    assert call("run", EXAMPLE, "--out", out, "--set", "seed=3") == 2
    assert "seed (there 0, asked for 3)" in capsys.readouterr().err
    with RunFolder.reopen(out):
        assert call("run", EXAMPLE, "--out", out) == 2
    assert f"pid {os.getpid()}" in capsys.readouterr().err
    assert len(pipeline.asked) == 1


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RequestError("the budget is impossible"), 2, "sartor: the budget is impossible\n"),
        (VerificationError("the file disagrees"), 1, "sartor: the file disagrees\n"),
        (OSError(errno.ENOSPC, "No space", "x.onnx"), 2, "x.onnx: cannot be read or written, there is no space left"),
        (KeyboardInterrupt(), 1, "The same command goes on"),
    ],
)
def test_errors_of_a_stage(
    pipeline: Pipeline, tmp_path: Path, capsys: Any, error: BaseException, code: int, words: str
) -> None:
    """Errors raised on purpose, a full disk and Ctrl-C are said in one paragraph, and the folder is released."""
    pipeline.error = error
    assert call("run", EXAMPLE, "--out", tmp_path / "out") == code
    printed = capsys.readouterr()
    assert words in printed.err and "Traceback" not in printed.err and printed.out == ""
    RunFolder.reopen(tmp_path / "out").close()


def test_an_unexpected_error(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault of the program gives a short message and exit code 1; the traceback is in the run folder."""
    pipeline.error = ZeroDivisionError("division by zero")
    assert call("run", EXAMPLE, "--out", tmp_path / "out") == 1
    message = capsys.readouterr().err
    log = tmp_path / "out" / "error.log"
    assert "ZeroDivisionError: division by zero" in message and str(log) in message and "Traceback (" not in message
    assert "raise self.error" in log.read_text()
    assert call("run", EXAMPLE, "--out", tmp_path / "out", "--traceback") == 1
    assert "Traceback (" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error() -> None:
    """``sartor spaces | head -1`` ends quietly."""
    script = "from sartor.cli import main; main(['spaces', 'mobilenet_v1', '--json'])"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 0 and done.stderr == b""


# ---------------------------------------------------------------- spaces, pick, predict


def test_spaces_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """All registered spaces with their exact sizes, as text and as JSON."""
    assert call("spaces") == 0
    assert "mobilenet_v1" in capsys.readouterr().out
    assert call("spaces", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["spaces"]
    assert [row["name"] for row in rows] == list(spaces.names())
    assert rows[0]["cardinality"] == "3741798216769536" and all(row["about"] for row in rows)


def test_a_space_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Decisions, counts and reference networks of a space with options."""
    assert call("spaces", "mobilenet_v1", "--option", "num_classes=100", "--json") == 0
    space = json.loads(capsys.readouterr().out)
    assert len(space["decisions"]) == 14 and space["references"]["mobilenet_v1_1x"]["macs"] == 46_446_592
    assert call("spaces", "mobilenet_v1") == 0
    assert "46,446,592 (46.45M)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nas_bench_macro", "channel_bench_macro"])
def test_cheapest_and_dearest_are_exact(name: str) -> None:
    """The ends of every cost are those of the enumerated space."""
    space = spaces.create(name)
    rows = np.indices(space.sizes).reshape(len(space.sizes), -1).T
    rows = rows[space.valid(rows)]
    for kind, ends in describe.space(name, [])["costs"].items():
        costs = space.cost(kind)(rows)
        assert ends == {"cheapest": costs.min(), "dearest": costs.max()}


def test_the_dearest_maximum_is_no_sum() -> None:
    """Of a maximum the dearest row has one large part, which need not be the row with the largest sum of parts."""
    sizes = (1, 2, 1)
    tables = (np.array([[10, 6]]), np.array([[0], [6]]))
    cost = FactorCost(sizes, [Factor((0, 1), tables[0]), Factor((1, 2), tables[1])], 0, "max", "peak_memory_bytes")
    space: Any = types.SimpleNamespace(problem=lambda scores: mrf.Problem(sizes, scores))
    assert describe._dearest(space, cost) == 10


def test_pick(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pick turns its budgets into a platform with a name that can name files."""
    RunFolder.create(tmp_path / "run", {"device": "cpu"}).close()
    assert call("pick", tmp_path / "run", "--macs", "12.2M", "--peak-memory-bytes", "512KiB") == 0
    path, platform, train = pipeline.asked[0]
    assert (path, train) == (tmp_path / "run", False)
    assert platform == Platform("macs-12.2M-peak_memory_bytes-512KiB", {"macs": 12_200_000, "peak_memory_bytes": 2**19})
    assert "8 16" in capsys.readouterr().out
    assert call("pick", tmp_path / "run", "--macs", "12M", "--train", "--name", "ring", "--json") == 0
    assert pipeline.asked[1][1].name == "ring" and pipeline.asked[1][2] is True
    assert json.loads(capsys.readouterr().out)["costs"] == {"macs": 11_000_000}


def test_pick_takes_a_latency(pipeline: Pipeline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The device of a latency is the one given, or the only one of the run; without either it is asked for."""
    platforms = [{"name": "phone", "latency_ms": "84ms", "device": "pixel1_tunas"}, {"name": "watch", "macs": "1M"}]
    configuration = Job.from_dict({"platforms": platforms}).resolved()
    RunFolder.create(tmp_path / "run", configuration).close()
    for given in ((), ("--device", "pixel1_tunas")):
        assert call("pick", tmp_path / "run", "--latency-ms", "60ms", *given) == 0
        assert pipeline.asked[-1][1] == Platform("latency_ms-60ms", {"latency_ms": 60}, device="pixel1_tunas")
    RunFolder.create(tmp_path / "macs", Job.from_dict({"platforms": platforms[1:]}).resolved()).close()
    assert call("pick", tmp_path / "macs", "--latency-ms", "60ms") == 2
    assert "the run has no latency budget; name the device of the latency with --device" in capsys.readouterr().err


def test_predicted_latency_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    """In tables the latency of a budget is a prediction, and the one measured is that of this machine."""
    budgets, costs = {"latency_ms": 84.0}, {"macs": 300_000_000, "latency_ms": 83.9}
    platform = {**RESULT["platforms"][0], "budgets": budgets, "costs": costs}  # type: ignore[index]
    tables.print_result({**RESULT, "platforms": [platform], "folder": "runs/x"})
    tables.print_pick({"costs": costs, "latency_ms": 1.5}, Platform("phone", budgets, device="pixel1_tunas"))
    shown = capsys.readouterr().out
    assert shown.count("83.9ms predicted latency") == 2 and shown.count("latency here") == 2
    assert call("spaces", "proxylessnas_enlarged") == 0
    shown = capsys.readouterr().out
    assert "predicted latency, pixel1_tunas" in shown and "77.22 ms" in shown and "10.29 ms" in shown


def test_pick_reads_a_run_in_use(pipeline: Pipeline, tmp_path: Path) -> None:
    """Without training, pick only reads, so it may look into a run that is going on; with training it may not."""
    with RunFolder.create(tmp_path / "run", {"device": "cpu"}):
        assert call("pick", tmp_path / "run", "--macs", "12M") == 0
        assert call("pick", tmp_path / "run", "--macs", "12M", "--train") == 2


def test_predict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The likeliest classes of every picture, as a table and as JSON."""
    import sartor.export
    from sartor.export import ClassScore, Prediction

    def predict(file: Path, pictures: Sequence[Path], top: int) -> list[Prediction]:
        assert (file, top) == (Path("net.onnx"), 3)
        return [Prediction(str(p), (ClassScore("cat", 3, 0.875, 2.0),)) for p in pictures]

    monkeypatch.setattr(sartor.export, "predict", predict)
    assert call("predict", "net.onnx", "a.png", "b.png", "--top", "3") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["a.png", "cat", "87.5", "%"],
        ["b.png", "cat", "87.5", "%"],
    ]
    assert call("predict", "net.onnx", "a.png", "--top", "3", "--json") == 0
    assert json.loads(capsys.readouterr().out)["predictions"][0]["classes"][0]["name"] == "cat"
