"""What a comparison on a table says: per method the regrets of its answers, beside random search, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sartor.compare.methods import BASELINE
from sartor.compare.oracle import Oracle, Searched
from sartor.compare.statistics import mean_of, paired_difference
from sartor.mrf.problem import number


def document(
    oracle: Oracle,
    names: Sequence[str],
    found: Mapping[str, Sequence[Searched]],
    reasons: Mapping[str, str],
    seeds: int,
) -> dict[str, Any]:
    """Everything as plain data; nothing in it depends on time or machine."""
    baseline = found[BASELINE]
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
        "regret_ci95": mean.ci95,
        "within_budget": float(np.mean(oracle.fits[own + fit])),
        "accuracy_mean": float(table.means[own].mean()),
        "answers": table.choices[own].tolist(),
        "answers_fit": table.choices[fit].tolist(),
        "regret_deviation": mean.deviation,
        "regret_fit_ci95": mean_fit.ci95,
        "difference_to_random": _difference(regrets, [oracle.regret(s.own) for s in baseline]),
        "difference_to_random_fit": _difference(fitted, [oracle.regret(s.fit) for s in baseline]),
        "regrets": regrets,
        "regrets_fit": fitted,
        "costs": {name: table.costs[name][own].tolist() for name in oracle.budgets},
        "repaired": int(sum(s.repaired for s in searches)),
        "queries_used": [s.spent for s in searches],
        "curve": _curve(oracle, searches),
        "not_applicable": None,
    }


def _difference(regrets: Sequence[float], baseline: Sequence[float]) -> dict[str, Any]:
    return paired_difference(regrets, baseline).as_difference(lower_is_better=True)


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
