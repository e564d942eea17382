"""Figure 1: how accurate random networks are, and where the networks found by searches stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sartor.optional import require
from sartor.storage import write_atomically

_VEGA_LITE = "6.4"
_BLUE, _PINK = "#4c78a8", "#d6278a"


def draw(random: Sequence[float], searched: Sequence[float], title: str, path: Path) -> None:
    """Writes the picture: bars for random networks, a line for every search.

    Raises:
        RequestError: the renderer of the extra ``report`` is missing.
    """
    engine = require("vl_convert", extra="report")
    png: bytes = engine.vegalite_to_png(
        specification(random, searched, title), vl_version=_VEGA_LITE, scale=1.0, allowed_base_urls=[]
    )
    write_atomically(path, png)


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
        "padding": 16,
        "background": "white",
        "encoding": {
            "color": {"field": "network", "title": None, "scale": {"domain": names, "range": [_BLUE, _PINK]}},
        },
        "layer": [bars, lines],
        "config": {"font": "Liberation Sans, Arial, sans-serif"},
    }
