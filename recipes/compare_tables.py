"""Every method beside random search on tables of trained architectures: two published ones, and thirteen made up.

Published: NAS-Bench-Macro and the MobileNet half of Channel-Bench-Macro, budgets at the 10th, 25th, 50th and 75th
percentile of the MACs. OWS and AOWS with 50, 100 and 300 queries, each answered by the accuracy of one run; policies
with 1,000 and 3,000 queries and noise of 1.3 points on each, as a batch of 512 pictures has it; regularised evolution
with 100 queries. Random search has the same queries, all within the budget and none twice.

Made up (recipes/tables/synthetic.py): tables of other shapes, on which no setting was chosen; budget at the 30th
percentile, 100 queries without and 1,000 with noise of 1.3 times the spread of accuracies.

    python recipes/compare_tables.py --work FOLDER

Searches are kept in FOLDER, so that the same command goes on; the figures are the same on every machine. What is
missing is left out of the tables, and said (``--report`` only reports).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartor.compare.result import compare_table
from sartor.compare.table import Table, read_table
from sartor.errors import SartorError
from sartor.progress import Progress
from sartor.storage import to_json, write_atomically
from tables.convert import CONVERTERS
from tables.synthetic import TABLES

PUBLISHED = Path(__file__).resolve().parent / "results"
NAME = "compare_tables"
PERCENTILES, MADE_UP_PERCENTILE = (10, 25, 50, 75), 30
NOISE = 1.3
WIDTHS, POLICIES = ("ows", "aows"), ("tunas", "fpnas")
# Where random search loses less than this many points, nobody needs to be better.
NEGLIGIBLE = 0.15


@dataclass(frozen=True)
class Case:
    """One comparison: a table, a percentile of its first cost as budget, queries, noise in points, and methods."""

    table: str
    percentile: int
    queries: int
    noise: float
    methods: tuple[str, ...]

    @property
    def key(self) -> str:
        """A name for its folder."""
        return f"{self.table}-p{self.percentile}-q{self.queries}-n{self.noise:g}"


def cases() -> Iterator[Case]:
    """All comparisons, those of the published tables first, the cheap ones before the dear ones."""
    for queries in (50, 100, 300):
        for name in CONVERTERS:
            for percentile in PERCENTILES:
                extra = ("evolution",) if queries == 100 else ()
                yield Case(name, percentile, queries, 0.0, (*WIDTHS, *extra))
    for name in TABLES:
        yield Case(name, MADE_UP_PERCENTILE, 100, 0.0, WIDTHS)
    for queries in (1_000, 3_000):
        for name in CONVERTERS:
            for percentile in PERCENTILES:
                yield Case(name, percentile, queries, NOISE, POLICIES)
        if queries == 1_000:
            for name in TABLES:
                yield Case(name, MADE_UP_PERCENTILE, queries, -NOISE, POLICIES)  # negative: times the spread


def table_of(name: str, work: Path, folder: Path | None) -> Table:
    """A published table, converted into the work folder, or a made-up one."""
    if name in TABLES:
        return TABLES[name](0)
    path = work / "tables" / f"{name}.npz"
    return read_table(path) if path.exists() else CONVERTERS[name](path, folder)


def measure(case: Case, table: Table, work: Path, seeds: int, processes: int) -> dict[str, Any]:
    """One comparison; only its figures are kept."""
    cost = next(iter(table.costs))
    limit = float(np.percentile(table.costs[cost], case.percentile))
    noise = case.noise if case.noise >= 0 else round(-case.noise * float(table.means.std()), 3)
    found = compare_table(
        table, {cost: limit}, case.methods, case.queries, seeds, noise, processes, work / case.key, Progress(lines=True)
    )
    kept = ("regret_mean", "regret_ci95", "regret_mean_fit", "within_budget", "difference_to_random")
    rows = {
        name: {key: row[key] for key in (*kept, "difference_to_random_fit", "regrets")}
        for name, row in found["methods"].items()
        if row["not_applicable"] is None
    }
    return {
        "table": case.table,
        "percentile": case.percentile,
        "queries": case.queries,
        "noise": noise,
        "methods": rows,
    }


def markdown(found: Sequence[Mapping[str, Any]], seeds: int) -> str:
    """The comparisons as tables: regrets in points, and whether the paired interval to random search excludes 0."""
    published = [one for one in found if one["table"] in CONVERTERS]
    made_up = [one for one in found if one["table"] in TABLES]
    lines = [
        f"{seeds} seeds; regret in points of true accuracy, paired difference to random search with 95 % interval."
    ]
    for title, own in (("Published tables", published), ("Made-up tables", made_up)):
        if own:
            lines += ["", f"## {title}", "", *_table(own)]
    missing = len(list(cases())) - len(found)
    if missing:
        lines += ["", f"{missing} of {len(list(cases()))} comparisons were not run."]
    return "\n".join([*lines, "", *verdicts(found)]) + "\n"


def verdicts(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """How often each method is better or worse than random search, and where it should be and is not."""
    lines = []
    for name in (*WIDTHS, *POLICIES, "evolution"):
        rows = [(one, one["methods"][name]) for one in found if name in one["methods"]]
        for title, known in (("published", CONVERTERS), ("made up", TABLES)):
            own = [(one, row["difference_to_random"]) for one, row in rows if one["table"] in known]
            if not own:
                continue
            matters = [(one, d) for one, d in own if one["methods"]["random"]["regret_mean"] > NEGLIGIBLE]
            short = [f"{one['table']} {one['percentile']} % {one['queries']}" for one, d in matters if not d["better"]]
            lines.append(
                f"- {name}, {title}: better in {sum(d['better'] for _, d in own)} of {len(own)}, worse in "
                f"{sum(d['worse'] for _, d in own)}; where random search loses more than {NEGLIGIBLE} points better in "
                f"{len(matters) - len(short)} of {len(matters)}{' (not in ' + '; '.join(short) + ')' if short else ''}."
            )
    return lines


def _table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| table | budget | queries | noise | method | regret | random | difference | by fit | random by fit |",
        "|" + " --- |" * 10,
    ]
    for one in found:
        random = one["methods"]["random"]
        for name, row in one["methods"].items():
            if name != "random":
                difference = row["difference_to_random"]
                low, high = difference["ci95"] or (np.nan, np.nan)
                verdict = " **worse**" if difference["worse"] else "" if difference["better"] else " (no difference)"
                lines.append(
                    f"| {one['table']} | {one['percentile']} % | {one['queries']} | {one['noise']:g} | {name} | "
                    f"{row['regret_mean']:.3f} | {random['regret_mean']:.3f} | {difference['mean']:+.3f} "
                    f"({low:+.3f} to {high:+.3f}){verdict} | {row['regret_mean_fit']:.3f} | "
                    f"{random['regret_mean_fit']:.3f} |"
                )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing, and writes figures and tables after every comparison."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--work", type=Path, required=True, help="keeps the searches and the converted tables")
    parser.add_argument("--folder", type=Path, help="folder of the shared data (default: SARTOR_SHARED_DATA)")
    parser.add_argument("--only", nargs="*", help="names of tables")
    parser.add_argument("--methods", nargs="*", help="only these, and random search")
    parser.add_argument("--report", action="store_true", help="search nothing, report what is there")
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    state = given.out / f"{NAME}.json"
    try:
        kept = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
        found = {key: one for key, one in kept.get("cases", {}).items() if kept.get("seeds") == given.seeds}
        for case in cases():
            wanted = not given.only or case.table in given.only
            methods = tuple(m for m in case.methods if not given.methods or m in given.methods)
            known = found.get(case.key, {"methods": {}})["methods"]
            if given.report or not wanted or all(m in known for m in methods):
                continue
            print(case.key, file=sys.stderr, flush=True)
            narrowed = Case(case.table, case.percentile, case.queries, case.noise, (*known, *methods))
            table = table_of(case.table, given.work, given.folder)
            found[case.key] = measure(narrowed, table, given.work, given.seeds, given.processes)
            content = {"recipe": NAME, "seeds": given.seeds, "cases": found}
            write_atomically(state, (to_json(content, indent=None) + "\n").encode())
        order = [found[case.key] for case in cases() if case.key in found]
        text = markdown(order, given.seeds)
        write_atomically(given.out / f"{NAME}.md", text.encode())
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
