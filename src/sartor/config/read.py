"""From plain data to a job: every section is checked, and everything that is wrong is said at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields, make_dataclass, replace
from functools import lru_cache
from typing import Any, get_type_hints

from sartor import spaces
from sartor.config.check import Problems, check, guarded
from sartor.config.job import FROM_DATA, Job, MethodChoice, SpaceChoice
from sartor.config.sections import (
    AugmentationSettings,
    DataSettings,
    EvaluationSettings,
    ExportSettings,
    General,
    MeasureSettings,
    RandomTrainedSettings,
)
from sartor.config.training import check_training
from sartor.errors import RequestError
from sartor.platforms import WEIGHTINGS, Platform, check_platforms
from sartor.quantities import KINDS, parse
from sartor.train.settings import FinalTraining, SearchTraining

# A section may be written as its main value alone: ``method: ows``.
SHORT_FORMS = {"data": "source", "space": "name", "method": "name"}

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")


def known_keys() -> list[str]:
    """The dotted keys of a job file, those of methods, spaces and platforms left out: for hints."""
    sections = [f.name for f in fields(General)]
    for name, kind in {**_SECTIONS, "data": DataSettings}.items():
        sections += [name, *(f"{name}.{f.name}" for f in fields(kind))]
    return [*sections, "space", "method", "platforms"]


_SECTIONS: dict[str, type[Any]] = {
    "search": SearchTraining,
    "train": FinalTraining,
    "evaluation": EvaluationSettings,
    "export": ExportSettings,
    "measure": MeasureSettings,
    "random_trained": RandomTrainedSettings,
}


def read_job(data: Mapping[str, Any], source: str, places: Mapping[str, str]) -> Job:
    """The job in plain data; see :meth:`Job.from_dict`."""
    problems = Problems(source, places, known_keys())
    data = {key: value for key, value in data.items() if value is not None}  # an empty section is no section
    general_names = [f.name for f in fields(General)]
    own = ["name", "data", "space", "method", "platforms", *_SECTIONS]
    own += [name for name in general_names if name not in own]
    for key in data:
        if key not in own:
            problems.unknown(str(key), own)
    general = check(General, {k: v for k, v in data.items() if k in general_names}, "", problems)
    pictures = _data(section(data, "data"), problems)
    space = _space(section(data, "space"), pictures, problems)
    if space is not None and general is not None and general.search_space:
        _search_space(space, general.search_space, problems)
    method = _method(section(data, "method"), problems)
    platforms = _platforms(data.get("platforms"), problems)
    sections = {name: data.get(name, {}) for name in _SECTIONS}
    if method is not None:
        sections |= _with_recipe(method, sections)
    found: dict[str, Any] = {name: check(kind, sections[name], name, problems) for name, kind in _SECTIONS.items()}
    for name in ("search", "train"):
        if found[name] is not None:
            check_training(found[name], name, problems)
    if general is not None:
        _general(general, problems)
        platforms = _weighted(platforms, general.weighting, data, problems)
    problems.stop()
    assert general is not None and pictures is not None and space is not None and method is not None
    top: dict[str, Any] = {name: getattr(general, name) for name in general_names if name != "weighting"}
    return Job(data=pictures, space=space, method=method, platforms=platforms, **found, **top)


def section(data: Mapping[str, Any], key: str) -> Any:
    """A section that may be written as its main value alone."""
    value = data.get(key, {})
    return {SHORT_FORMS[key]: value} if isinstance(value, str) else value


def _general(general: General, problems: Problems) -> None:
    if not _NAME.fullmatch(general.name):
        problems.wrong("name", general.name, "up to 64 letters, digits, '.', '_' or '-': it names the run folder")
    if general.baselines is not None and len(set(general.baselines)) != len(general.baselines):
        problems.wrong("baselines", list(general.baselines), "every baseline once")


def _data(data: Any, problems: Problems) -> DataSettings | None:
    mappings: dict[str, Any] = {}
    for key in ("augmentation", "search_augmentation"):
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            mappings[key] = check(AugmentationSettings, data[key], f"data.{key}", problems)
            data = {name: value for name, value in data.items() if name != key}
    settings = check(DataSettings, data, "data", problems)
    if settings is None:
        return None
    from sartor.data.sources import find_source

    guarded(lambda: find_source(settings.source), "data.source", problems)
    _check_shares(settings, problems)
    return replace(settings, **{key: value for key, value in mappings.items() if value is not None})


def _check_shares(settings: DataSettings, problems: Problems) -> None:
    """Fractions that add up to more than one are wrong whatever the pictures are."""
    parts = {"weights": settings.weights, "policy": settings.policy, "selection": settings.selection}
    shares = {name: part for name, part in parts.items() if isinstance(part, float)}
    if settings.train_on_all:
        shares = {name: part for name, part in shares.items() if name == "policy"}
    if sum(shares.values()) > 1 + 1e-9:
        named = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        problems.add("data", f"data: {named} are disjoint shares of the training pictures and add up to more than 1")


def _space(data: Any, pictures: DataSettings | None, problems: Problems) -> SpaceChoice | None:
    if not isinstance(data, Mapping):
        problems.wrong("space", data, "the name of a space, or a mapping with name and options")
        return None
    name = str(data.get("name", "mobilenet_v1"))
    if guarded(lambda: spaces.builder(name), "space.name", problems) is None:
        return None
    options = {key: value for key, value in data.items() if key != "name"}
    checked = check(options_type(name), options, "space", problems)
    if checked is None:
        return None
    choice = SpaceChoice(name, asdict(checked))
    given = {key: value for key, value in choice.options.items() if value is not None or key not in FROM_DATA}
    if pictures is not None:
        classes = len(pictures.classes) if isinstance(pictures.classes, list) else pictures.classes
        for key, value in (("image_size", pictures.image_size), ("num_classes", classes)):
            if value is not None and given.setdefault(key, value) != value:
                other = "data.classes" if key == "num_classes" else f"data.{key}"
                problems.add(f"space.{key}", f"space.{key} is {given[key]}, but {other} gives {value}; leave one out")
    accepted = inspect.signature(spaces.builder(name)).parameters
    given = {key: value for key, value in given.items() if key in accepted}
    built = guarded(lambda: spaces.create(name, **given), "space", problems)
    return choice if built is not None else None


def _search_space(space: SpaceChoice, changes: Mapping[str, Any], problems: Problems) -> None:
    """Options for the search alone are options of the space, which the pictures do not decide."""
    for key in changes:
        if key in FROM_DATA:
            problems.add(f"search_space.{key}", f"search_space.{key}: the pictures decide it, in search and training")
    check(options_type(space.name), {**space.options, **changes}, "search_space", problems, f" of space {space.name}")


@lru_cache(maxsize=16)
def options_type(name: str) -> type[Any]:
    """A dataclass of a space's options, from the signature of its builder."""
    build = spaces.builder(name)
    kinds = get_type_hints(build)
    options: list[Any] = []
    for option, parameter in inspect.signature(build).parameters.items():
        if option in FROM_DATA:
            options.append((option, kinds[option] | None, field(default=None)))
        else:
            options.append((option, kinds[option], field(default=parameter.default)))
    return make_dataclass(name, options, frozen=True, kw_only=True)


