"""The method's own answer beside the one within the budget, where a budget forbids the own one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.report.beliefs import Belief, Beliefs, active
from sartor.report.decisions import by_cost, decisions_of, key_of, shown
from sartor.report.rows import BudgetUse, costs_of


@dataclass(frozen=True)
class OtherChoice:
    """A decision in which the two answers differ; a value of None does not matter there (its layer is skipped).

    Probabilities are the policy's at the end, None where it left no trace.
    """

    decision: str
    own: str | None
    taken: str | None
    own_probability: float | None
    taken_probability: float | None


@dataclass(frozen=True)
class OwnAnswer:
    """Both answers for one platform: their costs, with budgets where there are any, and where they part."""

    platform: str
    own_uses: tuple[BudgetUse, ...]
    taken_uses: tuple[BudgetUse, ...]
    choices: tuple[OtherChoice, ...]
    decisions: int

    @property
    def pairs(self) -> tuple[tuple[BudgetUse, BudgetUse], ...]:
        """Own and taken, budget by budget."""
        return tuple(zip(self.own_uses, self.taken_uses, strict=True))


def own_answers(result: Mapping[str, Any], beliefs: Beliefs) -> tuple[OwnAnswer, ...]:
    """One entry per platform whose own answer is another one, platforms from cheap to dear."""
    decisions = decisions_of(result)
    return tuple(_answer(p, decisions, beliefs.of(p["name"])) for p in by_cost(result) if _has_own(p))


def _has_own(platform: Mapping[str, Any]) -> bool:
    return bool((platform.get("own") or {}).get("architecture"))


def _answer(
    platform: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]], believed: Sequence[Belief]
) -> OwnAnswer:
    own = platform["own"]
    return OwnAnswer(
        platform["name"],
        _uses(platform, own),
        _uses(platform, platform),
        tuple(_choices(own["architecture"], platform["architecture"], decisions, believed)),
        len(decisions),
    )


def _uses(platform: Mapping[str, Any], network: Mapping[str, Any]) -> tuple[BudgetUse, ...]:
    """The budgets of a platform held against the costs of a network, none of them measured."""
    costs = costs_of({"costs": network.get("costs") or {}})
    device = platform.get("device")
    return tuple(
        BudgetUse(cost, budget, costs.get(cost), device=device if cost == "latency_ms" else None)
        for cost, budget in (platform.get("budgets") or {}).items()
    )


def _choices(
    own: Mapping[str, Any],
    taken: Mapping[str, Any],
    decisions: Sequence[Mapping[str, Any]],
    believed: Sequence[Belief],
) -> list[OtherChoice]:
    """The decisions that matter in at least one of the two, and differ."""
    matter = {name: active(architecture, decisions) for name, architecture in (("own", own), ("taken", taken))}
    known = {belief.decision: belief for belief in believed}
    found = []
    for decision in decisions:
        name = decision["name"]
        a = own.get(name) if name in matter["own"] else None
        b = taken.get(name) if name in matter["taken"] else None
        if key_of(a) != key_of(b):
            found.append(OtherChoice(name, _text(a), _text(b), *(_probability(known.get(name), v) for v in (a, b))))
    return found


def _text(value: Any) -> str | None:
    return None if value is None else shown(value)


def _probability(belief: Belief | None, value: Any) -> float | None:
    """The last probability of an option, by the text that stands for it."""
    if belief is None or value is None or shown(value) not in belief.options:
        return None
    return belief.final[belief.options.index(shown(value))]
