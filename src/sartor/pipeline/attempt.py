"""From chosen architectures to trained and exported networks in a run folder.

A run makes one attempt. Platforms whose networks miss a latency budget get a second one, whose files lie in a folder of
their own, so that neither ever stands in the other's place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from sartor.blueprint import Blueprint
from sartor.config import ExportSettings
from sartor.pipeline import exporting, training
from sartor.pipeline.answers import Answer, fit_answers, whole_network
from sartor.pipeline.anytime import AnytimeNetwork, export_anytime
from sartor.pipeline.setting import Setting
from sartor.run import RunFolder
from sartor.train.networks import ANYTIME

if TYPE_CHECKING:
    from sartor.pipeline.training import OpenStore

Payload = dict[str, Any]


class Attempt:
    """Networks for some platforms of a run.

    Args:
        folder: the run's.
        setting: the run's.
        choices: platform -> what was chosen for it, as plain data; the platforms of the attempt.
        prefix: of the paths of its files, such as ``again/``.
    """

    def __init__(self, folder: RunFolder, setting: Setting, choices: Mapping[str, Payload], prefix: str = "") -> None:
        mine = tuple(p for p in setting.platforms if p.name in choices)
        self.folder, self.choices, self.prefix = folder, dict(choices), prefix
        self.setting = setting if mine == setting.platforms else dataclasses.replace(setting, platforms=mine)

    @property
    def names(self) -> tuple[str, ...]:
        """Its platforms."""
        return tuple(p.name for p in self.setting.platforms)

    def answers(self) -> dict[str, Answer]:
        """The architecture, and the exit, of every platform."""
        return {name: Answer.of(self.choices[name]) for name in self.names}

    def blueprints(self) -> dict[str, Blueprint]:
        """The network of every platform at the size of the training."""
        return {name: answer.shipped(self.setting.space, name) for name, answer in self.answers().items()}

    def network(self, name: str) -> nn.Module:
        """A trained network, from its file."""
        return training.load_weights(self.blueprints()[name].build(), self.file(f"platforms/{name}.safetensors"))

    def file(self, path: str) -> Path:
        """A file of the attempt, by its path in the first one's place."""
        return self.folder.file(self.prefix + path)

    def train(self, open_store: OpenStore) -> Payload:
        """Trains, calibrates and judges all its networks; their weights are written."""
        blueprints = self.blueprints()
        fitted = fit_answers(self.setting, self.answers(), open_store)
        platforms: dict[str, Any] = {}
        for name, network in fitted.networks.items():
            path = f"platforms/{name}.safetensors"
            training.save_network(self.setting, network, blueprints[name], self.file(path), name)
            platforms[name] = {**fitted.accuracies[name], "weights": self.prefix + path}
        return {
            "platforms": platforms,
            "weighted_accuracy": training.weighted(self.setting, fitted.accuracies),
            "images": fitted.images,
            "slimmable": self._save_shared(fitted),
            "anytime": self._save_anytime(fitted),
        }

    def export(self, trained: Payload, settings: ExportSettings, advance: Callable[[float], object]) -> Payload:
        """Writes the files to ship, each proved to agree with the network that ``train`` left."""
        networks: dict[str, nn.Module] = {name: self.network(name) for name in self.names}
        if not settings.onnx:
            return {"platforms": {}, "slimmable": self._check_shared(trained, networks, settings, 0), "anytime": None}
        platforms, singles = {}, 0
        for platform in self.setting.platforms:
            choice, path = self.choices[platform.name], f"platforms/{platform.name}.onnx"
            proof = exporting.export_platform(
                self.setting, platform, choice, networks[platform.name], self.file(path), settings
            )
            platforms[platform.name] = {"onnx": self.prefix + path, **proof}
            singles += proof["onnx_bytes"]
            advance(1)
        return {
            "platforms": platforms,
            "slimmable": self._check_shared(trained, networks, settings, singles),
            "anytime": self._export_anytime(trained, settings),
        }

    # ------------------------------------------------------------------ shared networks

    def _save_anytime(self, fitted: training.Fitted) -> Payload | None:
        if fitted.anytime is None:
            return None
        path = self.file("anytime.safetensors")
        training.save_network(self.setting, fitted.anytime.network, fitted.anytime.blueprint, path, ANYTIME)
        return {"path": self.prefix + path.name, "bytes": path.stat().st_size, **fitted.anytime.to_dict()}

    def _export_anytime(self, trained: Payload, settings: ExportSettings) -> Payload | None:
        payload = trained["anytime"]
        if payload is None:
            return None
        answers = self.answers()
        blueprint = whole_network(self.setting.space, answers).live()
        network = training.load_weights(blueprint.build(), self.folder.file(payload["path"]))
        anytime = AnytimeNetwork(network, blueprint, payload["exits"], payload["batches"])
        choice = {"architecture": next(iter(answers.values())).values, "costs": {}}
        return export_anytime(self.setting, anytime, choice, self.file("anytime"), settings)

    def _save_shared(self, fitted: training.Fitted) -> Payload | None:
        if fitted.shared is None:
            return None
        path = self.file("slimmable.safetensors")
        fitted.shared.save(path)
        return {
            "path": self.prefix + path.name,
            "bytes": path.stat().st_size,
            "switches": list(fitted.shared.switches),
        }

    def _check_shared(
        self, trained: Payload, networks: Mapping[str, nn.Module], settings: ExportSettings, singles: int
    ) -> Payload | None:
        """The shared file beside the single ones, once its outputs are seen to be theirs."""
        payload: Payload | None = trained["slimmable"]
        if payload is None:
            return None
        from sartor.elastic.slimmable import SlimmableNetwork

        shared = SlimmableNetwork.load(self.folder.file(payload["path"]))
        difference = exporting.check_shared(self.setting, shared, networks, settings.verification_pictures)
        single_files = sum(self.file(f"platforms/{n}.safetensors").stat().st_size for n in networks)
        return {
            **payload,
            "sum_of_single_bytes": single_files,
            "sum_of_onnx_bytes": singles or None,
            "max_abs_diff": difference,
        }
