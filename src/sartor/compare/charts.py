"""Pictures of a comparison on real training: accuracies and differences with every seed, fronts, and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sartor.compare.methods import BASELINE
from sartor.compare.pareto import front_chart
from sartor.report import theme, words
from sartor.report.charts.frame import Figure, Rows

WEIGHTED = "weighted by importance"
_ROW_HEIGHT = 46


def figures(document: Mapping[str, Any]) -> dict[str, Figure]:
    """All pictures that there is something to draw in."""
    drawn = [_strips(document, "accuracy"), _strips(document, "difference"), _prices(document)]
    drawn += [_front(document, kind) for kind in document["fronts"]]
    return {figure.name: figure for figure in drawn if figure is not None}


def compared(document: Mapping[str, Any]) -> list[str]:
    """The methods that were compared, in their order."""
    return [name for name, row in document["methods"].items() if not row["not_applicable"]]


def embedded(name: str, title: str, spec: Mapping[str, Any], caption: Sequence[str]) -> Figure:
    """A picture that stands by itself as a figure of a page, which has its own title, width and colours."""
    kept = {key: spec[key] for key in ("layer", "height")}
    view = {**kept, "data": {"name": name}}
    return Figure(name, title, {name: spec["data"]["values"]}, {(): view}, caption=caption)


# ---------------------------------------------------------------------- accuracies and differences


def _strips(document: Mapping[str, Any], what: str) -> Figure | None:
    """Every seed as a point, the mean with its interval beside them; a view per platform."""
    names = [name for name in compared(document) if what == "accuracy" or name != BASELINE]
    seeds: Rows = []
    means: Rows = []
    for place, row in _rows(document):
        for name in names:
            found = _points(row[name], row.get(BASELINE), what)
            if found is None:
                return None
            values, mean, interval = found
            low, high = interval or (mean, mean)
            means.append({"method": name, "place": place, "mean": mean, "low": low, "high": high})
            seeds += [{"method": name, "place": place, "seed": k, what: value} for k, value in enumerate(values)]
    if not seeds:
        return None
    titles = {"accuracy": "Accuracy", "difference": "Difference to random search, seed by seed"}
    captions = {
        "accuracy": "One point per search, whose answers were trained anew; the mean with its 95 % interval.",
        "difference": "Points of accuracy more than random search with the same seed. Where the interval of the mean "
        "leaves out 0, chance does not explain it at 95 %.",
    }
    places = list(dict.fromkeys(row["place"] for row in seeds))
    views: dict[tuple[str, ...], dict[str, Any]] = {(place,): _strip_spec(what, place, names) for place in places}
    rows = {f"{what}_seeds": seeds, f"{what}_means": means}
    return Figure(what, titles[what], rows, views, ("platform",), caption=[captions[what]])


def _rows(document: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A place (weighted, then every platform where there are several) and its rows by method."""
    methods = {name: document["methods"][name] for name in compared(document)}
    platforms = [p["name"] for p in document["platforms"]]
    single = [] if len(platforms) == 1 else [(p, {n: m["platforms"][p] for n, m in methods.items()}) for p in platforms]
    return [(WEIGHTED if single else platforms[0], methods), *single]


def _points(
    row: Mapping[str, Any], baseline: Mapping[str, Any] | None, what: str
) -> tuple[list[float], float, list[float] | None] | None:
    """Values by seed, their mean and its interval; None where there is nothing to compare with."""
    if what == "accuracy":
        return row["accuracies"], row["accuracy_mean"], row["accuracy_ci95"]
    if baseline is None:
        return None
    values = [own - other for own, other in zip(row["accuracies"], baseline["accuracies"], strict=True)]
    return values, row["difference_to_random"]["mean"], row["difference_to_random"]["ci95"]


