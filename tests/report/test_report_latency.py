"""Latency budgets in the report: predicted beside measured, misses in red, and what was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_samples as samples

from sartor import report
from sartor.report.charts import FIGURES
from sartor.report.latency import device_name, latency_rows


def test_rows_hold_prediction_and_measurement() -> None:
    """By how much the prediction is off, the first answer of a miss, and sentences about what needs one."""
    within, again, missed, elsewhere = latency_rows(samples.latency_result())
    assert within.off == pytest.approx(1.8 / 1.75 - 1) and not within.missed
    assert within.device == "board.json" and within.how == "onnxruntime 1.1, 1 thread, batch 1"
    assert within.notes == ("Measured in onnxruntime 1.1, the device's file is of 1.0.",)
    assert (again.first_predicted_ms, again.first_measured_ms, again.scale) == (4.6, 5.4, 1.174)
    assert "5.4\N{NO-BREAK SPACE}ms (4.6\N{NO-BREAK SPACE}ms predicted) and missed" in again.notes[0]
    assert "multiplied by 1.174" in again.notes[0]
    assert missed.missed and "Not solved again: nothing is faster." in missed.notes
    assert elsewhere.off is None and elsewhere.notes == (
        "Not measured here: measured on a phone; copy platforms/d.onnx there.",
    )
    assert device_name("C:\\tables\\phone.json") == device_name("a/phone.json") == "phone.json"
    assert device_name("pixel1_tunas") == "pixel1_tunas"


def test_a_measured_latency_is_held_against_the_budget() -> None:
    """Prediction and measurement are both uses of the budget; the one above it makes the platform's answer a miss."""
    data = report.build(samples.latency_result(), [])
    rows = data.platforms
    assert [[use.measured for use in row.uses] for row in rows] == [
        [False, True],
        [False, True],
        [False, True],
        [False],
    ]
    assert [row.missed for row in rows] == [False, False, True, False]
    assert "measured on board.json" in rows[2].answer and "misses its budget" in rows[2].answer


def test_the_picture_is_in_shares_of_the_budget() -> None:
    """One point per number, the budget at 100 %, and the first answer of a miss beside the second."""
    figure = FIGURES["latency"](report.build(samples.latency_result(), []))
    assert figure is not None
    shares = {(row["platform"], row["kind"]): row["share"] for row in figure.rows["latencies"]}
    names = [platform["name"] for platform in samples.latency_result()["platforms"]]
    assert shares[names[0], "predicted"] == pytest.approx(90)
    assert shares[names[2], "measured, missed"] == pytest.approx(120)
    assert shares[names[1], "first answer, missed"] == pytest.approx(108)
    assert (names[3], "measured") not in shares and len(shares) == 9
    assert figure.rows["budget"] == [{"share": 100.0}]
    assert FIGURES["latency"](report.build(samples.slimmable_result(cloud=0), [])) is None


def test_the_page_shows_it(tmp_path: Path) -> None:
    """A section with a table; the miss is marked, its reason stands there; other runs have no such section."""
    pytest.importorskip("vl_convert")
    path = tmp_path / "report.html"
    report.write_html(report.build(samples.latency_result(), []), path)
    page = path.read_text(encoding="utf-8")
    section = page[page.index('<section id="latency">') :]
    section = section[: section.index("</section>")]
    assert section.count('<tr class="missed">') == 1 and section.count("<tr") == 5
    for words in ("8.0\N{NO-BREAK SPACE}%", "multiplied by 1.174", "+2.9 %", "not measured", "Not solved again"):
        assert words in section
    report.write_html(report.build(samples.slimmable_result(cloud=0), []), path)
    assert '<section id="latency">' not in path.read_text(encoding="utf-8")
