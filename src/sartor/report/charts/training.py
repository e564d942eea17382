"""Training curves: every quantity of every stage over the pictures seen."""

from __future__ import annotations

from typing import Any

from sartor.report import theme
from sartor.report.charts.frame import Figure, altair, finished
from sartor.report.curves import QUANTITIES
from sartor.report.data import ReportData

_STAGES = {"search": "search", "train": "training"}


def draw(data: ReportData) -> Figure | None:
    """One panel per quantity, one line per stage; None without metrics."""
    if not data.curves:
        return None
    alt = altair()
    rows = [
        {
            "stage": _stage(point.stage),
            "quantity": QUANTITIES[point.quantity],
            "images": point.images,
            "step": point.step,
            "value": float(f"{point.value:.5g}"),
        }
        for point in data.curves
    ]
    stages = list(dict.fromkeys(_stage(point.stage) for point in data.curves))
    panels = [name for name in QUANTITIES.values() if any(row["quantity"] == name for row in rows)]
    scale = theme.series_scale(stages)
    legend = alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.5)
    chart = (
        alt.Chart(alt.NamedData("curves"))
        .mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(opacity=0, size=60))
        .encode(
            x=alt.X("images:Q", title="Pictures seen", axis=alt.Axis(format="~s", tickCount=5)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            color=alt.Color("stage:N", scale=alt.Scale(domain=stages, range=scale["colours"]), legend=legend),
            strokeDash=alt.StrokeDash("stage:N", scale=alt.Scale(domain=stages, range=scale["dashes"]), legend=legend),
            tooltip=[
                alt.Tooltip("stage:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("images:Q", title="pictures seen", format=","),
                alt.Tooltip("value:Q", format=".4g"),
            ],
        )
        .properties(width=300, height=190)
        .facet(facet=alt.Facet("quantity:N", sort=panels, title=None), columns=2)
        .resolve_scale(y="independent", x="shared")
        .resolve_axis(x="independent")
    )
    views: dict[tuple[str, ...], dict[str, Any]] = {(): finished(chart)}
    return Figure("training", "Training curves", {"curves": rows}, views, (), "grid", data.notes["curves"], len(panels))


def _stage(stage: str) -> str:
    if stage.startswith("baseline:"):
        return f"baseline {stage.partition(':')[2]}"
    return _STAGES.get(stage, stage)
