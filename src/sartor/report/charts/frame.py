"""A figure: one or more views of the same rows as Vega-Lite specifications, with words around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sartor.optional import require

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """Something to draw. ``views`` are keyed by one label per dimension; the first view is the one shown first.

    ``kind`` tells the page how a specification grows with the window: ``"single"`` charts take the width,
    ``"grid"`` charts (facets) fit as many panels side by side as there is room for.
    """

    name: str
    title: str
    rows: Mapping[str, Rows]
    views: Mapping[tuple[str, ...], dict[str, Any]]
    dimensions: tuple[str, ...] = ()
    kind: str = "single"
    caption: Sequence[str] = field(default_factory=tuple)
    panels: int = 1
    names_view: bool = False  # whether a picture says which view it is, and how to read it

    def spec(self, view: tuple[str, ...] | None = None) -> dict[str, Any]:
        """A complete specification, rows included, of one view (by default the first)."""
        chosen = next(iter(self.views)) if view is None else view
        return {**self.views[chosen], "datasets": dict(self.rows)}


def altair() -> ModuleType:
    """The drawing package, or a sentence on how to get it."""
    return require("altair", extra="report")


def finished(chart: Any) -> dict[str, Any]:
    """A chart as a specification without the parts that :mod:`sartor.report.theme` supplies."""
    spec: dict[str, Any] = chart.to_dict(context={"pre_transform": False})
    for key in ("config", "$schema"):
        spec.pop(key, None)
    return spec


def group_starts(names: Sequence[str]) -> set[str]:
    """The names at which a new group begins: those that differ from the one before in more than their last number."""
    stems = [name.rstrip("0123456789") for name in names]
    return {name for name, stem, before in zip(names[1:], stems[1:], stems, strict=False) if stem != before}
