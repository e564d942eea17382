"""Networks to compare with: what they were made for, how good they are, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sartor.blueprint import Blueprint
from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.costs.devices import LATENCY
from sartor.methods.budgets import budgets_of
from sartor.pipeline.answers import Answer
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import Fitted
from sartor.platforms import Platform
from sartor.space import SearchSpace


@dataclass(frozen=True)
class Opponent:
    """What the job's method found for each platform, and the cost of its search."""

    answers: Mapping[str, Answer]
    search_cost: int


@dataclass(frozen=True)
class Rival:
    """The networks of a baseline, fitted, with their costs; and per platform what else is known (a width)."""

    fitted: Fitted
    costs: Mapping[str, dict[str, float]]
    details: Mapping[str, Mapping[str, Any]]


def rival_of(
    setting: Setting, fitted: Fitted, found: Mapping[str, Answer], details: Mapping[str, Mapping[str, Any]]
) -> Rival:
    """Fitted networks of the job's space as a baseline."""
    costs = {p.name: costs_of(setting.deploy_space, found[p.name], p) for p in setting.platforms}
    return Rival(fitted, costs, details)


def costs_of(space: SearchSpace, answer: Answer, platform: Platform) -> dict[str, float]:
    """The analytic costs of a network, and its latency where the platform has a budget for it.

    A device may know no latency of widths that are not in the space's grid; then there is none.
    """
    values, blueprint = answer.values, answer.shipped(space, platform.name)
    costs = analytic_costs(blueprint)
    if LATENCY in platform.budgets and all(values[d.name] in d.options for d in space.decisions):
        row = space.encode({d.name: values[d.name] for d in space.decisions})
        costs |= {b.name: b.cost_of(row) for b in budgets_of(space, platform) if b.name == LATENCY}
    return costs


def analytic_costs(blueprint: Blueprint) -> dict[str, float]:
    """MACs, parameters and peak memory of a network."""
    return {kind: getattr(blueprint, kind) for kind in ANALYTIC_COSTS}
