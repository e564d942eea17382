"""Platforms and baselines as table rows, with their budgets checked and their answers in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.report import words

# The order in which accuracies are trusted: pictures that steered nothing come first.
SPLITS = {"test": "test_accuracy", "validation": "val_accuracy"}


@dataclass(frozen=True)
class BudgetUse:
    """How much of one budget is used. ``share`` is a fraction; None where the cost was not measured."""

    cost: str
    budget: float
    used: float | None
    measured: bool = False

    @property
    def share(self) -> float | None:
        """Cost divided by budget."""
        return None if self.used is None else self.used / self.budget

    @property
    def missed(self) -> bool:
        """Whether the cost is above the budget."""
        return self.used is not None and self.used > self.budget

    def __str__(self) -> str:
        label = words.cost_label(self.cost) + (" (measured)" if self.measured else "")
        amount = words.quantity(self.cost, self.used)
        return f"{amount} {label} of the {words.quantity(self.cost, self.budget)} allowed"


@dataclass(frozen=True)
class PlatformRow:
    """One platform: what was asked, what was found, and whether the files are right."""

    name: str
    share: float  # of the importance, 0 to 1
    uses: tuple[BudgetUse, ...]
    costs: dict[str, float]
    accuracies: dict[str, float | None]  # by split
    exit: int | None
    latency_ms: float | None
    latency_spread_ms: float | None
    weights: str | None
    onnx: str | None
    onnx_bytes: int | None
    export_check: str
    answer: str

    @property
    def missed(self) -> bool:
        """Whether any budget is missed."""
        return any(use.missed for use in self.uses)


@dataclass(frozen=True)
class SystemRow:
    """The search result or a baseline: an accuracy for every platform, and weighted. The first row is ours."""

    name: str
    description: str
    accuracies: dict[str, dict[str, float | None]]  # split -> platform -> percent
    weighted: dict[str, float | None]  # split -> percent
    architectures: dict[str, dict[str, Any]]  # platform -> decision -> value


def platform_rows(result: Mapping[str, Any], ours: SystemRow, against: SystemRow | None) -> tuple[PlatformRow, ...]:
    """One row per platform of the result, in its order."""
    total = sum(platform.get("weight") or 1.0 for platform in result["platforms"])
    return tuple(_platform_row(platform, total, ours, against) for platform in result["platforms"])


def _platform_row(platform: Mapping[str, Any], total: float, ours: SystemRow, against: SystemRow | None) -> PlatformRow:
    name = platform["name"]
    uses = budget_uses(platform)
    accuracies = {split: ours.accuracies[split].get(name) for split in SPLITS}
    return PlatformRow(
        name=name,
        share=(platform.get("weight") or 1.0) / total,
        uses=uses,
        costs=costs_of(platform),
        accuracies=accuracies,
        exit=platform.get("exit"),
        latency_ms=platform.get("latency_ms"),
        latency_spread_ms=platform.get("latency_spread_ms"),
        weights=platform.get("weights"),
        onnx=platform.get("onnx"),
        onnx_bytes=platform.get("onnx_bytes"),
        export_check=_export_check(platform),
        answer=_answer(name, uses, accuracies, platform.get("latency_ms"), against),
    )


def system_rows(result: Mapping[str, Any]) -> tuple[SystemRow, ...]:
    """The result itself, then every baseline."""
    ours = {
        "name": words.method_name(result["method"]),
        "description": "found by the search and trained",
        "platforms": result["platforms"],
        "weighted_accuracy": result.get("weighted_accuracy"),
    }
    return tuple(_system_row(system) for system in [ours, *(result.get("baselines") or [])])


def _system_row(system: Mapping[str, Any]) -> SystemRow:
    platforms = system.get("platforms") or []
    return SystemRow(
        name=system["name"],
        description=system.get("description") or "",
        accuracies={split: {p["name"]: p.get(field) for p in platforms} for split, field in SPLITS.items()},
        weighted={split: (system.get("weighted_accuracy") or {}).get(split) for split in SPLITS},
        architectures={p["name"]: p["architecture"] for p in platforms if p.get("architecture")},
    )


def uniform_baseline(systems: Sequence[SystemRow]) -> SystemRow | None:
    """The baseline that channels and accuracies are held against: a uniform one with known architectures."""
    ours, *baselines = systems
    known = [b for b in baselines if b.architectures and b.architectures != ours.architectures]
    named = [b for b in known if any(word in f"{b.name} {b.description}".lower() for word in ("uniform", "slim"))]
    found = [*named, *known]
    return found[0] if found else None


def costs_of(platform: Mapping[str, Any]) -> dict[str, float]:
    """Every known cost of a platform; a measured latency stands in where none was predicted."""
    costs = {cost: value for cost, value in (platform.get("costs") or {}).items() if value is not None}
    for cost in ("params", "latency_ms"):
        if platform.get(cost) is not None:
            costs.setdefault(cost, platform[cost])
    return costs


def budget_uses(platform: Mapping[str, Any]) -> tuple[BudgetUse, ...]:
    """Every budget against its cost; a latency budget also against what was measured on its device."""
    uses: list[BudgetUse] = []
    costs = platform.get("costs") or {}
    for cost, budget in (platform.get("budgets") or {}).items():
        same_device = platform.get("device") == platform.get("latency_device")
        measured = platform.get("latency_ms") if cost == "latency_ms" and same_device else None
        declared = costs.get(cost, platform.get("params") if cost == "params" else None)
        if declared is not None or measured is None:
            uses.append(BudgetUse(cost, budget, declared))
        if measured is not None:
            uses.append(BudgetUse(cost, budget, measured, measured=True))
    return tuple(uses)


def _export_check(platform: Mapping[str, Any]) -> str:
    if not platform.get("onnx"):
        return "not exported"
    difference, agreement = platform.get("onnx_max_abs_diff"), platform.get("onnx_top1_agreement")
    if difference is None and agreement is None:
        return "exported, not checked"
    parts = [] if agreement is None else [f"same class for {100 * agreement:.4g} % of pictures"]
    parts += [] if difference is None else [f"outputs within {words.scientific(difference)}"]
    return ", ".join(parts)


def _answer(
    name: str,
    uses: Sequence[BudgetUse],
    accuracies: Mapping[str, float | None],
    latency_ms: float | None,
    against: SystemRow | None,
) -> str:
    """The outcome for one platform in one sentence."""
    verb = "misses its budget with" if any(use.missed for use in uses) else "runs on"
    used = words.listed([_use_in_words(use) for use in uses])
    text = f"{name} {verb} {used}" if uses else f"{name} runs without a budget"
    known = [(split, value) for split, value in accuracies.items() if value is not None]
    if known:
        split, accuracy = known[0]
        text += f" and classifies {words.percent(accuracy)} of the {split} pictures correctly"
        other = against.accuracies[split].get(name) if against else None
        if against and other is not None:
            text += f" ({words.points(accuracy - other)} points against {against.name})"
    else:
        text += "; its accuracy was not measured"
    if latency_ms is not None and not any(use.measured for use in uses):
        text += f", at {words.quantity('latency_ms', latency_ms)} per picture"
    return text + "."


def _use_in_words(use: BudgetUse) -> str:
    return str(use) if use.share is None else f"{use} ({100 * use.share:.1f} %)"
