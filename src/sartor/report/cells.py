"""Cells as pictures: a graph of features, with the operation on every edge that was kept, as inline SVG."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

# An edge of a cell: from input or node ``i`` (0 and 1 are the cell's inputs) to node ``j``, counted from 0.
_EDGE = re.compile(r"(?P<cell>[a-z]+)_(?P<node>\d+)_(?P<source>\d+)")
NONE = "none"
_WORDS = {
    "skip_connect": "skip",
    "max_pool_3x3": "max pool 3\N{MULTIPLICATION SIGN}3",
    "avg_pool_3x3": "mean pool 3\N{MULTIPLICATION SIGN}3",
    "sep_conv_3x3": "separable 3\N{MULTIPLICATION SIGN}3",
    "sep_conv_5x5": "separable 5\N{MULTIPLICATION SIGN}5",
    "dil_conv_3x3": "dilated 3\N{MULTIPLICATION SIGN}3",
    "dil_conv_5x5": "dilated 5\N{MULTIPLICATION SIGN}5",
}
# In pixels: the picture, the boxes of features, a letter and the line of a label.
_WIDTH, _COLUMN, _DEEP, _MARGIN, _BOX, _HEIGHT, _LETTER, _LINE = 1060, 240, 190, 14, 66, 30, 6.4, 20
# Rows of nodes in turn, as shares of the height; the inputs stand above and below, and their edges pass outside.
_ROWS = (0.3, 0.7)

Place = tuple[float, float]


@dataclass(frozen=True)
class Edge:
    """An operation between two features: ``source`` 0 and 1 are the inputs of the cell, 2 + j is node j."""

    source: int
    node: int
    operation: str

    @property
    def label(self) -> str:
        """The operation as people say it."""
        return _WORDS.get(self.operation, self.operation)


@dataclass(frozen=True)
class DrawnCell:
    """One kind of cell, its edges, and its picture."""

    kind: str
    edges: tuple[Edge, ...]
    svg: str

    @property
    def text(self) -> tuple[str, ...]:
        """The same in words, one line per node."""
        nodes = sorted({edge.node for edge in self.edges})
        return tuple(
            f"node {node}: " + " + ".join(f"{e.label} of {_name(e.source)}" for e in self.edges if e.node == node)
            for node in nodes
        )


def cells(architecture: Mapping[str, Any]) -> tuple[DrawnCell, ...]:
    """The cells that an architecture's choices describe; empty where they are no edges of cells."""
    kinds: dict[str, list[Edge]] = {}
    for name, operation in architecture.items():
        match = _EDGE.fullmatch(name)
        if match is None:
            return ()
        edges = kinds.setdefault(match["cell"], [])
        if operation != NONE:
            edges.append(Edge(int(match["source"]), int(match["node"]), str(operation)))
    return tuple(DrawnCell(kind, tuple(edges), _svg(edges)) for kind, edges in kinds.items())


def _svg(edges: Sequence[Edge]) -> str:
    """A picture that takes its colours from the page."""
    nodes = sorted({edge.node for edge in edges})
    column = min(_COLUMN, (_WIDTH - _BOX - 2 * _MARGIN) / (len(nodes) + 1))
    centre = {feature: _centre(feature, column) for feature in (0, 1, *(2 + node for node in nodes))}
    output = (_MARGIN + _BOX / 2 + (len(nodes) + 1) * column, _MARGIN + _HEIGHT / 2 + _DEEP / 2)
    width, height = output[0] + _BOX / 2 + _MARGIN, _DEEP + _HEIGHT + 2 * _MARGIN
    curves = [_Curve(centre[e.source], centre[2 + e.node]) for e in edges]
    parts = [curve.path("edge") for curve in curves]
    parts += [_Curve(centre[2 + node], output).path("joins") for node in nodes]
    parts += _labels([e.label for e in edges], [curve.before_end((column - _BOX) / 2) for curve in curves])
    parts += [_box(place, _name(feature)) for feature, place in centre.items()]
    parts.append(_box(output, "output"))
    described = escape("; ".join(f"{e.label} from {_name(e.source)} to {_name(2 + e.node)}" for e in edges))
    return (
        f'<svg class="cell" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        f'role="img" aria-label="{described}">{"".join(parts)}</svg>'
    )


def _centre(feature: int, column: float) -> Place:
    """The inputs stand left at top and bottom, every node in a column of its own."""
    place, row = (0, float(feature)) if feature < 2 else (feature - 1, _ROWS[feature % len(_ROWS)])
    return _MARGIN + _BOX / 2 + place * column, _MARGIN + _HEIGHT / 2 + row * _DEEP


@dataclass(frozen=True)
class _Curve:
    """A cubic curve between two boxes that keeps to the row of its start for most of the way."""

    start: Place
    end: Place

    @property
    def _x(self) -> tuple[float, float]:
        return self.start[0] + _BOX / 2, self.end[0] - _BOX / 2

    @property
    def _bends(self) -> tuple[float, float]:
        left, right = self._x
        near = min(right - left, _COLUMN - _BOX)
        return right - near * 0.5, right - near * 0.5

    def path(self, style: str) -> str:
        (x, u), (a, b) = self._x, self._bends
        y, v = self.start[1], self.end[1]
        return f'<path class="{style}" d="M{x:.1f} {y:.1f} C{a:.1f} {y:.1f} {b:.1f} {v:.1f} {u:.1f} {v:.1f}"/>'

    def before_end(self, distance: float) -> Place:
        """The point of the curve so far left of its end."""
        (x, u), (a, b) = self._x, self._bends
        low, high = 0.0, 1.0
        for _ in range(30):
            t = (low + high) / 2
            at = (1 - t) ** 3 * x + 3 * (1 - t) ** 2 * t * a + 3 * (1 - t) * t**2 * b + t**3 * u
            low, high = (t, high) if at < u - distance else (low, t)
        share = 3 * low**2 - 2 * low**3
        return u - distance, self.start[1] + share * (self.end[1] - self.start[1])


def _labels(texts: Sequence[str], places: Sequence[Place]) -> list[str]:
    """The operations on their edges; one that would cover another moves below it."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    for text, (x, y) in sorted(zip(texts, places, strict=True), key=lambda label: label[1][::-1]):
        wide = _LETTER * len(text) + 10
        while any(abs(x - u) < (wide + other) / 2 and abs(y - v) < _LINE - 1 for u, v, other in taken):
            y += _LINE / 2
        taken.append((x, y, wide))
        parts.append(
            f'<rect class="label" x="{x - wide / 2:.1f}" y="{y - 9:.1f}" width="{wide:.1f}" height="18" rx="4"/>'
            f'<text class="label" x="{x:.1f}" y="{y + 4:.1f}">{escape(text)}</text>'
        )
    return parts


def _box(centre: Place, text: str) -> str:
    x, y = centre
    corner = f'x="{x - _BOX / 2:.1f}" y="{y - _HEIGHT / 2:.1f}"'
    return (
        f'<rect class="feature" {corner} width="{_BOX}" height="{_HEIGHT}" rx="6"/>'
        f'<text class="feature" x="{x:.1f}" y="{y + 4:.1f}">{escape(text)}</text>'
    )


def _name(feature: int) -> str:
    """The inputs of a cell are the outputs of the two layers before it."""
    return ("layer \N{MINUS SIGN}2", "layer \N{MINUS SIGN}1")[feature] if feature < 2 else f"node {feature - 2}"
