"""What a policy believed about every decision: over time as a heat map, and at the end as stacked bars."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

from sartor.report.beliefs import SETTLED, Belief
from sartor.report.charts.frame import Figure, Rows, altair, finished, group_starts
from sartor.report.data import ReportData

_ROW = 15
# Shares that round to nothing are not drawn.
_LEAST = 0.005
_ALL, _MATTERING, _SETTLED = "all decisions", "decisions that matter", "in the order settled"

Views = dict[tuple[str, ...], dict[str, Any]]


def draw_history(data: ReportData) -> Figure | None:
    """One row per decision, one column per snapshot; None without a trace."""
    if not data.beliefs.decisions:
        return None
    caption = [
        "Blue: how sure the policy was of its final favourite, at the right. Orange: of another option. Faint: unsure.",
        f"A decision is settled when that probability stays at {SETTLED:g} or more.",
        *_left_out(data),
    ]
    rows = {"beliefs": [_history_row(belief) for belief in data.beliefs.decisions]}
    views = _views(data, _history)
    return Figure(
        "policy",
        "When each decision was settled",
        rows,
        views,
        ("Platform", "Rows"),
        caption=caption,
        names_view=True,
    )


def draw_end(data: ReportData) -> Figure | None:
    """The last distribution of every decision, from the answer's option on; None without a trace."""
    if not data.beliefs.decisions:
        return None
    caption = ["Blue: the final probability of the option returned, at the right; grey: that of the others."]
    if any(belief.used and belief.taken != belief.likely for belief in data.beliefs.decisions):
        caption.append("Orange: an option that was returned although another one was more probable, for the budget.")
    rows = {"final": [row for belief in data.beliefs.decisions for row in _end_rows(belief)]}
    return Figure(
        "policy_end",
        "How sure the policy was at the end",
        rows,
        _views(data, _end),
        ("Platform", "Rows"),
        caption=caption,
        names_view=True,
    )


def _views(data: ReportData, draw: Callable[[ReportData, str, list[Belief], bool], dict[str, Any]]) -> Views:
    """Every platform in every selection and order of rows."""
    views: Views = {}
    for platform in data.beliefs.platforms:
        every = data.beliefs.of(platform)
        used = [belief for belief in every if belief.used]
        views[platform, _MATTERING] = draw(data, platform, used, True)
        views[platform, _SETTLED] = draw(data, platform, sorted(used, key=_when), False)
        if len(used) < len(every):
            views[platform, _ALL] = draw(data, platform, every, True)
    return views


def _when(belief: Belief) -> tuple[float, float]:
    """Early ones first; those never settled by how sure the policy was at the end."""
    return (2.0 if belief.settled_at is None else belief.settled_at, -belief.final[belief.likely])


def _left_out(data: ReportData) -> list[str]:
    if all(belief.used for belief in data.beliefs.decisions):
        return []
    return [f"Decisions about skipped layers do not matter; they are left out, or dimmed among {_ALL}."]


def _history_row(belief: Belief) -> dict[str, Any]:
    """The whole history in one row, in whole percent: ``chance`` of the last favourite, ``lead`` of the one ahead."""
    return {
        "platform": belief.platform,
        "decision": belief.decision,
        "option": belief.options[belief.likely],
        "options": len(belief.options),
        "used": int(belief.used),
        "settled": None if belief.settled_at is None else round(100 * belief.settled_at),
        "chance": [round(100 * p) for p in belief.chances],
        "lead": [round(100 * p) for p in belief.leader_chances],
        "leader": [belief.options[k] if k != belief.likely else "" for k in belief.leaders],
    }


def _end_rows(belief: Belief) -> Rows:
    """The option returned first, then the others from probable to improbable."""
    rest = sorted((k for k in range(len(belief.options)) if k != belief.taken), key=lambda k: -belief.final[k])
    order = rest if belief.taken is None else [belief.taken, *rest]
    rows, start = [], 0.0
    for place, option in enumerate(order):
        chance = belief.final[option]
        if chance >= _LEAST or not place:
            role = f"other{1 + place % 2}"
            if option == belief.taken:
                role = "likely" if option == belief.likely else "unlikely"
            rows.append(
                {
                    "platform": belief.platform,
                    "decision": belief.decision,
                    "option": belief.options[option],
                    "start": round(100 * start, 1),
                    "end": round(100 * (start + chance), 1),
                    "role": role,
                    "first": int(not place),
                    "used": int(belief.used),
                }
            )
        start += chance
    return rows


def _y(rows: list[Belief]) -> Any:
    """The axis of decisions."""
    alt = altair()
    faint = [belief.decision for belief in rows if not belief.used]
    colour = alt.condition(f"indexof({json.dumps(faint)}, datum.value) < 0", alt.value("@text"), alt.value("@cloud"))
    labels = {"labelLimit": 150, "labelOverlap": False, "labelFontSize": 11, "labelColor": colour}
    scale = alt.Scale(domain=[belief.decision for belief in rows], paddingInner=0.12)
    return alt.Y("decision:N", title=None, scale=scale, axis=alt.Axis(domain=False, ticks=False, **labels))


def _separators(drawn: Any, rows: list[Belief], grouped: bool) -> list[Any]:
    """Thin lines where another part of the network begins."""
    alt = altair()
    blocks = [belief.block or belief.decision for belief in rows]
    starts = group_starts(list(dict.fromkeys(blocks)))
    firsts = [rows[k].decision for k in range(1, len(rows)) if blocks[k] != blocks[k - 1] and blocks[k] in starts]
    if not grouped or not firsts:
        return []
    lines = drawn.transform_filter(f"indexof({json.dumps(firsts)}, datum.decision) >= 0")
    return [lines.mark_rule(color="@muted", strokeWidth=0.6).encode(y=alt.Y("decision:N", bandPosition=0))]


