"""The files of a comparison on real training: the document, a row per search, and a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sartor.compare.charts import figures
from sartor.compare.drawing import PAGE, SEARCHES, csv_text
from sartor.optional import require
from sartor.report.drawing import page
from sartor.run import RESULT
from sartor.storage import to_json, write_atomically


def check_drawing() -> None:
    """Refuses to begin where the page could not be drawn.

    Raises:
        MissingDependencyError: a package of the extra ``report`` is absent.
    """
    require("jinja2", extra="report")
    require("vl_convert", extra="report")


def write_files(document: Mapping[str, Any], folder: Path) -> None:
    """Writes ``result.json``, ``searches.csv`` and ``report.html`` into ``folder``.

    Raises:
        RequestError: the disk refuses, or a package of the extra ``report`` is missing.
    """
    write_atomically(folder / RESULT, (to_json(document) + "\n").encode())
    write_atomically(folder / SEARCHES, searches_csv(document).encode())
    text = page("comparison.html", figures(document), document, document=document)
    write_atomically(folder / PAGE, text.encode())


def searches_csv(document: Mapping[str, Any]) -> str:
    """One line per search and platform: accuracy, costs, and the architecture."""
    kinds = list(dict.fromkeys(kind for p in document["platforms"] for kind in p["budgets"]))
    rows = [
        [
            name,
            document["first_seed"] + k,
            platform,
            f"{row['platforms'][platform]['accuracies'][k]:.6g}",
            *(row["costs"][k][platform].get(kind) for kind in kinds),
            " ".join(f"{decision}={value}" for decision, value in architecture.items()),
        ]
        for name, row in document["methods"].items()
        for k, answers in enumerate(row["answers"])
        for platform, architecture in answers.items()
    ]
    return csv_text(["method", "seed", "platform", "accuracy", *kinds, "architecture"], rows)
