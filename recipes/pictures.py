"""Pictures of the recipes: Vega-Lite in, PNG out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sartor.optional import require
from sartor.storage import write_atomically

_VEGA_LITE = "6.4"
_LOOK = {
    "padding": 16,
    "background": "white",
    "config": {"font": "Liberation Sans, Arial, sans-serif", "view": {"stroke": None}},
}


def curves(
    values: Sequence[Mapping[str, Any]],
    x: tuple[str, str],
    y: tuple[str, str],
    line: str,
    order: Sequence[str],
    **look: Any,
) -> dict[str, Any]:
    """Lines in Vega-Lite: fields and titles of both axes, the field that names a line, and the order of the lines."""
    return {
        "width": 560,
        "height": 300,
        "data": {"values": list(values)},
        "mark": {"type": "line"},
        "encoding": {
            "x": {"field": x[0], "type": "quantitative", "title": x[1]},
            "y": {"field": y[0], "type": "quantitative", "title": y[1]},
            "color": {"field": line, "type": "nominal", "title": None, "sort": list(order)},
        },
        **look,
    }


def write_picture(specification: Mapping[str, Any], path: Path, scale: float = 1.5) -> None:
    """Writes a Vega-Lite picture on white.

    Raises:
        RequestError: the renderer of the extra ``report`` is missing.
    """
    engine = require("vl_convert", extra="report")
    path.parent.mkdir(parents=True, exist_ok=True)
    png: bytes = engine.vegalite_to_png(
        {**_LOOK, **specification}, vl_version=_VEGA_LITE, scale=scale, allowed_base_urls=[]
    )
    write_atomically(path, png)
