"""What a search must beat: uniform widths, random search at equal cost, and every network alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.blueprint import Blueprint
from sartor.costs.analytic import ANALYTIC_COSTS
from sartor.costs.devices import LATENCY
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of
from sartor.methods.sampling import sample_in_window, sample_within
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import Fitted, OpenStore, fit, fit_alone, weighted
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.train.loop import Store

# Uniform widths are sought in steps this fine, from the widest down.
_WIDTH_STEP = 0.005
_WIDEST = 2.0
# A short training is a quarter of the final one: 90 of 360 epochs in the paper of TuNAS.
_SHORT = 4


Values = Mapping[str, Any]  # decision -> option value


@dataclass(frozen=True)
class Answer:
    """What the job's method found: an architecture per platform, and the cost of its search."""

    architectures: Mapping[str, Values]
    search_cost: int


@dataclass(frozen=True)
class Baseline:
    """A name, a sentence, and how to get its networks.

    ``fit(setting, the method's answer, open_store)`` returns the fitted networks, their option values (which need not
    be in the grid), and per platform what else is known (a width).
    """

    description: str
    fit: Callable[[Setting, Answer, OpenStore], tuple[Fitted, Mapping[str, Values], dict[str, Any]]]


def check_baselines(names: Sequence[str], setting: Setting) -> None:
    """Refuses a baseline that cannot be, before anything is trained."""
    if "uniform" in names and setting.space.uniform is None:
        raise RequestError(
            f"baseline uniform: space {setting.space.name!r} has no uniform widths; remove it from the baselines"
        )
    if "random_trained" in names and not len(setting.index_sets.selection):
        raise RequestError("baseline random_trained compares on the selection pictures, and data.selection leaves none")


def run_baseline(name: str, setting: Setting, answer: Answer, open_store: OpenStore) -> tuple[dict[str, Any], int]:
    """One baseline as plain data for ``result.json``, and the pictures it saw."""
    baseline = BASELINES[name]
    fitted, found, details = baseline.fit(setting, answer, open_store)
    platforms = []
    for platform in setting.platforms:
        costs = costs_of(setting.deploy_space, found[platform.name], platform)
        known = {"architecture": None, **details.get(platform.name, {})}
        platforms.append({"name": platform.name, "costs": costs, **known, **fitted.accuracies[platform.name]})
    result = {
        "name": name,
        "description": baseline.description,
        "platforms": platforms,
        "weighted_accuracy": weighted(setting, fitted.accuracies),
    }
    return result, fitted.images


def costs_of(space: SearchSpace, values: Values, platform: Platform) -> dict[str, float]:
    """The analytic costs of a network, and its latency where the platform has a budget for it.

    A device may know no latency of widths that are not in the space's grid; then there is none.
    """
    blueprint = space.blueprint(values)
    costs: dict[str, float] = {kind: getattr(blueprint, kind) for kind in ANALYTIC_COSTS}
    if LATENCY in platform.budgets and all(values[d.name] in d.options for d in space.decisions):
        row = space.encode({d.name: values[d.name] for d in space.decisions})
        costs |= {b.name: b.cost_of(row) for b in budgets_of(space, platform) if b.name == LATENCY}
    return costs


def uniform_width(space: SearchSpace, platform: Platform) -> float:
    """The widest uniform network within a platform's budgets, as a fraction of every base width.

    Raises:
        InfeasibleBudgetError: even the narrowest one is too dear.
    """
    assert space.uniform is not None  # checked before anything is trained
    costs: dict[str, float] = {}
    for i in range(round(_WIDEST / _WIDTH_STEP), 0, -1):
        width = round(i * _WIDTH_STEP, 6)
        costs = costs_of(space, space.uniform(width), platform)
        if all(costs.get(kind, math.inf) <= limit for kind, limit in platform.budgets.items()):
            return width
    reached = ", ".join(f"{kind} {costs.get(kind, 'unknown')}" for kind in platform.budgets)
    raise InfeasibleBudgetError(
        f"baseline uniform: no uniform width fits platform {platform.name!r}; the narrowest needs {reached}. Raise the "
        "budget or remove the baseline"
    )


