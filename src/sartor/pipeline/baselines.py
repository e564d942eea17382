"""What a search must beat: uniform widths, random search at equal cost, and every network alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.blueprint import Blueprint
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of, limits_of
from sartor.methods.sampling import sample_in_window, sample_within
from sartor.pipeline.answers import Answer, fit_answers
from sartor.pipeline.anytime_baselines import msdnet, random_architecture
from sartor.pipeline.rivals import Opponent, Rival, costs_of, rival_of
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import Fitted, OpenStore, fit_alone, weighted
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.train.loop import Store

# Uniform widths are sought in steps this fine, from the widest down.
_WIDTH_STEP = 0.005
_WIDEST = 2.0
# A short training is a quarter of the final one: 90 of 360 epochs in the paper of TuNAS.
_SHORT = 4


@dataclass(frozen=True)
class Baseline:
    """A sentence, and how to get the networks: ``fit(setting, what the method found, open_store)``."""

    description: str
    fit: Callable[[Setting, Opponent, OpenStore], Rival]


def baselines_of(asked: Sequence[str] | None, setting: Setting) -> tuple[str, ...]:
    """The baselines of a job; of one that does not say, uniform widths, where the space has them for each platform."""
    if asked is not None:
        return tuple(asked)
    return ("uniform",) if setting.space.uniform is not None and setting.train.mode != "anytime" else ()


def check_baselines(names: Sequence[str], setting: Setting) -> None:
    """Refuses a baseline that cannot be, before anything is trained."""
    anytime = setting.train.mode == "anytime"
    for name in names:
        if anytime and name in _ONE_NETWORK_EACH:
            raise RequestError(
                f"baseline {name}: it finds a network for each platform, and train.mode anytime trains one for all; "
                "take random_architecture, msdnet or standalone"
            )
        if not anytime and name == "msdnet":
            raise RequestError("baseline msdnet: it is a network with exits; it needs train.mode anytime")
    if "uniform" in names and setting.space.uniform is None:
        raise RequestError(
            f"baseline uniform: space {setting.space.name!r} has no uniform widths; remove it from the baselines"
        )
    if "random_trained" in names and not len(setting.index_sets.selection):
        raise RequestError("baseline random_trained compares on the selection pictures, and data.selection leaves none")


def run_baseline(name: str, setting: Setting, opponent: Opponent, open_store: OpenStore) -> tuple[dict[str, Any], int]:
    """One baseline as plain data for ``result.json``, and the pictures it saw."""
    baseline = BASELINES[name]
    rival = baseline.fit(setting, opponent, open_store)
    accuracies = rival.fitted.accuracies
    platforms = []
    for platform in (p.name for p in setting.platforms):
        known = {"architecture": None, **rival.details.get(platform, {})}
        platforms.append({"name": platform, "costs": rival.costs[platform], **known, **accuracies[platform]})
    result = {
        "name": name,
        "description": baseline.description,
        "platforms": platforms,
        "weighted_accuracy": weighted(setting, accuracies),
        "anytime": None if rival.fitted.anytime is None else rival.fitted.anytime.to_dict(),
    }
    return result, rival.fitted.images


def uniform_width(space: SearchSpace, platform: Platform) -> float:
    """The widest uniform network within a platform's budgets, as a fraction of every base width.

    Raises:
        InfeasibleBudgetError: even the narrowest one is too dear.
    """
    assert space.uniform is not None  # checked before anything is trained
    costs: dict[str, float] = {}
    limits = limits_of(platform)
    for i in range(round(_WIDEST / _WIDTH_STEP), 0, -1):
        width = round(i * _WIDTH_STEP, 6)
        costs = costs_of(space, Answer(space.uniform(width)), platform)
        if all(costs.get(kind, math.inf) <= limit for kind, limit in limits.items()):
            return width
    reached = ", ".join(f"{kind} {costs.get(kind, 'unknown')}" for kind in platform.budgets)
    raise InfeasibleBudgetError(
        f"baseline uniform: no uniform width fits platform {platform.name!r}; the narrowest needs {reached}. Raise the "
        "budget or remove the baseline"
    )


def _uniform(setting: Setting, opponent: Opponent, open_store: OpenStore) -> Rival:
    widths = {p.name: uniform_width(setting.deploy_space, p) for p in setting.platforms}
    assert setting.space.uniform is not None  # as above
    found = {name: Answer(setting.space.uniform(width)) for name, width in widths.items()}
    names = [d.name for d in setting.space.decisions]
    details = {n: {"width": widths[n], "architecture": {k: found[n].values[k] for k in names}} for n in found}
    return rival_of(setting, fit_answers(setting, found, open_store), found, details)


def _random(setting: Setting, opponent: Opponent, open_store: OpenStore) -> Rival:
    # No platform's name starts like this, so no platform's training shares the store.
    searched = search(setting, open_store("_search"), "random", opponent.search_cost)
    found = {name: Answer(choice.architecture.values) for name, choice in searched.choices.items()}
    fitted = fit_answers(setting, found, open_store)
    images = fitted.images + searched.images
    return rival_of(setting, dataclasses.replace(fitted, images=images), found, _as_details(found))


def _random_trained(setting: Setting, opponent: Opponent, open_store: OpenStore) -> Rival:
    """The protocol of TuNAS, section 3.2: many trained shortly, the best of them trained like the answer."""
    best: dict[str, Answer] = {}
    details, images = {}, 0
    for k, platform in enumerate(setting.platforms):
        tried = _drawn(setting, k)
        short = _trained_shortly(setting, tried, open_store)
        scores = {name: short.accuracies[name]["val_accuracy"] or 0.0 for name in tried}
        winner = max(scores, key=scores.__getitem__)
        best[platform.name] = tried[winner]
        costs = {name: costs_of(setting.deploy_space, answer, platform) for name, answer in tried.items()}
        details[platform.name] = {
            "architecture": tried[winner].values,
            "tried": [{"costs": costs[name], "val_accuracy": scores[name]} for name in tried],
        }
        images += short.images
    fitted = fit_answers(setting, best, open_store)
    return rival_of(setting, dataclasses.replace(fitted, images=fitted.images + images), best, details)


def _drawn(setting: Setting, k: int) -> dict[str, Answer]:
    """The random networks of platform ``k`` by the name of their training; the same ones at every call."""
    settings, space, platform = setting.random_trained, setting.deploy_space, setting.platforms[k]
    rng = numpy_generator(setting.seed, "random_trained", k)
    if settings.window is None:
        rows = sample_within(space, budgets_of(space, platform), settings.networks, rng)
    else:
        rows = sample_in_window(space, platform, settings.window, settings.networks, rng)
    return {f"_{platform.name}-{i}": Answer(space.architecture(row).values) for i, row in enumerate(rows)}


def _trained_shortly(setting: Setting, tried: Mapping[str, Answer], open_store: OpenStore) -> Fitted:
    epochs = setting.random_trained.short_epochs or setting.train.epochs / _SHORT
    short = dataclasses.replace(setting, train=dataclasses.replace(setting.train, epochs=epochs))
    return fit_alone(short, _shipped(setting, tried), lambda name: _Unlogged(open_store(name)))


class _Unlogged:
    """A store without lines of metrics: the curves of so many short trainings would hide the others."""

    def __init__(self, store: Store) -> None:
        self.checkpoint_seconds = store.checkpoint_seconds
        self.load, self.save, self.advance = store.load, store.save, store.advance

    def log(self, record: Mapping[str, Any]) -> None:
        return None


def _standalone(setting: Setting, opponent: Opponent, open_store: OpenStore) -> Rival:
    fitted = fit_alone(setting, _shipped(setting, opponent.answers), open_store)
    return rival_of(setting, fitted, opponent.answers, {})


def _shipped(setting: Setting, found: Mapping[str, Answer]) -> dict[str, Blueprint]:
    return {name: answer.shipped(setting.space, name) for name, answer in found.items()}


def _as_details(found: Mapping[str, Answer]) -> dict[str, dict[str, Any]]:
    return {name: {"architecture": answer.values} for name, answer in found.items()}


# They have no meaning where one network serves all platforms.
_ONE_NETWORK_EACH = ("uniform", "random", "random_trained")

# Adding a baseline is one function and one line.
BASELINES = {
    "uniform": Baseline("the widest uniform network within each budget, trained the same way", _uniform),
    "random": Baseline("random search at the cost of the method's search, its answers trained the same way", _random),
    "random_trained": Baseline(
        "random networks near the budget, each trained for a short while, the best of them trained the same way",
        _random_trained,
    ),
    "standalone": Baseline("the method's own architectures, each trained alone", _standalone),
    "random_architecture": Baseline(
        "one random architecture for all platforms, within everything asked, trained the same way", random_architecture
    ),
    "msdnet": Baseline("MSDNet of the same MACs with as many exits, trained the same way", msdnet),
}
