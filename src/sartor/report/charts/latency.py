"""Predicted against measured latency, every platform as shares of its own budget."""

from __future__ import annotations

from typing import Any

from sartor.report import words
from sartor.report.charts.frame import Figure, Rows, altair, finished
from sartor.report.data import ReportData
from sartor.report.latency import LatencyRow

# Of every mark its colour and its shape; what is above the budget is red.
_KINDS = {
    "predicted": ("@series1", "circle"),
    "measured": ("@series2", "square"),
    "measured, missed": ("@bad", "square"),
    "first answer, predicted": ("@cloud", "circle"),
    "first answer, missed": ("@bad", "cross"),
}


def draw(data: ReportData) -> Figure | None:
    """One row per platform with a latency budget, which is the line at 100 %; None where there is none."""
    rows: Rows = [mark for row in data.latencies for mark in _marks(row)]
    if not rows:
        return None
    alt = altair()
    order = [row.platform for row in data.latencies]
    kinds = [kind for kind in _KINDS if any(row["kind"] == kind for row in rows)]
    highest = max(100.0, *(row["share"] for row in rows))
    x = alt.X("share:Q", title="Latency (% of the budget)", scale=alt.Scale(domain=[0, 1.08 * highest], nice=False))
    y = alt.Y("platform:N", sort=order, title=None, axis=alt.Axis(labelLimit=150, grid=True, ticks=False))
    colours = alt.Scale(domain=kinds, range=[_KINDS[kind][0] for kind in kinds])
    shapes = alt.Scale(domain=kinds, range=[_KINDS[kind][1] for kind in kinds])
    marks = alt.Chart(alt.NamedData("latencies")).mark_point(filled=True, size=130, opacity=1)
    budget = alt.Chart(alt.NamedData("budget")).mark_rule(color="@muted", strokeDash=[3, 4]).encode(x="share:Q")
    chart = alt.layer(
        budget,
        marks.encode(
            x=x,
            y=y,
            color=alt.Color("kind:N", scale=colours, legend=alt.Legend()),
            shape=alt.Shape("kind:N", scale=shapes, legend=alt.Legend()),
            tooltip=_tooltips(alt),
        ),
    ).properties(height=max(80, 46 * len(order)))
    return Figure(
        "latency",
        "Latency: predicted and measured",
        {"latencies": rows, "budget": [{"share": 100.0}]},
        {(): finished(chart)},
        caption=_caption(data),
    )


def _marks(row: LatencyRow) -> Rows:
    values = {
        "predicted": row.predicted_ms,
        "measured, missed" if row.missed else "measured": row.measured_ms,
        "first answer, predicted": row.first_predicted_ms,
        "first answer, missed": row.first_measured_ms,
    }
    return [
        {
            "platform": row.platform,
            "kind": kind,
            "ms": value,
            "share": 100 * value / row.budget_ms,
            "budget": row.budget_ms,
            "device": row.device,
        }
        for kind, value in values.items()
        if value is not None
    ]


def _tooltips(alt: Any) -> list[Any]:
    return [
        alt.Tooltip("platform:N", title="Platform"),
        alt.Tooltip("kind:N", title="Latency"),
        alt.Tooltip("ms:Q", title="ms", format=".4~g"),
        alt.Tooltip("budget:Q", title="Budget (ms)", format=".4~g"),
        alt.Tooltip("device:N", title="Device"),
    ]


def _caption(data: ReportData) -> list[str]:
    margins = [f"{row.platform} {100 * row.margin:.3g} %" for row in data.latencies]
    lines = ["The dashed line is the budget.", f"Kept free between prediction and budget: {words.listed(margins)}."]
    if any(row.measured_ms is None for row in data.latencies):
        lines.append("What was not measured has no square.")
    return lines
