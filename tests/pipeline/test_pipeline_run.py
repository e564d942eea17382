"""A job from pictures to report: what is in the result, and that the files are what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_jobs
import pytest
import torch

from sartor.data import load, make_index_sets, ordered_batches
from sartor.data.normalise import Normalisation
from sartor.elastic import SlimmableNetwork
from sartor.errors import InfeasibleBudgetError, RequestError, VerificationError
from sartor.evaluate import evaluate
from sartor.export.session import open_session
from sartor.pipeline.training import load_weights
from sartor.report import schema
from sartor.run import ENVIRONMENT, RunFolder

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

PLATFORM_KEYS = {
    *("name", "weight", "budgets", "costs", "params", "architecture", "val_accuracy", "test_accuracy", "weights"),
    *("onnx", "onnx_max_abs_diff", "onnx_top1_agreement", "latency_ms"),
}
RESULT_KEYS = {
    *("format_version", "method", "space", "platforms", "weighted_accuracy", "baselines", "search_seconds"),
    *("train_seconds", "images_trained", "seed", "environment"),
}
NAMES = ("watch", "phone", "tablet")


def blueprint(platform: dict[str, Any]) -> Any:
    return pipeline_jobs.digits_space().blueprint(platform["architecture"], platform["name"])


# ---------------------------------------------------------------- the result


def test_the_result_has_the_stated_form(result: dict[str, Any]) -> None:
    """Every key of the format is there with its type, for every platform, and nothing stays null that was done."""
    pipeline_jobs.conforms(result, schema.Result)
    assert set(result) >= RESULT_KEYS
    assert result["format_version"] == schema.FORMAT_VERSION
    assert [p["name"] for p in result["platforms"]] == list(NAMES)
    for platform in result["platforms"]:
        assert set(platform) >= PLATFORM_KEYS
        assert all(platform[key] is not None for key in PLATFORM_KEYS)
    assert set(result["weighted_accuracy"]) == {"validation", "test"}
    assert [b["name"] for b in result["baselines"]] == ["uniform", "random", "standalone"]


def test_budgets_and_costs(result: dict[str, Any]) -> None:
    """Every cost is the blueprint's exact integer, and within every budget of its platform."""
    for platform in result["platforms"]:
        built = blueprint(platform)
        for kind in ("macs", "params", "peak_memory_bytes"):
            assert platform["costs"][kind] == getattr(built, kind)
        assert all(platform["costs"][kind] <= limit for kind, limit in platform["budgets"].items())
        assert platform["params"] == platform["costs"]["params"]
    phone = result["platforms"][1]
    assert phone["budgets"] == {"macs": 400_000, "peak_memory_bytes": 12 * 1024}


def test_what_was_searched_is_described(result: dict[str, Any]) -> None:
    """The space's exact size, its decisions, and where the pictures went."""
    described = result["space"]
    assert (described["name"], described["cardinality"]) == (
        "mobilenet_v1",
        str(pipeline_jobs.digits_space().cardinality),
    )
    assert [d["name"] for d in described["decisions"]] == [d.name for d in pipeline_jobs.digits_space().decisions]
    assert result["data"]["counts"] == {"weights": 180, "policy": 0, "selection": 60, "test": 359}
    assert (result["method"], result["seed"], result["name"]) == ("ows", 0, "tiny")


def test_pictures_are_counted_pass_by_pass(result: dict[str, Any]) -> None:
    """Steps times passes times batch: 22 steps of 3 passes over 16 pictures, and what the baselines saw."""
    images = result["images_trained"]
    assert images["search"] == images["training"] == 22 * 3 * 16
    uniform, standalone = 22 * 3 * 16, 3 * 22 * 16
    random = images["baselines"] - uniform - standalone
    assert random > 22 * 3 * 16  # its search and its training


def test_weighted_accuracy_is_the_mean_by_weight(result: dict[str, Any]) -> None:
    """On validation and test, for the run and each baseline."""
    weights = np.array([2.0, 3.0, 1.0])
    for outcome in (result, *result["baselines"]):
        for part, key in (("validation", "val_accuracy"), ("test", "test_accuracy")):
            values = np.array([p[key] for p in outcome["platforms"]])
            assert outcome["weighted_accuracy"][part] == pytest.approx(float(weights @ values / 6))


def test_baselines_keep_the_budgets(result: dict[str, Any]) -> None:
    """Each baseline's networks are within the same budgets, and say what they are."""
    for baseline in result["baselines"]:
        assert baseline["description"]
        for ours, theirs in zip(result["platforms"], baseline["platforms"], strict=True):
            assert ours["name"] == theirs["name"]
            assert all(theirs["costs"][kind] <= limit for kind, limit in ours["budgets"].items())
            assert theirs["val_accuracy"] is not None and theirs["test_accuracy"] is not None


