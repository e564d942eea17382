"""Accuracy against cost: every platform, the baselines, the random cloud and the budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sartor.quantities import KINDS
from sartor.report import theme, words
from sartor.report.charts.frame import Figure, Rows, altair, finished
from sartor.report.data import CLOUD, Point, ReportData

# Beyond this ratio of the dearest to the cheapest, a linear axis would squeeze the small platforms together.
_LOG_RATIO = 40
# How far the frame reaches beyond the trained networks for the sake of the cloud, in units of their own range.
_CLOUD_REACH = 1.5


def draw(data: ReportData) -> Figure | None:
    """One view per measured quantity and cost; None where no platform was judged at all."""
    views: dict[tuple[str, ...], dict[str, Any]] = {}
    for quantity in _quantities(data):
        for cost in _budgeted_first(data):
            if any(_value(p, quantity) is not None and cost in p.costs for p in data.points):
                views[_quantity_label(quantity), words.cost_label(cost)] = _view(data, quantity, cost)
    if not views:
        return None
    clipped = "Random architectures far from all trained networks lie outside the frame and are not drawn."
    cloud = any(point.role == "cloud" for point in data.points)
    caption = ["Dashed vertical lines are budgets.", *data.notes["accuracy"], *([clipped] if cloud else [])]
    rows = {"points": _rows(data), "budgets": _budgets(data)}
    return Figure("accuracy_cost", "Accuracy against cost", rows, views, ("Show", "Against"), caption=caption)


def _budgeted_first(data: ReportData) -> list[str]:
    """The costs, from the one that was asked for."""
    asked = [use.cost for row in data.platforms for use in row.uses][:1]
    return [*(cost for cost in asked if cost in data.costs), *(cost for cost in data.costs if cost not in asked)]


def _quantities(data: ReportData) -> list[str]:
    """Accuracies that exist; the loss in the supernet where platforms and cloud can be compared in it."""
    found = list(data.splits)
    if all(any(p.role == role and p.loss is not None for p in data.points) for role in ("ours", "cloud")):
        found.append("loss")
    return found


def _quantity_label(quantity: str) -> str:
    return "Loss in the supernet" if quantity == "loss" else f"{quantity.capitalize()} accuracy"


def _value(point: Point, quantity: str) -> float | None:
    return point.loss if quantity == "loss" else point.accuracies.get(quantity)


def _field(data: ReportData, cost: str) -> str:
    """A cost's column; costs may have names that Vega would read as paths."""
    return f"cost{data.costs.index(cost)}"


def _rows(data: ReportData) -> Rows:
    """One row per network: its costs and everything it was judged by."""
    return [
        {"series": point.series, "role": point.role, "name": point.platform}
        | {_field(data, cost): _scaled(cost, point.costs.get(cost)) for cost in data.costs}
        | {quantity: _value(point, quantity) for quantity in _quantities(data)}
        for point in data.points
    ]


def _budgets(data: ReportData) -> Rows:
    uses = [(row.name, use) for row in data.platforms for use in row.uses if use.cost in data.costs]
    return [{"name": name, "cost": use.cost, "budget": _scaled(use.cost, use.budget)} for name, use in uses]


def _scaled(cost: str, value: float | None) -> float | None:
    """Bytes are drawn in KiB; counts and times as they are (the axis abbreviates counts)."""
    return value / 1024 if cost == "peak_memory_bytes" and value is not None else value


def _title(data: ReportData, cost: str) -> str:
    units = {"macs": "multiply-adds per picture", "peak_memory_bytes": "KiB", "latency_ms": "ms per picture"}
    device = data.predicted_on if cost == "latency_ms" else None
    label = words.heading(cost) + (f" predicted for {device}" if device else "")
    return f"{label} ({units[cost]})" if cost in units else label


def _frame(data: ReportData, values: Callable[[Point], float | None], extra: list[float]) -> tuple[float, float]:
    """The range to draw: the trained networks, and of the cloud what does not squeeze them."""
    found = [(point.role, value) for point in data.points if (value := values(point)) is not None]
    trained = [value for role, value in found if role != "cloud"] + extra
    low, high = min(trained), max(trained)
    span = max(high - low, 0.02 * abs(high), 1e-9)
    cloud = [v for _, v in found if low - _CLOUD_REACH * span <= v <= high + _CLOUD_REACH * span]
    low, high = min([low, *cloud]), max([high, *cloud])
    margin = 0.06 * max(high - low, span)
    return (low - margin if low < 0 else max(0.0, low - margin)), high + margin


