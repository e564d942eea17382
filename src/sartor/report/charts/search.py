"""How a policy-based search went: entropy, cost against the target, and what else it logged."""

from __future__ import annotations

from typing import Any

from sartor.report import theme, words
from sartor.report.charts.frame import Figure, Rows, altair, finished
from sartor.report.data import ReportData
from sartor.report.search import EVERYONE, QUANTITIES

# Drawn from zero on: amounts, and rates, which may be the same all along.
_FROM_ZERO = ("entropy_nats", "samples_per_step", "effective_samples", "policy_rate")


def draw(data: ReportData) -> Figure | None:
    """One panel per quantity over the share of the search, one line per platform; None without a policy."""
    if not data.search.points:
        return None
    present = {point.quantity for point in data.search.points}
    panels = [title for quantity, (title, _) in QUANTITIES.items() if quantity in present]
    views: dict[tuple[str, ...], dict[str, Any]] = {(): _chart(data, panels)}
    return Figure(
        "search",
        "How the search went",
        {"search": [*_lines(data), *_marks(data)]},
        views,
        kind="grid",
        caption=_caption(data),
        panels=len(panels),
    )


def _lines(data: ReportData) -> Rows:
    return [
        _row("line", point.quantity, point.platform, point.done, float(f"{point.value:.4g}"))
        for point in data.search.points
    ]


def _marks(data: ReportData) -> Rows:
    """What the lines are read against: the uniform start, the target, and the answers at the end."""
    starts = sorted((data.search.start_entropy or {}).values())
    present = {point.quantity for point in data.search.points}
    rows: Rows = [_row("zero", quantity, "", None, 0.0) for quantity in _FROM_ZERO if quantity in present]
    if starts:
        rows += [_row("rule", "entropy_nats", "", None, starts[-1], f"uniform start, {starts[-1]:.1f} nats")]
    if "cost_ratio" in present:
        rows += [_row("rule", "cost_ratio", "", None, 1.0)]
        for row in data.search_rows:
            for role, ratio in (("answer", row.answer_ratio), ("own", row.own_ratio)):
                if ratio is not None:
                    rows.append(_row(role, "cost_ratio", row.platform, 100.0, round(ratio, 4)))
    return rows


def _row(role: str, quantity: str, platform: str, done: float | None, value: float, label: str = "") -> dict[str, Any]:
    title = QUANTITIES[quantity][0]
    return {"role": role, "quantity": title, "platform": platform, "done": done, "value": value, "label": label}


def _chart(data: ReportData, panels: list[str]) -> dict[str, Any]:
    alt = altair()
    platforms = [row.name for row in data.platforms]
    scale = theme.series_scale(platforms)
    everyone = any(point.platform == EVERYONE for point in data.search.points)
    names = [*platforms, EVERYONE] if everyone else platforms
    colours = [*scale["colours"], "@muted"] if everyone else scale["colours"]
    dashes = [*scale["dashes"], [1, 0]] if everyone else scale["dashes"]
    legend = alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.5) if len(names) > 1 else None
    x = alt.X(
        "done:Q",
        title="Search done (%)",
        scale=alt.Scale(domain=[0, 100], nice=False, padding=4),
        axis=alt.Axis(tickCount=5),
    )
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False, nice=5), axis=alt.Axis(tickCount=5))
    colour = alt.Color("platform:N", scale=alt.Scale(domain=names, range=colours), legend=legend)
    dash = alt.StrokeDash("platform:N", scale=alt.Scale(domain=names, range=dashes), legend=legend)
    tip = [
        alt.Tooltip("platform:N"),
        alt.Tooltip("done:Q", title="search done (%)", format=".0f"),
        alt.Tooltip("value:Q", format=".4g"),
    ]
    base = alt.Chart(alt.NamedData("search"))
    line = base.transform_filter(alt.datum.role == "line")
    chart = (
        alt.layer(
            *_references(base, y),
            line.mark_line(strokeWidth=1.9, point=alt.OverlayMarkDef(opacity=0, size=60)).encode(
                x=x, y=y, color=colour, strokeDash=dash, tooltip=tip
            ),
            *_answers(base, x, y, colour),
        )
        .properties(width=300, height=190)
        .facet(facet=alt.Facet("quantity:N", sort=panels, title=None), columns=2)
        .resolve_scale(y="independent", x="shared")
        .resolve_axis(x="independent")
    )
    return finished(chart)


def _references(base: Any, y: Any) -> list[Any]:
    """Rules across a panel, with their names above them."""
    alt = altair()
    rule = base.transform_filter(alt.datum.role == "rule")
    zero = base.transform_filter(alt.datum.role == "zero")
    return [
        zero.mark_rule(color="@line").encode(y=y),
        rule.mark_rule(color="@muted", strokeDash=[4, 4]).encode(y=y),
        rule.mark_text(color="@muted", align="right", baseline="bottom", dy=-4, fontSize=11).encode(
            x=alt.value("width"), y=y, text="label:N"
        ),
    ]


def _answers(base: Any, x: Any, y: Any, colour: Any) -> list[Any]:
    """Diamonds at the end of the search: what the answers cost; hollow ones: the methods' own."""
    alt = altair()
    marks = []
    for role, title, filled in (("own", "most probable network", False), ("answer", "answer", True)):
        tip = [alt.Tooltip("platform:N"), alt.Tooltip("value:Q", title=f"cost of the {title} / target", format=".4f")]
        chosen = base.transform_filter(alt.datum.role == role)
        mark = chosen.mark_point(shape="diamond", filled=filled, size=110, opacity=1, strokeWidth=2)
        marks.append(mark.encode(x=x, y=y, color=colour, tooltip=tip))
    return marks


def _caption(data: ReportData) -> list[str]:
    found = []
    if data.search.onset is not None:
        found.append(
            f"Until {data.search.onset:.0f} % of the search only the shared weights learn and the policy stays uniform."
        )
    if any(row.answer_ratio is not None for row in data.search_rows):
        text = "Dashed at 1: the target. Diamonds: the cost of the networks returned"
        own = [row.platform for row in data.search_rows if row.own_ratio is not None]
        hollow = f"; hollow: of the most probable one, where a budget forbids it ({words.listed(own)})" if own else ""
        found.append(text + hollow + ".")
    present = {point.quantity for point in data.search.points}
    if "mode_accuracy" in present:
        found.append(
            "The most probable network is judged with the shared weights of that moment, its batch norms measured anew."
        )
    if "effective_samples" in present:
        found.append(
            "Effective samples: one over the sum of the squared weights that the samples' likelihoods give them. As "
            "many as there are samples: none explains the pictures better than another; one: a single sample decides."
        )
    most = max(point.averaged for point in data.search.points)
    if most > 1:
        found.append(f"Each point is the mean of up to {most} recorded lines of the log.")
    return found
