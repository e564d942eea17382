"""The networks found, block by block: one panel per platform, one row per block, one column per property."""

from __future__ import annotations

from typing import Any

from sartor.report.charts.frame import Figure, Rows, altair, finished, group_starts
from sartor.report.data import ReportData
from sartor.report.network import SKIPPED, SPLIT, Cell

_ROW = 19


def draw(data: ReportData) -> Figure | None:
    """One view per system whose networks are known; None for spaces without operations to choose."""
    found = data.networks
    if not found.cells:
        return None
    views: dict[tuple[str, ...], dict[str, Any]] = {(system,): _table(data, system) for system in found.systems}
    panels = len({cell.platform for cell in found.cells})
    caption = ["One row per block. The stronger the colour, the larger the value; MACs are per picture."]
    if any(cell.text.startswith(SPLIT) for cell in found.cells):
        caption.append(f"SE: squeeze-excite; {SPLIT}2: split attention over two branches.")
    if any(cell.differs for cell in found.cells):
        caption.append("In the networks without budgets, what differs from those returned is outlined.")
    return Figure(
        "networks",
        "The networks found",
        {"cells": _rows(data)},
        views,
        ("Networks",),
        "grid",
        caption,
        panels,
        names_view=True,
    )


def _rows(data: ReportData) -> Rows:
    """One row per cell; ``first`` marks a cell in each row above which a group of blocks begins."""
    starts = group_starts(data.networks.blocks)
    seen: set[tuple[str, str, str]] = set()
    rows: Rows = []
    for cell in data.networks.cells:
        place = (cell.system, cell.platform, cell.block)
        rows.append(_row(cell, first=cell.block in starts and place not in seen))
        seen.add(place)
    return rows


def _row(cell: Cell, first: bool) -> dict[str, Any]:
    return {
        "system": cell.system,
        "platform": cell.platform,
        "block": cell.block,
        "column": cell.column,
        "text": cell.text,
        "strength": cell.strength,
        "side": cell.side,
        "operation": cell.operation,
        "differs": int(cell.differs),
        "first": int(first),
    }


def _table(data: ReportData, system: str) -> dict[str, Any]:
    alt = altair()
    found = data.networks
    shown = [cell for cell in found.cells if cell.system == system]
    platforms = list(dict.fromkeys(cell.platform for cell in shown))
    x = alt.X(
        "column:N",
        title=None,
        scale=alt.Scale(domain=list(found.columns), paddingInner=0.04, paddingOuter=0.02),
        axis=alt.Axis(
            orient="top", labelAngle=0, labelOverlap=False, domain=False, ticks=False, labelPadding=2, labelFontSize=11
        ),
    )
    y_axis = alt.Axis(labelLimit=120, labelOverlap=False, domain=False, ticks=False, labelFontSize=11)
    y = alt.Y("block:N", title=None, scale=alt.Scale(domain=list(found.blocks)), axis=y_axis)
    ramp = alt.Scale(domain=[0, 1], range=["@low", "@high"])
    fill = alt.condition(
        "isValid(datum.strength)", alt.Color("strength:Q", scale=ramp, legend=None), alt.value("transparent")
    )
    ink = alt.condition("datum.strength > 0.5", alt.value("@on_high"), alt.value("@on_low"))
    edge = alt.condition("datum.differs", alt.value("@series2"), alt.value("transparent"))
    tip = [
        *(alt.Tooltip(f"{name}:N") for name in ("platform", "block", "operation")),
        alt.Tooltip("side:Q", title="side of the output"),
        alt.Tooltip("column:N", title="property"),
        alt.Tooltip("text:N", title="value"),
    ]
    base = alt.Chart(alt.NamedData("cells"))
    skipped = base.transform_filter(alt.datum.column == SKIPPED)
    kept = base.transform_filter(alt.datum.column != SKIPPED)
    chart = (
        alt.layer(
            base.transform_filter(alt.datum.first == 1)
            .mark_rule(color="@line")
            .encode(y=alt.Y("block:N", bandPosition=0, scale=alt.Scale(domain=list(found.blocks)))),
            skipped.mark_rect(cornerRadius=3, height=_ROW - 3, color="@faint", opacity=0.7, strokeWidth=1.5).encode(
                y=y, stroke=edge, tooltip=tip[:1] + tip[1:2]
            ),
            skipped.mark_text(fontSize=11, color="@muted", fontStyle="italic").encode(y=y, text="text:N"),
            kept.mark_rect(cornerRadius=3, height=_ROW - 3, strokeWidth=1.5).encode(
                x=x, y=y, color=fill, stroke=edge, tooltip=tip
            ),
            kept.mark_text(fontSize=11).encode(x=x, y=y, text="text:N", color=ink, tooltip=tip),
        )
        .properties(width=300, height=_ROW * len(found.blocks))
        .facet(facet=alt.Facet("platform:N", sort=platforms, title=None), columns=2)
        .transform_filter(alt.datum.system == system)
        .resolve_axis(x="independent")
    )
    return finished(chart)
