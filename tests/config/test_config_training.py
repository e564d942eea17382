"""What a job may say about exits, clipping and drop path, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sartor.config import Job
from sartor.errors import RequestError


def job(**sections: Any) -> Job:
    return Job.from_dict({"platforms": [{"name": "watch", "macs": "60k"}], **sections})


SEARCH = {
    "schedule": "cosine",
    "learning_rate": 0.025,
    "final_rate": 0.001,
    "gradient_clip": 5,
    "exit_weights": [1, 0.5, 2],
    "exits_averaged": True,
}
TRAIN = {
    **SEARCH,
    "mode": "anytime",
    "drop_path": 0.2,
    "drop_path_ramp": True,
    "exit_distillation": 0.3,
    "exit_temperature": 2,
    "gradient_equilibrium": True,
    "auxiliary_weight": 0.4,
}


def test_everything_that_can_be_said() -> None:
    """Every setting is read, search and training apart, and the resolved configuration is the same job."""
    made = job(search=SEARCH, train=TRAIN)
    assert (made.search.gradient_clip, made.search.exit_weights) == (5.0, (1.0, 0.5, 2.0))
    assert (made.train.mode, made.train.exit_temperature) == ("anytime", 2.0)
    for section, given in (("search", SEARCH), ("train", TRAIN)):
        resolved = made.resolved()[section]
        assert {name: resolved[name] for name in given} == given
    again = json.loads(json.dumps(made.resolved()))
    assert Job.from_dict(again) == made


def test_nothing_changes_by_default() -> None:
    """Left out, there is no clipping, no ramp, and the schedules end at zero."""
    for settings in (job().search, job().train):
        assert (settings.gradient_clip, settings.exit_weights) == (None, None)
        assert (settings.final_rate, settings.exits_averaged) == (0.0, False)
    train = job().train
    assert (train.drop_path_ramp, train.exit_distillation, train.gradient_equilibrium) == (False, 0.0, False)


@pytest.mark.parametrize(
    ("section", "given", "words"),
    [
        ("search", {"gradient_clip": 0}, "search.gradient_clip is 0.0, allowed is more than 0"),
        ("train", {"gradient_clip": -1.0}, "train.gradient_clip is -1.0, allowed is more than 0"),
        ("search", {"final_rate": 0.01}, "allowed is 0 with schedule constant: only cosine and linear end at a given"),
        (
            "search",
            {"schedule": "cosine", "final_rate": 0.2},
            "search.final_rate is 0.2, allowed is at least 0 and at most learning_rate",
        ),
        ("search", {"exit_weights": []}, "search.exit_weights is [], allowed is null, or one weight of at least 0 per"),
        ("search", {"exit_weights": [1, -1]}, "search.exit_weights is [1.0, -1.0], allowed is null, or one weight"),
        ("train", {"exit_weights": [0, 0]}, "train.exit_weights is [0.0, 0.0], allowed is null, or one weight"),
        ("train", {"exit_weights": 1}, "train.exit_weights is 1, allowed is a list"),
        ("train", {"drop_path_ramp": True}, "train.drop_path_ramp is true, allowed is true only with a drop_path"),
        ("train", {"exit_distillation": 1.5}, "train.exit_distillation is 1.5, allowed is at least 0 and at most 1"),
        ("train", {"exit_temperature": 0}, "train.exit_temperature is 0.0, allowed is more than 0"),
        ("train", {"auxiliary_weight": -0.1}, "train.auxiliary_weight is -0.1, allowed is at least 0"),
        (
            "train",
            {"mode": "any-time"},
            "allowed is 'slimmable', 'standalone' or 'anytime' (did you mean anytime?)",
        ),
        (
            "search",
            {"gradient_equilibrium": True},
            "search.gradient_equilibrium is not a known key",
        ),
    ],
)
def test_what_is_refused(section: str, given: dict[str, Any], words: str) -> None:
    """Values that no training can have are refused with the key, the value, and what is allowed."""
    with pytest.raises(RequestError) as refused:
        job(**{section: given})
    assert words in str(refused.value)
