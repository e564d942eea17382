"""Channels per layer (the paper's figures 2 and 3) and the table of choices as a heat map."""

from __future__ import annotations

from typing import Any

from sartor.report import theme
from sartor.report.charts.frame import Figure, Rows, altair, finished
from sartor.report.data import ReportData

# A table of more decisions than this is not read.
_LONG = 40


def draw_channels(data: ReportData) -> Figure | None:
    """Step lines per platform beside the uniform baseline; None for a space without widths."""
    if not data.widths:
        return None
    scales = {"logarithmic": "log", "linear": "linear"}
    views: dict[tuple[str, ...], dict[str, Any]] = {(label,): _channels(data, kind) for label, kind in scales.items()}
    panels = len({width.platform for width in data.widths})
    caption = data.notes["decisions"]
    return Figure(
        "channels", "Channels per layer", {"widths": _width_rows(data)}, views, ("Axis",), "grid", caption, panels
    )


def _width_rows(data: ReportData) -> Rows:
    """One row per layer; the first and the last are drawn to the edge of their step."""
    last = max(width.layer for width in data.widths)
    return [
        {
            "platform": w.platform,
            "system": w.system,
            "layer": w.layer,
            "at": at,
            "decision": w.decision,
            "channels": w.channels,
        }
        for w in data.widths
        for at in ([0.5] if w.layer == 1 else []) + [w.layer] + ([last + 0.5] if w.layer == last else [])
    ]


def _channels(data: ReportData, kind: str) -> dict[str, Any]:
    alt = altair()
    systems = list(dict.fromkeys(width.system for width in data.widths))
    platforms = list(dict.fromkeys(width.platform for width in data.widths))
    layers = max(width.layer for width in data.widths)
    scale = theme.series_scale(systems)
    legend = alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.5)
    axis = alt.Axis(values=_ticks(layers), format="d", grid=False)
    powers = [2**k for k in range(3, 13)]
    y_scale = alt.Scale(type="log", base=2, nice=True) if kind == "log" else alt.Scale(zero=True)
    y_axis = alt.Axis(values=powers, format="d") if kind == "log" else alt.Axis(format="d", tickCount=5)
    chart = (
        alt.Chart(alt.NamedData("widths"))
        .mark_line(interpolate="step", strokeWidth=2.2, point=alt.OverlayMarkDef(opacity=0, size=180))
        .encode(
            x=alt.X("at:Q", title="Searched layer", axis=axis, scale=alt.Scale(domain=[0.5, layers + 0.5], nice=False)),
            y=alt.Y("channels:Q", title="Output channels", scale=y_scale, axis=y_axis),
            color=alt.Color("system:N", scale=alt.Scale(domain=systems, range=scale["colours"]), legend=legend),
            strokeDash=alt.StrokeDash(
                "system:N", scale=alt.Scale(domain=systems, range=scale["dashes"]), legend=legend
            ),
            tooltip=[alt.Tooltip(f"{name}:N") for name in ("platform", "system", "layer", "decision", "channels")],
        )
        .properties(width=300, height=210)
        .facet(facet=alt.Facet("platform:N", sort=platforms, title=None), columns=2)
        .resolve_axis(x="independent")
    )
    return finished(chart)


def _ticks(layers: int) -> list[int]:
    step = -(-layers // 16)
    return list(range(1, layers + 1, step))


def draw_choices(data: ReportData) -> Figure | None:
    """Decisions down, platforms across, from cheap to dear; equal neighbours are joined.

    None for a long list whose networks can be read block by block.
    """
    decisions = list(dict.fromkeys(choice.decision for choice in data.choices))
    if not decisions or (data.networks.cells and len(decisions) > _LONG):
        return None
    alt = altair()
    platforms = list(dict.fromkeys(choice.platform for choice in data.choices))
    rows = [
        {
            "decision": c.decision,
            "platform": c.platform,
            "value": c.value,
            "rank": None if c.rank is None else round(c.rank, 4),
            "link": "=" if c.same_as_next else "",
        }
        for c in data.choices
    ]
    # Names that would collide on a phone are slanted there.
    narrow = f"width < {11 + 7 * max(map(len, platforms))} * {len(platforms)}"
    axis = alt.Axis(
        orient="top",
        labelAngle=alt.ExprRef(f"{narrow} ? -45 : 0"),
        labelAlign=alt.ExprRef(f"{narrow} ? 'left' : 'center'"),
        labelOverlap=False,
        labelLimit=110,
    )
    x = alt.X("platform:N", sort=platforms, title=None, axis=axis)
    y = alt.Y("decision:N", sort=decisions, title=None, axis=alt.Axis(labelLimit=160))
    base = alt.Chart(alt.NamedData("choices")).encode(x=x, y=y)
    ramp = alt.Scale(domain=[0, 1], range=["@low", "@high"])
    ink = alt.condition("datum.rank > 0.5", alt.value("@on_high"), alt.value("@on_low"))
    tip = [alt.Tooltip(f"{name}:N") for name in ("platform", "decision", "value")]
    tip.append(alt.Tooltip("rank:Q", title="place among the options", format=".0%"))
    edge = alt.X("platform:N", sort=platforms, bandPosition=1)
    links = alt.Chart(alt.NamedData("choices")).transform_filter("datum.link == '='").encode(x=edge, y=y)
    chart = alt.layer(
        base.mark_rect(cornerRadius=3, stroke="@card", strokeWidth=2).encode(
            color=alt.Color("rank:Q", scale=ramp, legend=None), tooltip=tip
        ),
        base.mark_text(fontSize=12).encode(text="value:N", color=ink, tooltip=tip),
        links.mark_circle(size=170, color="@card", opacity=1),
        links.mark_text(fontSize=12, fontWeight=700, color="@text").encode(text="link:N"),
    ).properties(height=24 * len(decisions))
    caption = [
        "The stronger the colour, the later the option in its decision's list (for widths: the wider). "
        "The sign = joins equal neighbours."
    ]
    return Figure("choices", "Table of choices", {"choices": rows}, {(): finished(chart)}, (), "single", caption)
