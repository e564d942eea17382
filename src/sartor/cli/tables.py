"""Tables for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sartor.platforms import Platform
from sartor.quantities import KINDS, format_quantity

# Where there is no terminal, a line holds a whole table row.
_FILE_WIDTH = 160


def print_result(result: Mapping[str, Any]) -> None:
    """The platforms of a run, and where the report is."""
    folder = Path(result["folder"])
    platforms = result.get("platforms", [])
    rows = [
        (
            p["name"],
            _quantities(p["budgets"]),
            _costs({kind: p["costs"][kind] for kind in p["budgets"] if kind in p["costs"]}),
            _accuracy(p),
            _latency(p),
            p.get("onnx") or p.get("weights") or "-",
        )
        for p in platforms
    ]
    if rows:
        _print(_table(("platform", "budget", "cost", "accuracy", "latency here", "file"), rows))
    for warning in result.get("warnings", []):
        _print(Text(f"Note: {warning}"))
    page = folder / "report.html"
    _print(Text(f"Report: {page}" if page.exists() else f"Run: {folder}"))


def print_pick(found: Mapping[str, Any], platform: Platform) -> None:
    """The network for another budget: its costs, its choices, and what training gave."""
    choices = found.get("architecture", {})
    rows = [
        ("budget", _quantities(platform.budgets)),
        ("cost", _costs(found.get("costs", {}))),
        ("margin", _margin(found.get("latency"))),
        ("choices", " ".join(str(value) for value in choices.values())),
        ("accuracy", _accuracy(found)),
        ("latency here", _milliseconds(found.get("latency_ms"))),
        ("file", found.get("onnx") or found.get("weights") or "-"),
    ]
    _print(_table(("", platform.name), [row for row in rows if row[1] not in ("", "-")]))


def print_predictions(predictions: Iterable[Mapping[str, Any]]) -> None:
    """The likeliest classes of every picture."""
    rows = []
    for prediction in predictions:
        for place, score in enumerate(prediction["classes"]):
            picture = prediction["picture"] if place == 0 else ""
            rows.append((picture, score["name"], f"{100 * score['probability']:.1f} %"))
    _print(_table(("picture", "class", "probability"), rows, right=(2,)))


def print_spaces(rows: Iterable[Mapping[str, Any]]) -> None:
    """All spaces in a line each."""
    cells = [(r["name"], str(r["decisions"]), _count(r["cardinality"]), r["about"]) for r in rows]
    _print(_table(("space", "decisions", "architectures", ""), cells, right=(1, 2)))
    _print(Text("More about one: sartor spaces NAME"))


def print_space(space: Mapping[str, Any]) -> None:
    """Everything about one space."""
    _print(Text(f"{space['name']}: {_count(space['cardinality'])} architectures, exactly {space['cardinality']}"))
    if space["distinct"] != space["cardinality"]:
        _print(Text(f"{space['distinct']} of them are different networks"))
    _print(Text("Options: " + ", ".join(f"{key}={value}" for key, value in space["options"].items())))
    decisions = [
        (d["name"], d["kind"], " ".join(str(option) for option in d["options"]), _when(d["when"]))
        for d in space["decisions"]
    ]
    shown = 4 if any(row[3] for row in decisions) else 3
    _print(_table(("decision", "kind", "options", "only when")[:shown], [row[:shown] for row in decisions]))
    costs = [
        (KINDS[kind].label, _exact(kind, ends["cheapest"]), _exact(kind, ends["dearest"]))
        for kind, ends in space["costs"].items()
    ]
    predicted = space["latency_ms"]
    for device, known in predicted.items():
        costs.append((_on(device), _predicted(known["cheapest"]), _predicted(known["dearest"])))
    _print(_table(("cost", "cheapest", "dearest"), costs, right=(1, 2)))
    if space["references"]:
        references = [
            (
                name,
                *(_exact(kind, value) for kind, value in costs.items()),
                *(_predicted(known["references"][name]) for known in predicted.values()),
            )
            for name, costs in space["references"].items()
        ]
        heads = ("known network", *(KINDS[kind].label for kind in space["costs"]), *map(_on, predicted))
        _print(_table(heads, references, right=range(1, len(heads))))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str | Text]], right: Iterable[int] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def _print(what: Table | Text) -> None:
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    # soft_wrap leaves long lines whole, so that paths can be copied.
    Console(file=sys.stdout, highlight=False, width=width).print(what, soft_wrap=isinstance(what, Text))


def _quantities(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{format_quantity(kind, value)} {KINDS[kind].label}" for kind, value in values.items())


def _on(device: str) -> str:
    return f"predicted {KINDS['latency_ms'].label}, {device}"


def _predicted(latency_ms: float) -> str:
    return f"{latency_ms:.4g} ms"


def _costs(values: Mapping[str, Any]) -> str:
    """Costs as they are; a latency among them is a prediction for the platform's device, not the one measured here."""
    text = _quantities(values)
    return text.replace(KINDS["latency_ms"].label, f"predicted {KINDS['latency_ms'].label}")


def _exact(kind: str, value: int) -> str:
    return f"{value:,} ({format_quantity(kind, value)})"


def _accuracy(values: Mapping[str, Any]) -> str:
    """Test accuracy, or that on the selection pictures where there is no test."""
    for key, words in (("test_accuracy", "test"), ("val_accuracy", "validation")):
        if values.get(key) is not None:
            return f"{values[key]:.2f} % ({words})"
    return "-"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"


def _latency(platform: Mapping[str, Any]) -> Text:
    """What was measured on this machine; beside a latency budget what the exported network takes, red if too much."""
    latency = platform.get("latency") or {}
    if latency.get("measured_ms") is None:
        return Text(_milliseconds(platform.get("latency_ms")))
    if not latency["missed"]:
        return Text(_milliseconds(latency["measured_ms"]))
    return Text(f"{_milliseconds(latency['measured_ms'])} MISSED", style="bold red")


def _margin(latency: Mapping[str, Any] | None) -> str:
    return "-" if not latency else f"{100 * latency['margin']:.3g} % above the prediction fit the budget"


def _count(text: str) -> str:
    return f"{int(text):,}" if len(text) <= 9 else f"{float(text):.3g}"


def _when(condition: Any) -> str:
    return "" if condition is None else f"{condition[0]} is {' or '.join(str(value) for value in condition[1])}"
