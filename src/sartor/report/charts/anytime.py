"""Accuracy at any budget, and where the pictures of a batch leave."""

from __future__ import annotations

from typing import Any

from sartor.report import theme
from sartor.report.anytime import Anytime
from sartor.report.charts.frame import Figure, Rows, altair, finished
from sartor.report.data import ReportData

_LABELS = {False: "each exit alone", True: "mean of the exits so far"}


def draw_curve(data: ReportData) -> Figure | None:
    """Accuracy against the multiply-adds of a run that is stopped; a step per exit. None without exits."""
    found = data.anytime
    if found is None or not found.points:
        return None
    rows: Rows = [
        {
            "system": p.system,
            "split": p.split,
            "how": _LABELS[p.ensemble],
            "exit": p.exit,
            "macs": p.macs / 1e6,
            "accuracy": round(p.accuracy, 3),
        }
        for p in found.points
    ]
    views: dict[tuple[str, ...], dict[str, Any]] = {
        (split, how): _curve(found, split, how) for split in found.splits for how in _LABELS.values()
    }
    caption = [
        "A run that is stopped has the answer of the last exit that it reached. MACs are those that it has computed by "
        "then, heads of earlier exits included.",
        *(
            f"Area under the curve up to {found.high / 1e6:.1f} M MACs, {area.split}: {area.system} "
            f"{area.single:.2f} %, with the mean of exits {area.ensemble:.2f} %."
            for area in found.areas
            if area.split == found.splits[0]
        ),
    ]
    return Figure(
        "anytime",
        "Accuracy at any budget",
        {"anytime": rows},
        views,
        dimensions=("On", "Answer"),
        caption=caption,
        names_view=True,
    )


def _curve(found: Anytime, split: str, how: str) -> dict[str, Any]:
    alt = altair()
    systems = list(dict.fromkeys(p.system for p in found.points))
    scale = theme.series_scale(systems)
    x = alt.X(
        "macs:Q",
        title="Multiply-adds per picture (M)",
        scale=alt.Scale(zero=True, nice=True),
        axis=alt.Axis(tickCount=8),
    )
    y = alt.Y("accuracy:Q", title=f"{split.capitalize()} accuracy (%)", scale=alt.Scale(zero=False, padding=10))
    legend = alt.Legend(symbolType="stroke", symbolSize=300, symbolStrokeWidth=2.5) if len(systems) > 1 else None
    colour = alt.Color("system:N", scale=alt.Scale(domain=systems, range=scale["colours"]), legend=legend)
    dash = alt.StrokeDash("system:N", scale=alt.Scale(domain=systems, range=scale["dashes"]), legend=legend)
    tip = [
        alt.Tooltip("system:N"),
        alt.Tooltip("exit:Q"),
        alt.Tooltip("macs:Q", format=".2f", title="M MACs"),
        alt.Tooltip("accuracy:Q", format=".2f", title="%"),
    ]
    base = (
        alt.Chart(alt.NamedData("anytime"))
        .transform_filter((alt.datum.split == split) & (alt.datum.how == how))
        .encode(x=x, y=y, color=colour)
    )
    lines = base.mark_line(interpolate="step-after", strokeWidth=2).encode(strokeDash=dash)
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(tooltip=tip)
    return finished(alt.layer(lines, marks).properties(height=300))


def draw_batches(data: ReportData) -> Figure | None:
    """For every mean cost asked for, the share of the pictures that left at each exit; None without such batches."""
    found = data.anytime
    if found is None or not found.batches:
        return None
    rows: Rows = []
    for batch in found.batches:
        for exit, share in enumerate(batch["shares"]):
            rows.append(
                {
                    "planned": f"{batch['planned'] / 1e6:.2f}",
                    "order": batch["planned"],
                    "place": exit,
                    "share": round(100 * share, 2),
                    "accuracy": f"{batch['accuracy']:.1f} %",
                    "realised": round(batch["mean_cost"] / 1e6, 3),
                }
            )
    worst = max(abs(b["mean_cost"] / b["planned"] - 1) for b in found.batches)
    return Figure(
        "batches",
        "Batches on a budget: where pictures leave",
        {"batches": rows},
        {(): _bars(len(found.exits))},
        caption=[
            "Each picture leaves at the first exit that is confident enough; thresholds are solved on the selection "
            "pictures so that the mean cost is the budget. Above the bars: test accuracy.",
            f"The realised mean cost on test pictures is off by {100 * worst:.1f} % at most.",
        ],
    )


def _bars(exits: int) -> dict[str, Any]:
    alt = altair()
    places = list(range(exits))
    # From light to dark, as exits deepen.
    colours = alt.Scale(domain=[0, max(1, exits - 1)], range=["@low", "@high"])
    x = alt.X(
        "planned:N",
        sort=alt.EncodingSortField("order"),
        title="Mean cost asked for (M MACs per picture)",
        axis=alt.Axis(labelAngle=0),
    )
    y = alt.Y("share:Q", title="Pictures (%)", scale=alt.Scale(domain=[0, 100]))
    tip = [
        alt.Tooltip("place:Q", title="exit"),
        alt.Tooltip("share:Q", format=".1f", title="% of the pictures"),
        alt.Tooltip("realised:Q", format=".3f", title="realised, M MACs"),
        alt.Tooltip("accuracy:N"),
    ]
    base = alt.Chart(alt.NamedData("batches")).encode(x=x)
    bars = base.mark_bar().encode(
        y=y,
        color=alt.Color(
            "place:Q",
            scale=colours,
            legend=alt.Legend(
                type="symbol", symbolType="square", values=places, format="d", title="Exit", orient="right"
            ),
        ),
        order=alt.Order("place:Q"),
        tooltip=tip,
    )
    labels = (
        base.transform_filter(alt.datum.place == 0)
        .mark_text(dy=-8, fontSize=11)
        .encode(y=alt.datum(100), text="accuracy:N", color=alt.value("@text"))
    )
    return finished(alt.layer(bars, labels).properties(height=240))
