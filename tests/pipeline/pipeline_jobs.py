"""Jobs that take seconds, and what two results of one job must agree in."""

from __future__ import annotations

import copy
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from sartor import spaces
from sartor.config import Job
from sartor.pipeline import run_job
from sartor.run import RunFolder
from sartor.space import SearchSpace

JOB: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "source": "digits",
        "pictures_per_class": 24,
        "weights": 0.75,
        "policy": 0.0,
        "selection": 0.25,
        "augmentation": "none",
    },
    "space": {"name": "mobilenet_v1", "multiplier": 0.25, "divisor": 4},
    "method": "ows",
    "platforms": [
        {"name": "watch", "macs": "150k", "weight": 2},
        {"name": "phone", "macs": "400k", "peak_memory_bytes": "12KiB", "weight": 3},
        {"name": "tablet", "macs": "900k", "weight": 1},
    ],
    "search": {"epochs": 2, "batch_size": 16, "learning_rate": 0.05},
    "train": {"epochs": 2, "batch_size": 16, "learning_rate": 0.05, "schedule": "cosine", "dropout": 0.2},
    "evaluation": {"calibration_pictures": 64, "cloud": 5},
    "export": {"latency_repeats": 10, "verification_pictures": 16},
    "baselines": ["uniform", "random", "standalone"],
    "device": "cpu",
    "threads": 1,
    "checkpoint_seconds": 0.0,
}


def job(**changes: Any) -> dict[str, Any]:
    """The job with other values; a mapping changes single keys of a section, None removes a key."""
    made = copy.deepcopy(JOB)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] |= value
        else:
            made[key] = value
    return {key: value for key, value in made.items() if value is not None}


def digits_space() -> SearchSpace:
    """The space of that job."""
    return spaces.create("mobilenet_v1", num_classes=10, image_size=8, in_channels=1, multiplier=0.25, divisor=4)


def run(
    path: Path, stages: tuple[str, ...] = ("search", "train", "export", "measure", "report"), **changes: Any
) -> Any:
    """Runs a job in this process; returns its result."""
    configuration = Job.from_dict(job(**changes)).resolved()
    with RunFolder.create(path, configuration) as folder:
        return run_job(folder, stages)


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what depends on the clock or the process."""
    kept = {k: v for k, v in result.items() if k not in ("environment", "folder") and not k.endswith("_seconds")}
    kept = copy.deepcopy(kept)
    for platform in kept["platforms"]:
        for key in ("latency_ms", "latency_spread_ms"):
            platform.pop(key)
    stages = (kept.get("anytime") or {}).get("stages") or {}
    for key in [key for key in stages if key.startswith("latency")]:
        stages.pop(key)
    return kept


def conforms(value: Any, kind: Any, where: str = "result") -> None:
    """Asserts that plain data has the form of a ``TypedDict``; keys the format does not know are allowed."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if is_typeddict(kind):
        assert isinstance(value, dict), where
        missing = kind.__required_keys__ - set(value)
        assert not missing, f"{where}: {missing}"
        for key, inner in get_type_hints(kind).items():
            if key in value:
                conforms(value[key], inner, f"{where}.{key}")
    elif origin is list:
        assert isinstance(value, list), where
        for i, item in enumerate(value):
            conforms(item, arguments[0], f"{where}.{i}")
    elif origin is dict:
        assert isinstance(value, dict), where
        for key, item in value.items():
            conforms(key, arguments[0], where)
            conforms(item, arguments[1], f"{where}.{key}")
    elif origin in (Union, UnionType):
        assert any(_conforms(value, a) for a in arguments), f"{where}: {value!r} is no {kind}"
    else:
        allowed = (int, float) if kind is float else kind
        assert isinstance(value, allowed) and not (isinstance(value, bool) and kind is not bool), f"{where}: {value!r}"


def _conforms(value: Any, kind: Any) -> bool:
    try:
        conforms(value, kind)
    except AssertionError:
        return False
    return True
