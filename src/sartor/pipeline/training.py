"""The final networks: trained together or alone, calibrated, and judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sartor.blueprint import Blueprint
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.evaluate import evaluate
from sartor.pipeline.network_file import NetworkCard
from sartor.pipeline.setting import Setting
from sartor.platforms import weighted_accuracy
from sartor.storage import write_atomically
from sartor.train.calibration import recalibrate
from sartor.train.loop import Store
from sartor.train.networks import train_slimmable

if TYPE_CHECKING:
    from sartor.pipeline.anytime import AnytimeNetwork

# Opens the store of one training, by a name such as "" or "watch".
OpenStore = Callable[[str], Store]


@dataclass(frozen=True)
class Fitted:
    """Trained, calibrated and judged networks by platform.

    ``shared`` is the slimmable network, ``anytime`` the one with exits that serves all platforms, if there is one.
    """

    networks: dict[str, nn.Module]
    accuracies: dict[str, dict[str, float | None]]
    images: int
    shared: SlimmableNetwork | None = None
    anytime: AnytimeNetwork | None = None


def fit(setting: Setting, blueprints: Mapping[str, Blueprint], open_store: OpenStore) -> Fitted:
    """Final networks for all platforms, as ``setting.train.mode`` says."""
    weights = {p.name: p.weight for p in setting.platforms}
    stream = setting.stream(setting.train, setting.index_sets.weights, "final training")
    if setting.train.mode == "slimmable":
        groups = {"": dict(blueprints)}
    else:
        groups = {name: {name: blueprint} for name, blueprint in blueprints.items()}
    teacher = setting.teacher()
    networks: dict[str, nn.Module] = {}
    accuracies: dict[str, dict[str, float | None]] = {}
    images, shared = 0, None
    for group, members in groups.items():
        trained = train_slimmable(
            members,
            weights,
            stream,
            setting.train,
            setting.runtime,
            open_store(group),
            seed=setting.seed,
            teacher=teacher,
        )
        calibrate(setting, trained.network)
        images += trained.images
        for name in members:
            networks[name] = trained.network.extract(name).eval()
            accuracies[name] = judge(setting, networks[name])
        shared = trained.network.eval() if group == "" else None
    return Fitted(networks, accuracies, images, shared)


def fit_alone(setting: Setting, blueprints: Mapping[str, Blueprint], open_store: OpenStore) -> Fitted:
    """Every network trained alone with the same schedule, whatever the job's mode (the paper's Table 3)."""
    alone = dataclasses.replace(setting, train=dataclasses.replace(setting.train, mode="standalone"))
    return fit(alone, blueprints, open_store)


def calibrate(setting: Setting, network: SlimmableNetwork) -> None:
    """Measures the batch-norm statistics of every switch anew."""
    network.eval()
    for name in network.switches:
        recalibrate(network.norms_of(name), partial(network, switch=name), setting.calibration_batches())


def judge(setting: Setting, network: nn.Module) -> dict[str, float | None]:
    """Accuracy in percent on the selection and on the test pictures; None where there are none."""
    has_selection = len(setting.index_sets.selection) > 0
    has_test = setting.pictures.test is not None and len(setting.index_sets.test) > 0
    return {
        "val_accuracy": evaluate(network, setting.selection_batches()).accuracy if has_selection else None,
        "test_accuracy": evaluate(network, setting.test_batches()).accuracy if has_test else None,
    }


def weighted(setting: Setting, accuracies: Mapping[str, Mapping[str, float | None]]) -> dict[str, float | None]:
    """Accuracy weighted by the importance of the platforms, on both sets."""
    weights = [p.weight for p in setting.platforms]
    result: dict[str, float | None] = {}
    for part, key in (("validation", "val_accuracy"), ("test", "test_accuracy")):
        values = [accuracies[p.name][key] for p in setting.platforms]
        known = [v for v in values if v is not None]
        result[part] = float(weighted_accuracy(known, weights)) if len(known) == len(values) else None
    return result


def save_network(setting: Setting, network: nn.Module, blueprint: Blueprint, path: Path, platform: str) -> None:
    """Writes a platform's trained network to one file, from which it can be built again."""
    card = NetworkCard(blueprint, setting.normalisation, setting.pictures.train.class_names)
    save_weights(network, path, {"space": setting.space.name, "platform": platform, **card.to_metadata()})


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, Any]) -> None:
    """Writes the weights of a plain network to a safetensors file, atomically."""
    from safetensors.torch import save

    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_atomically(path, save(tensors, {key: str(value) for key, value in metadata.items()}))


def load_weights(network: nn.Module, path: Path) -> nn.Module:
    """Reads weights written by :func:`save_weights` into a network of the same blueprint."""
    from safetensors.torch import load_file

    network.load_state_dict(load_file(path))
    return network.eval()
