"""Weighted accuracy of the result and of every baseline."""

from __future__ import annotations

from sartor.report import words
from sartor.report.charts.frame import Figure, Rows, altair, finished
from sartor.report.data import ReportData


def draw(data: ReportData) -> Figure | None:
    """One row per system, one mark per split; None where nothing was judged."""
    rows: Rows = [
        {"system": system.name, "split": split, "accuracy": value, "label": f"{value:.2f}"}
        for system in data.systems
        for split, value in system.weighted.items()
        if value is not None
    ]
    if not rows:
        return None
    alt = altair()
    order = list(dict.fromkeys(row["system"] for row in rows))
    splits = [split for split in ("test", "validation") if any(row["split"] == split for row in rows)]
    x = alt.X(
        "accuracy:Q", title="Weighted accuracy (%)", scale=alt.Scale(zero=False, padding=34), axis=alt.Axis(tickCount=5)
    )
    y = alt.Y("system:N", sort=order, title=None, axis=alt.Axis(labelLimit=150, grid=True, ticks=False))
    colours = alt.Scale(domain=splits, range=["@series1", "@series2"][: len(splits)])
    shapes = alt.Scale(domain=splits, range=["circle", "square"][: len(splits)])
    legend = alt.Legend() if len(splits) > 1 else None
    base = alt.Chart(alt.NamedData("weighted")).encode(x=x, y=y)
    marks = base.mark_point(filled=True, size=130, opacity=1).encode(
        color=alt.Color("split:N", scale=colours, legend=legend),
        shape=alt.Shape("split:N", scale=shapes, legend=legend),
        tooltip=[alt.Tooltip("system:N"), alt.Tooltip("split:N"), alt.Tooltip("accuracy:Q", format=".2f")],
    )
    offset = {"test": -13, "validation": 17}
    labels = [
        base.transform_filter(alt.datum.split == split)
        .mark_text(dy=offset[split] if len(splits) > 1 else -13, fontSize=12)
        .encode(text="label:N", color=alt.value("@text"))
        for split in splits
    ]
    chart = alt.layer(marks, *labels).properties(height=46 * len(order))
    caption = [f"Weights of the platforms: {_weights(data)}."]
    if len(splits) == 1:
        caption.append(f"Judged on the {splits[0]} pictures.")
    return Figure("weighted_accuracy", "Weighted accuracy", {"weighted": rows}, {(): finished(chart)}, caption=caption)


def _weights(data: ReportData) -> str:
    return words.listed([f"{row.name} {row.share:.3g}" for row in data.platforms])
