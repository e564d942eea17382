"""Networks with exits, from pictures to files: one network serves all platforms, and stops where it is told to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_jobs
import pytest
from test_pipeline_kills import kill_at, start

import sartor
from sartor import data, spaces
from sartor.config import Job
from sartor.errors import RequestError
from sartor.pipeline import run_job
from sartor.run import RunFolder
from sartor.train.settings import FinalTraining, SearchTraining

SPACE = {"name": "ms_ranas", "scales": 2, "layers": 3, "nodes": 2, "channels": 8}
TRAINING = {"epochs": 1, "batch_size": 16}


def job(**changes: Any) -> dict[str, Any]:
    """A job of seconds: the method's own recipe where the job says nothing."""
    made = pipeline_jobs.job(
        data={"policy": 0.3, "weights": 0.4, "selection": 0.3, "image_size": 16, "search_augmentation": {"cutout": 4}},
        evaluation={"mode_pictures": 32, "cloud": 3},
        method={"name": "ms_ranas", "warmup": 0.2, "finalists": 2},
        search_space={"channels": 4},
        platforms=[{"name": "watch", "macs": "1.4M"}, {"name": "phone", "macs": "3M", "weight": 2}],
        baselines=["random_architecture", "msdnet"],
    )
    made |= {"space": SPACE, "search": TRAINING, "train": TRAINING}
    return {**made, **changes}


def run(path: Path, **changes: Any) -> dict[str, Any]:
    """Runs a job in this process; returns its result."""
    with RunFolder.create(path, Job.from_dict(job(**changes)).resolved()) as folder:
        return run_job(folder)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["search", "train"])
def test_a_killed_run_ends_with_the_same_networks(stage: str, tmp_path: Path) -> None:
    """Undisturbed and killed in a stage: the same cells, exits, accuracies and thresholds."""
    results = []
    for name in ("undisturbed", "killed"):
        file, out = tmp_path / f"{name}.json", tmp_path / name
        file.write_text(json.dumps(job()))
        if name == "killed":
            kill_at(stage, file, out)
        process = start(file, out)
        stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr.decode()
        results.append(json.loads(stdout))
    first, second = (pipeline_jobs.timeless(result) for result in results)
    assert first == second


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run and its result."""
    path = tmp_path_factory.mktemp("anytime") / "run"
    return path, run(path)


@pytest.mark.slow
def test_one_architecture_serves_all_platforms(finished: tuple[Path, dict[str, Any]]) -> None:
    """Every platform has an exit within its budget; the files are verified; the shipped network is its exit."""
    path, result = finished
    watch, phone = result["platforms"]
    assert watch["architecture"] == phone["architecture"]
    assert watch["exit"] <= phone["exit"]
    rows = {row["exit"]: row for row in result["anytime"]["exits"]}
    for platform in (watch, phone):
        row = rows[platform["exit"]]
        assert platform["costs"]["macs"] == row["macs"] <= platform["budgets"]["macs"]
        assert platform["test_accuracy"] == pytest.approx(row["test_accuracy"])
        assert platform["onnx_top1_agreement"] == 1.0
    assert result["anytime"]["stages"]["top1_agreement"] == [1.0] * len(rows)
    assert (path / "report.html").exists()


@pytest.mark.slow
def test_the_files_stop_where_they_are_told(finished: tuple[Path, dict[str, Any]]) -> None:
    """The saved network and the exported stages answer alike, at every exit and within a budget in MACs."""
    path, result = finished
    network, stages = sartor.load_anytime(path / "anytime.safetensors"), sartor.load_anytime(path / "anytime")
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)
    found = [list(p.predict(p.prepare(pictures))) for p in (network, stages)]
    assert len(found[0]) == len(found[1]) == len(result["anytime"]["exits"])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    first = result["anytime"]["exits"][0]
    answer = network.answer(network.prepare(pictures), macs=first["lazy_macs"])
    assert answer is not None and answer.exit == 0


@pytest.mark.slow
def test_baselines_are_judged_alike(finished: tuple[Path, dict[str, Any]]) -> None:
    """A random cell within the budgets, and an MSDNet with as many exits; every exit of both is judged."""
    _, result = finished
    random, msdnet = result["baselines"]
    exits = len(result["anytime"]["exits"])
    assert len(random["anytime"]["exits"]) <= exits and len(msdnet["anytime"]["exits"]) == exits
    for platform, own in zip(random["platforms"], result["platforms"], strict=True):
        assert platform["costs"]["macs"] <= own["budgets"]["macs"]
    whole = msdnet["anytime"]["exits"][-1]["macs"]
    assert whole == pytest.approx(result["anytime"]["exits"][-1]["macs"], rel=0.1)


@pytest.mark.slow
def test_in_python() -> None:
    """``sartor.search`` returns the any-time network beside the platforms' own."""
    pictures = data.load("digits", image_size=16, pictures_per_class=16)
    options = {**SPACE, "image_size": 16, "in_channels": 1}
    space = spaces.create(**options)
    found = sartor.search(
        "ms_ranas",
        space=space,
        search_space=spaces.create(**{**options, "channels": 4}),
        data=pictures,
        platforms=[sartor.Platform("phone", {"macs": "3M"})],
        search_training=SearchTraining(**TRAINING),
        final_training=FinalTraining(**TRAINING, mode="anytime", nesterov=False, dropout=0.0),
        threads=1,
    )
    assert found.anytime is not None and found.slimmable is None
    assert found["phone"].choice.exit == len(found.anytime.exits) - 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baselines": ["uniform"]}, "train.mode anytime trains one for all; take random_architecture, msdnet"),
        ({"platforms": [{"name": "watch", "macs": "9k"}]}, "even at the first exit"),
        ({"search_space": {"nodes": 3}}, "other decisions than the space"),
        ({"search_space": {"chanels": 3}}, "chanels"),
        ({"search_space": {"image_size": 3}}, "the pictures decide it"),
        ({"train": {**TRAINING, "exit_weights": [1.0, 2.0, 3.0]}}, "exit_weights"),
        ({"space": {**SPACE, "exits": "last"}}, "has one exit"),
        ({"method": {"name": "ows"}, "baselines": []}, "needs a smallest and a largest network"),
        ({"method": {"name": "ms_ranas", "order": 3}}, "order"),
        ({"space": {**SPACE, "scales": 4}}, "scales"),
    ],
)
def test_wrong_requests_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Each is said in one sentence before anything is trained."""
    with pytest.raises(RequestError, match=message):
        run(tmp_path / "run", **changes)
