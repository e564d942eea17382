"""Latency budgets to the end: winners measured again, a miss solved once more, a second miss said and exited with 1."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import latency_jobs
import pipeline_jobs
import pytest
import torch
from latency_jobs import MARGIN, FakeBench
from safetensors.torch import load_file

from sartor.cli import main
from sartor.pipeline import pick
from sartor.pipeline.again import Measuring
from sartor.pipeline.promises import tightened
from sartor.pipeline.stages import Run
from sartor.platforms import Platform
from sartor.report.schema import Result
from sartor.run import RunFolder

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

SLOWER = 1.3  # than predicted: more than the margin allows for


@dataclasses.dataclass(frozen=True)
class Exported:
    """A run whose winners are exported and not measured yet."""

    path: Path
    configuration: dict[str, Any]

    def measured(self, path: Path, bench: FakeBench, folder: Any = RunFolder) -> dict[str, Any]:
        """The result of a copy that goes on with ``bench``."""
        if not path.exists():
            shutil.copytree(self.path, path)
        result: dict[str, Any] = latency_jobs.run(path, self.configuration, bench, folder=folder)
        return result


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of the made-up device."""
    return latency_jobs.written(tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="session")
def exported(device: str, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A run of three networks trained alone. Do not write to it."""
    path, asked = tmp_path_factory.mktemp("latency") / "run", latency_jobs.configuration(device)
    latency_jobs.run(path, asked, FakeBench(1.0), ("search", "train", "export"))
    return Exported(path, asked)


@pytest.fixture(scope="session")
def again(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], FakeBench]:
    """That run on a device that takes longer than predicted, so that one platform was solved again."""
    bench = FakeBench(SLOWER)
    path = tmp_path_factory.mktemp("again") / "run"
    return path, exported.measured(path, bench), bench


def platform_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    """A platform's row."""
    return next(p for p in result["platforms"] if p["name"] == name)


# ---------------------------------------------------------------- within the budget


def test_winners_are_measured(exported: Exported, tmp_path: Path) -> None:
    """Every network with a latency budget, in turn with the others; prediction, margin and measurement stand side by
    side, and nothing is trained again."""
    bench = FakeBench(1.0)
    result = exported.measured(tmp_path / "run", bench)
    pipeline_jobs.conforms(result, Result)
    assert result["missed"] == [] and platform_of(result, "tablet")["latency"] is None
    for name, budget in latency_jobs.BUDGETS_MS.items():
        row = platform_of(result, name)
        latency = row["latency"]
        assert latency["predicted_ms"] == row["costs"]["latency_ms"] == pytest.approx(latency["measured_ms"])
        assert (latency["budget_ms"], latency["margin"], latency["margin_from"]) == (budget, MARGIN, "device")
        assert latency["predicted_ms"] * (1 + MARGIN) <= budget
        assert latency["missed"] is False and latency["first"] is None and latency["noise"] == 0
        assert latency["machine"] == latency["here"] == latency_jobs.MACHINE
        assert latency["runtime"]["version"] == "1.0" and latency["runtime_here"]["version"] == "1.1"
        assert latency["visits"] > 1 and row["onnx"] == f"platforms/{name}.onnx"
    asked = [Path(file).stem for file in bench.opened]
    assert asked[:2] in (["watch", "phone"], ["phone", "watch"]) and sorted(asked[2:4]) == ["phone", "watch"]
    assert not (tmp_path / "run" / "again").exists()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Latency: predicted and measured" in page and "90 % of the device&#39;s errors" in page


def test_a_finished_run_is_not_measured_again(exported: Exported, tmp_path: Path) -> None:
    """The same command on a finished run opens no network and gives the same result."""
    first = exported.measured(tmp_path / "run", FakeBench(1.0))
    bench = FakeBench(5.0)
    assert exported.measured(tmp_path / "run", bench) == first
    assert bench.opened == []


# ---------------------------------------------------------------- not here


@pytest.mark.parametrize(
    ("bench", "reason"),
    [
        (
            {"machine": {"cpu": "a desk", "system": "Linux", "architecture": "riscv64"}},
            "not measured here: measured on a board (Linux, riscv64), this is a desk (Linux, riscv64); copy "
            "platforms/watch.onnx there: fake 1.0, 1 thread(s), batch 1",
        ),
        ({"missing": "install it"}, "not measured here: install it"),
    ],
)
def test_what_was_measured_elsewhere_is_not_measured_here(
    bench: dict[str, Any], reason: str, exported: Exported, tmp_path: Path
) -> None:
    """Another machine, or no such runtime: a sentence in result and report says so, and nothing fails."""
    found = FakeBench(100.0, **bench)
    result = exported.measured(tmp_path / "run", found)
    latency = platform_of(result, "watch")["latency"]
    assert latency["reason"] == reason and latency["measured_ms"] is None and latency["missed"] is None
    assert result["missed"] == [] and found.opened == []
    assert reason.split(";")[0] in (tmp_path / "run" / "report.html").read_text()


def test_measuring_can_be_switched_off(exported: Exported, tmp_path: Path) -> None:
    """measure.winners: false leaves predictions alone, and says so."""
    shutil.copytree(exported.path, tmp_path / "run")
    with RunFolder.reopen(tmp_path / "run") as folder:
        run = Run(folder, bench=FakeBench(100.0))
        job = dataclasses.replace(run.job, measure=dataclasses.replace(run.job.measure, winners=False))
        found = Measuring(folder, job, run.setting, run.first(), FakeBench(100.0), run.store).run()
    assert {row["reason"] for row in found["first"].values()} == {"not measured: measure.winners is false"}


# ---------------------------------------------------------------- a miss


def test_a_miss_is_solved_trained_exported_and_measured_again(
    exported: Exported, again: tuple[Path, dict[str, Any], FakeBench]
) -> None:
    """The watch's network takes 1.3 times the prediction and misses; the next one is solved with that, and holds."""
    path, result, bench = again
    row, latency = platform_of(result, "watch"), platform_of(result, "watch")["latency"]
    first = latency["first"]
    assert first["measured_ms"] == pytest.approx(SLOWER * first["predicted_ms"], rel=1e-5)
    assert first["measured_ms"] > latency["budget_ms"] >= first["predicted_ms"] * (1 + MARGIN)
    assert latency["scale"] == pytest.approx(SLOWER, rel=1e-5)
    space = pipeline_jobs.digits_space()
    by_file = latency_jobs.table().network_ns(space.blueprint(row["architecture"])) / 1e6
    assert latency["predicted_ms"] == row["costs"]["latency_ms"] == pytest.approx(by_file * latency["scale"])
    assert latency["predicted_ms"] * (1 + MARGIN) <= latency["budget_ms"] * (1 + 1e-9)
    assert latency["measured_ms"] == pytest.approx(latency["predicted_ms"], rel=1e-5) and not latency["missed"]
    assert result["missed"] == [] and "solved again" in row["notes"][-1]
    # It is what the search answers for that budget, trained: the network in the file has its layers.
    with RunFolder.reopen(path, lock=False) as folder:
        asked = Platform("watch", {"latency_ms": latency["budget_ms"]}, device=latency["device"])
        assert pick(folder, tightened(asked, latency["scale"]))["architecture"] == row["architecture"]
        assert {line["stage"] for line in folder.metrics()} >= {"train:watch", "again:watch"}
    assert row["architecture"] != first["architecture"]
    weights = load_file(path / row["weights"])
    layers = space.blueprint(row["architecture"]).build().state_dict()
    assert {key: value.shape for key, value in weights.items()} == {key: value.shape for key, value in layers.items()}
    assert row["onnx"] == "again/platforms/watch.onnx" and row["onnx_top1_agreement"] == 1.0
    assert bench.opened[-1] == str(path / row["onnx"])
    # The others stay as they are, and the weighted accuracy is that of the networks in the result.
    for name in ("phone", "tablet"):
        assert platform_of(result, name)["weights"] == f"platforms/{name}.safetensors"
    mean = sum(p["test_accuracy"] for p in result["platforms"]) / 3
    assert result["weighted_accuracy"]["test"] == pytest.approx(mean)
    assert result["images_trained"]["training again"] > 0
    pipeline_jobs.conforms(result, Result)


class Stopped(BaseException):
    """What a kill looks like from inside."""


def stopped_at(part: str) -> type[RunFolder]:
    """A run folder whose process is killed just before a part is kept."""

    class Stopping(RunFolder):
        def mark_done(self, stage: str, payload: Any = None) -> None:
            if stage == part:
                raise Stopped
            super().mark_done(stage, payload)

    return Stopping


@pytest.mark.slow
def test_killed_at_every_step_it_is_the_same_run(
    exported: Exported, again: tuple[Path, dict[str, Any], FakeBench], tmp_path: Path
) -> None:
    """In the middle of measuring, and before every part of the stage is kept: the end equals an undisturbed run."""
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        exported.measured(path, FakeBench(SLOWER, stop_after=1))
    for part in ("again:first", "again:solve", "again:train", "again:export", "again:measure", "measure", "report"):
        with pytest.raises(Stopped):
            exported.measured(path, FakeBench(SLOWER), stopped_at(part))
    result = exported.measured(path, FakeBench(SLOWER))
    assert without_times(result) == without_times(again[1])
    ours, theirs = (load_file(run / "again/platforms/watch.safetensors") for run in (path, again[0]))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    kept = pipeline_jobs.timeless(result)
    for platform in kept["platforms"]:
        (platform["latency"] or {}).pop("date", None)
    return kept


# ---------------------------------------------------------------- a second miss


def slower_when_small(blueprint: Any, predicted: int) -> float:
    """A device on which small networks are far slower than predicted, so that solving again cannot help."""
    return (SLOWER if predicted > 400_000 else 3.0) * predicted


LAWS: dict[str, tuple[Callable[[Any, int], float], str]] = {
    "again": (slower_when_small, "the network solved again with predictions multiplied by 1.3 misses, too"),
    "no answer": (lambda blueprint, predicted: 1e7, "it was not solved again: with predictions multiplied by"),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_second_miss_is_reported_and_exits_with_1(
    law: str, exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report is written and red, the sentence names what was tried, and every command that asks for it exits
    with 1, without a traceback."""
    path = tmp_path / "run"
    result = exported.measured(path, FakeBench(LAWS[law][0]))
    latency = platform_of(result, "watch")["latency"]
    assert "watch" in result["missed"] and latency["missed"]
    assert (latency["first"] is not None) == (law == "again")
    assert any(LAWS[law][1] in warning for warning in result["warnings"])
    assert '<li class="answer missed">' in (path / "report.html").read_text()
    pipeline_jobs.conforms(result, Result)
    for words in (["report", str(path)], ["run", str(path), "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 1
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        if "--json" in words:
            document = json.loads(printed.out)
            assert document["exit_code"] == 1 and "latency budget" in document["error"] and document["missed"]
        else:
            assert "MISSED" in printed.out and "misses its latency budget" in printed.err.replace(
                "miss their", "misses its"
            )
    with pytest.raises(SystemExit) as ended:
        main(["export", str(path)])
    assert ended.value.code == 0


def test_a_second_answer_that_nobody_measured_is_no_success(exported: Exported, tmp_path: Path) -> None:
    """A run that goes on on another machine after a miss cannot say that the new network holds, and does not."""
    path = tmp_path / "run"
    with pytest.raises(Stopped):
        exported.measured(path, FakeBench(SLOWER), stopped_at("again:measure"))
    elsewhere = {"cpu": "a desk", "system": "Linux", "architecture": "riscv64"}
    result = exported.measured(path, FakeBench(1.0, machine=elsewhere))
    assert result["missed"] == ["watch"]
    assert any("nobody knows: not measured here: measured on a board" in warning for warning in result["warnings"])


def test_a_report_from_before_the_measuring_is_written_anew(exported: Exported, tmp_path: Path) -> None:
    """Whoever measures after the report still gets a result that knows of the miss."""
    path = tmp_path / "run"
    shutil.copytree(exported.path, path)
    early = latency_jobs.run(path, exported.configuration, FakeBench(1.0), ("report",))
    assert early["missed"] == [] and platform_of(early, "watch")["latency"]["measured_ms"] is None
    late = latency_jobs.run(path, exported.configuration, FakeBench(lambda blueprint, predicted: 1e7), ("measure",))
    assert late["missed"] == ["watch", "phone"]
    assert '<li class="answer missed">' in (path / "report.html").read_text()


def test_one_network_for_all_is_not_solved_again(exported: Exported, tmp_path: Path) -> None:
    """Any-time training has one network for all platforms: a miss stays, and says what to do."""
    shutil.copytree(exported.path, tmp_path / "run")
    with RunFolder.reopen(tmp_path / "run") as folder:
        run = Run(folder)
        setting = dataclasses.replace(run.setting, train=dataclasses.replace(run.setting.train, mode="anytime"))
        found = Measuring(folder, run.job, setting, run.first(), FakeBench(SLOWER), run.store).run()
    assert found["missed"] == ["watch"] and found["again"] == {}
    assert "one network with exits serves all platforms" in found["unsolved"]["watch"]


# ---------------------------------------------------------------- shared weights


@pytest.mark.slow
def test_shared_weights_are_trained_anew_together(device: str, tmp_path: Path) -> None:
    """With one slimmable network the second attempt holds all platforms: the file, the switches and the exports agree,
    and what did not miss keeps its widths and its measurement."""
    asked = latency_jobs.configuration(device, train={"mode": "slimmable", "epochs": 1})
    asked["platforms"] = asked["platforms"][:2]
    bench = FakeBench(SLOWER)
    result = latency_jobs.run(tmp_path / "run", asked, bench)
    assert result["missed"] == [] and platform_of(result, "watch")["latency"]["first"] is not None
    assert result["slimmable"]["path"] == "again/slimmable.safetensors"
    assert result["slimmable"]["max_abs_diff"] < 1e-3
    assert [p["weights"] for p in result["platforms"]] == [
        f"again/platforms/{p['name']}.safetensors" for p in result["platforms"]
    ]
    with RunFolder.reopen(tmp_path / "run", lock=False) as folder:
        before = folder.payload("search")["choices"]
    assert platform_of(result, "phone")["architecture"] == before["phone"]["architecture"]
    assert [Path(file).parts[-3] for file in bench.opened if Path(file).stem == "phone"].count("again") == 0
