"""What a search answers for a platform, and the networks that are trained for all answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sartor.blueprint import Blueprint
from sartor.errors import RequestError
from sartor.pipeline.anytime import judge_exits
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import Fitted, OpenStore, calibrate, fit, judge
from sartor.space import SearchSpace
from sartor.train.exits import check_exits
from sartor.train.networks import ANYTIME, train_anytime

Values = Mapping[str, Any]  # decision -> option value


@dataclass(frozen=True)
class Answer:
    """An architecture, and the exit that serves the platform where its networks have several."""

    values: Values
    exit: int | None = None

    @classmethod
    def of(cls, choice: Mapping[str, Any]) -> Answer:
        """What a choice says, as plain data."""
        return cls(choice["architecture"], choice["exit"])

    def shipped(self, space: SearchSpace, name: str) -> Blueprint:
        """The network for the platform: whole, or only what its exit reads."""
        blueprint = space.blueprint(self.values, name)
        return blueprint if self.exit is None else blueprint.cut(self.exit, lazy=True)


def check_anytime(setting: Setting) -> None:
    """Refuses what does not go together with exits.

    Raises:
        RequestError: training that needs exits where there are none, settings for another number of exits, or exits
            at another size of pictures.
    """
    check_exits(setting.search, setting.supernet_space.exits, "search")
    check_exits(setting.train, setting.space.exits, "train")
    if setting.space.exits > 1 and setting.deploy is not None:
        raise RequestError(
            f"deploy_image_size is for networks with one exit, and {setting.space.name} has {setting.space.exits}; "
            "train at the size that you ship"
        )
    if setting.train.mode == "anytime" and setting.space.exits == 1:
        raise RequestError(
            f"train.mode is anytime, but {setting.space.name} with these options has one exit; choose exits of the "
            "space, or train.mode standalone"
        )


def fit_answers(setting: Setting, answers: Mapping[str, Answer], open_store: OpenStore) -> Fitted:
    """Final networks for the answers of all platforms, as ``setting.train.mode`` says."""
    if setting.train.mode == "anytime":
        return fit_anytime(setting, whole_network(setting.space, answers), exits_of(answers), open_store)
    return fit(setting, {name: a.shipped(setting.space, name) for name, a in answers.items()}, open_store)


def exits_of(answers: Mapping[str, Answer]) -> dict[str, int]:
    """Platform -> the exit that serves it."""
    return {name: answer.exit or 0 for name, answer in answers.items()}


def whole_network(space: SearchSpace, answers: Mapping[str, Answer]) -> Blueprint:
    """The one network with exits that holds all answers, up to the last exit that serves anybody.

    With all its cells, as costs count them.

    Raises:
        RequestError: the answers are several architectures.
    """
    first, *others = answers.values()
    if any(dict(other.values) != dict(first.values) for other in others):
        raise RequestError(
            "train.mode anytime trains one network for all platforms, but the search found a different one for each; "
            "use method ms_ranas, or train.mode standalone"
        )
    return space.blueprint(first.values, ANYTIME).cut(max(exits_of(answers).values()))


def fit_anytime(setting: Setting, whole: Blueprint, exits: Mapping[str, int], open_store: OpenStore) -> Fitted:
    """Trains ``whole`` on all its exits at once; platform ``p`` gets the plain network up to ``exits[p]``.

    Cells that no exit reads are counted (see :func:`judge_exits`) but neither trained nor kept.
    """
    live = whole.live()
    stream = setting.stream(setting.train, setting.index_sets.weights, "final training")
    trained = train_anytime(
        live,
        stream,
        setting.train,
        setting.runtime,
        open_store(""),
        seed=setting.seed,
        teacher=setting.teacher(),
    )
    calibrate(setting, trained.network)
    networks, accuracies = {}, {}
    for name, exit in exits.items():
        networks[name] = trained.network.extract(ANYTIME, live.cut(exit, lazy=True)).eval()
        accuracies[name] = judge(setting, networks[name])
    anytime = judge_exits(setting, trained.network.extract(ANYTIME), live, whole)
    return Fitted(networks, accuracies, trained.images, anytime=anytime)
