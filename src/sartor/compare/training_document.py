"""What a comparison on real training says: accuracies by platform and weighted, beside random search, and prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.compare.methods import BASELINE
from sartor.compare.pareto import hypervolume
from sartor.compare.statistics import mean_of, paired_difference
from sartor.config import Job
from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.costs.devices import LATENCY
from sartor.methods.evaluator import TRAINING_COST
from sartor.platforms import Platform

if TYPE_CHECKING:
    from sartor.compare.on_training import Plan

Searches = Sequence[Mapping[str, Any]]
STAGES = {"search": "search", "training": "train"}
# A search whose steps are large ends beyond its budget; from this factor on it is said.
_FAR_BEYOND = 1.05
# The reference of hypervolumes lies beyond the largest budget, so that the network within it counts as well.
_BEYOND = 1.1


def document(
    job: Job,
    plan: Plan,
    names: Sequence[str],
    found: Mapping[str, Searches],
    reasons: Mapping[str, str],
    seeds: int,
) -> dict[str, Any]:
    """Everything as plain data; but for ``times`` nothing in it depends on the machine's load or on processes."""
    judge = _Judge(job.platforms, plan.judged_on)
    baseline = found.get(BASELINE)
    rows = {name: judge.row(found[name], baseline) if name in found else _absent(reasons[name]) for name in names}
    return {
        "methods": rows,
        "job": job.name,
        "space": job.space.name,
        "data": job.data.source,
        "seeds": seeds,
        "first_seed": job.seed,
        "judged_on": plan.judged_on,
        "search_budget_images": plan.question.search_cost / TRAINING_COST,
        "platforms": [
            {"name": p.name, "weight": p.weight, "device": p.device, "budgets": dict(p.budgets)} for p in job.platforms
        ],
        "fronts": _fronts(judge, found, plan.chance),
        "notes": _notes(job, plan, found, reasons, seeds),
        "configuration": job.resolved(),
    }


class _Judge:
    """Reads accuracies on the pictures that judge."""

    def __init__(self, platforms: Sequence[Platform], split: str) -> None:
        self.platforms, self.split = platforms, split

    def row(self, searches: Searches, baseline: Searches | None) -> dict[str, Any]:
        """A method by its searches, seed by seed."""
        kept = [use <= 1.0 for s in searches for p in self.platforms for use in _uses(s, p).values()]
        return {
            **_accuracy(self.weighted(searches), None if baseline is None else self.weighted(baseline)),
            "within_budget": float(np.mean(kept)),
            "platforms": {p.name: self._platform(p, searches, baseline) for p in self.platforms},
            "answers": [{p.name: s["platforms"][p.name]["architecture"] for p in self.platforms} for s in searches],
            "costs": [{p.name: s["platforms"][p.name]["costs"] for p in self.platforms} for s in searches],
            "search_cost_images": [s["search_cost"] / TRAINING_COST for s in searches],
            "search_images": _images(searches),
            "training_images": [s["training_images"] for s in searches],
            "times": {
                f"{name}_{kind}": [s["times"][f"{stage}_{kind}"] for s in searches]
                for name, stage in STAGES.items()
                for kind in ("seconds", "cpu_seconds")
            },
            "warnings": [list(s["warnings"]) for s in searches],
            "not_applicable": None,
        }

    def weighted(self, searches: Searches) -> list[float]:
        """Accuracies weighted by importance, in percent, by seed."""
        return [s["weighted_accuracy"][self.split] for s in searches]

    def on(self, platform: Platform, searches: Searches) -> list[float]:
        """Accuracies of a platform's networks, in percent, by seed."""
        key = "test_accuracy" if self.split == "test" else "val_accuracy"
        return [s["platforms"][platform.name][key] for s in searches]

    def _platform(self, platform: Platform, searches: Searches, baseline: Searches | None) -> dict[str, Any]:
        uses = [_uses(s, platform) for s in searches]
        return {
            **_accuracy(self.on(platform, searches), None if baseline is None else self.on(platform, baseline)),
            "budget_use": {kind: [use[kind] for use in uses] for kind in platform.budgets},
        }


def _accuracy(values: Sequence[float], baseline: Sequence[float] | None) -> dict[str, Any]:
    mean = mean_of(values)
    against = None if baseline is None else paired_difference(values, baseline)
    return {
        "accuracy_mean": mean.mean,
        "accuracy_deviation": mean.deviation,
        "accuracy_ci95": mean.ci95,
        "accuracies": list(values),
        "difference_to_random": None if against is None else against.as_difference(lower_is_better=False),
    }


def _uses(search: Mapping[str, Any], platform: Platform) -> dict[str, float]:
    """The share of every budget that a platform's network uses."""
    costs = search["platforms"][platform.name]["costs"]
    return {kind: costs[kind] / limit for kind, limit in platform.budgets.items()}


