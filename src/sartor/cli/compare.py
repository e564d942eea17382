"""``sartor compare``: methods beside random search, on a table or on real training."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from sartor.cli.outcome import error_log, print_json, results_only
from sartor.environment import usable_cores
from sartor.errors import RequestError
from sartor.progress import Progress

if TYPE_CHECKING:
    from sartor.config import Job


@dataclass(frozen=True)
class Asked:
    """The command line; None where something was left out."""

    job: Path | None
    table: Path | None
    budgets: Sequence[str] | None
    methods: str | None
    queries: int | None
    noise_points: float | None
    seeds: int | None
    overrides: Sequence[str] | None
    processes: int | None
    dask: str | None
    out: Path | None


def compare(asked: Asked, as_json: bool, progress: Progress) -> None:
    """Compares methods, prints what came out, and writes files.

    Raises:
        RequestError: neither a job nor a table, both, or options of the one with the other.
    """
    if (asked.job is None) == (asked.table is None):
        raise RequestError(
            "compare needs a job file (sartor compare JOB.yaml: by real training) or a table of trained architectures "
            "(sartor compare --table FILE.npz --budget macs=12M), one of them"
        )
    if asked.processes is not None and asked.dask is not None:
        raise RequestError("--processes are of this machine and --dask names a cluster: give one of them")
    _refuse_strangers(asked)
    on_table(asked, as_json, progress) if asked.job is None else on_training(asked, as_json, progress)


def _refuse_strangers(asked: Asked) -> None:
    tables = {"--budget": asked.budgets, "--queries": asked.queries, "--noise": asked.noise_points}
    jobs = {"--set": asked.overrides}
    wrong = [name for name, value in (jobs if asked.job is None else tables).items() if value is not None]
    if wrong and asked.job is not None:
        raise RequestError(
            f"{' and '.join(wrong)}: for tables only; a job has budgets on its platforms, and a search lasts its "
            "search.epochs (--set search.epochs=5)"
        )
    if wrong:
        raise RequestError(f"{' and '.join(wrong)}: for a job; a table is searched as it is")


def _names(asked: Asked, default: Sequence[str]) -> list[str]:
    if asked.methods is None:
        return list(default)
    return [name.strip() for name in asked.methods.split(",") if name.strip()]


def on_training(asked: Asked, as_json: bool, progress: Progress) -> None:
    """Compares methods by whole runs of a job."""
    from sartor.compare.methods import ON_TRAINING
    from sartor.compare.page import check_drawing, write_files
    from sartor.compare.result import compare_training
    from sartor.config import load_job

    assert asked.job is not None  # told apart by :func:`compare`
    job = load_job(asked.job, asked.overrides or [])
    out = asked.out or Path("runs") / f"compare-{job.name}"
    check_drawing()
    with error_log(out), results_only():
        workers = asked.processes if asked.processes is not None else _processes(job)
        seeds = 3 if asked.seeds is None else asked.seeds
        document = compare_training(
            job,
            _names(asked, ON_TRAINING),
            seeds,
            folder=out,
            processes=workers,
            progress=progress,
            dask=asked.dask,
        )
        write_files(document, out)
    if as_json:
        print_json(document)
    else:
        print_training(document, out)


def _processes(job: Job) -> int:
    """One search per core that it uses; one at a time on an accelerator."""
    if job.device != "cpu":
        from sartor.runtime import prepare

        if prepare(job.device, job.precision).device.type != "cpu":
            return 1
    return max(1, usable_cores() // (job.threads or 1))


def on_table(asked: Asked, as_json: bool, progress: Progress) -> None:
    """Compares methods on a table of trained architectures."""
    from sartor.compare.methods import ON_TABLES
    from sartor.compare.result import compare_table
    from sartor.compare.table import read_table

    assert asked.table is not None  # told apart by :func:`compare`
    table = read_table(asked.table)
    with results_only():
        document = compare_table(
            table,
            list(asked.budgets or []),
            _names(asked, ON_TABLES),
            300 if asked.queries is None else asked.queries,
            20 if asked.seeds is None else asked.seeds,
            asked.noise_points or 0.0,
            asked.processes if asked.processes is not None else usable_cores(),
            asked.out,
            progress,
            asked.dask,
        )
        if asked.out is not None:
            from sartor.compare.drawing import write_files

            write_files(document, asked.out)
    if as_json:
        print_json(document)
    else:
        print_comparison(document, asked.out)


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
    grid = _grid(heads)
    for name, row in document["methods"].items():
        grid.add_row(*(Text(cell) for cell in _cells(name, row)))
    _console().print(grid)
    _print_rest(document, out)


def print_training(document: Mapping[str, Any], out: Path) -> None:
    """A comparison on real training as people read it."""
    platforms = [p["name"] for p in document["platforms"]]
    several = len(platforms) > 1
    _print(
        f"{document['job']}: {document['space']} on {document['data']}, {document['seeds']} whole searches per method. "
        f"Percent right on the {document['judged_on']} pictures, with 95 % intervals."
    )
    heads = ["method", "weighted" if several else "accuracy", "less random's", *(platforms if several else ())]
    grid = _grid([*heads, "within budget", "pictures", "cpu s search", "cpu s training"])
    for name, row in document["methods"].items():
        grid.add_row(*(Text(cell) for cell in _training_cells(name, row, platforms if several else [])))
    _console().print(grid)
    _print_rest(document, out)


def _training_cells(name: str, row: Mapping[str, Any], platforms: Sequence[str]) -> tuple[str, ...]:
    if row["not_applicable"]:
        return name, "not applicable"
    against = row["difference_to_random"]
    means = [row["platforms"][platform]["accuracy_mean"] for platform in platforms]
    return (
        name,
        _with_interval(row["accuracy_mean"], row["accuracy_ci95"], digits=2),
        "" if name == "random" or against is None else _difference(against, digits=2),
        *(f"{mean:.2f}" for mean in means),
        f"{row['within_budget']:.0%}",
        f"{_mean(row['search_cost_images']):,.0f}",
        f"{_mean(row['times']['search_cpu_seconds']):.1f}",
        f"{_mean(row['times']['training_cpu_seconds']):.1f}",
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _print_rest(document: Mapping[str, Any], out: Path | None) -> None:
    """What could not be compared, what should be known, and where the files are."""
    for name, row in document["methods"].items():
        if row["not_applicable"]:
            _print(f"{name}: not applicable: {row['not_applicable']}")
    for note in document["notes"]:
        _print(f"Note: {note}")
    if out is not None:
        _print(f"Files: {out}")


def _grid(heads: Sequence[str]) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        grid.add_column(head, justify="left" if place == 0 else "right")
    return grid


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


def _difference(difference: Mapping[str, Any], digits: int = 3) -> str:
    verdict = "better" if difference["better"] else "worse" if difference["worse"] else "no difference"
    known = difference["ci95"] is not None
    text = _with_interval(difference["mean"], difference["ci95"], sign=True, digits=digits)
    return f"{text} {verdict}" if known else text


def _with_interval(mean: float, interval: list[float] | None, sign: bool = False, digits: int = 3) -> str:
    form = f"{'+' if sign else ''}.{digits}f"
    text = f"{mean:{form}}"
    return text if interval is None else f"{text} ({interval[0]:{form}} to {interval[1]:{form}})"


def _print(text: str) -> None:
    _console().print(Text(text), soft_wrap=True)


def _console() -> Console:
    # Where there is no terminal, a line holds a whole table row.
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 180)
