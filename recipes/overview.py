"""Writes the table of recipes/README.md from the figures in recipes/results.

    python recipes/overview.py

Every recipe leaves its figures there as JSON; this puts them beside the paper's. No figure is typed by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import compare_training
import latency_figures
from fpnas import rows as fpnas
from ranas import rows as ranas
from sartor.errors import RequestError, SartorError
from sartor.storage import write_atomically
from searches.text import table
from slimmable import paper
from slimmable.markdown import figure
from tunas import rows as tunas
from tunas import table_oracle_report
from weight_sharing import rows as weight_sharing

RECIPES = Path(__file__).parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEADER = ("result of the paper", "paper", "ours", "setting, machine, seeds", "command")
SHOWN_SIZES = ("full", "cpu")

Row = list[str]
Describe = Callable[[dict[str, Any], str], list[Row]]


def overview(results: Path) -> str:
    """The table of everything that was run, one row per result."""
    rows: list[Row] = []
    for size in SHOWN_SIZES:
        found = _read(results / f"table2_{size}_results.json")
        rows += [[*_not_run(size)]] if found is None else _table2_rows(found)
    for name, describe in (("chinese_restaurant", _restaurant_rows), ("ground_truth", _truth_rows)):
        found = _read(results / f"{name}.json")
        rows += [] if found is None else describe(found)
    rows += _search_rows(results / "tunas_cifar_cpu_results.json", tunas.comparison_rows)
    rows += _search_rows(results / "tunas_ablations_cpu_results.json", tunas.ablation_rows)
    found = _read(results / "tunas_table_oracle.json")
    rows += [] if found is None else table_oracle_report.overview_rows(found)
    rows += _search_rows(results / "fpnas_cifar_cpu_results.json", fpnas.comparison_rows)
    for size in ("cpu", "cpu_fine"):
        rows += _search_rows(results / f"fpnas_ablations_{size}_results.json", fpnas.ablation_rows)
    for name, describe in (("landscape", fpnas.landscape_rows), ("table", fpnas.table_rows)):
        found = _read(results / f"fpnas_{name}.json")
        rows += [] if found is None else describe(found)
    rows += _search_rows(results / "ranas_anytime_cpu_results.json", ranas.anytime_rows)
    rows += _search_rows(results / "ranas_ablations_cpu_results.json", ranas.ablation_rows)
    rows += _search_rows(results / "ranas_collapse_cpu_results.json", ranas.collapse_rows)
    found = _read(results / "ranas_costs.json")
    rows += [] if found is None else ranas.cost_rows(found)
    rows += _search_rows(results / "weight_sharing_cpu_results.json", weight_sharing.sharing_rows)
    rows += _search_rows(results / "compare_training.json", compare_training.overview_rows)
    rows += _search_rows(results / "latency_search.json", latency_figures.overview_rows)
    return table(HEADER, rows)


def _search_rows(path: Path, describe: Describe) -> list[Row]:
    """Rows of compared searches; none if they were not run."""
    found = _read(path)
    return [] if found is None else describe(found, _machine(found["environment"]))


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _not_run(size: str) -> Row:
    command = f"`python recipes/table2.py --size {size} --device cuda --workers 4 --seeds 0 1 2 --out FOLDER --publish`"
    return ["Tables 2 and 3 at the paper's size", "as in the paper", "not run", f"size `{size}`, needs a GPU", command]


# ---------------------------------------------------------------------- Tables 2 and 3


def _table2_rows(found: Mapping[str, Any]) -> list[Row]:
    size, seeds = found["size"], found["seeds"]
    machine = f"size `{size}`, {_machine(found['environment'])}"
    rows_given = " ".join(found["rows"])
    command = f"`python recipes/table2.py --size {size} --rows {rows_given} --seeds {' '.join(map(str, seeds))} ...`"
    rows: list[Row] = []

    def add(what: str, published: str, ours: str, count: int) -> None:
        first = not rows
        rows.append(
            [what, published, ours, f"{machine if first else 'same'}, {_seeds(count)}", command if first else ""]
        )

    for row, cells in found["table2"].items():
        for column, cell in cells.items():
            if not (row == "U" and column.endswith("W")):
                add(f"Table 2, row {row}, {column} (%)", f"{cell['paper']:.2f}", _ours(cell), len(cell["values"]))
    for row, cells in found["gains"].items():
        cell = cells["OWS-U"]
        add(f"row {row}: OWS-U minus Slim-U", f"{cell['paper']:+.2f}", _ours(cell, "+"), len(cell["values"]))
    for system, name in (("Slim", "original"), ("OWS", "OWS")):
        cell = found["table3"][system]
        add(f"Table 3, {name} (%)", f"{cell['paper']:.2f}", _ours(cell), len(cell["values"]))
    gain = found["table3_gain"]
    add("Table 3, difference", f"{gain['paper']:+.2f}", _ours(gain, "+"), len(gain["values"]))
    add(*_shared_row(found))
    add(*_cost_row(found))
    return rows


def _ours(cell: Mapping[str, Any], sign: str = "") -> str:
    return figure({**cell, "paper": None}, sign)


def _shared_row(found: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """Layers with the same width in the two largest platforms."""
    searches = found["searches"]
    counts = [content["shared"][-1] for content in searches.get("search-ows", {}).values()]
    original = searches["original"][""]["shared"][-1]
    ours = f"{sum(counts) / len(counts):g} (original widths: {original})" if counts else "-"
    return "equal widths of #6 and #7 by OWS, of 14 layers", str(paper.SHARED_P6_P7), ours, len(counts)


def _cost_row(found: Mapping[str, Any]) -> tuple[str, str, str, int]:
    """One shared network against seven, in trained pictures and in seconds of the process."""
    shared, alone = found["costs"]["one shared network"], found["costs"]["seven networks alone"]
    ours = "-"
    if shared["images"] and alone["images"]:
        ours = (
            f"{shared['images'] / alone['images']:.2f} of the pictures, "
            f"{shared['cpu_seconds'] / alone['cpu_seconds']:.2f} of the CPU time"
        )
    return "training one shared network against seven alone", "-", ours, len(found["seeds"])


def _machine(environment: Mapping[str, Any]) -> str:
    torch = environment.get("packages", {}).get("torch", "?")
    device = environment.get("gpu") or f"{environment.get('cores')} CPU cores ({environment.get('cpu')})"
    return f"{device}, torch {torch}"


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


# ---------------------------------------------------------------------- the others


def _restaurant_rows(found: Mapping[str, Any]) -> list[Row]:
    command = "`python recipes/chinese_restaurant.py`"
    return [
        [
            f"mean tables, discount {p['discount']:g}, strength {p['strength']:g} (rows {p['rows']})",
            f"- (exact: {p['expected_tables']:.2f})",
            f"{p['mean_tables']:.2f} ± {p['standard_error']:.2f} (standard error)",
            f"{found['draws']:,} draws of {found['customers']} customers",
            command,
        ]
        for p in found["processes"]
    ]


def _truth_rows(found: Mapping[str, Any]) -> list[Row]:
    setting = f"16,384 trained networks, {found['queries']} queries, ten budgets, {_seeds(found['seeds'])}"
    rows = []
    for name in ("OWS", "AOWS", "random search, same rows"):
        f = found["systems"][name]
        ours = f"{f['mean']:.3f} ({f['interval'][0]:.3f} to {f['interval'][1]:.3f})"
        rows.append(
            [f"regret of {name} (points, 95 % interval)", "-", ours, setting, "`python recipes/ground_truth.py`"]
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Renews the table between the two marks of README.md; ``arguments`` may name another folder of recipes."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    folder = Path(given[0]) if given else RECIPES
    readme = folder / "README.md"
    try:
        text = readme.read_text(encoding="utf-8") if readme.exists() else ""
        if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
            raise RequestError(f"{readme}: it needs the marks {BEGIN} and {END}, once each and in this order")
        head, tail = text.split(BEGIN)[0], text.split(END)[1]
        write_atomically(readme, f"{head}{BEGIN}\n{overview(folder / 'results')}\n{END}{tail}".encode())
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
