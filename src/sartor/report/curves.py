"""Training curves from ``metrics.jsonl``: repaired after a restart, thinned to what a picture can show."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.report import words

# More points cannot be told apart on a page and only make it heavy; many curves share what there is.
MAX_POINTS = 200
MAX_POINTS_ALTOGETHER = 2400
MIN_POINTS = 24

QUANTITIES = {
    "loss": "Loss (cross-entropy, nats)",
    "accuracy": "Accuracy on training batches (%)",
    "learning_rate": "Learning rate",
    "temperature": "Temperature of the sampling",
}
_AVERAGED = ("loss", "accuracy")


@dataclass(frozen=True)
class CurvePoint:
    """One point of one curve; ``averaged`` lines of the log stand behind it."""

    stage: str
    quantity: str
    images: int
    step: int
    value: float
    averaged: int


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log; a last line cut off by a kill is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(entry, dict):
                yield entry


def curves(metrics: Iterable[Mapping[str, Any]]) -> tuple[CurvePoint, ...]:
    """Every quantity of every stage over the pictures seen, stages in order of appearance."""
    lines: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for stage, entries in by_stage(metrics).items():
        for name in QUANTITIES:
            seen = [entry for entry in entries if words.finite(entry.get(name)) is not None]
            if seen:
                lines[stage, name] = seen
    most = max(MIN_POINTS, min(MAX_POINTS, MAX_POINTS_ALTOGETHER // max(1, len(lines))))
    return tuple(_point(*key, part) for key, seen in lines.items() for part in pieces(seen, most))


def by_stage(metrics: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The lines by stage. A resumed run repeats steps: the later line is the one that counts."""
    stages: dict[str, dict[int, Mapping[str, Any]]] = {}
    for entry in metrics:
        if isinstance(entry.get("stage"), str) and isinstance(entry.get("step"), int):
            stages.setdefault(entry["stage"], {})[entry["step"]] = entry
    return {stage: [steps[step] for step in sorted(steps)] for stage, steps in stages.items()}


def pieces(entries: Sequence[Mapping[str, Any]], most: int) -> list[Sequence[Mapping[str, Any]]]:
    """At most ``most`` consecutive pieces of nearly equal length."""
    count = min(len(entries), most)
    edges = [round(piece * len(entries) / count) for piece in range(count + 1)]
    return [entries[low:high] for low, high in itertools.pairwise(edges)]


def _point(stage: str, name: str, part: Sequence[Mapping[str, Any]]) -> CurvePoint:
    """Noisy quantities are averaged over the piece, schedules show its last value."""
    last = part[-1]
    value = sum(entry[name] for entry in part) / len(part) if name in _AVERAGED else last[name]
    images = last.get("images")
    at = images if isinstance(images, int) else last["step"]
    return CurvePoint(stage, name, at, last["step"], float(value), len(part))
