"""Colours and chart settings, once for the page, its charts and the pictures.

Charts name colours as tokens (``"@series1"``), which are resolved for light or dark when they are drawn.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Series colours are those of Okabe and Ito, told apart with every common colour blindness; on dark ground they
# are lightened until their contrast exceeds 4.5. Shapes and dashes repeat what the colours say.
LIGHT = {
    "page": "#f6f7f9",
    "card": "#ffffff",
    "text": "#17202a",
    "muted": "#5b6875",
    "line": "#d9dee4",
    "faint": "#eceff2",
    "cloud": "#9aa5b1",
    "accent": "#0067a5",
    "bad": "#b3261e",
    "warn": "#8a5200",
    "warn_ground": "#fff4de",
    "series1": "#0072b2",
    "series2": "#d55e00",
    "series3": "#009e73",
    "series4": "#b0568b",
    "series5": "#a66f00",
    "series6": "#3a8fc4",
    "low": "#e8f1f8",
    "high": "#08457a",
    "other": "#bd5200",
    "on_low": "#17202a",
    "on_high": "#ffffff",
}
DARK = {
    "page": "#101418",
    "card": "#191f25",
    "text": "#e8ecf0",
    "muted": "#a0abb6",
    "line": "#343d47",
    "faint": "#262d35",
    "cloud": "#76828e",
    "accent": "#6cb8ee",
    "bad": "#ff9489",
    "warn": "#f0c14b",
    "warn_ground": "#2e2717",
    "series1": "#56b4e9",
    "series2": "#ff8b3d",
    "series3": "#2cc99b",
    "series4": "#e39ac3",
    "series5": "#f0c14b",
    "series6": "#9fb6ff",
    "low": "#1f2b36",
    "high": "#8fcbf4",
    "other": "#ff9a52",
    "on_low": "#e8ecf0",
    "on_high": "#0c1a26",
}
SERIES = ("@series1", "@series2", "@series3", "@series4", "@series5", "@series6")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 2])

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None, "continuousWidth": 640, "continuousHeight": 340},
    "axis": {
        "labelColor": "@muted",
        "titleColor": "@text",
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": 500,
        "titlePadding": 10,
        "gridColor": "@faint",
        "domainColor": "@line",
        "tickColor": "@line",
        "labelOverlap": True,
    },
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "labelColor": "@text",
        "labelFontSize": 13,
        "labelLimit": 260,
        "symbolSize": 90,
        "symbolOpacity": 1,
        "columnPadding": 20,
        "rowPadding": 4,
        "offset": 14,
    },
    "header": {
        "title": None,
        "labelColor": "@text",
        "labelFontSize": 13,
        "labelFontWeight": 600,
        "labelAnchor": "start",
        "labelPadding": 6,
    },
    "title": {"color": "@text", "fontSize": 16, "anchor": "start", "subtitleColor": "@muted", "subtitleFontSize": 12},
}

_TOKEN = re.compile(r'"@(\w+)"')


def resolve(spec: dict[str, Any], colours: dict[str, str]) -> dict[str, Any]:
    """The specification with every colour token replaced."""
    text = _TOKEN.sub(lambda token: json.dumps(colours[token[1]]), json.dumps(spec))
    resolved: dict[str, Any] = json.loads(text)
    return resolved


def series_scale(names: list[str], grey: str | None = None) -> dict[str, Any]:
    """Domain, colours, shapes and dashes of the series, in their order; ``grey`` names one drawn in grey."""
    colours = ["@cloud" if name == grey else SERIES[k % len(SERIES)] for k, name in enumerate(names)]
    return {
        "domain": names,
        "colours": colours,
        "shapes": ["circle" if name == grey else SHAPES[k % len(SHAPES)] for k, name in enumerate(names)],
        "dashes": [DASHES[k % len(DASHES)] for k in range(len(names))],
    }
