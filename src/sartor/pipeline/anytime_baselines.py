"""What an any-time network must beat: a random architecture, and MSDNet, trained and judged the same way."""

from __future__ import annotations

from typing import Any

from sartor.blueprint import Blueprint
from sartor.methods.mixture.exits import Service
from sartor.methods.sampling import sample_within
from sartor.pipeline.answers import Answer, fit_answers, fit_anytime, whole_network
from sartor.pipeline.rivals import Opponent, Rival, analytic_costs, rival_of
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import OpenStore
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.spaces.msdnet import closest_msdnet

# Of MSDNet; published are two, and four before the first exit.
_LAYERS_PER_EXIT = 2


def random_architecture(setting: Setting, opponent: Opponent, open_store: OpenStore) -> Rival:
    """One architecture for all platforms, drawn uniformly from those that serve all of them."""
    space = setting.space
    service = Service(space, setting.platforms, getattr(setting.method_settings, "lazy_costs", False))
    row = sample_within(space, service.budgets, 1, numpy_generator(setting.seed, "random_architecture"))[0]
    values = space.architecture(row).values
    several = space.exits > 1
    found = {p.name: Answer(values, service.exit_for(row, p) if several else None) for p in setting.platforms}
    details = {name: {"architecture": values} for name in found}
    return rival_of(setting, fit_answers(setting, found, open_store), found, details)


def msdnet(setting: Setting, opponent: Opponent, open_store: OpenStore) -> Rival:
    """The MSDNet with as many exits whose MACs are closest to those of the method's network, up to the last exit.

    It has two layers per exit; its growth and its channels follow from the MACs. Every platform gets the latest exit
    within its budgets, or the first one where none is.
    """
    space = setting.space
    whole = whole_network(space, opponent.answers)
    pictures: dict[str, Any] = {
        "num_classes": space.num_classes,
        "image_size": space.image_size,
        "in_channels": space.in_channels,
    }
    layers: dict[str, Any] = {"blocks": whole.exits, "base": _LAYERS_PER_EXIT, "step": _LAYERS_PER_EXIT}
    network = closest_msdnet(whole.macs, **pictures, **layers)
    exits = {p.name: _latest_within(network, p) for p in setting.platforms}
    fitted = fit_anytime(setting, network, exits, open_store)
    costs = {name: analytic_costs(network.cut(exit, lazy=True)) for name, exit in exits.items()}
    return Rival(fitted, costs, {})


def _latest_within(network: Blueprint, platform: Platform) -> int:
    fitting = [0]
    for exit in range(network.exits):
        costs = analytic_costs(network.cut(exit))
        if all(costs.get(kind, 0.0) <= limit for kind, limit in platform.budgets.items()):
            fitting.append(exit)
    return max(fitting)
