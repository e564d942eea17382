"""What the stages of a run left in the end: the answers of a second attempt in the place of those that missed."""

from __future__ import annotations

from typing import Any

from sartor.pipeline.again import LABEL
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import weighted
from sartor.run import RunFolder

Payload = dict[str, Any]

_NOT_MEASURED: Payload = {"measured_ms": None, "noise": None, "here": None, "reason": None, "missed": None}


def final_stages(folder: RunFolder, setting: Setting) -> dict[str, Payload]:
    """What every stage left, by its name; empty where it is not done. A second attempt counts once it was measured.

    ``latency`` of the search has a row per platform with a latency budget: what was promised, what was measured, and
    what became of the first answer where there is a second one.
    """
    found = {name: dict(folder.payload(name) or {}) for name in ("search", "train", "export", "measure")}
    searched, measured = found["search"], found["measure"]
    measured["warnings"] = []
    rows = {name: _row(name, searched, measured) for name in searched.get("latency") or {}}
    if measured.get("again"):
        _replace(folder, setting, found)
        # Its networks are those of the search, which was one with the first answers.
        stale = [b["name"] for b in found["train"]["baselines"] if b["name"] == "standalone"]
        measured["warnings"] += [
            f"baseline {name} has the first answers, one of which missed its budget" for name in stale
        ]
    searched["latency"] = rows
    measured["warnings"] += [missed_sentence(name, rows[name]) for name in measured.get("missed", [])]
    return found


def missed_sentence(name: str, row: Payload) -> str:
    """How a platform misses its latency budget, and what was done about it."""
    if row["measured_ms"] is None:
        return f"platform {name!r} missed its latency budget; of the network solved again nobody knows: {row['reason']}"
    if row["first"] is not None:
        done = f"the network solved again with predictions multiplied by {row['scale']:.4g} misses, too"
    else:
        done = f"it was not solved again: {row['unsolved']}"
    return (
        f"platform {name!r} misses its latency budget: {row['measured_ms']:.4g} ms measured, {row['budget_ms']:g} ms "
        f"allowed ({row['predicted_ms']:.4g} ms predicted); {done}"
    )


def _row(name: str, searched: Payload, measured: Payload) -> Payload:
    promise = searched["latency"][name]
    row = {**promise, **_NOT_MEASURED, **measured.get("first", {}).get(name, {})}
    first = None
    if name in measured.get("again", {}):
        choice = searched["choices"][name]
        kept = {key: row[key] for key in ("predicted_ms", "measured_ms", "noise")}
        first = {**kept, "architecture": choice["architecture"], "costs": choice["costs"]}
        row = {**measured["solved"][name], **_NOT_MEASURED, **measured["again"][name]}
    return {**row, "first": first, "unsolved": measured.get("unsolved", {}).get(name)}


def _replace(folder: RunFolder, setting: Setting, found: dict[str, Payload]) -> None:
    """Puts the second attempt in its place."""
    solved, trained, exported = (folder.payload(f"{LABEL}:{part}") for part in ("solve", "train", "export"))
    search, train, export = found["search"], found["train"], found["export"]
    search["choices"] = {**search["choices"], **solved["choices"]}
    train["platforms"] = {**train["platforms"], **trained["platforms"]}
    export["platforms"] = {**export["platforms"], **exported["platforms"]}
    train["weighted_accuracy"] = weighted(setting, train["platforms"])
    if trained["slimmable"] is not None:
        train["slimmable"], export["slimmable"] = trained["slimmable"], exported["slimmable"]