def _uniform(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Values], dict[str, Any]]:
    widths = {p.name: uniform_width(setting.deploy_space, p) for p in setting.platforms}
    assert setting.space.uniform is not None  # as above
    found = {name: setting.space.uniform(width) for name, width in widths.items()}
    names = [d.name for d in setting.space.decisions]
    details = {n: {"width": widths[n], "architecture": {k: found[n][k] for k in names}} for n in found}
    return _fit(setting, found, open_store), found, details


def _random(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Values], dict[str, Any]]:
    # No platform's name starts like this, so no platform's training shares the store.
    searched = search(setting, open_store("_search"), "random", answer.search_cost)
    found = {name: choice.architecture.values for name, choice in searched.choices.items()}
    fitted = _fit(setting, found, open_store)
    images = fitted.images + searched.images
    return dataclasses.replace(fitted, images=images), found, _as_details(found)


def _random_trained(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Values], dict[str, Any]]:
    """The protocol of TuNAS, section 3.2: many trained shortly, the best of them trained like the answer."""
    best: dict[str, Values] = {}
    details, images = {}, 0
    for k, platform in enumerate(setting.platforms):
        tried = _drawn(setting, k)
        short = _trained_shortly(setting, tried, open_store)
        scores = {name: short.accuracies[name]["val_accuracy"] or 0.0 for name in tried}
        winner = max(scores, key=scores.__getitem__)
        best[platform.name] = tried[winner]
        costs = {name: costs_of(setting.deploy_space, values, platform) for name, values in tried.items()}
        details[platform.name] = {
            "architecture": tried[winner],
            "tried": [{"costs": costs[name], "val_accuracy": scores[name]} for name in tried],
        }
        images += short.images
    fitted = _fit(setting, best, open_store)
    return dataclasses.replace(fitted, images=fitted.images + images), best, details


def _drawn(setting: Setting, k: int) -> dict[str, Values]:
    """The random networks of platform ``k`` by the name of their training; the same ones at every call."""
    settings, space, platform = setting.random_trained, setting.deploy_space, setting.platforms[k]
    rng = numpy_generator(setting.seed, "random_trained", k)
    if settings.window is None:
        rows = sample_within(space, budgets_of(space, platform), settings.networks, rng)
    else:
        rows = sample_in_window(space, platform, settings.window, settings.networks, rng)
    return {f"_{platform.name}-{i}": space.architecture(row).values for i, row in enumerate(rows)}


def _trained_shortly(setting: Setting, tried: Mapping[str, Values], open_store: OpenStore) -> Fitted:
    epochs = setting.random_trained.short_epochs or setting.train.epochs / _SHORT
    short = dataclasses.replace(setting, train=dataclasses.replace(setting.train, epochs=epochs))
    blueprints = {name: setting.space.blueprint(values, name) for name, values in tried.items()}
    return fit_alone(short, blueprints, lambda name: _Unlogged(open_store(name)))


class _Unlogged:
    """A store without lines of metrics: the curves of so many short trainings would hide the others."""

    def __init__(self, store: Store) -> None:
        self.checkpoint_seconds = store.checkpoint_seconds
        self.load, self.save, self.advance = store.load, store.save, store.advance

    def log(self, record: Mapping[str, Any]) -> None:
        return None


def _standalone(
    setting: Setting, answer: Answer, open_store: OpenStore
) -> tuple[Fitted, Mapping[str, Values], dict[str, Any]]:
    blueprints = _blueprints(setting, answer.architectures)
    return fit_alone(setting, blueprints, open_store), answer.architectures, {}


def _fit(setting: Setting, found: Mapping[str, Values], open_store: OpenStore) -> Fitted:
    return fit(setting, _blueprints(setting, found), open_store)


def _blueprints(setting: Setting, found: Mapping[str, Values]) -> dict[str, Blueprint]:
    return {name: setting.space.blueprint(values, name) for name, values in found.items()}


def _as_details(found: Mapping[str, Values]) -> dict[str, Any]:
    return {name: {"architecture": values} for name, values in found.items()}


# Adding a baseline is one function and one line.
BASELINES = {
    "uniform": Baseline("the widest uniform network within each budget, trained the same way", _uniform),
    "random": Baseline("random search at the cost of the method's search, its answers trained the same way", _random),
    "random_trained": Baseline(
        "random networks near the budget, each trained for a short while, the best of them trained the same way",
        _random_trained,
    ),
    "standalone": Baseline("the method's own architectures, each trained alone", _standalone),
}
