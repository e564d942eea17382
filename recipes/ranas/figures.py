"""Figures that the recipes of MS-RANAS share: what searches found, areas under any-time curves, and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranas.pieces import Kind, Piece
from ranas.work import Job
from sartor.anytime.curves import area_under_curve
from searches.compare import summary
from searches.text import shown, spread, table
from searches.worklist import read_piece

# How an exit answers: by itself, or with the mean of all exits so far.
PARTS = {"single": "test_accuracy", "ensemble": "test_ensemble_accuracy"}


def done(job: Job, plan: Sequence[Piece], kind: Kind, name: str) -> dict[int, dict[str, Any]]:
    """The finished pieces of one search or training in a plan, by number."""
    pieces = {p.number: read_piece(job.results, p) for p in plan if (p.kind, p.name) == (kind, name)}
    return {number: content for number, content in pieces.items() if content is not None}


def searched(contents: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What every search found, and its course."""
    kept = ("genotype", "steps", "images", "stopped", "warnings", "curves", "probabilities", "seconds", "cpu_seconds")
    return {
        str(number): {
            **{key: c[key] for key in kept},
            "macs": c["choice"]["costs"]["macs"],
            "derived_macs": (c["choice"]["own"] or c["choice"])["costs"]["macs"],
        }
        for number, c in contents.items()
    }


def times(job: Job, plan: Sequence[Piece]) -> dict[str, Any]:
    """Seconds per piece, of the wall clock and of the process."""
    found = {}
    for kind in ("search", "train"):
        contents = [c for p in plan if p.kind == kind and (c := read_piece(job.results, p)) is not None]
        found[kind] = {key: summary([c[key] for c in contents]) for key in ("seconds", "cpu_seconds")}
    return found


def areas_of(content: Mapping[str, Any], low: float, high: float) -> dict[str, float]:
    """Mean test accuracies over budgets, from ``low`` to ``high`` any-time MACs and from 0 to ``high``."""
    costs = [row["anytime_macs"] for row in content["exits"]]
    curves = {part: [row[column] for row in content["exits"]] for part, column in PARTS.items()}
    chance = 100.0 / content["classes"]
    areas = {part: area_under_curve(costs, curve, low, high, chance=chance) for part, curve in curves.items()}
    return {**areas, "from_zero": area_under_curve(costs, curves["ensemble"], 0.0, high, chance=chance)}


def search_table(searches: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """What every search found."""
    header = ["search", "steps", "MMACs", "derived", "entropy, first", "last", "skips", "minutes", "cells"]
    lines = [
        [
            f"{name} {number}",
            str(s["steps"]),
            *(shown(s[key] / 1e6, 3) for key in ("macs", "derived_macs")),
            shown(s["curves"]["entropy_nats"][0]),
            shown(s["curves"]["entropy_nats"][-1]),
            shown(s["curves"]["skips"][-1], 1),
            shown(s["cpu_seconds"] / 60, 1),
            f"`{s['genotype']}`",
        ]
        for name, group in searches.items()
        for number, s in group.items()
    ]
    warnings = [
        f"- {name} {number}: {w}"
        for name, group in searches.items()
        for number, s in group.items()
        for w in s["warnings"]
    ]
    return "\n\n".join([table(header, lines), *(["\n".join(warnings)] if warnings else [])])


def time_table(found: Mapping[str, Any]) -> str:
    """Means over the pieces, and the longest."""
    lines = [
        [kind, *(f"{spread(t[key], 0)}, at most {shown(t[key]['highest'], 0)}" for key in ("seconds", "cpu_seconds"))]
        for kind, t in found.items()
    ]
    return table(["", "wall clock", "processor"], lines)
