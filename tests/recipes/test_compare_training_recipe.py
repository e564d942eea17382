"""The comparison by real training as a recipe: its job, and its figures as tables."""

from __future__ import annotations

from typing import Any

import compare_training
from sartor.config import load_job


def document() -> dict[str, Any]:
    """A document with two seeds of OWS and random search, and a method that is not applicable."""
    times = {f"{stage}_{kind}": [1.0, 3.0] for stage in ("search", "training") for kind in ("seconds", "cpu_seconds")}
    row: dict[str, Any] = {
        "accuracy_mean": 41.5,
        "accuracy_deviation": 0.7,
        "accuracy_ci95": [35.0, 48.0],
        "accuracies": [41.0, 42.0],
        "difference_to_random": {"mean": 1.5, "ci95": [-4.0, 7.0], "better": False, "worse": False},
        "within_budget": 1.0,
        "platforms": {"small": {"accuracy_mean": 41.5}},
        "search_cost_images": [100.0, 101.0],
        "times": times,
        "answers": [{"small": {"width1": 4}}] * 2,
        "not_applicable": None,
    }
    return {
        "methods": {"ows": row, "ms_ranas": {"not_applicable": "it needs mixtures"}, "random": row},
        "job": "cifar10",
        "space": "mobilenet_v1",
        "data": "arrays",
        "seeds": 2,
        "judged_on": "test",
        "search_budget_images": 100.0,
        "platforms": [{"name": "small", "weight": 1.0, "device": None, "budgets": {"macs": 450_000}}],
        "fronts": {"macs": {"hypervolume": {name: {"mean": 9.0, "ci95": None} for name in ("ows", "random")}}},
        "notes": ["every search costs 100 trained pictures"],
        "configuration": {"data": {"path": "/somewhere/on/this/machine"}},
    }


def test_figures_and_tables() -> None:
    """Every figure of every seed is published, paths of the machine are not; rows for people and for the overview."""
    found = compare_training.figures_of(document(), {"cpu": "x"})
    assert found["methods"]["ows"]["accuracies"] == [41.0, 42.0] and "configuration" not in found
    text = compare_training.markdown(found)
    assert "| ows | 41.50 (35.00 to 48.00) | +1.50 (-4.00 to +7.00) | 41.50 | 9.00 | 100 | 2 + 2 |" in text
    assert "| ms_ranas | not applicable: it needs mixtures |" in text and "- every search costs" in text
    (row,) = compare_training.overview_rows(found, "2 cores")
    assert row[2] == "+1.50 (-4.00 to +7.00)" and "2 seeds" in row[3] and "--seeds 2" in row[4]


def test_the_job_of_the_example() -> None:
    """The example is a job, and its searches are as long as the recipe says."""
    job = load_job(compare_training.JOB)
    pictures, batch = 5_000 * 0.8, job.search.batch_size
    assert round(job.search.epochs * (pictures // batch)) * 3 * batch == 47_616
    assert job.method.name == "ows" and {p.name for p in job.platforms} == {"small", "large"}
