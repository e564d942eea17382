"""Figure 1: how accurate random networks are, and where the networks found by searches stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pictures import write_picture

_BLUE, _PINK = "#4c78a8", "#d6278a"


def draw(random: Sequence[float], searched: Sequence[float], title: str, path: Path) -> None:
    """Writes the picture: bars for random networks, a line for every search.

    Raises:
        RequestError: the renderer of the extra ``report`` is missing.
    """
    write_picture(specification(random, searched, title), path, scale=1.0)


def specification(random: Sequence[float], searched: Sequence[float], title: str) -> dict[str, Any]:
    """The picture in Vega-Lite."""
    x = {"scale": {"zero": False}, "title": "Accuracy on test pictures (%)"}
    bars = {
        "data": {"values": [{"accuracy": a, "network": f"{len(random)} random networks"} for a in random]},
        "mark": {"type": "bar", "opacity": 0.8},
        "encoding": {
            "x": {"field": "accuracy", "bin": {"maxbins": 20}, **x},
            "y": {"aggregate": "count", "title": "Networks"},
        },
    }
    lines = {
        "data": {"values": [{"accuracy": a, "network": f"{len(searched)} searches"} for a in searched]},
        "mark": {"type": "rule", "size": 3},
        "encoding": {"x": {"field": "accuracy", "type": "quantitative", **x}},
    }
    names = [f"{len(random)} random networks", f"{len(searched)} searches"]
    return {
        "title": title,
        "width": 560,
        "height": 240,
        "encoding": {
            "color": {"field": "network", "title": None, "scale": {"domain": names, "range": [_BLUE, _PINK]}},
        },
        "layer": [bars, lines],
    }
