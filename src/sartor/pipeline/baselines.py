"""What a search must beat: uniform widths, random search at equal cost, and every network alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sartor.blueprint import Blueprint
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import Fitted, OpenStore, fit, fit_alone, weighted
from sartor.platforms import Platform
from sartor.space import SearchSpace

# Uniform widths are sought in steps this fine, from the widest down.
_WIDTH_STEP = 0.005
_WIDEST = 2.0


@dataclass(frozen=True)
class Answer:
    """What the job's method found: a blueprint per platform, and the cost of its search."""

    blueprints: Mapping[str, Blueprint]
    search_cost: int


@dataclass(frozen=True)
class Baseline:
    """A name, a sentence, and how to get its networks.

    ``fit(setting, the method's answer, open_store)`` returns the fitted networks, their blueprints, and per platform
    what else is known (an architecture, a width).
    """

    description: str
    fit: Callable[[Setting, Answer, OpenStore], tuple[Fitted, Mapping[str, Blueprint], dict[str, Any]]]


def run_baseline(name: str, setting: Setting, answer: Answer, open_store: OpenStore) -> tuple[dict[str, Any], int]:
    """One baseline as plain data for ``result.json``, and the pictures it saw."""
    baseline = BASELINES[name]
    fitted, blueprints, details = baseline.fit(setting, answer, open_store)
    platforms = []
    for platform in setting.platforms:
        blueprint = blueprints[platform.name]
        costs = {k: getattr(blueprint, k) for k in ("macs", "params", "peak_memory_bytes")}
        known = {"architecture": None, **details.get(platform.name, {})}
        platforms.append({"name": platform.name, "costs": costs, **known, **fitted.accuracies[platform.name]})
    result = {
        "name": name,
        "description": baseline.description,
        "platforms": platforms,
        "weighted_accuracy": weighted(setting, fitted.accuracies),
    }
    return result, fitted.images


def uniform_blueprint(space: SearchSpace, platform: Platform) -> tuple[float, Blueprint]:
    """The widest uniform network within a platform's budgets: one fraction of every base width.

    Raises:
        RequestError: the space has no uniform widths.
        InfeasibleBudgetError: even the narrowest one is too dear.
    """
    if space.uniform is None:
        raise RequestError(
            f"baseline uniform: space {space.name!r} has no uniform widths; remove it from the baselines"
        )
    cheapest: dict[str, float] = {}
    for i in range(round(_WIDEST / _WIDTH_STEP), 0, -1):
        width = round(i * _WIDTH_STEP, 6)
        blueprint = space.blueprint(space.uniform(width), f"uniform {width:g}x")
        cheapest = {kind: getattr(blueprint, kind) for kind in platform.budgets}
        if all(cheapest[kind] <= limit for kind, limit in platform.budgets.items()):
            return width, blueprint
    reached = ", ".join(f"{kind} {value}" for kind, value in cheapest.items())
    raise InfeasibleBudgetError(
        f"baseline uniform: no uniform width fits platform {platform.name!r}; the narrowest needs {reached}. Raise the "
        "budget or remove the baseline"
    )


def _uniform(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Blueprint], dict[str, Any]]:
    found = {p.name: uniform_blueprint(setting.space, p) for p in setting.platforms}
    blueprints = {name: blueprint for name, (_, blueprint) in found.items()}
    names = [d.name for d in setting.space.decisions]
    assert setting.space.uniform is not None
    details = {}
    for name, (width, _) in found.items():
        values = setting.space.uniform(width)
        details[name] = {"width": width, "architecture": {n: values[n] for n in names}}
    return fit(setting, blueprints, open_store), blueprints, details


def _random(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Blueprint], dict[str, Any]]:
    # No platform's name starts like this, so no platform's training shares the store.
    searched = search(setting, open_store("_search"), "random", answer.search_cost)
    blueprints = {name: choice.architecture.blueprint for name, choice in searched.choices.items()}
    details = {n: {"architecture": c.to_dict()["architecture"]} for n, c in searched.choices.items()}
    fitted = fit(setting, blueprints, open_store)
    return Fitted(fitted.networks, fitted.accuracies, fitted.images + searched.images), blueprints, details


def _standalone(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Blueprint], dict[str, Any]]:
    return fit_alone(setting, answer.blueprints, open_store), answer.blueprints, {}


# Adding a baseline is one function and one line.
BASELINES = {
    "uniform": Baseline("the widest uniform network within each budget, trained the same way", _uniform),
    "random": Baseline("random search at the cost of the method's search, its answers trained the same way", _random),
    "standalone": Baseline("the method's own architectures, each trained alone", _standalone),
}