def _x_range(data: ReportData, cost: str) -> tuple[str, list[float]]:
    """The kind of axis of a cost and its ends, in drawn units."""
    budgets = [row["budget"] for row in _budgets(data) if row["cost"] == cost]
    low, high = _frame(data, lambda point: _scaled(cost, point.costs.get(cost)), budgets)
    cheapest = min(_scaled(cost, p.costs[cost]) or 0.0 for p in data.points if p.role != "cloud" and cost in p.costs)
    if 0 < cheapest * _LOG_RATIO < high:
        return "log", [cheapest / 1.3, high]
    return "linear", [low, high]


def _x(data: ReportData, cost: str, field: str) -> Any:
    alt = altair()
    kind, domain = _x_range(data, cost)
    count = cost in KINDS and KINDS[cost].noun == "count"
    axis = alt.Axis(tickCount=6, **({"format": "~s"} if count else {}))
    return alt.X(
        f"{field}:Q", title=_title(data, cost), scale=alt.Scale(type=kind, domain=domain, nice=False), axis=axis
    )


def _tooltips(data: ReportData, quantity: str, title: str, named: bool) -> list[Any]:
    """Everything known about a network; the cloud has no names."""
    alt = altair()
    tips = [alt.Tooltip("name:N", title="Platform")] if named else []
    tips += [alt.Tooltip("series:N", title="System"), alt.Tooltip(f"{quantity}:Q", title=title, format=".2f")]
    others = [other for other in _quantities(data) if other != quantity and named]
    tips += [alt.Tooltip(f"{other}:Q", title=_quantity_label(other), format=".2f") for other in others]
    costs = [cost for cost in data.costs if named or any(p.role == "cloud" and cost in p.costs for p in data.points)]
    for cost in costs:
        whole = cost in KINDS and KINDS[cost].noun == "count"
        unit = {"peak_memory_bytes": " (KiB)", "latency_ms": " (ms)"}.get(cost, "")
        title, form = words.heading(cost) + unit, "," if whole else ",.4~g"
        tips.append(alt.Tooltip(f"{_field(data, cost)}:Q", title=title, format=form))
    return tips


def _view(data: ReportData, quantity: str, cost: str) -> dict[str, Any]:
    alt = altair()
    drawn = [p for p in data.points if _value(p, quantity) is not None and cost in p.costs]
    series = list(dict.fromkeys(point.series for point in drawn))
    scale = theme.series_scale(series, grey=CLOUD)
    title = "Loss (nats)" if quantity == "loss" else f"{quantity.capitalize()} accuracy (%)"
    field = _field(data, cost)
    frame = list(_frame(data, lambda point: _value(point, quantity) if cost in point.costs else None, []))
    base = (
        alt.Chart(alt.NamedData("points"))
        .transform_filter(f"isValid(datum['{quantity}']) && isValid(datum['{field}'])")
        .encode(
            x=_x(data, cost, field),
            y=alt.Y(f"{quantity}:Q", title=title, scale=alt.Scale(domain=frame, nice=False)),
            color=alt.Color("series:N", scale=alt.Scale(domain=series, range=scale["colours"])),
        )
    )
    shape = alt.Shape("series:N", scale=alt.Scale(domain=series, range=scale["shapes"]))
    inside = f"inrange(datum['{quantity}'], {frame}) && inrange(datum['{field}'], {_x_range(data, cost)[1]})"
    cloud = base.transform_filter(f"datum.role == 'cloud' && {inside}")
    trained = base.transform_filter(alt.datum.role != "cloud")
    named, nameless = (_tooltips(data, quantity, title, named) for named in (True, False))
    chart = alt.layer(
        _budget_lines(data, cost),
        cloud.mark_point(filled=True, size=22, opacity=0.45).encode(shape=shape, tooltip=nameless),
        trained.mark_line(strokeWidth=1.5, opacity=0.55).encode(order=f"{field}:Q"),
        trained.mark_point(filled=True, size=110, opacity=1).encode(shape=shape, tooltip=named),
        _names(base),
    )
    return finished(chart.properties(height=380))


def _names(base: Any) -> Any:
    """The platforms' names above our own points."""
    alt = altair()
    ours = base.transform_filter(alt.datum.role == "ours")
    return ours.mark_text(dy=-14, fontSize=12.5, fontWeight=600).encode(text="name:N", color=alt.value("@text"))


def _budget_lines(data: ReportData, cost: str) -> Any:
    alt = altair()
    lines = alt.Chart(alt.NamedData("budgets")).transform_filter(alt.datum.cost == cost)
    tips = [alt.Tooltip("name:N", title="Budget of"), alt.Tooltip("budget:Q", title=_title(data, cost), format=",.6~g")]
    return lines.mark_rule(color="@muted", strokeDash=[3, 4], opacity=0.6).encode(
        x=_x(data, cost, "budget"), tooltip=tips
    )
