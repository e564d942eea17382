"""Runs benchmarks, each in a fresh process, and writes the table of README.md from all results.

python benchmarks/run.py            # all, about twenty minutes
python benchmarks/run.py NAME ...   # some of them
python benchmarks/run.py --table    # only the table, from the results that are there
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import RESULTS

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
NAMES = (
    "elastic_pass",
    "elastic_pass_proxylessnas",
    "sandwich_step",
    "architecture_costs",
    "exact_solver",
    "input_pipeline",
    "peak_memory",
    "allocator",
    "op_warmup",
    "children_per_step",
    "search_step",
    "darts_step",
    "anytime_exits",
)


def main() -> int:
    """Runs what was asked for; the exit code is that of the first benchmark that broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--table", action="store_true", help="run nothing, write the table")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name in () if arguments.table else arguments.names or NAMES:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py")])
        if done.returncode:
            return done.returncode
    write_table(README, [json.loads(path.read_text("utf-8")) for name in NAMES if (path := result_of(name)).exists()])
    return 0


def result_of(name: str) -> Path:
    """Where a benchmark writes its figures."""
    return RESULTS / f"{name}.json"


def write_table(readme: Path, documents: list[dict[str, Any]]) -> None:
    """Replaces what stands between the two marks in the README."""
    text = readme.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{readme} has lost its marks {BEGIN} and {END}")
    parts = [section(document) for document in documents]
    readme.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + after, encoding="utf-8")


def section(document: dict[str, Any]) -> str:
    """One benchmark: its question, its figures, and what they were measured on."""
    rows = [
        f"**[{document['benchmark']}]({document['benchmark']}.py)**: {document['question']}",
        "",
        "| figure | value | 95 % interval | goal | n |",
        "|---|---|---|---|---|",
        *[row(figure) for figure in document["figures"]],
        "",
        f"<sub>{machine(document['environment'])}</sub>",
    ]
    return "\n".join(rows)


def row(figure: dict[str, Any]) -> str:
    """One line of the table; a missed goal is in bold."""
    unit = "" if figure["unit"] == "ratio" else f" {figure['unit']}"
    value = f"{figure['value']:.4g}{unit}"
    span = "" if figure["low"] == figure["high"] else f"{figure['low']:.4g} to {figure['high']:.4g}"
    goal = ""
    if figure["goal"] is not None:
        goal = f"{'at least' if figure['at_least'] else 'at most'} {figure['goal']:g}{unit}"
        goal += ", met" if figure["met"] else ", **missed**"
    return f"| {figure['name']}{_sides(figure['details'])} | {value} | {span} | {goal} | {figure['samples']} |"


def _sides(details: dict[str, Any]) -> str:
    """The absolute values behind a ratio."""
    for unit in ("ms", "mean_ms", "mib"):
        if f"first_{unit}" in details:
            shown = {"ms": "ms", "mean_ms": "ms", "mib": "MiB"}[unit]
            return f" ({details[f'first_{unit}']:.4g} / {details[f'second_{unit}']:.4g} {shown})"
    return ""


def machine(environment: dict[str, Any]) -> str:
    """What figures were measured on, in one line."""
    packages = environment["packages"]
    load = environment["load_average"]
    parts = [
        environment["date"][:16].replace("T", " "),
        f"{environment['cpu']}, {environment['cores']} cores, one thread",
        f"Python {environment['python']}, torch {packages['torch']}, numpy {packages['numpy']}",
        f"commit {str(environment['commit'])[:12]}",
        *([f"load {load[0]:.1f}"] if load else []),
    ]
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
