"""How a policy-based search went: entropy, cost and quality of its samples over the share of the search done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.report import words
from sartor.report.beliefs import Beliefs
from sartor.report.curves import by_stage, pieces
from sartor.report.own import OwnAnswer
from sartor.report.rows import BudgetUse, PlatformRow

STAGE = "search"
# Three platforms and seven quantities with so many points each weigh 50 KB on the page.
MAX_POINTS = 80
EVERYONE = "all platforms"

# Key of the metrics -> title, and the factor from the logged to the drawn unit. In the order of the page.
QUANTITIES: dict[str, tuple[str, float]] = {
    "entropy_nats": ("Entropy of the policy (nats)", 1.0),
    "cost_ratio": ("Cost of the samples / target", 1.0),
    "quality": ("Accuracy of the samples (%)", 100.0),
    "mode_accuracy": ("Accuracy of the most probable network (%)", 1.0),
    "reward": ("Reward of the samples", 1.0),
    "samples_per_step": ("Samples per step", 1.0),
    "effective_samples": ("Effective samples per step", 1.0),
    "policy_rate": ("Learning rate of the policy", 1.0),
}


@dataclass(frozen=True)
class SearchPoint:
    """One point of one line; ``done`` is in percent of the search, ``averaged`` lines of the log stand behind it."""

    quantity: str
    platform: str
    done: float
    value: float
    averaged: int


@dataclass(frozen=True)
class SearchCurves:
    """The lines of a search; ``onset`` is the percentage at which the policy begins to learn, where that is known."""

    points: tuple[SearchPoint, ...] = ()
    start_entropy: Mapping[str, float] | None = None
    onset: float | None = None

    def ends(self, quantity: str) -> dict[str, float]:
        """The mean over the last tenth of the search, by platform."""
        found: dict[str, list[SearchPoint]] = {}
        for point in self.points:
            if point.quantity == quantity and point.done > 90:
                found.setdefault(point.platform, []).append(point)
        return {
            name: sum(p.value * p.averaged for p in points) / sum(p.averaged for p in points)
            for name, points in found.items()
        }


@dataclass(frozen=True)
class SearchRow:
    """How the search of one platform ended. Ratios are costs over the budget; None where nothing is known."""

    platform: str
    start_nats: float | None
    end_nats: float | None
    settled: int
    decisions: int  # that matter for the answer; 0 without a trace
    sample_ratio: float | None
    answer_ratio: float | None
    own_ratio: float | None

    @property
    def likely_networks(self) -> float | None:
        """As many equally probable networks would have the entropy of the end (its perplexity)."""
        return None if self.end_nats is None else math.exp(min(self.end_nats, 700.0))


def search_rows(
    method: str, curves: SearchCurves, beliefs: Beliefs, platforms: Sequence[PlatformRow], own: Sequence[OwnAnswer]
) -> tuple[SearchRow, ...]:
    """One row per platform; empty for methods without a policy."""
    if not curves.points and not beliefs.decisions:
        return ()
    entropy, ratio = curves.ends("entropy_nats"), curves.ends("cost_ratio")
    others = {answer.platform: target_ratio(method, answer.own_uses) for answer in own}
    starts = curves.start_entropy or {}
    return tuple(
        SearchRow(
            row.name,
            starts.get(row.name, starts.get(EVERYONE)),
            entropy.get(row.name, entropy.get(EVERYONE)),
            *beliefs.settled(row.name),
            ratio.get(row.name, ratio.get(EVERYONE)),
            target_ratio(method, row.uses),
            others.get(row.name),
        )
        for row in platforms
    )


def target_ratio(method: str, uses: Sequence[BudgetUse]) -> float | None:
    """A network's cost over the target that ``cost_ratio`` was logged for.

    TuNAS aims at the first budget that is a sum (peak memory is none); others hold every budget, and log the one that
    is used most.
    """
    predicted = [use for use in uses if use.share is not None and not use.measured]
    summed = [use for use in predicted if use.cost != "peak_memory_bytes"]
    if method.lower() == "tunas" and summed:
        return summed[0].share
    return max((use.share for use in predicted if use.share is not None), default=None)


def search_curves(metrics: Iterable[Mapping[str, Any]], platforms: Sequence[str]) -> SearchCurves:
    """The lines that a policy-based search logged; empty for other methods."""
    entries = by_stage(metrics).get(STAGE, [])
    if not any("entropy_nats" in entry for entry in entries):
        return SearchCurves()
    points: list[SearchPoint] = []
    for quantity, (_, factor) in QUANTITIES.items():
        for platform, key in _series(entries, quantity, platforms).items():
            points += _line(entries, quantity, platform, key, factor)
    starts = {p: _first(entries, key) for p, key in _series(entries, "entropy_nats", platforms).items()}
    return SearchCurves(tuple(points), starts, _onset(entries))


def _series(entries: Sequence[Mapping[str, Any]], quantity: str, platforms: Sequence[str]) -> dict[str, str]:
    """Which keys hold a quantity, by platform; what has no keys of its own for platforms is one line for all."""
    own = {p: f"{quantity}/{p}" for p in platforms if any(f"{quantity}/{p}" in entry for entry in entries)}
    if own or not any(quantity in entry for entry in entries):
        return own
    return {platforms[0] if len(platforms) == 1 else EVERYONE: quantity}


def _line(
    entries: Sequence[Mapping[str, Any]], quantity: str, platform: str, key: str, factor: float
) -> list[SearchPoint]:
    seen = [entry for entry in entries if words.finite(entry.get(key)) is not None]
    return [
        SearchPoint(quantity, platform, _done(part[-1], entries[-1]), _mean(part, key) * factor, len(part))
        for part in pieces(seen, MAX_POINTS)
    ]


def _mean(part: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(sum(entry[key] for entry in part) / len(part))


def _done(entry: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    """Percent of the search; a log without ``progress`` counts steps."""
    share = entry["progress"] if "progress" in entry else entry["step"] / last["step"]
    return round(100 * float(share), 2)


def _first(entries: Sequence[Mapping[str, Any]], key: str) -> float:
    return float(next(entry[key] for entry in entries if words.finite(entry.get(key)) is not None))


def _onset(entries: Sequence[Mapping[str, Any]]) -> float | None:
    """Where the policy's rate leaves zero; None where it learns from the first line on, or never."""
    rates = [entry.get("policy_rate") or 0.0 for entry in entries]
    first = next((k for k, rate in enumerate(rates) if rate > 0), 0)
    return _done(entries[first - 1], entries[-1]) if first else None
