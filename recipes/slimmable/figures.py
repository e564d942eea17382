"""Channels per layer as in the paper's Figures 2 and 3, drawn by the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sartor import report
from sartor.report.schema import FORMAT_VERSION
from slimmable.pieces import PLATFORMS
from slimmable.sizes import SIZES

_SHOWN = PLATFORMS[-2:]  # #6 and #7, as in the paper


def draw(found: Mapping[str, Any], folder: Path, prefix: str = "") -> list[Path]:
    """Figure 2 (OWS beside the original widths) and Figure 3 (AOWS beside OWS) of the first seed searched."""
    searches, paths = found["searches"], []
    pairs = [("figure2", "search-ows", "original")]
    pairs += [(f"figure3-{name[12:]}", name, "search-ows") for name in searches if name.startswith("search-aows-")]
    for picture, name, beside in pairs:
        seeds = [seed for seed in searches.get(name, {}) if beside == "original" or seed in searches.get(beside, {})]
        if seeds:
            other = searches[beside]["" if beside == "original" else seeds[0]]
            path = folder / f"{prefix}{picture}.png"
            data = report.build(_result(found, name, searches[name][seeds[0]], beside, other, seeds[0]), [])
            report.write_png(data, "channels", path, scale=1.0)
            paths.append(path)
    return paths


def _result(
    found: Mapping[str, Any], name: str, ours: Mapping[str, Any], beside: str, other: Mapping[str, Any], seed: str
) -> dict[str, Any]:
    """As much of a ``result.json`` as the picture needs."""
    space = SIZES[found["size"]].make_space()
    names = [decision.name for decision in space.decisions]
    limits = {p["name"]: p["macs"] for p in found["platforms"]}

    def rows(widths: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
        return [
            {"name": p, "costs": {"macs": limits[p]}, "architecture": dict(zip(names, widths[p], strict=True))}
            for p in _SHOWN
        ]

    return {
        "format_version": FORMAT_VERSION,
        "name": "Table 2",
        "method": _label(name),
        "seed": int(seed),
        "space": {"decisions": [{"name": d.name, "kind": d.kind, "options": list(d.options)} for d in space.decisions]},
        "platforms": rows(ours["widths"]),
        "baselines": [
            {"name": _label(beside), "description": "slimmable network to compare", "platforms": rows(other["widths"])}
        ],
    }


def _label(search: str) -> str:
    if search == "original":
        return "original widths"
    if search == "search-ows":
        return "OWS"
    return f"{search.removeprefix('search-aows-')}-AOWS"
