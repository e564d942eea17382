"""The data of the report: budgets, sentences, shared layers, curves, and what is said where nothing was measured."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples

from sartor import report
from sartor.errors import RequestError
from sartor.report import words
from sartor.report.curves import MAX_POINTS, MAX_POINTS_ALTOGETHER, curves


@pytest.fixture(scope="module")
def data() -> report.ReportData:
    """Seven platforms, three baselines, a cloud of 400."""
    return report.build(samples.slimmable_result(), samples.metrics(steps=500))


def test_answers_are_one_sentence_per_platform(data: report.ReportData) -> None:
    """The head of the page says cost, budget, accuracy and the gain over the uniform baseline."""
    row = data.platforms[1]
    gain = row.accuracies["test"] - data.systems[1].accuracies["test"]["watch"]  # type: ignore[operator]
    assert row.answer.startswith("watch runs on ")
    assert "of the 7.341M allowed (96.6\u00a0%)" in row.answer.replace(" %", "\u00a0%")
    assert f"({words.points(gain)} points against Slim-U)" in row.answer
    assert row.answer.count(". ") == 0
    assert row.answer.endswith(".")


def test_use_of_budget_and_missed_budgets() -> None:
    """A cost above its budget is a missed budget, exactly at the budget it is not."""
    result = samples.slimmable_result(3)
    result["platforms"][0]["costs"]["macs"] = result["platforms"][0]["budgets"]["macs"]
    result["platforms"][1]["costs"]["macs"] = result["platforms"][1]["budgets"]["macs"] + 1
    rows = report.build(result, []).platforms
    assert [row.missed for row in rows] == [False, True, False]
    assert rows[0].uses[0].share == 1
    assert rows[1].answer.startswith("watch misses its budget with ")


@pytest.mark.parametrize(("measured_on", "uses"), [("pixel1", 2), ("this machine", 1)])
def test_measured_latency_counts_on_its_own_device(measured_on: str, uses: int) -> None:
    """A latency budget is held against the prediction, and against a measurement only on the same device."""
    result = samples.slimmable_result(1)
    result["platforms"][0] |= {"budgets": {"latency_ms": 5.0}, "device": "pixel1", "latency_device": measured_on}
    result["platforms"][0] |= {"latency_ms": 6.0}
    result["platforms"][0]["costs"]["latency_ms"] = 4.0
    row = report.build(result, []).platforms[0]
    assert len(row.uses) == uses
    assert row.missed == (uses == 2)


def test_measured_latencies_do_not_stand_among_predictions() -> None:
    """Where one platform's latency was predicted, another's that was measured here is no point on the same axis."""
    result = samples.slimmable_result(2)
    assert all("latency_ms" in row.costs for row in report.build(result, []).platforms)
    result["platforms"][0]["costs"]["latency_ms"] = 40.0
    data = report.build(result, [])
    assert [row.costs.get("latency_ms") for row in data.platforms] == [40.0, None]
    drawn = [point.costs.get("latency_ms") for point in data.points if point.role == "ours"]
    assert drawn == [40.0, None] and data.platforms[1].latency_ms is not None


def test_shared_layers_are_counted() -> None:
    """Equal widths of neighbours in cost are counted, whatever the order of the platforms, beside the baseline's."""
    result = samples.slimmable_result(3)
    tag, watch, glasses = result["platforms"]
    names = list(tag["architecture"])
    watch["architecture"] = {n: (tag["architecture"][n] if k < 8 else -1) for k, n in enumerate(names)}
    result["platforms"] = [glasses, tag, watch]
    pair = report.build(result, []).shared[0]
    assert (pair.first, pair.second, pair.equal, pair.total) == ("tag", "watch", 8, 14)
    assert str(pair) == f"tag and watch: 8 of 14 layers equal (Slim-U: {pair.baseline_equal})"


def test_widths_and_choices(data: report.ReportData) -> None:
    """Channels stand beside the uniform baseline; choices know their place among the options."""
    assert {width.system for width in data.widths} == {"OWS", "Slim-U"}
    assert len(data.widths) == 2 * 7 * 14
    assert data.all_widths
    first = data.choices[0]
    assert first.decision == "layer1"
    assert first.rank == samples.OPTIONS[0].index(int(first.value)) / (len(samples.OPTIONS[0]) - 1)


def test_baseline_for_channels_is_the_uniform_one() -> None:
    """Stand-alone training shares our architectures and is not what channels are compared with."""
    result = samples.slimmable_result(3)
    result["baselines"] = result["baselines"][::-1]
    assert report.build(result, []).against == "Slim-U"
    result["baselines"] = [b for b in result["baselines"] if b["name"] == "stand-alone"]
    assert report.build(result, []).against is None


def test_points_of_the_picture(data: report.ReportData) -> None:
    """Every platform of every system and the whole cloud become points with their costs."""
    roles = [point.role for point in data.points]
    assert (roles.count("ours"), roles.count("baseline"), roles.count("cloud")) == (7, 21, 400)
    assert data.costs == ("macs", "params", "peak_memory_bytes", "latency_ms")
    assert data.splits == ("test", "validation")


