"""A network that serves at any budget: its exits, its curve beside those of the baselines, and batches on a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.anytime.curves import area_under_curve
from sartor.report.rows import SPLITS

COST = "anytime_macs"  # what a run computes that is stopped at an exit


@dataclass(frozen=True)
class ExitPoint:
    """An exit of one system on one split; ``ensemble``: the mean of the exits so far in place of the exit alone."""

    system: str
    split: str
    ensemble: bool
    exit: int
    macs: float
    accuracy: float


@dataclass(frozen=True)
class Area:
    """The mean accuracy of one system over budgets from nothing to ``high``, all equally likely; in percent."""

    system: str
    split: str
    single: float
    ensemble: float


@dataclass(frozen=True)
class Anytime:
    """What the page says of the network with exits, and of the baselines that have some.

    ``exits`` are the rows of the result, ``served`` the platforms at each exit; ``batches`` the mean costs asked for,
    with what they came to. ``high``: where the areas end, at the largest budget of a platform or the last exit of ours.
    """

    exits: tuple[dict[str, Any], ...]
    served: Mapping[int, tuple[str, ...]]
    points: tuple[ExitPoint, ...]
    areas: tuple[Area, ...]
    high: float
    batches: tuple[dict[str, Any], ...]
    files: tuple[tuple[str, str], ...]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits on which exits were judged, test first."""
        return tuple(split for split in SPLITS if any(point.split == split for point in self.points))


def anytime(result: Mapping[str, Any], ours: str) -> Anytime | None:
    """What a result says of its network with exits; None where it has none."""
    found = result.get("anytime")
    if not found or not found.get("exits"):
        return None
    systems = [(ours, found["exits"])]
    systems += [(b["name"], (b.get("anytime") or {}).get("exits") or []) for b in result.get("baselines") or []]
    points = [point for system, rows in systems for point in _points(system, rows)]
    high = max([found["exits"][-1][COST], *(p["budgets"].get("macs", 0.0) for p in result["platforms"])])
    chance = 100.0 / max(1, _classes(result))
    names = [name for name, rows in systems if rows]
    areas = [area for name in names for split in SPLITS if (area := _area(points, name, split, high, chance))]
    served: dict[int, tuple[str, ...]] = {}
    for platform in result["platforms"]:
        if platform.get("exit") is not None:
            served[platform["exit"]] = (*served.get(platform["exit"], ()), platform["name"])
    return Anytime(
        tuple(found["exits"]), served, tuple(points), tuple(areas), float(high), tuple(found["batches"]), _files(found)
    )


def _points(system: str, rows: Sequence[Mapping[str, Any]]) -> list[ExitPoint]:
    return [
        ExitPoint(system, split, ensemble, row["exit"], float(row[COST]), row[key])
        for row in rows
        for split, prefix in (("test", "test"), ("validation", "val"))
        for ensemble, key in ((False, f"{prefix}_accuracy"), (True, f"{prefix}_ensemble_accuracy"))
        if row.get(key) is not None
    ]


def _area(points: Sequence[ExitPoint], system: str, split: str, high: float, chance: float) -> Area | None:
    areas = []
    for ensemble in (False, True):
        own = [p for p in points if (p.system, p.split, p.ensemble) == (system, split, ensemble)]
        if not own:
            return None
        areas.append(area_under_curve([p.macs for p in own], [p.accuracy for p in own], 0.0, high, chance=chance))
    return Area(system, split, *areas)


def _classes(result: Mapping[str, Any]) -> int:
    classes = (result.get("data") or {}).get("classes") or 1
    return len(classes) if isinstance(classes, list) else int(classes)


def _files(found: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Path and words of what was written."""
    files = [(found["path"], "the network in PyTorch")] if found.get("path") else []
    stages = found.get("stages")
    if stages:
        files.append((f"{stages['folder']}/anytime.json", "its stages in ONNX, with their runner"))
    return tuple(files)
