"""What a comparison says: per method the regrets of its answers, beside random search, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sartor.compare import methods, runner
from sartor.compare.oracle import Oracle, Searched
from sartor.compare.statistics import Mean, mean_of, paired_difference
from sartor.compare.table import Table
from sartor.errors import RequestError
from sartor.mrf.problem import number
from sartor.progress import Progress


def compare_table(
    table: Table,
    budgets: Sequence[str] | Mapping[str, Any],
    names: Sequence[str] = methods.DEFAULT,
    queries: int = 300,
    seeds: int = 20,
    noise_points: float = 0.0,
    processes: int = 1,
    folder: Path | None = None,
    progress: Progress | None = None,
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

    Raises:
        RequestError: an unknown method or column, or a number that is out of range.
        InfeasibleBudgetError: nothing fits; names the cheapest row.
    """
    chosen = methods.check_names(list(names))
    limits = table.budgets(budgets)
    if not limits:
        raise RequestError("a comparison needs a budget, such as --budget macs=12M")
    table.within(limits)
    _check_numbers(table, queries, seeds, noise_points, processes)
    oracle = Oracle(table, limits, queries, noise_points)
    reasons = runner.applicable(oracle, chosen)
    able = [name for name in chosen if name not in reasons]
    found = runner.run(oracle, able, seeds, processes, folder, progress)
    return document(oracle, chosen, found, reasons, seeds)


def document(
    oracle: Oracle,
    names: Sequence[str],
    found: Mapping[str, Sequence[Searched]],
    reasons: Mapping[str, str],
    seeds: int,
) -> dict[str, Any]:
    """Everything as plain data; nothing in it depends on time or machine."""
    baseline = found[methods.BASELINE]
    rows = {name: _row(oracle, found[name], baseline) if name in found else _absent(reasons[name]) for name in names}
    table, best = oracle.table, oracle.best
    return {
        "methods": rows,
        "best_in_budget": float(table.means[best]),
        "queries": oracle.queries,
        "seeds": seeds,
        "budget": dict(oracle.budgets),
        "noise": oracle.noise_points,
        "best_answer": table.choices[best].tolist(),
        "curve_queries": list(oracle.moments),
        "table": {
            "name": table.name,
            "rows": len(table),
            "rows_in_budget": int(oracle.fits.sum()),
            "decisions": list(table.decision_names),
            "options": [len(known) for known in table.options],
            "repeats": table.accuracy.shape[1],
            "complete": table.complete,
        },
        "costs": {name: _cost(oracle, name) for name in oracle.budgets},
        "notes": _notes(oracle),
    }


def _row(oracle: Oracle, searches: Sequence[Searched], baseline: Sequence[Searched]) -> dict[str, Any]:
    table = oracle.table
    own, fit = [s.own for s in searches], [s.fit for s in searches]
    regrets, fitted = [oracle.regret(p) for p in own], [oracle.regret(p) for p in fit]
    mean, mean_fit = mean_of(regrets), mean_of(fitted)
    return {
        "regret_mean": mean.mean,
        "regret_mean_fit": mean_fit.mean,
        "regret_ci95": _interval(mean),
        "within_budget": float(np.mean(oracle.fits[own + fit])),
        "accuracy_mean": float(table.means[own].mean()),
        "answers": table.choices[own].tolist(),
        "answers_fit": table.choices[fit].tolist(),
        "regret_deviation": mean.deviation,
        "regret_fit_ci95": _interval(mean_fit),
        "difference_to_random": _difference(paired_difference(regrets, [oracle.regret(s.own) for s in baseline])),
        "difference_to_random_fit": _difference(paired_difference(fitted, [oracle.regret(s.fit) for s in baseline])),
        "regrets": regrets,
        "regrets_fit": fitted,
        "costs": {name: table.costs[name][own].tolist() for name in oracle.budgets},
        "repaired": int(sum(s.repaired for s in searches)),
        "queries_used": [s.spent for s in searches],
        "curve": _curve(oracle, searches),
        "not_applicable": None,
    }


def _absent(reason: str) -> dict[str, Any]:
    empty = ("regret_mean", "regret_mean_fit", "regret_ci95", "within_budget", "accuracy_mean")
    return {**dict.fromkeys(empty), "answers": [], "not_applicable": reason}


def _curve(oracle: Oracle, searches: Sequence[Searched]) -> dict[str, list[float | None]]:
    """The regret of the answer so far, at every moment at which all searches have one, with its interval."""
    found: dict[str, list[float | None]] = {"regret_mean": [], "low": [], "high": []}
    for positions in zip(*[s.curve for s in searches], strict=True):
        known = [oracle.regret(p) for p in positions if p is not None]
        mean = mean_of(known) if len(known) == len(positions) else None
        low, high = (None, None) if mean is None or mean.interval is None else mean.interval
        found["regret_mean"].append(None if mean is None else mean.mean)
        found["low"].append(None if low is None else max(0.0, low))
        found["high"].append(high)
    return found


def _cost(oracle: Oracle, name: str) -> dict[str, Any]:
    """Whether a column adds up over decisions and pairs of them, or how far its closest sum of decisions is off."""
    model = oracle.space.models[name]
    return {"additive": model.exact or model.worst_error == 0, "worst_error": model.worst_error}


def _notes(oracle: Oracle) -> list[str]:
    notes = list(oracle.table.notes)
    for name, model in oracle.space.models.items():
        if not model.exact and model.worst_error > 0:
            notes.append(
                f"{name} does not add up over the decisions (the closest sum is off by up to "
                f"{number(model.worst_error)}): what was never trained has a fitted cost, and every answer is checked "
                "by the table's own column"
            )
    if not oracle.table.complete:
        notes.append(f"{oracle.table.name} does not hold all combinations: every method is given the list of its rows")
    return notes


def _interval(mean: Mean) -> list[float] | None:
    return None if mean.interval is None else list(mean.interval)


def _difference(mean: Mean) -> dict[str, Any]:
    return {"mean": mean.mean, "ci95": _interval(mean), "better": mean.below_zero, "worse": mean.above_zero}


def _check_numbers(table: Table, queries: int, seeds: int, noise_points: float, processes: int) -> None:
    if not 1 <= queries <= len(table):
        raise RequestError(
            f"--queries {queries}: {table.name} has {len(table):,} rows; ask for at least 1 look and at most one for "
            "each row"
        )
    if seeds < 1 or processes < 1:
        raise RequestError(f"--seeds {seeds} and --processes {processes} must be at least 1")
    if not 0 <= noise_points < 100:
        raise RequestError(f"--noise {noise_points}: points of accuracy, from 0 to below 100")
