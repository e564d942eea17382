"""The rows of weight sharing in the table of recipes/README.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weight_sharing.figures import with_interval
from weight_sharing.sizes import SHARINGS

Row = list[str]


def sharing_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """One row per way to train a supernet, one for the ceiling, and one for what MACs alone tell."""
    size, networks = found["size"]["name"], len(found["networks"])
    groups = {f"{SHARINGS[name].title} ({_seeds(group)})": group for name, group in found["sharings"].items() if group}
    if found["ceiling"] is not None:
        groups[f"ceiling, {found['ceiling']['repeats']['count']} networks trained twice"] = found["ceiling"]
    if "macs" in found["costs"]:
        groups["no supernet: MACs alone"] = found["costs"]["macs"]
    first = f"size `{size}`, {machine}, {networks} networks trained alone"
    command = f"`python recipes/weight_sharing/correlation.py --size {size} ...`"
    return [
        [
            f"rank correlation with accuracy alone, {title} (Spearman, Kendall)",
            "-",
            f"{with_interval(group, 'spearman')}, {with_interval(group, 'kendall')}",
            first if i == 0 else "same",
            command if i == 0 else "",
        ]
        for i, (title, group) in enumerate(groups.items())
    ]


def _seeds(group: Mapping[str, Any]) -> str:
    count = len(group["seeds"])
    return f"{count} supernet" if count == 1 else f"{count} supernets"
