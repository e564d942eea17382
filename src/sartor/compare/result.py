"""Two comparisons of methods with random search: on a table, and on real training. Each is a document of plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sartor.compare import methods, table_document, training_document
from sartor.compare.on_tables import TableSearches, reasons_against
from sartor.compare.oracle import Oracle, Searched
from sartor.compare.runner import run
from sartor.compare.table import Table
from sartor.compare.workers import Workers
from sartor.config import Job
from sartor.errors import RequestError
from sartor.progress import Progress


def compare_table(
    table: Table,
    budgets: Sequence[str] | Mapping[str, Any],
    names: Sequence[str] = methods.ON_TABLES,
    queries: int = 300,
    seeds: int = 20,
    noise_points: float = 0.0,
    processes: int = 1,
    folder: Path | None = None,
    progress: Progress | None = None,
    dask: str | None = None,
) -> dict[str, Any]:
    """Compares methods on a table; the document that ``sartor compare --json`` prints.

    Args:
        table: see :mod:`sartor.compare.table`.
        budgets: ``["macs=12M"]`` or ``{"macs": 12_000_000}``; all must be met.
        names: of methods; random search is always among them.
        queries: accuracies that each search may look at.
        seeds: whole searches per method.
        noise_points: standard deviation, in points, of noise on every look.
        processes: that share the searches; the document does not depend on it.
        folder: keeps every search, so that an interrupted comparison goes on.
        dask: the address of a Dask scheduler, whose workers do the searches in place of ``processes``.

    Raises:
        RequestError: an unknown method or column, or a number that is out of range.
        InfeasibleBudgetError: nothing fits; names the cheapest row.
    """
    chosen = methods.check_names(list(names))
    limits = table.budgets(budgets)
    if not limits:
        raise RequestError("a comparison needs a budget, such as --budget macs=12M")
    table.within(limits)
    _check_looks(table, queries, noise_points)
    _check_seeds(seeds)
    oracle = Oracle(table, limits, queries, noise_points)
    reasons = reasons_against(oracle, chosen)
    able = [name for name in chosen if name not in reasons]
    found = run(TableSearches(oracle), able, seeds, Workers(processes, dask), folder, progress)
    searches = {name: [Searched.of(plain) for plain in plains] for name, plains in found.searches.items()}
    return table_document.document(oracle, chosen, searches, reasons, seeds)


def compare_training(
    job: Job,
    names: Sequence[str] = methods.ON_TRAINING,
    seeds: int = 3,
    *,
    folder: Path,
    processes: int = 1,
    progress: Progress | None = None,
    dask: str | None = None,
) -> dict[str, Any]:
    """Compares methods by whole runs of a job; the document that ``sartor compare JOB --json`` prints.

    Args:
        job: data, space, platforms, both trainings, and what a search costs: that of its own method for its epochs.
        names: of methods; random search is always among them.
        seeds: whole searches per method, each with its answers trained anew.
        folder: keeps every search with its checkpoints: an interrupted comparison goes on, within a search.
        processes: that share the searches; but for times the document does not depend on it.
        dask: the address of a Dask scheduler, whose workers do the searches in place of ``processes``.

    Raises:
        RequestError: an unknown method, a job that is wrong, or a folder that holds another comparison.
        InfeasibleBudgetError: a platform that no architecture fits.
        SartorError: a search was stopped by an error that nobody foresaw.
    """
    from sartor.compare.on_training import plan

    chosen = methods.check_names(list(names), methods.ON_TRAINING)
    _check_seeds(seeds)
    workers = Workers(processes, dask)
    planned = plan(job, chosen, folder, progress)
    able = [name for name in chosen if name not in planned.reasons]
    found = run(planned.question, able, seeds, workers, folder, progress)
    reasons = planned.reasons | found.reasons
    return training_document.document(job, planned, chosen, found.searches, reasons, seeds)


def _check_looks(table: Table, queries: int, noise_points: float) -> None:
    if not 1 <= queries <= len(table):
        raise RequestError(
            f"--queries {queries}: {table.name} has {len(table):,} rows; ask for at least 1 look and at most one for "
            "each row"
        )
    if not 0 <= noise_points < 100:
        raise RequestError(f"--noise {noise_points}: points of accuracy, from 0 to below 100")


def _check_seeds(seeds: int) -> None:
    if seeds < 1:
        raise RequestError(f"--seeds {seeds} must be at least 1; from 2 on there is an interval")