def _strip_spec(what: str, place: str, names: list[str]) -> dict[str, Any]:
    zero = {"scale": {"zero": False, "padding": 20}} if what == "accuracy" else {"scale": {"padding": 20}}
    title = "Accuracy (%)" if what == "accuracy" else "Points more than random search"
    y = {"field": "method", "type": "nominal", "sort": names, "title": None, "axis": {"labelLimit": 200, "grid": True}}
    colour = _colours(names)
    chosen = [{"filter": {"field": "place", "equal": place}}]
    x = {"type": "quantitative", "title": title, **zero}
    mean = [{"field": "method"}, *({"field": f, "format": ".2f"} for f in ("mean", "low", "high"))]
    layers: list[dict[str, Any]] = [
        {
            "data": {"name": f"{what}_means"},
            "transform": chosen,
            "mark": {"type": "rule", "strokeWidth": 3},
            "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}, "y": y, "color": colour, "tooltip": mean},
        },
        {
            "data": {"name": f"{what}_means"},
            "transform": chosen,
            "mark": {"type": "tick", "thickness": 3, "size": 22},
            "encoding": {"x": {"field": "mean", **x}, "y": y, "color": colour, "tooltip": mean},
        },
        {
            "data": {"name": f"{what}_seeds"},
            "transform": chosen,
            "mark": {"type": "point", "filled": True, "size": 60, "opacity": 0.75, "yOffset": 13},
            "encoding": {
                "x": {"field": what, **x},
                "y": y,
                "color": colour,
                "tooltip": [{"field": "method"}, {"field": "seed"}, {"field": what, "format": ".2f"}],
            },
        },
    ]
    if what == "difference":
        mark = {"type": "rule", "strokeDash": [4, 3], "color": "@muted"}
        layers.insert(0, {"data": {"values": [{"zero": 0}]}, "mark": mark, "encoding": {"x": {"field": "zero", **x}}})
    return {"layer": layers, "height": _ROW_HEIGHT * len(names)}


def _colours(names: list[str]) -> dict[str, Any]:
    scale = theme.series_scale(names, grey=BASELINE)
    domain = {"domain": scale["domain"], "range": scale["colours"]}
    return {"field": "method", "type": "nominal", "scale": domain, "legend": None}


# ---------------------------------------------------------------------- prices and fronts


def _prices(document: Mapping[str, Any]) -> Figure | None:
    """Processor seconds of the searches and of the trainings, in the mean over seeds."""
    rows: Rows = []
    for name in compared(document):
        row = document["methods"][name]
        for k, stage in enumerate(("search", "training")):
            seconds = row["times"][f"{stage}_cpu_seconds"]
            rows.append({"method": name, "stage": stage, "order": k, "seconds": sum(seconds) / len(seconds)})
    if not rows:
        return None
    colours = {"domain": ["search", "training"], "range": ["@series1", "@series2"]}
    spec = {
        "data": {"name": "prices"},
        "mark": {"type": "bar", "height": {"band": 0.6}},
        "encoding": {
            "x": {
                "field": "seconds",
                "type": "quantitative",
                "title": "Processor seconds of one search and its answers",
            },
            "y": {"field": "method", "type": "nominal", "sort": compared(document), "title": None},
            "color": {"field": "stage", "type": "nominal", "scale": colours},
            "order": {"field": "order"},
            "tooltip": [{"field": "method"}, {"field": "stage"}, {"field": "seconds", "format": ".1f"}],
        },
        "height": _ROW_HEIGHT * len(compared(document)),
    }
    caption = [
        "Searches cost the same in trained pictures; seconds differ, as networks and methods do. Measured while other "
        "searches may have run beside them."
    ]
    return Figure("prices", "What it took", {"prices": rows}, {(): spec}, caption=caption)


def _front(document: Mapping[str, Any], kind: str) -> Figure | None:
    """Accuracy to be had within a cost, by method."""
    front = document["fronts"][kind]
    if not front["networks"]:
        return None
    networks = {
        name: [(search["costs"], search["accuracies"]) for search in searches]
        for name, searches in front["networks"].items()
    }
    label = words.cost_label(kind)
    caption = [
        "The best accuracy within a cost: mean over seeds, with 95 % bands. Hypervolume (the share of all that lies "
        f"above a guess, up to {words.quantity(kind, front['reference_cost'])}): {_volumes(front['hypervolume'])}."
    ]
    spec = front_chart(networks, kind, "", grey=BASELINE)
    return embedded(f"front_{kind}", f"Accuracy against {label}", spec, caption)


def _volumes(volumes: Mapping[str, Mapping[str, Any]]) -> str:
    return words.listed([f"{name} {volume['mean']:.2f} %" for name, volume in volumes.items()])
