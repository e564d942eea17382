"""The files of a comparison on a table: the document, a row per search, a page, and the picture of regrets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sartor.compare.charts import embedded
from sartor.optional import require
from sartor.report import theme
from sartor.report.drawing import page
from sartor.storage import to_json, write_atomically

DOCUMENT, SEARCHES, CURVES, PAGE = "comparison.json", "searches.csv", "regret.png", "report.html"
_VEGA_LITE = "6.4"
_CAPTION = (
    "Means over seeds with 95 % bands. Each is the answer so far of searches of this length, not of shorter searches."
)


def write_files(document: Mapping[str, Any], folder: Path) -> None:
    """Writes all four into ``folder``.

    Raises:
        RequestError: the disk refuses, or the renderer of the extra ``report`` is missing.
    """
    write_atomically(folder / DOCUMENT, (to_json(document) + "\n").encode())
    write_atomically(folder / SEARCHES, searches_csv(document).encode())
    engine = require("vl_convert", extra="report")
    png: bytes = engine.vegalite_to_png(
        theme.resolve(regret_chart(document), theme.LIGHT), vl_version=_VEGA_LITE, scale=2.0, allowed_base_urls=[]
    )
    write_atomically(folder / CURVES, png)
    figure = embedded("regret", "Regret of the answer so far", regret_chart(document), [_CAPTION])
    text = page("comparison_table.html", {"regret": figure}, document, document=document)
    write_atomically(folder / PAGE, text.encode())


def searches_csv(document: Mapping[str, Any]) -> str:
    """One line per search: what was found, and how much it loses to the best."""
    costs = list(document["budget"])
    rows = [
        [
            name,
            seed,
            f"{row['regrets'][seed]:.6g}",
            f"{row['regrets_fit'][seed]:.6g}",
            *(row["costs"][cost][seed] for cost in costs),
            " ".join(map(str, answer)),
            " ".join(map(str, row["answers_fit"][seed])),
        ]
        for name, row in document["methods"].items()
        for seed, answer in enumerate(row["answers"])
    ]
    return csv_text(["method", "seed", "regret_points", "regret_fit_points", *costs, "answer", "answer_fit"], rows)


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def regret_chart(document: Mapping[str, Any]) -> dict[str, Any]:
    """Regret over the number of queries in Vega-Lite: means with 95 % bands; random search in grey."""
    names = [name for name, row in document["methods"].items() if row["answers"]]
    scale = theme.series_scale(names, grey="random")
    colour = {
        "field": "method",
        "type": "nominal",
        "scale": {"domain": scale["domain"], "range": scale["colours"]},
    }
    x = {"field": "queries", "type": "quantitative", "scale": {"type": "log"}, "title": "Queries"}
    title = "Regret (points of true accuracy)"
    line = {"field": "regret", "type": "quantitative", "title": title}
    dash = {"field": "method", "type": "nominal", "scale": {"domain": scale["domain"], "range": scale["dashes"]}}
    budget = ", ".join(f"{kind} at most {value:,}" for kind, value in document["budget"].items())
    subtitle = f"{budget}; {document['seeds']} seeds, 95 % bands"
    if document["noise"]:
        subtitle += f", noise of {document['noise']:g} points on every look"
    return {
        "title": {"text": f"{document['table']['name']}: answer so far", "subtitle": subtitle},
        "width": 680,
        "height": 340,
        "padding": 16,
        "data": {"values": list(_points(document, names))},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.15},
                "encoding": {
                    "x": x,
                    "y": {"field": "low", "type": "quantitative", "title": title},
                    "y2": {"field": "high"},
                    "color": colour,
                },
            },
            {
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"x": x, "y": line, "color": colour, "strokeDash": dash},
            },
        ],
        "config": {**theme.CONFIG, "background": "@card", "font": "Liberation Sans, Arial, sans-serif"},
    }


def _points(document: Mapping[str, Any], names: list[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        curve = document["methods"][name]["curve"]
        moments = zip(document["curve_queries"], curve["regret_mean"], curve["low"], curve["high"], strict=True)
        for queries, mean, low, high in moments:
            if mean is not None:
                yield {
                    "method": name,
                    "queries": queries,
                    "regret": mean,
                    "low": mean if low is None else low,
                    "high": mean if high is None else high,
                }
