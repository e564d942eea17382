"""What a policy believed about every decision and when, reduced to what a picture can show.

Snapshots of a large space hold tens of thousands of probabilities; a decision keeps its last distribution, and over
time the probability of the option that became the most probable one beside that of the option then in front.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.report.decisions import by_cost, decisions_of, key_of, shown

# Narrower columns cannot be told apart on a phone.
MAX_SNAPSHOTS = 32
# From this probability on a decision counts as settled.
SETTLED = 0.9


@dataclass(frozen=True)
class Belief:
    """One decision of one platform's policy. Options are positions in ``options``; probabilities 0 to 1.

    ``likely`` is the finally most probable option, ``taken`` the answer's; ``chances`` and ``leaders`` hold, per
    snapshot, the probability of ``likely`` and the option in front. ``used``: whether the answer depends on the
    decision. ``settled_at`` is the share of the search from which on ``likely`` kept a probability of at least 0.9.
    """

    platform: str
    decision: str
    block: str | None
    options: tuple[str, ...]
    final: tuple[float, ...]
    likely: int
    taken: int | None
    used: bool
    chances: tuple[float, ...]
    leaders: tuple[int, ...]
    leader_chances: tuple[float, ...]
    settled_at: float | None


@dataclass(frozen=True)
class Beliefs:
    """Every decision of every platform that has a trace; ``progress`` holds the snapshots' times, 0 to 1."""

    decisions: tuple[Belief, ...] = ()
    progress: Mapping[str, tuple[float, ...]] | None = None

    @property
    def platforms(self) -> tuple[str, ...]:
        """From cheap to dear."""
        return tuple(dict.fromkeys(belief.platform for belief in self.decisions))

    def of(self, platform: str) -> list[Belief]:
        """The decisions of one platform in network order."""
        return [belief for belief in self.decisions if belief.platform == platform]

    def settled(self, platform: str) -> tuple[int, int]:
        """How many of the decisions that matter for the answer are settled, and how many there are."""
        used = [belief for belief in self.of(platform) if belief.used]
        return sum(belief.settled_at is not None for belief in used), len(used)


def beliefs(result: Mapping[str, Any]) -> Beliefs:
    """The traces of ``result["policy"]``; a trace that does not fit the decisions is left out."""
    decisions = decisions_of(result)
    found: list[Belief] = []
    progress: dict[str, tuple[float, ...]] = {}
    for platform in by_cost(result):
        trace = thinned((result.get("policy") or {}).get(platform["name"]) or {})
        snapshots = trace.get("probabilities") or []
        if not snapshots or not _fits(snapshots, decisions):
            continue
        progress[platform["name"]] = tuple(trace["progress"])
        for place, decision in enumerate(decisions):
            history = [snapshot[place] for snapshot in snapshots]
            found.append(_belief(platform, decision, history, trace["progress"], decisions))
    return Beliefs(tuple(found), progress)


def thinned(trace: Mapping[str, Any], most: int = MAX_SNAPSHOTS) -> dict[str, Any]:
    """At most ``most`` snapshots, evenly spaced, the first and the last among them."""
    times, snapshots = trace.get("progress") or [], trace.get("probabilities") or []
    last = min(len(times), len(snapshots)) - 1
    kept = range(last + 1) if last < most else [round(k * last / (most - 1)) for k in range(most)]
    return {"progress": [times[k] for k in kept], "probabilities": [snapshots[k] for k in kept]}


def _fits(snapshots: Sequence[Any], decisions: Sequence[Mapping[str, Any]]) -> bool:
    sizes = [len(decision.get("options") or []) for decision in decisions]
    return all([len(options) for options in snapshot] == sizes for snapshot in (snapshots[0], snapshots[-1]))


def _belief(
    platform: Mapping[str, Any],
    decision: Mapping[str, Any],
    history: Sequence[Sequence[float]],
    times: Sequence[float],
    decisions: Sequence[Mapping[str, Any]],
) -> Belief:
    final = history[-1]
    likely = _best(final)
    leaders = tuple(_best(chances) for chances in history)
    keys = [key_of(option) for option in decision["options"]]
    value = key_of(platform["architecture"].get(decision["name"]))
    return Belief(
        platform=platform["name"],
        decision=decision["name"],
        block=decision.get("block"),
        options=tuple(shown(option) for option in decision["options"]),
        final=tuple(final),
        likely=likely,
        taken=keys.index(value) if value in keys else None,
        used=decision["name"] in active(platform["architecture"], decisions),
        chances=tuple(chances[likely] for chances in history),
        leaders=leaders,
        leader_chances=tuple(chances[k] for chances, k in zip(history, leaders, strict=True)),
        settled_at=_settled_at([chances[likely] for chances in history], times),
    )


def active(architecture: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]]) -> set[str]:
    """The decisions that an architecture depends on: those of a skipped layer do not matter."""
    found: set[str] = set()
    for decision in decisions:
        when = decision.get("when")
        if not when or (when[0] in found and key_of(architecture.get(when[0])) in map(key_of, when[1])):
            found.add(decision["name"])
    return found


def _best(chances: Sequence[float]) -> int:
    return max(range(len(chances)), key=chances.__getitem__)


def _settled_at(chances: Sequence[float], times: Sequence[float]) -> float | None:
    """The start of the unbroken run of large probabilities that lasts to the end."""
    sure = list(itertools.takewhile(lambda pair: pair[0] >= SETTLED, zip(chances[::-1], times[::-1], strict=True)))
    return sure[-1][1] if sure else None
