"""Jobs whose comparison takes seconds, a method of one's own, and one that fails."""

from __future__ import annotations

import copy
from typing import Any

from sartor.config import Job
from sartor.errors import RequestError
from sartor.methods.evaluator import Evaluator
from sartor.methods.random_search import RandomSearch

JOB: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits", "pictures_per_class": 16, "weights": 0.75, "policy": 0.0, "selection": 0.25},
    "space": {"name": "mobilenet_v1", "multiplier": 0.25, "divisor": 4, "levels": 3},
    "method": "ows",
    "platforms": [{"name": "watch", "macs": "150k", "weight": 2}, {"name": "phone", "macs": "400k"}],
    "search": {"epochs": 0.5, "batch_size": 16, "learning_rate": 0.05},
    "train": {"epochs": 0.5, "batch_size": 16, "learning_rate": 0.05, "dropout": 0.2},
    "evaluation": {"calibration_pictures": 32, "cloud": 0},
    "device": "cpu",
    "checkpoint_seconds": 0.0,
}
# 120 pictures teach weights, in 7 batches: half an epoch is four sandwich steps of three passes over 16 pictures.
SEARCH_IMAGES = 4 * 3 * 16


def job(**changes: Any) -> Job:
    """The job with other values; a mapping changes single keys of a section."""
    return Job.from_dict(plain_job(**changes))


def plain_job(**changes: Any) -> dict[str, Any]:
    """The same as in a job file."""
    made = copy.deepcopy(JOB)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] |= value
        else:
            made[key] = value
    return made


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """A document without what the clock says."""
    methods = {n: {k: v for k, v in row.items() if k != "times"} for n, row in document["methods"].items()}
    return {**document, "methods": methods}


class Mine(RandomSearch):
    """A method of one's own."""


class Broken(RandomSearch):
    """A method with a fault."""

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        raise ZeroDivisionError("a fault of one's own")


class Refusing(RandomSearch):
    """A method that finds out late that it cannot."""

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        if self.steps == 3:
            raise RequestError("it needs more than there is")
        return super().step(evaluator)