def _drawn(data: ReportData, dataset: str, platform: str, shown: list[Belief]) -> Any:
    """The rows of a view; those that the axis has no place for would be drawn on its first one."""
    alt = altair()
    every = len(shown) == len(data.beliefs.of(platform))
    only = f"datum.platform === {json.dumps(platform)}"
    return alt.Chart(alt.NamedData(dataset)).transform_filter(only if every else f"{only} && datum.used")


def _history(data: ReportData, platform: str, shown: list[Belief], grouped: bool) -> dict[str, Any]:
    alt = altair()
    y = _y(shown)
    edges = _edges((data.beliefs.progress or {})[platform])
    # How far from uniform (0) to certain (1); below zero where another option leads.
    sure = "max(0, (datum.{0} / 100 - 1 / datum.options) / (1 - 1 / datum.options))"
    drawn = _drawn(data, "beliefs", platform, shown)
    cells = (
        drawn.transform_flatten(["chance", "lead", "leader"])
        .transform_window(snapshot="row_number()", groupby=["decision"])
        .transform_calculate(
            start=f"{json.dumps(edges)}[datum.snapshot - 1]",
            end=f"{json.dumps(edges)}[datum.snapshot]",
            sure=f"datum.leader ? -{sure.format('lead')} : {sure.format('chance')}",
            ahead="datum.leader ? datum.leader + ' (' + datum.lead + ' %)' : null",
        )
    )
    x_axis = alt.Axis(tickCount=5, grid=False, domain=False)
    x = alt.X("start:Q", title="Search done (%)", scale=alt.Scale(domain=[0, 100], nice=False), axis=x_axis)
    ramp = alt.Scale(domain=[-1, 0, 1], range=["@other", "@low", "@high"], interpolate="rgb")
    heat = cells.mark_rect().encode(
        x=x,
        x2="end:Q",
        y=y,
        color=alt.Color("sure:Q", scale=ramp, legend=None),
        opacity=alt.condition("datum.used", alt.value(1), alt.value(0.35)),
        tooltip=[
            alt.Tooltip("decision:N"),
            alt.Tooltip("option:N", title="most probable at the end"),
            alt.Tooltip("chance:Q", title="its probability (%)"),
            alt.Tooltip("ahead:N", title="in front then"),
            alt.Tooltip("start:Q", title="search done (%)", format=".0f"),
            alt.Tooltip("settled:Q", title="settled at (%)"),
        ],
    )
    names = drawn.mark_text(align="left", dx=6, fontSize=11).encode(
        x=alt.value("width"),
        y=y,
        text="option:N",
        color=alt.condition("datum.used", alt.value("@text"), alt.value("@cloud")),
    )
    chart = alt.layer(heat, *_separators(drawn, shown, grouped), names)
    return finished(chart.properties(height=_ROW * len(shown)))


def _edges(times: Sequence[float]) -> list[float]:
    """Where one snapshot's column ends and the next one's begins, in percent: half-way between them."""
    middles = [(a + b) / 2 for a, b in itertools.pairwise(times)]
    return [0.0, *(round(100 * t, 1) for t in middles), 100.0]


def _end(data: ReportData, platform: str, shown: list[Belief], grouped: bool) -> dict[str, Any]:
    alt = altair()
    y = _y(shown)
    base = _drawn(data, "final", platform, shown).transform_calculate(
        middle="(datum.start + datum.end) / 2", chance="datum.end - datum.start"
    )
    axis = alt.Axis(tickCount=5, grid=False, domain=False)
    x = alt.X("start:Q", title="Probability (%)", scale=alt.Scale(domain=[0, 100], nice=False), axis=axis)
    tip = [
        alt.Tooltip("decision:N"),
        alt.Tooltip("option:N"),
        alt.Tooltip("chance:Q", title="probability (%)", format=".1f"),
    ]
    faint = alt.condition("datum.used", alt.value(1), alt.value(0.35))
    roles = alt.Scale(domain=["likely", "unlikely", "other1", "other2"], range=["@high", "@other", "@line", "@faint"])
    ink = alt.condition(
        "datum.role === 'likely' || datum.role === 'unlikely'", alt.value("@on_high"), alt.value("@text")
    )
    wide = base.transform_filter("datum.chance >= max(12, 2 * length(datum.option))")  # has room for its name
    returned = base.transform_filter(alt.datum.first == 1)
    chart = alt.layer(
        base.mark_rect(stroke="@card", strokeWidth=1).encode(
            x=x, x2="end:Q", y=y, color=alt.Color("role:N", scale=roles, legend=None), opacity=faint, tooltip=tip
        ),
        *_separators(base, shown, grouped),
        wide.mark_text(fontSize=11).encode(x="middle:Q", y=y, text="option:N", color=ink, opacity=faint, tooltip=tip),
        returned.mark_text(align="left", dx=6, fontSize=11).encode(
            x=alt.value("width"),
            y=y,
            text="option:N",
            color=alt.condition("datum.role === 'unlikely'", alt.value("@other"), alt.value("@text")),
            opacity=faint,
        ),
    )
    return finished(chart.properties(height=_ROW * len(shown)))
