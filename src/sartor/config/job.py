"""The job: what is searched, on which pictures, how, and for which platforms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from sartor import spaces
from sartor.config.sections import (
    DataSettings,
    Device,
    EvaluationSettings,
    ExportSettings,
    MeasureSettings,
    Precision,
    RandomTrainedSettings,
)
from sartor.errors import RequestError
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.train.settings import FinalTraining, SearchTraining

# What the pictures decide, unless the job says the same.
FROM_DATA = ("num_classes", "image_size", "in_channels")


@dataclass(frozen=True)
class SpaceChoice:
    """A space by name; options that the pictures decide are None where the job leaves them open."""

    name: str
    options: Mapping[str, Any]

    def create(self, *, num_classes: int, image_size: int, in_channels: int) -> SearchSpace:
        """The space for these pictures.

        Raises:
            RequestError: the job asks for another number of classes, size or colour than the pictures have.
        """
        from_data = {"num_classes": num_classes, "image_size": image_size, "in_channels": in_channels}
        options = dict(self.options)
        for name, value in from_data.items():
            if options.get(name, value) not in (None, value):
                raise RequestError(
                    f"space.{name} is {options[name]}, but the pictures have {name} {value}; leave it out, or choose "
                    "other pictures"
                )
            if name in inspect.signature(spaces.builder(self.name)).parameters:
                options[name] = value
        space = spaces.create(self.name, **options)
        found = {"num_classes": space.num_classes, "image_size": space.image_size, "in_channels": space.in_channels}
        for name, value in found.items():
            if value != from_data[name]:
                raise RequestError(f"space {self.name!r} has {name} {value}, but the pictures have {from_data[name]}")
        return space


@dataclass(frozen=True)
class MethodChoice:
    """A method by name with its checked settings (the dataclass that the method's class names)."""

    name: str
    settings: Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run needs to know. Make one with :func:`load_job` or :meth:`from_dict`, which check it."""

    name: str
    data: DataSettings
    space: SpaceChoice
    method: MethodChoice
    platforms: tuple[Platform, ...]
    search: SearchTraining = field(default_factory=SearchTraining)
    train: FinalTraining = field(default_factory=FinalTraining)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    random_trained: RandomTrainedSettings = field(default_factory=RandomTrainedSettings)
    deploy_image_size: int | None = None
    search_space: Mapping[str, Any] | None = None
    baselines: tuple[str, ...] | None = None
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "float32"
    threads: int | None = None
    checkpoint_seconds: float = 15.0

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], source: str = "the job", places: Mapping[str, str] | None = None
    ) -> Job:
        """A job from plain data as in a job file, or as :meth:`resolved` gave it.

        ``source`` names it in messages; ``places`` says where dotted keys were given.

        Raises:
            RequestError: one paragraph with everything that is wrong.
        """
        from sartor.config.read import read_job

        return read_job(data, source, places or {})

    @classmethod
    def from_resolved(cls, configuration: Mapping[str, Any]) -> Job:
        """The job of a run folder's configuration."""
        return cls.from_dict(configuration, "the configuration of the run folder")

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain data, defaults filled in: equal jobs give equal dictionaries."""
        rest = {f.name: getattr(self, f.name) for f in fields(self)}
        rest["space"] = {"name": self.space.name, **self.space.options}
        rest["method"] = {"name": self.method.name, **asdict(self.method.settings)}
        rest["platforms"] = [_plain_platform(platform) for platform in self.platforms]
        resolved: dict[str, Any] = _plain(rest)
        return resolved


def _plain_platform(platform: Platform) -> dict[str, Any]:
    optional = {"device": platform.device, "latency_margin": platform.latency_margin}
    given = {key: value for key, value in optional.items() if value is not None}
    return {"name": platform.name, "weight": platform.weight, **given, **platform.budgets}


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and paths as plain data."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