def _method(data: Any, problems: Problems) -> MethodChoice | None:
    from sartor.methods.registry import method_class

    if not isinstance(data, Mapping):
        problems.wrong("method", data, "the name of a method, or a mapping with name and settings")
        return None
    name = str(data.get("name", "ows"))
    found: Any = guarded(lambda: method_class(name), "method.name", problems)
    if found is None:
        return None
    rest = {key: value for key, value in data.items() if key != "name"}
    settings: Any = check(found.settings_type, rest, "method", problems, f" (method {name})")
    return None if settings is None else MethodChoice(name, settings)


def _with_recipe(method: MethodChoice, sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of the two trainings, with the method's own recipe for what they leave open."""
    from sartor.methods.registry import method_class

    chosen = method_class(method.name)
    recipes = {"search": chosen.search_defaults, "train": chosen.train_defaults}
    return {
        name: {**recipe, **sections[name]} for name, recipe in recipes.items() if isinstance(sections[name], Mapping)
    }


_PLATFORM = make_dataclass(
    "platform",
    [
        ("name", str),
        ("weight", float, field(default=1.0)),
        ("device", str | None, field(default=None)),
        ("latency_margin", float | None, field(default=None)),
        *((kind, int | float | str | None, field(default=None)) for kind in KINDS),
    ],
    frozen=True,
    kw_only=True,
)


def _platforms(data: Any, problems: Problems) -> tuple[Platform, ...]:
    if not isinstance(data, list) or not data:
        if data is None:
            problems.add("", "platforms is missing; give a list such as [{name: watch, macs: 3M}]")
        else:
            problems.wrong("platforms", data, "a list such as [{name: watch, macs: 3M}]")
        return ()
    platforms = [_platform(item, index, problems) for index, item in enumerate(data)]
    whole = tuple(platform for platform in platforms if platform is not None)
    if whole:
        guarded(lambda: check_platforms(whole), "platforms", problems)
    return whole


def _platform(item: Any, index: int, problems: Problems) -> Platform | None:
    named = isinstance(item, Mapping) and isinstance(item.get("name"), str)
    key = f"platforms.{item['name'] if named else index}"
    spec: Any = check(_PLATFORM, item, key, problems)
    if spec is None:
        return None
    budgets = {kind: value for kind in KINDS if (value := getattr(spec, kind)) is not None}
    right = [_is_quantity(kind, value, key, problems) for kind, value in budgets.items()]
    if not all(right):
        return None
    return guarded(lambda: Platform(spec.name, budgets, spec.weight, spec.device, spec.latency_margin), key, problems)


def _is_quantity(kind: str, value: Any, key: str, problems: Problems) -> bool:
    try:
        parse(kind, value)
    except RequestError as error:
        problems.add(f"{key}.{kind}", f"{key}.{error}")
        return False
    return True


def _weighted(
    platforms: Sequence[Platform], weighting: str | None, data: Mapping[str, Any], problems: Problems
) -> tuple[Platform, ...]:
    """The platforms with the weights of a named weighting of the paper."""
    if weighting is None or problems.sentences:
        return tuple(platforms)
    weights = WEIGHTINGS[weighting]
    if len(platforms) != len(weights):
        problems.add(
            "weighting", f"weighting {weighting} is for {len(weights)} platforms, the job has {len(platforms)}"
        )
        return tuple(platforms)
    if any("weight" in item for item in data["platforms"]):
        problems.add("weighting", f"weighting {weighting} sets the platforms' weights, which also give their own")
    return tuple(replace(p, weight=w, budgets=dict(p.budgets)) for p, w in zip(platforms, weights, strict=True))
