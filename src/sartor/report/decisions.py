"""What was chosen: channels per layer, the table of choices, and how much neighbouring platforms share."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.report import words
from sartor.report.rows import SystemRow


@dataclass(frozen=True)
class Choice:
    """The value of one decision for one platform; ``rank`` is its place among the options, 0 to 1."""

    decision: str
    index: int  # of the decision, from 1
    platform: str
    value: str
    rank: float | None
    same_as_next: bool  # the next platform chose the same


@dataclass(frozen=True)
class Width:
    """The channels of one searched layer in one network."""

    system: str
    platform: str
    layer: int  # from 1
    decision: str
    channels: int


@dataclass(frozen=True)
class Shared:
    """How many decisions two neighbouring platforms have in common, in our result and in the baseline.

    ``unit`` says what is counted where that is not one decision per layer.
    """

    first: str
    second: str
    equal: int
    total: int
    baseline: str | None = None
    baseline_equal: int | None = None
    unit: str = "layers"

    def __str__(self) -> str:
        text = f"{self.first} and {self.second}: {self.equal} of {self.total} {self.unit} equal"
        return text if self.baseline_equal is None else f"{text} ({self.baseline}: {self.baseline_equal})"


def choices(result: Mapping[str, Any]) -> tuple[Choice, ...]:
    """Every decision of every platform: decisions in network order, platforms from cheap to dear."""
    platforms = by_cost(result)
    found: list[Choice] = []
    for index, decision in enumerate(decisions_of(result), start=1):
        name = decision["name"]
        keys = [key_of(platform["architecture"].get(name)) for platform in platforms]
        ranks = _ranks(decision.get("options") or [])
        for k, platform in enumerate(platforms):
            same = k + 1 < len(platforms) and keys[k] == keys[k + 1]
            value = platform["architecture"].get(name)
            found.append(Choice(name, index, platform["name"], shown(value), ranks.get(keys[k]), same))
    return tuple(found)


def widths(result: Mapping[str, Any], systems: Sequence[SystemRow]) -> tuple[Width, ...]:
    """Channels per searched layer, for the given systems and the platforms of the result."""
    names = [decision["name"] for decision in decisions_of(result) if decision.get("kind") == "width"]
    found: list[Width] = []
    for system in systems:
        for platform in (p["name"] for p in by_cost(result)):
            architecture = system.architectures.get(platform, {})
            for layer, name in enumerate(names, start=1):
                if isinstance(architecture.get(name), int | float):
                    found.append(Width(system.name, platform, layer, name, int(architecture[name])))
    return tuple(found)


def shared(
    result: Mapping[str, Any],
    ours: SystemRow,
    against: SystemRow | None,
    blocks: Mapping[tuple[str, str], tuple[int, int]] | None = None,
) -> tuple[Shared, ...]:
    """Equal decisions of neighbouring platforms (section 4.3 of the slimmable paper: 8 of 14 layers).

    Where ``blocks`` says how many blocks two platforms have in common, those are counted: decisions of skipped
    layers would otherwise count as equal or not by chance.
    """
    if blocks:
        neighbours = itertools.pairwise(p["name"] for p in by_cost(result))
        return tuple(Shared(*pair, *blocks[pair], unit="blocks") for pair in neighbours if pair in blocks)
    names = [decision["name"] for decision in decisions_of(result)]
    platforms = [platform["name"] for platform in by_cost(result)]
    found: list[Shared] = []
    for first, second in itertools.pairwise(platforms):
        equal = _equal(ours, first, second, names)
        other = None if against is None else _equal(against, first, second, names)
        if equal is not None:
            name = None if against is None or other is None else against.name
            found.append(Shared(first, second, equal, len(names), name, other))
    return tuple(found)


def _equal(system: SystemRow, first: str, second: str, names: Sequence[str]) -> int | None:
    """How many decisions are equal; None where an architecture is not known."""
    a, b = system.architectures.get(first), system.architectures.get(second)
    if a is None or b is None:
        return None
    return sum(name in a and name in b and key_of(a[name]) == key_of(b[name]) for name in names)


def by_cost(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The platforms from cheap to dear, so that neighbours are neighbours in cost whatever the order asked."""
    return sorted(result["platforms"], key=lambda p: (p.get("costs") or {}).get("macs") or p.get("params") or 0)


def decisions_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The decisions of the space, or, where the result does not list them, those of the first platform."""
    listed = (result.get("space") or {}).get("decisions")
    if listed:
        return list(listed)
    return [{"name": name, "kind": "op"} for name in result["platforms"][0]["architecture"]]


def key_of(value: Any) -> str:
    """Equal for equal values; JSON turns tuples into lists, and lists cannot be keys."""
    return json.dumps(value, sort_keys=True)


def _ranks(options: Sequence[Any]) -> dict[str, float]:
    last = max(len(options) - 1, 1)
    return {key_of(option): index / last for index, option in enumerate(options)}


def shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "\N{MULTIPLICATION SIGN}".join(shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(words.finite(value))
