"""From timings to a predictor with its error report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.correction import Correction, fit_correction
from sartor.costs.factors import FactorCost
from sartor.costs.keys import Piece, network_pieces
from sartor.costs.linear_fit import fit_linear, linear_document
from sartor.costs.pairwise import fit_pairwise
from sartor.costs.tables import Entry, LatencyTable
from sartor.errors import RequestError
from sartor.profiling.errors import error_report
from sartor.profiling.estimates import Visits, entry, estimate, noise
from sartor.profiling.interpolate import interpolate
from sartor.profiling.plan import CALL, Plan

_MIN_CORRECTIONS = 10
# What was fitted to networks is corrected by better measurements than it was fitted to, or not at all.
_FITTED_VISITS = 2

Document = dict[str, Any]
Rows = NDArray[np.int64]


def build_document(
    plan: Plan, visits: Visits, facts: Mapping[str, Any], judges: Visits | None = None, corrected: bool = True
) -> Document:
    """A device file of the plan's predictor, with what it is off networks that it has not seen.

    Args:
        plan: what was planned.
        visits: what was measured (:func:`sartor.profiling.estimates.visits_of`).
        facts: device, runtime, threads, dtype, batch, date, repeats and clock.
        judges: measurements of the networks that judge; by default those in ``visits``.
        corrected: fit a correction to whole networks, where enough of them were measured.

    Raises:
        RequestError: too little was measured.
    """
    if CALL not in visits:
        raise RequestError("nothing was measured yet; start the same command again")
    known = {k: facts[k] for k in ("device", "runtime", "threads", "dtype", "batch", "date", "repeats")}
    known |= {
        "image_size": plan.space.image_size,
        "space": plan.facts(),
        "noise": noise(visits, list(plan.networks), facts["clock"]),
    }
    make = _linear if plan.settings.predictor == "linear" else _keyed
    return make(plan, visits, known, visits if judges is None else judges, corrected)


def _keyed(plan: Plan, visits: Visits, known: Document, judges: Visits, corrected: bool) -> Document:
    """A table of block keys: measured one by one, or fitted to networks."""
    call_ns = estimate(visits[CALL])
    if plan.settings.predictor == "table":
        entries = {key: entry(visits[key], call_ns) for key in plan.pieces if key in visits}
        constant = round(call_ns)
    else:
        rows, measured = _measured(plan, visits, ["fit"])
        _require_networks(len(rows))
        fitted, strength = fit_pairwise(plan.space, plan.pieces, rows, measured.tolist())
        entries = {key: Entry(max(1, round(ns))) for key, ns in fitted.items()}
        constant, known = 0, {**known, "fit": {"networks": len(rows), "order_strength": strength}}
    if not entries:
        raise RequestError("no block was measured yet; give it more minutes")
    filled = interpolate(plan.pieces, {key: float(e.ns) for key, e in entries.items()})
    entries |= {key: Entry(max(1, round(ns)), interpolated=True) for key, ns in filled.items()}
    extra = known.pop("fit", {})
    table = LatencyTable(kind=plan.settings.predictor, call_ns=constant, entries=entries, **known)
    correction = _correction(plan, table, visits) if corrected else None
    errors = _judge(plan, judges, table.cost, None if correction is None else _with(table, correction).cost)
    facts = {"measured": len(plan.pieces) - len(filled), "interpolated": len(filled), **extra}
    table = dataclasses.replace(table, correction=correction, errors={**errors, "entries": facts})
    return table.to_dict()


def _with(table: LatencyTable, correction: Correction) -> LatencyTable:
    return dataclasses.replace(table, correction=correction)


def _linear(plan: Plan, visits: Visits, known: Document, judges: Visits, corrected: bool) -> Document:
    rows, measured = _measured(plan, visits, ["fit"])
    _require_networks(len(rows))
    space = plan.space
    raw = fit_linear(space, rows, measured.tolist())
    others, target = _measured(plan, visits, ["correction"], _FITTED_VISITS)
    model, scale, offset = raw, 1.0, 0.0
    if corrected and len(others) >= _MIN_CORRECTIONS:
        scale, offset = _line(raw.cost(space)(others).astype(np.float64), target)
        model = fit_linear(space, rows, measured.tolist(), scale=scale, offset_ns=offset)
    errors = _judge(plan, judges, raw.cost, None if model is raw else model.cost)
    errors["entries"] = {"networks": len(rows), "checksum_ns": max(raw.checksums(space).values())}
    correction = {"scale": scale, "offset_ns": offset, "networks": len(others)} if model is not raw else None
    return linear_document(model, kind="linear", **known, correction=correction, errors=errors)


def _line(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> tuple[float, float]:
    """Scale and offset with the least squared relative error."""
    columns = np.column_stack([predicted, np.ones(len(predicted))]) / measured[:, None]
    size = np.sqrt((columns**2).mean(axis=0))
    found = np.linalg.lstsq(columns / size, np.ones(len(measured)), rcond=None)[0] / size
    return float(found[0]), float(found[1])


def _correction(plan: Plan, table: LatencyTable, visits: Visits) -> Correction | None:
    least = 1 if plan.settings.predictor == "table" else _FITTED_VISITS
    rows, measured = _measured(plan, visits, ["correction"], least)
    if len(rows) < _MIN_CORRECTIONS:
        return None
    networks: list[list[tuple[int, Piece]]] = []
    for row in rows:
        pieces = network_pieces(plan.space.architecture(row).blueprint)
        networks.append([(table.ns(piece), piece) for piece in pieces])
    return fit_correction(networks, table.call_ns, measured.tolist())


def _judge(
    plan: Plan,
    judges: Visits,
    raw: Callable[[Any], FactorCost],
    corrected: Callable[[Any], FactorCost] | None,
) -> Document:
    """Errors on the networks that judge, of the plain sum and of the corrected one, and the points of the plot."""
    found: Document = {}
    groups = {name: _measured(plan, judges, [name]) for name in ("held_out", "uniform_width")}
    rows = np.concatenate([rows for rows, _ in groups.values()])
    measured = np.concatenate([ns for _, ns in groups.values()])
    for name, cost in (("raw", raw), ("corrected", corrected)):
        if cost is not None and len(rows):
            predicted = cost(plan.space)(rows).astype(np.float64)
            found[name] = error_report(predicted.tolist(), measured.tolist())
    best = corrected or raw
    found["points"] = {
        name: [
            [round(float(p) / 1e6, 6), round(float(m) / 1e6, 6)]
            for p, m in zip(best(plan.space)(rows), ns, strict=True)
        ]
        for name, (rows, ns) in groups.items()
        if len(rows)
    }
    return found


def _measured(plan: Plan, visits: Visits, groups: Sequence[str], least: int = 1) -> tuple[Rows, NDArray[np.float64]]:
    """The rows of those networks of some groups that were visited often enough, and their nanoseconds."""
    names = [f"{group} {i}" for group in groups for i in range(len(plan.rows[group]))]
    done = [name for name in names if name in visits and len(visits[name]) >= least]
    rows = np.array([plan.networks[name] for name in done], dtype=np.int64).reshape(-1, len(plan.space.sizes))
    return rows, np.array([estimate(visits[name]) for name in done])


def _require_networks(count: int) -> None:
    if count < 2:
        raise RequestError(f"{count} networks were measured, too few to fit a model; give it more minutes")
