"""Platforms and baselines as table rows, with their budgets checked and their answers in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.report import words
from sartor.report.latency import device_name

# The order in which accuracies are trusted: pictures that steered nothing come first.
SPLITS = {"test": "test_accuracy", "validation": "val_accuracy"}


@dataclass(frozen=True)
class BudgetUse:
    """How much of one budget is used. ``share`` is a fraction; None where the cost was not measured.

    ``device``: what a latency was predicted for or measured on, where that has a name.
    """

    cost: str
    budget: float
    used: float | None
    measured: bool = False
    device: str | None = None

    @property
    def share(self) -> float | None:
        """Cost divided by budget."""
        return None if self.used is None else self.used / self.budget

    @property
    def missed(self) -> bool:
        """Whether the cost is above the budget."""
        return self.used is not None and self.used > self.budget

    @property
    def origin(self) -> str:
        """Where the cost comes from: empty for what is counted exactly."""
        how = "measured" if self.measured else "predicted" if self.device else ""
        return f"{how} {'on' if self.measured else 'for'} {self.device}" if self.device else how

    def __str__(self) -> str:
        label = words.cost_label(self.cost) + (f" ({self.origin})" if self.origin else "")
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
    latency_ms: float | None  # measured
    latency_spread_ms: float | None
    latency_device: str | None  # where it was measured
    predicted_ms: float | None  # by the model or table of ``device``
    device: str | None
    weights: str | None
    onnx: str | None
    onnx_bytes: int | None
    export_check: str
    answer: str
    notes: tuple[str, ...]  # what the method has to say about its answer, in sentences
    deployed: str | None  # how it does at the size it is shipped for, in a sentence

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
    predicted = has_predictions(result)
    return tuple(_platform_row(platform, total, ours, against, predicted) for platform in result["platforms"])


def _platform_row(
    platform: Mapping[str, Any], total: float, ours: SystemRow, against: SystemRow | None, predicted: bool
) -> PlatformRow:
    name = platform["name"]
    uses = budget_uses(platform)
    accuracies = {split: ours.accuracies[split].get(name) for split in SPLITS}
    return PlatformRow(
        name=name,
        share=(platform.get("weight") or 1.0) / total,
        uses=uses,
        costs=costs_of(platform, predicted),
        accuracies=accuracies,
        exit=platform.get("exit"),
        latency_ms=platform.get("latency_ms"),
        latency_spread_ms=platform.get("latency_spread_ms"),
        latency_device=platform.get("latency_device"),
        predicted_ms=(platform.get("costs") or {}).get("latency_ms"),
        device=_device(platform),
        weights=platform.get("weights"),
        onnx=platform.get("onnx"),
        onnx_bytes=platform.get("onnx_bytes"),
        export_check=_export_check(platform),
        answer=_answer(name, uses, accuracies, _latency(platform), against),
        notes=tuple(words.sentence(note) for note in platform.get("notes") or []),
        deployed=_deployed(name, platform.get("deployed") or {}),
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


def costs_of(platform: Mapping[str, Any], predicted: bool = False) -> dict[str, float]:
    """Every known cost of a platform; a measured latency stands in where none was ``predicted`` for any platform."""
    costs = {cost: value for cost, value in (platform.get("costs") or {}).items() if value is not None}
    for cost in ("params",) if predicted else ("params", "latency_ms"):
        if platform.get(cost) is not None:
            costs.setdefault(cost, platform[cost])
    return costs


def has_predictions(result: Mapping[str, Any]) -> bool:
    """Whether the latency of any platform was predicted: measured ones then stand beside it, never in its place."""
    return any((platform.get("costs") or {}).get("latency_ms") is not None for platform in result["platforms"])


def budget_uses(platform: Mapping[str, Any]) -> tuple[BudgetUse, ...]:
    """Every budget against its cost; a latency budget also against what was measured on its device."""
    uses: list[BudgetUse] = []
    costs = platform.get("costs") or {}
    again = (platform.get("latency") or {}).get("measured_ms")  # of the exported network, on the device's machine
    for cost, budget in (platform.get("budgets") or {}).items():
        same_device = platform.get("device") == platform.get("latency_device")
        measured = platform.get("latency_ms") if cost == "latency_ms" and same_device else None
        measured = again if cost == "latency_ms" and again is not None else measured
        device = _device(platform) if cost == "latency_ms" else None
        declared = costs.get(cost, platform.get("params") if cost == "params" else None)
        if declared is not None or measured is None:
            uses.append(BudgetUse(cost, budget, declared, device=device))
        if measured is not None:
            uses.append(BudgetUse(cost, budget, measured, measured=True, device=device))
    return tuple(uses)


def _device(platform: Mapping[str, Any]) -> str | None:
    device = platform.get("device")
    return None if device is None else device_name(device)


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
    latency: str | None,
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
    if latency is not None and not any(use.measured for use in uses):
        text += latency
    return text + "."


def _latency(platform: Mapping[str, Any]) -> str | None:
    """The measured latency and where; beside a prediction it says that it is measured."""
    value, where = platform.get("latency_ms"), platform.get("latency_device")
    if value is None:
        return None
    predicted = (platform.get("costs") or {}).get("latency_ms") is not None
    text = f", {'measured ' if predicted else ''}at {words.quantity('latency_ms', value)} per picture"
    return text + (f" on {where}" if where else "")


def _deployed(name: str, deployed: Mapping[str, Any]) -> str | None:
    """What changes with the size of the pictures."""
    if not deployed.get("image_size"):
        return None
    size, trained = deployed["image_size"], deployed.get("training_image_size")
    how = f" ({deployed['pictures']} from {trained})" if deployed.get("pictures") and trained else ""
    text = f"{name} is shipped for pictures of side {size}{how}"
    there, before = deployed.get("test_accuracy"), deployed.get("test_accuracy_at_training_size")
    if there is None:
        return f"{text}; its accuracy there was not measured."
    text += (
        f": {words.percent(there)} of {deployed.get('test_pictures', 0):,} test pictures are classified correctly there"
    )
    return f"{text}." if before is None else f"{text}, {words.percent(before)} at the size of training."


def _use_in_words(use: BudgetUse) -> str:
    return str(use) if use.share is None else f"{use} ({100 * use.share:.1f} %)"
