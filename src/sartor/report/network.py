"""The networks found as tables of blocks, ready to be drawn side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from sartor.report import words
from sartor.report.decisions import by_cost

_FUNCTIONS = {"hard_swish": "h-swish", "hard_sigmoid": "h-sigmoid"}

SPLIT = "SA"
WITHOUT = " without budgets"


@dataclass(frozen=True)
class Cell:
    """One property of one block: its text, and how much of it there is, 0 to 1 (None: nothing to compare).

    ``differs``: in the method's own answer, whether the one within the budgets has something else here.
    """

    system: str
    platform: str
    block: str
    column: str
    text: str
    strength: float | None
    side: int
    operation: str | None
    differs: bool = False


@dataclass(frozen=True)
class Networks:
    """Cells of all networks; blocks and columns in the order in which they are drawn."""

    cells: tuple[Cell, ...] = ()
    blocks: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    same: Mapping[tuple[str, str], tuple[int, int]] | None = None  # two platforms -> equal blocks, blocks

    @property
    def systems(self) -> tuple[str, ...]:
        """Ours first."""
        return tuple(dict.fromkeys(cell.system for cell in self.cells))


@dataclass(frozen=True)
class _Column:
    """How a property of a block is shown: ``scale`` ranks it among the other values of the page."""

    title: str
    key: str
    text: Callable[[Any], str]
    scale: str  # "rank", "log", "share" or "none"


_COLUMNS = (
    _Column("kernel", "kernel", lambda v: f"{v}\N{MULTIPLICATION SIGN}{v}", "rank"),
    _Column("expand", "expansion", lambda v: f"{v:g}", "rank"),
    _Column("SE", "attention", lambda v: ("", "SE")[v] if v < 2 else f"{SPLIT}{v}", "rank"),
    _Column("act.", "activation", lambda v: _FUNCTIONS.get(v, v), "none"),
    _Column("channels", "channels", lambda v: f"{v}", "log"),
    _Column("MACs", "macs", lambda v: words.quantity("macs", float(f"{v:.2g}")), "share"),
)
SKIPPED = "skipped"


def networks(result: Mapping[str, Any], ours: str) -> Networks:
    """The networks of a space with operations to choose; empty for spaces of widths alone, or without descriptions."""
    decisions = (result.get("space") or {}).get("decisions") or []
    found = dict(_described(result, ours))
    mine = {platform: rows for (system, platform), rows in found.items() if system == ours}
    if not mine or all(decision.get("kind") == "width" for decision in decisions):
        return Networks()
    active = [row for rows in found.values() for row in rows if row.get("operation")]
    searched = {str(option) for decision in decisions for option in decision.get("options") or []}
    columns = [column for column in _COLUMNS if _tells(column, active, searched)]
    scales = {column.key: _scale(column, active) for column in columns}
    cells = [
        cell
        for (system, platform), rows in found.items()
        for cell in _cells(system, platform, rows, columns, scales, mine[platform] if system.endswith(WITHOUT) else [])
    ]
    blocks = dict.fromkeys(row["name"] for rows in found.values() for row in rows)
    return Networks(tuple(cells), tuple(blocks), tuple(column.title for column in columns), _same(mine))


def _described(result: Mapping[str, Any], ours: str) -> Iterator[tuple[tuple[str, str], Sequence[Mapping[str, Any]]]]:
    """Networks with a table of blocks, by system and platform: ours, ours without budgets, then the baselines'."""
    platforms = by_cost(result)
    systems: list[tuple[str, Sequence[Mapping[str, Any]]]] = [(ours, platforms)]
    systems.append((f"{ours}{WITHOUT}", [{**(p.get("own") or {}), "name": p["name"]} for p in platforms]))
    order = {platform["name"]: place for place, platform in enumerate(platforms)}
    for baseline in result.get("baselines") or []:
        known = [p for p in baseline.get("platforms") or [] if p.get("name") in order]
        systems.append((baseline["name"], sorted(known, key=lambda p: order[p["name"]])))
    for system, entries in systems:
        for platform in entries:
            if platform.get("network"):
                yield (system, platform["name"]), platform["network"]


def _tells(column: _Column, rows: Sequence[Mapping[str, Any]], searched: Set[str]) -> bool:
    """Whether a column says anything: channels and MACs always, activations where they are searched, the rest where
    blocks differ."""
    values = {row.get(column.key) for row in rows} - {None}
    if column.key == "activation":
        return any(str(value) in searched for value in values)
    return len(values) > 1 or (bool(values) and column.scale in ("log", "share"))


def _scale(column: _Column, rows: Sequence[Mapping[str, Any]]) -> Callable[[Any], float | None]:
    """From a value to its strength."""
    values = sorted({row[column.key] for row in rows if row.get(column.key) is not None}, key=_sortable)
    if column.scale == "none":
        return lambda value: None
    if column.scale == "rank":
        return lambda value: round(values.index(value) / max(1, len(values) - 1), 3)
    low, high = values[0], values[-1]
    if column.scale == "share":
        return lambda value: round(value / max(high, 1), 3)
    return lambda value: round(math.log(value / low) / max(math.log(high / low), 1e-9), 3)


def _sortable(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value)


def _cells(
    system: str,
    platform: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[_Column],
    scales: Mapping[str, Callable[[Any], float | None]],
    ours: Sequence[Mapping[str, Any]],
) -> Iterator[Cell]:
    mine = {row["name"]: row for row in ours}
    for row in rows:
        other = mine.get(row["name"], row)
        place = {"system": system, "platform": platform, "block": row["name"], "side": row["side"]}
        if not row.get("operation"):
            differs = bool(other.get("operation"))
            yield Cell(**place, column=SKIPPED, text=SKIPPED, strength=None, operation=None, differs=differs)
            continue
        for column in columns:
            value = row.get(column.key)
            if value is not None:
                strength, differs = scales[column.key](value), column.key != "macs" and other.get(column.key) != value
                yield Cell(
                    **place,
                    column=column.title,
                    text=column.text(value),
                    strength=strength,
                    operation=row["operation"],
                    differs=differs,
                )


def _same(mine: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[str, str], tuple[int, int]]:
    """How many blocks every two platforms have in common."""
    found = {}
    for first, a in mine.items():
        for second, b in mine.items():
            if first != second and len(a) == len(b):
                found[first, second] = (sum(x == y for x, y in zip(a, b, strict=True)), len(a))
    return found