def test_networks_that_a_baseline_tried_are_points() -> None:
    """What random search trained for a short while stands in the picture of validation accuracy, and is explained."""
    result = samples.slimmable_result(2, cloud=0)
    tried = [{"costs": {"macs": 1_000_000 * k}, "val_accuracy": 50.0 + k} for k in (1, 2, 3)]
    result["baselines"][2]["platforms"][0]["tried"] = tried
    built = report.build(result, [])
    found = [point for point in built.points if point.series == "random, tried"]
    assert [point.accuracies for point in found] == [{"test": None, "validation": 50.0 + k} for k in (1, 2, 3)]
    assert {point.role for point in found} == {"cloud"}
    assert built.notes["accuracy"][0].startswith("random tried the networks of the small marks")


def test_large_clouds_are_thinned() -> None:
    """A page has room for 800 random architectures, and says how many there were."""
    result = samples.slimmable_result(2, cloud=1000)
    built = report.build(result, [])
    assert len(built.result["cloud"]) == 800
    assert len(result["cloud"]) == 1000
    assert any("1,000 architectures" in note and "800 are shown" in note for note in built.notes["accuracy"])


def test_unmeasured_values_are_said_in_words() -> None:
    """No accuracy, no baselines, no cloud, no metrics: each absence is a sentence."""
    built = report.build(samples.cell_result(), [])
    notes = " ".join(note for section in built.notes.values() for note in section)
    for part in (
        "no test accuracy: the data has no test pictures",
        "no validation accuracy: every picture was used for training",
        "no cloud",
        "no baselines",
        "no training metrics",
    ):
        assert part in notes
    assert "its accuracy was not measured" in built.platforms[0].answer
    assert built.platforms[0].export_check == "not exported"
    assert not built.all_widths
    assert [choice.value for choice in built.choices if choice.decision == "depth"] == ["2×2", "3×4"]  # noqa: RUF001


def test_minimal_result() -> None:
    """The required keys alone make a report."""
    result = {
        "format_version": 1,
        "name": "least",
        "method": "mine",
        "platforms": [{"name": "a", "architecture": {"w": 8}}],
    }
    built = report.build(result, [])
    assert built.platforms[0].answer.startswith("a runs without a budget")
    assert built.method == "mine"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"format_version": 2}, "format_version 2"),
        ({"platforms": []}, "lacks platforms"),
        ({"name": None, "method": None}, "lacks name and method"),
        ({"platforms": [{"name": "a"}]}, "platform 1 lacks architecture"),
    ],
)
def test_other_formats_are_refused(change: dict[str, Any], part: str) -> None:
    """A result that this version cannot read is refused with the reason."""
    with pytest.raises(RequestError, match=part):
        report.build(samples.slimmable_result(1) | change, [])


def test_not_a_number_becomes_null() -> None:
    """NaN has no JSON; it reads as not measured and leaves the caller's result alone."""
    result = samples.slimmable_result(2)
    result["platforms"][0]["test_accuracy"] = float("nan")
    before = copy.deepcopy(result["platforms"][1])
    built = report.build(result, [])
    assert built.platforms[0].accuracies["test"] is None
    assert json.dumps(built.result, allow_nan=False)
    assert result["platforms"][1] == before


def test_curves_are_thinned_by_averaging() -> None:
    """Long logs keep their mean loss and their last learning rate in a bounded number of points."""
    lines = [
        {"stage": "search", "step": k, "images": 8 * k, "loss": float(k % 2), "learning_rate": k / 1e4}
        for k in range(1, 10001)
    ]
    points = curves(lines)
    losses = [point for point in points if point.quantity == "loss"]
    assert len(losses) == MAX_POINTS
    assert all(point.value == pytest.approx(0.5) for point in losses)
    assert losses[-1].images == 80000
    assert [p.value for p in points if p.quantity == "learning_rate"][-1] == 1.0


def test_many_curves_share_the_room() -> None:
    """Forty stages together stay within the page's budget of points."""
    lines = [{"stage": f"baseline:{s}", "step": k, "images": k, "loss": 1.0} for s in range(40) for k in range(500)]
    assert len(curves(lines)) <= MAX_POINTS_ALTOGETHER


def test_resumed_runs_count_each_step_once() -> None:
    """After a kill some steps are logged twice: the later line is the one that trained the network."""
    steps = [(1, 9.0), (2, 8.0), (3, 7.0), (2, 1.0), (3, 2.0)]
    points = curves([{"stage": "train", "step": s, "images": s, "loss": v} for s, v in steps])
    assert [(point.step, point.value) for point in points] == [(1, 9.0), (2, 1.0), (3, 2.0)]


def test_half_written_log_lines_are_skipped(tmp_path: Path) -> None:
    """A kill may cut the last line in two."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "train", "step": 1, "loss": 1.0}\n{"stage": "tra', encoding="utf-8")
    assert [line["step"] for line in report.read_metrics(path)] == [1]
