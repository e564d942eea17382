"""Searches with a policy, from pictures to files: budgets, what the result tells, and a kill in the middle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pipeline_jobs
import pytest
from test_pipeline_kills import kill_at, start

from sartor.report.schema import FORMAT_VERSION

pytestmark = pytest.mark.slow

METHODS: dict[str, dict[str, Any]] = {
    "tunas": {
        "method": {"name": "tunas", "samples": 2},
        "space": {"name": "proxylessnas", "layout": "small", "multiplier": 0.125, "depth": 2},
        "platforms": [
            {"name": "watch", "macs": "550k"},
            {"name": "phone", "macs": "700k", "peak_memory_bytes": "20KiB"},
        ],
    },
    "fpnas": {
        "method": {"name": "fpnas", "entropy_scale": 0.05, "conversion": 0.5},
        "space": {"name": "fbnetv2_f", "multiplier": 0.25, "depth": 1},
        "platforms": [{"name": "watch", "macs": "150k"}],
    },
}


def job(method: str) -> dict[str, Any]:
    """A job of seconds: the method's own recipe where the job says nothing."""
    made = pipeline_jobs.job(
        search={"epochs": 2, "batch_size": 16},
        train={"epochs": 1, "batch_size": 16},
        data={"policy": 0.1, "weights": 0.65},
        evaluation={"mode_pictures": 32},
        baselines=["random"],
    )
    for section in ("search", "train"):  # the recipe is that of the method
        made[section] = {key: made[section][key] for key in ("epochs", "batch_size")}
    return {**made, **METHODS[method]}


@pytest.mark.parametrize("method", list(METHODS))
def test_a_killed_search_ends_with_the_same_networks(method: str, tmp_path: Path) -> None:
    """The whole run, undisturbed and killed in the search: the same result, within every budget, with its history."""
    results = []
    for name in ("undisturbed", "killed"):
        file, out = tmp_path / f"{name}.json", tmp_path / name
        file.write_text(json.dumps(job(method)))
        if name == "killed":
            kill_at("search", file, out)
        process = start(file, out)
        stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == 0, stderr.decode()
        results.append(json.loads(stdout))
    first, second = (pipeline_jobs.timeless(result) for result in results)
    assert first == second
    check(results[0], method)


def check(result: dict[str, Any], method: str) -> None:
    """Verified files within the budgets, both answers where they differ, and probabilities over time."""
    assert result["format_version"] == FORMAT_VERSION and result["method"] == method
    for platform in result["platforms"]:
        assert platform["onnx_top1_agreement"] == 1.0
        assert all(platform["costs"][kind] <= limit for kind, limit in platform["budgets"].items())
        assert (platform["own"] is None) == (not platform["notes"])
        history = result["policy"][platform["name"]]
        assert len(history["progress"]) == len(history["probabilities"]) > 3
        assert history["progress"][-1] == 1.0
        for decision, options in zip(result["space"]["decisions"], history["probabilities"][-1], strict=True):
            assert len(options) == len(decision["options"]) and sum(options) == pytest.approx(1, abs=1e-3)
