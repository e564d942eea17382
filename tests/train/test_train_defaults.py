"""A method brings the training recipe of its paper: it holds where a job, or a call, leaves values open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sartor
from sartor.config import Job, load_job
from sartor.config.check import Problems
from sartor.config.training import check_training
from sartor.data import ImageSet, Pictures
from sartor.errors import RequestError
from sartor.methods.ows import OWS
from sartor.methods.registry import method_class, names
from sartor.pipeline import api
from sartor.platforms import Platform
from sartor.train.settings import FinalTraining, SearchTraining

SEARCH: dict[str, Any] = {"epochs": 90, "optimiser": "rmsprop", "learning_rate": 0.165, "per_pictures": 256}
TRAIN: dict[str, Any] = {"epochs": 360, "mode": "standalone", "dropout": 0.15, "dropout_from_epochs": 150}
JOB = "method: {name: ows, window: 0.3}\nplatforms: [{name: watch, macs: 3M}]\n"


@pytest.fixture(autouse=True)
def recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """OWS with a recipe of its own."""
    monkeypatch.setattr(OWS, "search_defaults", SEARCH)
    monkeypatch.setattr(OWS, "train_defaults", TRAIN)


def job(tmp_path: Path, text: str = "", *overrides: str) -> Job:
    (tmp_path / "job.yaml").write_text(JOB + text)
    return load_job(tmp_path / "job.yaml", overrides)


def test_open_values_are_the_methods(tmp_path: Path) -> None:
    """What the job says, then what the method says, then the defaults of all methods."""
    made = job(tmp_path, "search: {epochs: 5, momentum: 0.8}\n")
    assert made.search == SearchTraining(**{**SEARCH, "epochs": 5, "momentum": 0.8})
    assert made.train == FinalTraining(**TRAIN)
    assert made.train.learning_rate == 0.1 and made.search.weight_decay == 1e-5


def test_the_command_line_comes_first(tmp_path: Path) -> None:
    """--set overrides the method's values like those of the file; null takes a value of the method away."""
    made = job(tmp_path, "", "search.epochs=5", "search.per_pictures=null", "train.mode=slimmable")
    assert made.search == SearchTraining(**{**SEARCH, "epochs": 5, "per_pictures": None})
    assert (made.train.mode, made.train.epochs) == ("slimmable", 360)


def test_another_method_brings_its_own_recipe(tmp_path: Path) -> None:
    """Switched to a method without a recipe, a job has the defaults again, and what it said itself."""
    made = job(tmp_path, "search: {momentum: 0.8}\n", "method=random")
    assert made.search == SearchTraining(momentum=0.8) and made.train == FinalTraining()


def test_a_resolved_job_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration shows the values filled in, and is the same job when the method's recipe has changed."""
    made = job(tmp_path, "search: {epochs: 5}\n")
    resolved = made.resolved()
    assert resolved["search"]["optimiser"] == "rmsprop" and resolved["search"]["epochs"] == 5
    assert resolved["train"]["dropout_from_epochs"] == 150
    monkeypatch.setattr(OWS, "search_defaults", {"optimiser": "adam", "policy_batch_size": 7})
    assert Job.from_resolved(resolved) == made and Job.from_resolved(resolved).resolved() == resolved


def test_a_recipe_and_a_job_can_contradict_each_other(tmp_path: Path) -> None:
    """The values together are what is checked; a section that is no mapping is said, not filled in."""
    with pytest.raises(RequestError, match=r"search\.nesterov is true, allowed is true only with optimiser sgd"):
        job(tmp_path, "search: {nesterov: true}\n")
    with pytest.raises(RequestError, match="search is 3, allowed is a mapping"):
        job(tmp_path, "search: 3\n")


@pytest.mark.parametrize("name", names())
def test_recipes_of_methods_are_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every registered method's recipe names settings that exist and values that a training can have."""
    monkeypatch.undo()
    problems = Problems("the recipe")
    chosen = method_class(name)
    check_training(SearchTraining(**chosen.search_defaults), "search", problems)
    check_training(FinalTraining(**chosen.train_defaults), "train", problems)
    assert problems.sentences == []
    made = Job.from_dict({"method": name, "platforms": [{"name": "watch", "macs": "3M"}]})
    assert made.search == SearchTraining(**chosen.search_defaults)
    assert made.train == FinalTraining(**chosen.train_defaults)


# ---------------------------------------------------------------- sartor.search


def settings_of(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> tuple[SearchTraining, FinalTraining]:
    """The settings with which ``sartor.search`` would run."""
    monkeypatch.setattr(api, "_run", lambda setting: setting)
    labels = np.arange(60) % 10
    images = np.zeros((60, 8, 8, 3), dtype=np.uint8)
    pictures = Pictures(ImageSet(images, labels, tuple("abcdefghij"), "zeros", "made here"), None)
    space = sartor.spaces.create("mobilenet_v1", num_classes=10, image_size=8, multiplier=0.25)
    setting: Any = sartor.search(
        "ows", space=space, data=pictures, platforms=[Platform("watch", {"macs": 10**9})], **arguments
    )
    return setting.search, setting.train


def test_a_call_takes_the_recipe_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """None stands for the method's recipe, with other lengths if asked for; settings given are taken as they are."""
    assert settings_of(monkeypatch) == (SearchTraining(**SEARCH), FinalTraining(**TRAIN))
    short = settings_of(monkeypatch, epochs=1, train_epochs=2)
    assert short == (SearchTraining(**{**SEARCH, "epochs": 1}), FinalTraining(**{**TRAIN, "epochs": 2}))
    given: dict[str, Any] = {
        "search_training": SearchTraining(momentum=0.5),
        "final_training": FinalTraining(dropout=0.1),
    }
    assert settings_of(monkeypatch, **given) == tuple(given.values())


def test_a_call_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that no training can have are refused as in a job file."""
    with pytest.raises(RequestError, match=r"search_training\.epochs is 0, allowed is more than 0"):
        settings_of(monkeypatch, epochs=0)
    with pytest.raises(RequestError, match=r"final_training\.label_smoothing is 1\.0, allowed is at least 0"):
        settings_of(monkeypatch, final_training=FinalTraining(label_smoothing=1.0))
