"""The courses of the compared searches: entropy, samples per step, accuracy of the most probable network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pictures import curves, write_picture

_METRICS = {
    "entropy_nats": "Entropy (nats)",
    "samples_per_step": "Samples per step",
    "mode_accuracy": "Accuracy of the mode (%)",
}
_SAMPLING = ("joint", "fixed_4", "fixed_8", "fixed_14")
_DISTRIBUTIONS = ("joint", "factorised", "mixed_80", "mixed_150")


def draw(found: Mapping[str, Any], folder: Path, prefix: str) -> None:
    """Writes the picture: a row for how many samples are drawn, one for the distributions; means over seeds.

    Nothing while there is no search that it shows.
    """
    rows = []
    for names in (_SAMPLING, _DISTRIBUTIONS):
        done = [name for name in names if found["variants"][name]["searches"]]
        if not done:
            return
        panels = [_panel(found, done, metric) for metric in _METRICS]
        rows.append({"hconcat": panels, "resolve": {"scale": {"color": "shared"}}})
    write_picture({"vconcat": rows, "resolve": {"scale": {"color": "independent"}}}, folder / f"{prefix}figure1.png")


def _panel(found: Mapping[str, Any], names: list[str], metric: str) -> dict[str, Any]:
    values = [
        {"progress": (i + 1) / len(course), metric: value, "search": name}
        for name in names
        for course in [_mean(found, name, metric)]
        for i, value in enumerate(course)
        if value is not None
    ]
    axes = ("progress", "Share of the search"), (metric, _METRICS[metric])
    return curves(values, *axes, "search", names, width=280, height=220)


def _mean(found: Mapping[str, Any], name: str, metric: str) -> list[float | None]:
    """The mean course over the searches of a variant; None where one of them has no figure."""
    courses = [s["curves"][metric] for s in found["variants"][name]["searches"].values()]
    parts = zip(*courses, strict=False)
    return [None if None in part else float(np.mean(part)) for part in parts]