def test_the_uniform_baseline_is_the_widest_that_fits(result: dict[str, Any]) -> None:
    """One fraction for all layers; a little wider would break a budget of its platform."""
    uniform = result["baselines"][0]
    for ours, theirs in zip(result["platforms"], uniform["platforms"], strict=True):
        made = pipeline_jobs.digits_space()
        assert theirs["architecture"] == made.uniform(theirs["width"])
        costs = made.blueprint(theirs["architecture"])
        assert theirs["costs"]["macs"] == costs.macs
        wider = made.blueprint(made.uniform(theirs["width"] + 0.005))
        assert any(getattr(wider, kind) > limit for kind, limit in ours["budgets"].items())


def test_the_standalone_baseline_is_the_methods_answer(result: dict[str, Any]) -> None:
    """The same networks as the method's, trained alone."""
    alone = result["baselines"][2]
    assert [p["costs"]["macs"] for p in alone["platforms"]] == [p["costs"]["macs"] for p in result["platforms"]]


def test_the_cloud_is_scored_with_its_costs(result: dict[str, Any]) -> None:
    """As many random networks as asked for, each with exact costs and an accuracy in percent."""
    assert len(result["cloud"]) == 5
    for point in result["cloud"]:
        assert point["sampled"] == "uniform" and 0 <= point["accuracy"] <= 100
        assert point["macs"] > 0 and point["params"] > 0 and point["peak_memory_bytes"] > 0


# ---------------------------------------------------------------- the files


def test_weights_give_the_accuracy_that_is_reported(finished: Path, result: dict[str, Any]) -> None:
    """The weights of every platform, read back into the plain network, give exactly the test accuracy of the result."""
    pictures = load("digits", pictures_per_class=24)
    assert pictures.test is not None
    sets = make_index_sets(
        pictures.train.labels, test_labels=pictures.test.labels, weights=None, policy=0.0, selection=0.25
    )
    normalisation = Normalisation.of(pictures.train.images, sets.weights)
    for platform in result["platforms"]:
        network = load_weights(blueprint(platform).build(), finished / platform["weights"])
        test = pictures.test
        batches = ordered_batches(test.images, test.labels, sets.test, 256, normalisation)
        assert evaluate(network, batches).accuracy == platform["test_accuracy"]


def test_the_shared_file_switches_between_the_same_networks(finished: Path, result: dict[str, Any]) -> None:
    """``slimmable.safetensors`` holds all platforms and answers as the single files do, at less than their size."""
    shared = SlimmableNetwork.load(finished / result["slimmable"]["path"])
    assert shared.switches == NAMES
    x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for platform in result["platforms"]:
            single = load_weights(blueprint(platform).build(), finished / platform["weights"])
            torch.testing.assert_close(shared.switch(platform["name"])(x), single(x), rtol=1e-4, atol=1e-5)
    described = result["slimmable"]
    assert described["bytes"] == (finished / described["path"]).stat().st_size
    singles = [(finished / p["weights"]).stat().st_size for p in result["platforms"]]
    assert described["sum_of_single_bytes"] == sum(singles) > described["bytes"]
    assert described["max_abs_diff"] < 1e-4


def test_onnx_files_agree_and_carry_their_card(finished: Path, result: dict[str, Any]) -> None:
    """Proved agreement, and a file that runs by itself: dynamic batch, budgets and costs in its metadata."""
    for platform in result["platforms"]:
        assert platform["onnx_top1_agreement"] == 1.0
        assert 0 <= platform["onnx_max_abs_diff"] < 1e-4
        assert platform["onnx_bytes"] == (finished / platform["onnx"]).stat().st_size
        assert platform["latency_ms"] > 0
        session = open_session(finished / platform["onnx"])
        (logits,) = session.run(None, {session.get_inputs()[0].name: np.zeros((3, 1, 8, 8), dtype=np.float32)})
        assert logits.shape == (3, 10)
        card = json.loads(json.dumps(session.get_modelmeta().custom_metadata_map))
        text = " ".join(card.values())
        assert platform["name"] in text and str(platform["costs"]["macs"]) in text


def test_the_report_is_there(finished: Path) -> None:
    """One page that names every platform and needs nothing from elsewhere."""
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)
    assert "<script src=" not in page and "<link " not in page


def test_metrics_cover_every_stage(finished: Path) -> None:
    """Search, training and each training of a baseline leave lines, in order, up to their last step."""
    with RunFolder.reopen(finished, lock=False) as folder:
        stages = {line["stage"] for line in folder.metrics()}
        steps = [line["step"] for line in folder.metrics("search")]
    expected = {"search", "train", "baseline:uniform", "baseline:random:_search", "baseline:random"}
    assert stages == expected | {f"baseline:standalone:{name}" for name in NAMES}
    assert steps == [10, 20, 22]


