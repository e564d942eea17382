"""``sartor.search``: the whole job on plain objects, without files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from sartor.config import ExportSettings
from sartor.config.check import Problems
from sartor.config.training import check_training
from sartor.data import Augmentation, IndexSets, Pictures, make_index_sets
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.methods.method import Choice
from sartor.methods.registry import method_class
from sartor.pipeline.answers import Answer, check_anytime, fit_answers
from sartor.pipeline.anytime import AnytimeNetwork
from sartor.pipeline.deploying import deploy as deploy_network
from sartor.pipeline.promises import LatencyPromise
from sartor.pipeline.search import search as run_search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import Fitted, weighted
from sartor.platforms import Platform, check_platforms
from sartor.runtime import prepare
from sartor.space import Architecture, SearchSpace
from sartor.spaces.layouts import resized
from sartor.train.loop import NoStore
from sartor.train.settings import FinalTraining, SearchTraining


@dataclass(frozen=True)
class Tailored:
    """A platform's answer: the architecture, its trained and calibrated plain network, and how good it is.

    Accuracies are percentages on the selection and on the test pictures, None where there are none. With a
    ``deploy_image_size`` the network takes pictures of that size and ``deployed`` says how good it is there (see
    :class:`sartor.pipeline.deploying.Deployed`); the accuracies are those at the size of the training. ``latency`` says
    what was predicted and with which margin, where the platform has a latency budget; measuring needs exported files,
    hence ``sartor run``.
    """

    architecture: Architecture
    network: nn.Module
    choice: Choice
    val_accuracy: float | None
    test_accuracy: float | None
    deployed: dict[str, Any] | None = None
    latency: LatencyPromise | None = None


@dataclass(frozen=True)
class Found(Mapping[str, Tailored]):
    """The answers by platform; and what serves all of them, if trained so: shared weights, or one network's exits."""

    platforms: dict[str, Tailored]
    slimmable: SlimmableNetwork | None
    anytime: AnytimeNetwork | None
    weighted_accuracy: dict[str, float | None]
    metrics: dict[str, list[dict[str, Any]]]

    def __getitem__(self, name: str) -> Tailored:
        return self.platforms[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.platforms)

    def __len__(self) -> int:
        return len(self.platforms)


def search(
    method: str,
    *,
    space: SearchSpace,
    data: Pictures,
    platforms: Sequence[Platform],
    epochs: float | None = None,
    train_epochs: float | None = None,
    seed: int = 0,
    method_settings: Any = None,
    search_training: SearchTraining | None = None,
    final_training: FinalTraining | None = None,
    index_sets: IndexSets | None = None,
    augmentation: Augmentation | None = None,
    search_augmentation: Augmentation | None = None,
    search_space: SearchSpace | None = None,
    deploy_image_size: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = None,
) -> Found:
    """Searches, trains, calibrates and judges a network for every platform.

    Args:
        method: ``ows``, ``aows``, ``tunas``, ``fpnas``, ``ms_ranas`` or ``random``.
        epochs, train_epochs: lengths of search and final training, in place of those in ``search_training`` and
            ``final_training``.
        search_training, final_training: taken as they are; by default the recipe of the method's paper.
        method_settings: an instance of the method's ``settings_type``.
        index_sets: which pictures teach, steer and select; drawn from the seed by default (80, 10 and 10 %).
        augmentation: by default what suits the pictures; ``search_augmentation`` that of the search, by default equal.
        search_space: whose shared weights are searched, by default ``space``; it has the same decisions.
        deploy_image_size: costs and the networks returned are for pictures of this size, search and training use the
            pictures as they are; ``space`` may be of either size.

    Raises:
        RequestError: the request is wrong; InfeasibleBudgetError: no architecture meets a platform's budgets.
    """
    chosen = method_class(method)
    test_labels = None if data.test is None else data.test.labels
    size = deploy_image_size or data.train.image_size
    deploy = None if size == data.train.image_size else resized(space, size)
    setting = Setting(
        space=space if deploy is None else resized(space, data.train.image_size),
        deploy=deploy,
        pictures=data,
        index_sets=index_sets
        or make_index_sets(data.train.labels, test_labels=test_labels, policy=0.1, selection=0.1, seed=seed),
        platforms=check_platforms(platforms),
        method_name=method,
        method_settings=method_settings,
        search=_training(search_training or SearchTraining(**chosen.search_defaults), epochs, "search_training"),
        train=_training(final_training or FinalTraining(**chosen.train_defaults), train_epochs, "final_training"),
        augmentation=augmentation or Augmentation.standard(data.train),
        runtime=prepare(device, precision, threads),
        seed=seed,
        cloud=0,
        search_space=search_space,
        search_augmentation=search_augmentation,
    )
    return _run(setting)


def _run(setting: Setting) -> Found:
    stores: dict[str, NoStore] = {}

    def open_store(name: str) -> NoStore:
        return stores.setdefault(name or "train", NoStore())

    check_anytime(setting)
    searched = run_search(setting, open_store("search"))
    choices = searched.choices
    answers = {name: Answer(choice.architecture.values, choice.exit) for name, choice in choices.items()}
    fitted = fit_answers(setting, answers, open_store)
    tailored = {name: _tailored(setting, choice, fitted, name) for name, choice in choices.items()}
    metrics = {name: store.records for name, store in stores.items()}
    return Found(tailored, fitted.shared, fitted.anytime, weighted(setting, fitted.accuracies), metrics)


def _tailored(setting: Setting, choice: Choice, fitted: Fitted, name: str) -> Tailored:
    network, facts = fitted.networks[name], None
    if setting.deploy is not None:
        judges = ExportSettings().deploy_test_pictures
        deployed = deploy_network(setting, network, choice.architecture.values, test_pictures=judges)
        network, facts = deployed.network, deployed.facts
    platform = next(p for p in setting.platforms if p.name == name)
    promise = LatencyPromise.of(platform, choice.costs)
    return Tailored(choice.architecture, network, choice, **fitted.accuracies[name], deployed=facts, latency=promise)


def _training(settings: Any, epochs: float | None, name: str) -> Any:
    """The settings of one training with its length in place, checked as those of a job file are."""
    settings = settings if epochs is None else dataclasses.replace(settings, epochs=epochs)
    problems = Problems("sartor.search")
    check_training(settings, name, problems)
    problems.stop()
    return settings
