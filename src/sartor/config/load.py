"""Job files: YAML with the line of every key, and values set on the command line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sartor.config.job import Job
from sartor.config.read import SHORT_FORMS, section
from sartor.costs import files
from sartor.errors import RequestError
from sartor.storage import storage_errors
from sartor.train.settings import names_file

_LARGEST_BYTES = 1_000_000
_DEEPEST = 20
_FILES = (("data", "path"), ("data", "cache"), ("train", "teacher"), ("train", "teacher_file"))


def load_job(path: Path | str, overrides: Sequence[str] = ()) -> Job:
    """The job in a YAML (or JSON) file, with ``overrides`` such as ``search.epochs=5`` applied.

    Relative paths in the file belong to the file's folder, those in overrides to the current one.

    Raises:
        RequestError: one paragraph with everything that is wrong, and where.
    """
    path = Path(path)
    data, places = _read(path)
    data.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-") or "run")
    for key, short in SHORT_FORMS.items():
        if isinstance(data.get(key), str):
            data[key] = {short: data[key]}
    _anchor(data, path.parent)
    places |= apply_overrides(data, overrides)
    _anchor(data, Path.cwd())
    return Job.from_dict(data, str(path), places)


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, str]:
    """Sets ``key=value`` in ``data``, values read as YAML; returns where each key was given.

    Another ``space.name`` or ``method.name`` drops the options of the old one. List items are named by their position
    or their ``name``.
    """
    pairs = [_split(text) for text in overrides]
    # A new space or method comes first, so that options set beside it survive whatever the order.
    pairs.sort(key=lambda pair: pair[0] not in ("space", "space.name", "method", "method.name"))
    for key, value in pairs:
        _set(data, key, value)
    return {key: f"--set {key}" for key, _ in pairs}


def _split(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RequestError(f"--set {text}: expected a key and a value, such as search.epochs=5")
    try:
        return key.strip(), yaml.load(value, _Loader)
    except yaml.YAMLError as error:
        raise RequestError(f"--set {text}: the value is no YAML ({_reason(error)}); quote it") from None


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    if parts[0] in ("space", "method") and ((len(parts) == 1 and isinstance(value, str)) or parts[1:] == ["name"]):
        old = section(data, parts[0])
        if not isinstance(old, Mapping) or old.get("name") != value:
            data[parts[0]] = {"name": value}
        return
    target: Any = data
    while len(parts) > 1:
        target, parts = _step(target, parts, key)
    if isinstance(target, list):
        target[_position(target, parts[0], key)] = value
    elif isinstance(target, dict):
        target[parts[0]] = value
    else:
        raise RequestError(f"--set {key}: {key.rpartition('.')[0]} is a single value and has no keys below it")


def _step(target: Any, parts: list[str], key: str) -> tuple[Any, list[str]]:
    """One level down; a section that is absent, or written as its main value, becomes a mapping."""
    if isinstance(target, list):
        for used in range(len(parts) - 1, 0, -1):  # names may hold dots: the longest that fits
            if any(_name(item) == ".".join(parts[:used]) for item in target):
                return target[_position(target, ".".join(parts[:used]), key)], parts[used:]
        return target[_position(target, parts[0], key)], parts[1:]
    if not isinstance(target, dict):
        raise RequestError(f"--set {key}: a part of this key is a single value and has no keys below it")
    inner = target.get(parts[0])
    if isinstance(inner, str) and parts[0] in SHORT_FORMS:
        inner = {SHORT_FORMS[parts[0]]: inner}
    target[parts[0]] = inner if inner is not None else {}
    return target[parts[0]], parts[1:]


def _position(items: list[Any], name: str, key: str) -> int:
    names = [_name(item) for item in items]
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < len(items):
        return int(name)
    known = [n for n in names if n is not None]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    allowed = f"{', '.join(known)} or " if known else ""
    raise RequestError(f"--set {key}: there is no item {name!r}{hint}; there are {allowed}0 to {len(items) - 1}")


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else None


def _anchor(data: dict[str, Any], folder: Path) -> None:
    """Makes relative paths absolute, so that the run goes on from any folder."""
    for key, name in _FILES:
        inner = data.get(key)
        if not isinstance(inner, dict):
            continue
        value = inner.get(name)
        if isinstance(value, str) and (name != "teacher" or names_file(value)):
            inner[name] = str((folder / Path(value).expanduser()).resolve())
    for platform in data["platforms"] if isinstance(data.get("platforms"), list) else []:
        device = platform.get("device") if isinstance(platform, dict) else None
        if isinstance(device, str) and files.names_file(device):
            platform["device"] = str((folder / Path(device).expanduser()).resolve())


# ---------------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """YAML as people write it: ``1e-4`` is a number, and no key stands twice."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+|[-+]?\.\d+([eE][-+]?\d+)?"),
    list("-+0123456789."),
)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of a job file, and the line of every dotted key."""
    if path.is_dir():
        raise RequestError(f"{path}: this is a folder, a job is a YAML file")
    with storage_errors(path):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raise RequestError(f"{path}: there is no such job file") from None
    if len(raw) > _LARGEST_BYTES:
        raise RequestError(f"{path}: {len(raw)} bytes are too many for a job file, at most {_LARGEST_BYTES} are read")
    try:
        loader = _Loader(raw.decode("utf-8-sig"))
        node = loader.get_single_node()
        lines = dict(_lines(node, "", path)) if node is not None else {}
        data = loader.construct_document(node) if node is not None else {}
    except UnicodeDecodeError:
        raise RequestError(f"{path}: this is no text file; a job is a YAML file") from None
    except yaml.YAMLError as error:
        raise RequestError(f"{path}: this is no YAML ({_reason(error)})") from None
    if not isinstance(data, dict):
        raise RequestError(f"{path}: a job file is a mapping of keys to values, this one holds {type(data).__name__}")
    return data, lines


def _lines(node: Any, prefix: str, path: Path) -> Iterator[tuple[str, str]]:
    """Dotted keys with their lines; refuses a key that stands twice, which YAML would silently overwrite."""
    if prefix.count(".") > _DEEPEST:
        raise RequestError(f"{path}: sections are nested more than {_DEEPEST} deep, which no job needs")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            name = _node_name(item)
            yield f"{prefix}{index if name is None else name}", f"line {item.start_mark.line + 1}"
            yield from _lines(item, f"{prefix}{index if name is None else name}.", path)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        line = f"line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise RequestError(f"{path}, {line}: a key must be a word")
        if key.value in seen:
            raise RequestError(f"{path}, {line}: {prefix}{key.value} stands twice; remove one of them")
        seen.add(key.value)
        yield f"{prefix}{key.value}", line
        yield from _lines(value, f"{prefix}{key.value}.", path)


def _node_name(node: Any) -> str | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((str(value.value) for key, value in node.value if key.value == "name"), None)


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {what}" if mark is not None else str(what)