def test_a_finished_run_does_nothing_again(finished: Path, result: dict[str, Any]) -> None:
    """The same command on a finished run changes no file and gives the same result."""
    own = (ENVIRONMENT, ".lock", ".holder.json")  # who works, and with which version, is noted
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file() and p.name not in own}
    assert pipeline_jobs.run(finished) == result
    assert before == {p: p.stat().st_mtime_ns for p in before}


# ---------------------------------------------------------------- other jobs


def test_training_on_all_pictures_and_alone(tmp_path: Path) -> None:
    """With ``train_on_all`` there is no validation accuracy; standalone training leaves no shared file."""
    changes: dict[str, Any] = {
        "data": {"train_on_all": True, "weights": None, "selection": 0.0},
        "train": {"mode": "standalone", "epochs": 0.5},
        "search": {"epochs": 0.5},
        "export": {"onnx": False},
        "baselines": [],
    }
    result = pipeline_jobs.run(tmp_path / "run", ("search", "train", "export"), **changes)
    assert result["data"]["counts"] == {"weights": 240, "policy": 0, "selection": 0, "test": 359}
    assert result["weighted_accuracy"]["validation"] is None and result["weighted_accuracy"]["test"] > 0
    assert all(p["val_accuracy"] is None and p["test_accuracy"] is not None for p in result["platforms"])
    assert all(p["onnx"] is None and p["latency_ms"] is None for p in result["platforms"])
    assert result["slimmable"] is None and not (tmp_path / "run" / "slimmable.safetensors").exists()
    assert all((tmp_path / "run" / p["weights"]).exists() for p in result["platforms"])
    assert result["images_trained"]["training"] == 3 * 8 * 16  # 15 steps an epoch, three networks, one pass each


def test_stages_one_by_one_are_the_whole(finished: Path, result: dict[str, Any], tmp_path: Path) -> None:
    """A stage asked for too early says which one it needs; a search by itself finds what the whole run found."""
    path = tmp_path / "run"
    with pytest.raises(RequestError, match="stage 'train' needs stage 'search', which is not done yet"):
        pipeline_jobs.run(path, ("train",))
    searched = pipeline_jobs.run(path, ("search",))
    assert [p["architecture"] for p in searched["platforms"]] == [p["architecture"] for p in result["platforms"]]
    assert all(p["test_accuracy"] is None and p["onnx"] is None for p in searched["platforms"])
    pipeline_jobs.conforms(searched, schema.Result)


def test_a_baseline_that_cannot_fit_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no uniform width meets a budget, the run goes on and says so."""
    monkeypatch.setattr("sartor.pipeline.baselines._WIDTH_STEP", 0.5)  # nothing narrower than half is tried
    smallest = int(pipeline_jobs.digits_space().cost("macs")(np.array([pipeline_jobs.digits_space().smallest.row]))[0])
    changes: dict[str, Any] = {
        "platforms": [{"name": "only", "macs": smallest}],
        "search": {"epochs": 0.2},
        "train": {"epochs": 0.2},
        "export": {"onnx": False},
        "baselines": ["uniform"],
        "evaluation": {"cloud": 0},
    }
    result = pipeline_jobs.run(tmp_path / "run", ("search", "train", "export"), **changes)
    assert result["baselines"] == []
    assert "no uniform width fits platform 'only'" in result["warnings"][0]
    assert result["platforms"][0]["costs"]["macs"] == smallest and result["cloud"] == []


def test_budgets_that_exclude_one_another(tmp_path: Path) -> None:
    """Budgets of which each could be met alone, but not all, are refused before anything is trained."""
    platform = {"name": "watch", "macs": "900k", "params": "3k", "peak_memory_bytes": 400}
    with pytest.raises(InfeasibleBudgetError, match=r"'watch'.*peak_memory_bytes"):
        pipeline_jobs.run(tmp_path / "run", platforms=[platform])
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_export_that_disagrees_stops_the_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shared file whose outputs are not those of the single files is refused, and the export is not done."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    stages = json.loads((copy / "stages.json").read_text())
    for name in ("export", "report"):
        del stages[name]["finished"]
    (copy / "stages.json").write_text(json.dumps(stages))
    shared = SlimmableNetwork.load(copy / "slimmable.safetensors")
    with torch.no_grad():
        next(shared.norms_of("phone").parameters()).mul_(1.5)
    shared.save(copy / "slimmable.safetensors")
    with pytest.raises(VerificationError, match="switched to 'phone' differs"):
        pipeline_jobs.run(copy, ("export",), export={"onnx": True})
    assert "finished" not in json.loads((copy / "stages.json").read_text())["export"]