def _images(searches: Searches) -> dict[str, list[int]]:
    """Pictures that shared weights were trained on, and that networks were only scored on, every pass counted."""
    trained = [(s["search_cost"] - s["search_images"]) // (TRAINING_COST - 1) for s in searches]
    return {"trained": trained, "scored": [s["search_images"] - n for s, n in zip(searches, trained, strict=True)]}


def _absent(reason: str) -> dict[str, Any]:
    empty = ("accuracy_mean", "accuracy_deviation", "accuracy_ci95", "difference_to_random", "within_budget")
    return {**dict.fromkeys(empty), "accuracies": [], "answers": [], "not_applicable": reason}


# ---------------------------------------------------------------------- fronts


def _fronts(judge: _Judge, found: Mapping[str, Searches], chance: float) -> dict[str, Any]:
    """Accuracy against every kind of budget: the networks of each search, and what their front covers."""
    kinds = list(dict.fromkeys(kind for p in judge.platforms for kind in p.budgets))
    return {kind: _front(kind, judge, found, chance) for kind in kinds if _everywhere(kind, judge.platforms)}


def _everywhere(kind: str, platforms: Sequence[Platform]) -> bool:
    """Whether all networks have this cost, in one unit: latencies are known where they are budgets of one device."""
    if kind in ANALYTIC_COSTS:
        return True
    return all(kind in p.budgets for p in platforms) and (kind != LATENCY or len({p.device for p in platforms}) == 1)


def _front(kind: str, judge: _Judge, found: Mapping[str, Searches], chance: float) -> dict[str, Any]:
    networks = {name: [_networks(kind, judge, search) for search in searches] for name, searches in found.items()}
    dearest = max((cost for searches in networks.values() for costs, _ in searches for cost in costs), default=0.0)
    reference = _BEYOND * max(dearest, *(p.budgets.get(kind, 0.0) for p in judge.platforms))
    covered = {name: [_covered(n, reference, chance) for n in searches] for name, searches in networks.items()}
    return {
        "reference_cost": reference,
        "reference_accuracy": chance,
        "networks": {
            name: [{"costs": costs, "accuracies": accuracies} for costs, accuracies in searches]
            for name, searches in networks.items()
        },
        "hypervolume": {name: _volume(values, covered.get(BASELINE)) for name, values in covered.items()},
    }


def _networks(kind: str, judge: _Judge, search: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Costs and accuracies of one search's networks, one per platform."""
    costs = [search["platforms"][p.name]["costs"][kind] for p in judge.platforms]
    return costs, [judge.on(p, [search])[0] for p in judge.platforms]


def _covered(networks: tuple[list[float], list[float]], reference: float, chance: float) -> float:
    """The hypervolume in percent of what networks without cost and without error would cover."""
    area = hypervolume(*networks, reference_cost=reference, reference_accuracy=chance)
    return 100.0 * area / (reference * (100.0 - chance))


def _volume(values: Sequence[float], baseline: Sequence[float] | None) -> dict[str, Any]:
    mean = mean_of(values)
    against = None if baseline is None else paired_difference(values, baseline)
    return {
        "mean": mean.mean,
        "ci95": mean.ci95,
        "values": list(values),
        "difference_to_random": None if against is None else against.as_difference(lower_is_better=False),
    }


# ---------------------------------------------------------------------- notes


def _notes(job: Job, plan: Plan, found: Mapping[str, Searches], reasons: Mapping[str, str], seeds: int) -> list[str]:
    notes = [
        f"every search costs {plan.question.search_cost / TRAINING_COST:,.0f} trained pictures, what {job.method.name} "
        f"takes for search.epochs {job.search.epochs:g}, up to one step more; a picture that is only scored counts a "
        "third",
    ]
    if plan.judged_on == "validation":
        notes.append("there are no test pictures: answers are judged on the selection pictures")
    if seeds < 2:
        notes.append("one seed has neither spread nor interval: ask for --seeds 2 or more, better 5")
    if BASELINE in reasons:
        notes.append("without random search there are no differences to it")
    return [*notes, *_of_costs(plan.question.search_cost, found)]


def _of_costs(allowed: int, found: Mapping[str, Searches]) -> Iterator[str]:
    """What was not equal after all."""
    for name, searches in found.items():
        costs = [s["search_cost"] for s in searches]
        early = [cost for cost in costs if cost < allowed]
        if early:
            yield (
                f"{name} ended {len(early)} of {len(searches)} searches early, after {min(early) / TRAINING_COST:,.0f} "
                "trained pictures at the least"
            )
        if max(costs) > _FAR_BEYOND * allowed:
            yield (
                f"{name} spent up to {max(costs) / allowed:.2f} times as much, as its steps are large: lengthen "
                "search.epochs for a fair comparison"
            )
