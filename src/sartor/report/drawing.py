"""Writes the page and the pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sartor.errors import RequestError
from sartor.optional import require
from sartor.report import theme, words
from sartor.report.beliefs import SETTLED
from sartor.report.charts import FIGURES
from sartor.report.charts.crp import CrpShares
from sartor.report.charts.crp import draw as draw_crp
from sartor.report.charts.frame import Figure
from sartor.report.data import ReportData

# altair 6.1 writes Vega-Lite 6; the renderer carries several versions.
_VEGA_LITE = "6.4"


def write_html(data: ReportData, path: Path) -> None:
    """Writes the whole report as one page that loads nothing: scripts, styles and data are inside."""
    drawn = {name: figure for name, draw in FIGURES.items() if (figure := draw(data)) is not None}
    path.write_text(page("page.html", drawn, data.result, data=data, settled=SETTLED), encoding="utf-8")


def page(template: str, figures: Mapping[str, Figure], result: Any, **content: Any) -> str:
    """A page by one of our templates, with everything inside; ``result`` is what it offers to save."""
    jinja2 = require("jinja2", extra="report")
    engine = require("vl_convert", extra="report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(link=_link, percent=words.percent, points=words.points, size=words.size)
    rendered: str = environment.get_template(template).render(
        words=words,
        figures=figures,
        themes={"light": theme.LIGHT, "dark": theme.DARK},
        font=theme.FONT,
        style=_template("page.css"),
        script=_template("page.js"),
        vega=_in_script(engine.javascript_bundle(vl_version=_VEGA_LITE)),
        drawing=_json({"figures": {n: _embedded(f) for n, f in figures.items()}, **_theme()}),
        result=_json(result),
        **content,
    )
    return rendered


def write_png(
    data: ReportData, figure_name: str, path: Path, scale: float = 2.0, view: Sequence[str] | None = None
) -> None:
    """Writes one figure as a picture, on white.

    Args:
        view: one label per dimension of the figure, such as the platform (default: the view that the page shows first).

    Raises:
        RequestError: for an unknown figure or view, or one that this run has nothing to draw in.
    """
    if figure_name not in FIGURES:
        raise RequestError(f"unknown figure {figure_name!r}: known are {', '.join(FIGURES)}")
    figure = FIGURES[figure_name](data)
    if figure is None:
        raise RequestError(f"this run has nothing to draw in the figure {figure_name!r}")
    if view is not None and tuple(view) not in figure.views:
        known = "; ".join(", ".join(labels) for labels in figure.views)
        raise RequestError(f"figure {figure_name!r} has no view {', '.join(view)!r}: it has {known}")
    path.write_bytes(_png(figure, scale, view=view))


def write_crp_png(shares: CrpShares, path: Path, scale: float = 2.0) -> None:
    """Writes the picture of a Chinese restaurant process (figure 1 of the paper, without the market)."""
    figure = draw_crp(shares)
    path.write_bytes(_png(figure, scale, figure.caption))


def _png(figure: Figure, scale: float, subtitle: Sequence[str] = (), view: Sequence[str] | None = None) -> bytes:
    labels = next(iter(figure.views)) if view is None else tuple(view)
    lines = [*subtitle, *([", ".join(labels), *figure.caption[:1]] if figure.names_view else [])]
    title = {"text": figure.title, **({"subtitle": lines} if lines else {})}
    spec = {**figure.spec(labels), "title": title, "padding": 16}
    if figure.kind == "single":
        spec["width"] = 680
    spec["config"] = {**theme.CONFIG, "background": "@card", "font": "Liberation Sans, Arial, sans-serif"}
    engine = require("vl_convert", extra="report")
    png: bytes = engine.vegalite_to_png(
        theme.resolve(spec, theme.LIGHT), vl_version=_VEGA_LITE, scale=scale, allowed_base_urls=[]
    )
    return png


def _embedded(figure: Figure) -> dict[str, Any]:
    """A figure as the page's script reads it: the rows once, as columns, then every view under its labels."""
    views = [{"labels": labels, "spec": spec} for labels, spec in figure.views.items()]
    columns = {
        name: {key: _column([row[key] for row in rows]) for key in (rows[0] if rows else {})}
        for name, rows in figure.rows.items()
    }
    return {
        "kind": figure.kind,
        "panels": figure.panels,
        "columns": columns,
        "dimensions": figure.dimensions,
        "views": views,
    }


def _column(values: list[Any]) -> Any:
    """Repeated words as codes into a list of them: curves would otherwise be mostly words."""
    if not all(isinstance(value, str) for value in values):
        return [float(f"{value:.7g}") if isinstance(value, float) else value for value in values]
    names = list(dict.fromkeys(values))
    place = {name: code for code, name in enumerate(names)}
    return {"names": names, "codes": [place[value] for value in values]}


def _theme() -> dict[str, Any]:
    return {"config": theme.CONFIG, "themes": {"light": theme.LIGHT, "dark": theme.DARK}}


def _json(value: Any) -> str:
    """Compact JSON that cannot end the script element it stands in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _in_script(text: str) -> str:
    """JavaScript that cannot end the script element it stands in."""
    return text.replace("</script", "<\\/script")


def _link(path: str | None) -> str | None:
    """A relative path as a link; None for anything that could lead out of the run folder's machine."""
    if not path or ":" in path or path.startswith(("/", "\\")):
        return None
    return quote(path)


def _template(name: str) -> str:
    return (resources.files("sartor.report") / "template" / name).read_text(encoding="utf-8")
