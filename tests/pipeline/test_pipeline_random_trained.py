"""The random-search protocol of TuNAS as a baseline: many short trainings, one long one, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipeline_jobs
import pytest

from sartor.errors import RequestError
from sartor.pipeline import training
from sartor.pipeline.answers import Answer
from sartor.pipeline.baselines import costs_of, uniform_width
from sartor.platforms import Platform
from sartor.run import RunFolder

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

CHANGES: dict[str, Any] = {
    "platforms": [{"name": "watch", "macs": "150k"}, {"name": "phone", "macs": "400k"}],
    "search": {"epochs": 0.5},
    "train": {"epochs": 2, "dropout": 0.0},
    "evaluation": {"cloud": 0},
    "baselines": ["random_trained"],
    "random_trained": {"networks": 3, "short_epochs": 1.0, "window": 0.2},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run with this baseline alone: its folder and its result."""
    path = tmp_path_factory.mktemp("random") / "run"
    return path, pipeline_jobs.run(path, ("search", "train"), **CHANGES)


def test_the_best_short_training_is_trained_long(trained: tuple[Path, dict[str, Any]]) -> None:
    """Per platform the networks lie in the window, and the answer is the one with the best validation."""
    (baseline,) = trained[1]["baselines"]
    for platform, limit in zip(baseline["platforms"], (150_000, 400_000), strict=True):
        tried = platform["tried"]
        assert len(tried) == 3 and all(0.8 * limit <= t["costs"]["macs"] <= limit for t in tried)
        best = max(tried, key=lambda t: t["val_accuracy"])
        assert platform["costs"] == best["costs"]
        space = pipeline_jobs.digits_space()
        assert space.blueprint(platform["architecture"]).macs == platform["costs"]["macs"]
        assert 0 <= platform["test_accuracy"] <= 100


def test_every_short_training_is_counted(trained: tuple[Path, dict[str, Any]]) -> None:
    """The baseline's pictures are those of all short trainings and of the long one; their curves are not kept."""
    path, result = trained
    per_epoch = result["data"]["counts"]["weights"] // 16 * 16
    short = 2 * 3 * per_epoch
    long = 2 * 2 * per_epoch  # one slimmable training of two networks: two passes over every picture
    assert result["images_trained"]["baselines"] == short + long
    with RunFolder.reopen(path, lock=False) as folder:
        stages = {line["stage"] for line in folder.metrics()}
    assert "baseline:random_trained" in stages and not any("_watch" in stage for stage in stages)


def test_killed_between_short_trainings(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained before a kill is not trained again, and the end is that of an undisturbed run."""
    judged, trainings = training.judge, []

    def killed(*arguments: Any) -> Any:
        trainings.append(1)
        if len(trainings) == 4:  # two answers of the method, then the second short training
            raise KeyboardInterrupt
        return judged(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "judge", killed)
        with pytest.raises(KeyboardInterrupt):
            pipeline_jobs.run(tmp_path / "run", ("search", "train"), **CHANGES)
    kept = [tmp_path / "run" / "checkpoints" / f"baseline-random_trained-_watch-{i}.pt" for i in range(3)]
    assert [file.exists() for file in kept] == [True, True, False]
    written = kept[0].stat().st_mtime_ns
    again = pipeline_jobs.run(tmp_path / "run", ("search", "train"), **CHANGES)
    assert kept[0].stat().st_mtime_ns == written
    assert again["baselines"] == trained[1]["baselines"]


def test_it_needs_selection_pictures(tmp_path: Path) -> None:
    """Without pictures to compare on there is no best one."""
    changes = {**CHANGES, "data": {"weights": 1.0, "selection": 0.0}}
    with pytest.raises(RequestError, match="random_trained compares on the selection pictures"):
        pipeline_jobs.run(tmp_path / "run", ("search", "train"), **changes)


def test_uniform_widths_under_a_latency_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A width whose latency nothing tells is no answer; one on the grid is, with its predicted latency."""
    from sartor.costs import devices

    space = pipeline_jobs.digits_space()
    monkeypatch.setitem(devices._MODULES, "toy", "toy")
    monkeypatch.setattr(devices, "_model", lambda device: lambda space: space.cost("macs"))
    platform = Platform("phone", {"latency_ms": 0.3}, device="toy")
    width = uniform_width(space, platform)
    assert space.uniform is not None
    values = space.uniform(width)
    assert costs_of(space, Answer(values), platform)["latency_ms"] == pytest.approx(space.blueprint(values).macs / 1e6)
    assert space.blueprint(values).macs <= 300_000
    off_grid = {**values, "width1": values["width1"] + 1}
    assert "latency_ms" not in costs_of(space, Answer(off_grid), platform)
