"""``sartor compare``: methods beside random search."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from sartor.cli.outcome import print_json, results_only
from sartor.progress import Progress


def on_table(
    path: Path,
    budgets: list[str],
    names: list[str],
    queries: int,
    seeds: int,
    noise_points: float,
    processes: int | None,
    out: Path | None,
    as_json: bool,
    progress: Progress,
) -> None:
    """Compares methods on a table of trained architectures, prints what came out, and writes files into ``out``."""
    from sartor.compare.result import compare_table
    from sartor.compare.table import read_table

    table = read_table(path)
    with results_only():
        workers = processes if processes is not None else os.cpu_count() or 1
        document = compare_table(table, budgets, names, queries, seeds, noise_points, workers, out, progress)
        if out is not None:
            from sartor.compare.drawing import write_files

            write_files(document, out)
    if as_json:
        print_json(document)
    else:
        print_comparison(document, out)


def print_comparison(document: Mapping[str, Any], out: Path | None = None) -> None:
    """A comparison as people read it."""
    table = document["table"]
    budget = ", ".join(f"{kind} <= {value:,}" for kind, value in document["budget"].items())
    noise = f", noise {document['noise']:g} points" if document["noise"] else ""
    _print(
        f"{table['name']}: {table['rows_in_budget']:,} of {table['rows']:,} rows within {budget}; the best has "
        f"{document['best_in_budget']:.3f} %"
    )
    _print(f"{document['queries']} queries, {document['seeds']} seeds{noise}. Regrets in points, with 95 % intervals.")
    heads = ("method", "regret", "less random's", "by additive fit", "less random's", "accuracy", "within budget")
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        grid.add_column(head, justify="left" if place == 0 else "right")
    for name, row in document["methods"].items():
        grid.add_row(*(Text(cell) for cell in _cells(name, row)))
    _console().print(grid)
    for name, row in document["methods"].items():
        if row["not_applicable"]:
            _print(f"{name}: not applicable: {row['not_applicable']}")
    for note in document["notes"]:
        _print(f"Note: {note}")
    if out is not None:
        _print(f"Files: {out}")


def _cells(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["not_applicable"]:
        return (name, "not applicable", *("",) * 5)
    return (
        name,
        _with_interval(row["regret_mean"], row["regret_ci95"]),
        _difference(row["difference_to_random"]) if name != "random" else "",
        _with_interval(row["regret_mean_fit"], row["regret_fit_ci95"]),
        _difference(row["difference_to_random_fit"]) if name != "random" else "",
        f"{row['accuracy_mean']:.3f} %",
        f"{row['within_budget']:.0%}",
    )


def _difference(difference: Mapping[str, Any]) -> str:
    verdict = "better" if difference["better"] else "worse" if difference["worse"] else "no difference"
    known = difference["ci95"] is not None
    text = _with_interval(difference["mean"], difference["ci95"], sign=True)
    return f"{text} {verdict}" if known else text


def _with_interval(mean: float, interval: list[float] | None, sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    text = f"{mean:{form}}"
    return text if interval is None else f"{text} ({interval[0]:{form}} to {interval[1]:{form}})"


def _print(text: str) -> None:
    _console().print(Text(text), soft_wrap=True)


def _console() -> Console:
    # Where there is no terminal, a line holds a whole table row.
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 180)
