"""Device files: a device named by the path of a file, whatever latency model is in it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.costs import imported, linear, tables
from sartor.errors import RequestError
from sartor.storage import storage_errors

if TYPE_CHECKING:
    from sartor.costs.factors import FactorCost
    from sartor.space import SearchSpace

_LARGEST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class DeviceFacts:
    """What a device file says about the measurements behind it.

    Args:
        machine: processor, system and architecture; empty where it does not say (published tables).
        runtime: name and version; empty likewise.
        threads, batch, repeats: how it was measured.
        margin: the share by which predictions are too low for one network in ten; None where it was not measured.
    """

    machine: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    batch: int = 1
    repeats: int = 15
    margin: float | None = None


def names_file(device: str) -> bool:
    """Whether a device is meant as the path of a file."""
    return device.endswith(".json") or "/" in device or "\\" in device


def file_cost(path: str | Path) -> Callable[[SearchSpace], FactorCost]:
    """The function of a space that a device file stands for; read again where the file has changed.

    Raises:
        RequestError: there is no such file, or it holds none of: a table of ``sartor profile``, a linear model, a table
            of ProxylessNAS or Once-for-all.
    """
    return _read(*_version(path))


def file_facts(path: str | Path) -> DeviceFacts:
    """What a device file says about its measurements; read again where the file has changed.

    Raises:
        RequestError: as :func:`file_cost`; or its error report has no margin that could be one.
    """
    return _read_facts(*_version(path))


def file_margin(path: str | Path) -> float | None:
    """The share by which a file's predictions are too low for one network in ten; None where it was not measured.

    Raises:
        RequestError: as :func:`file_facts`.
    """
    return file_facts(path).margin


def read_table(path: str | Path) -> tables.LatencyTable:
    """A table that ``sartor profile`` made.

    Raises:
        RequestError: as :func:`file_cost`; or it is another device file.
    """
    data = _json(Path(path))
    if data.get("format") != tables.FORMAT:
        raise RequestError(f"{path}: this is no latency table of sartor profile")
    return tables.LatencyTable.from_dict(data, path)


def _version(path: str | Path) -> tuple[Path, int, int]:
    """A file with the time of its last change and its size."""
    path = Path(path).expanduser()
    with storage_errors(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            raise RequestError(
                f"device {path}: there is no such file. Make one with sartor profile SPACE --out {path.name}"
            ) from None
    return path, status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _read_facts(path: Path, changed_ns: int, size: int) -> DeviceFacts:
    data = _json(path)
    device, runtime = data.get("device"), data.get("runtime")
    machine = {k: str(v) for k, v in device.items() if k != "name"} if isinstance(device, dict) else {}
    known = {k: str(v) for k, v in runtime.items()} if isinstance(runtime, dict) else {}
    try:
        numbers = {name: int(data[name]) for name in ("threads", "batch", "repeats") if name in data}
    except (TypeError, ValueError) as error:
        raise RequestError(f"device {path}: threads, batch and repeats are whole numbers ({error})") from None
    return DeviceFacts(machine, known, **numbers, margin=_margin(data.get("errors"), path))


def _margin(errors: Any, path: Path) -> float | None:
    """``margin_90`` of the error report, of the corrected predictions where there is a correction."""
    kinds = ("corrected", "raw") if isinstance(errors, dict) else ()
    reports = [errors[kind] for kind in kinds if isinstance(errors.get(kind), dict) and errors[kind]]
    if not reports or "margin_90" not in reports[0]:
        return None
    margin = reports[0]["margin_90"]
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
        raise RequestError(
            f"device {path}: margin_90 of its error report is {margin!r}, it must be a share that is not negative; "
            "make the file again, or give the platform a latency_margin"
        )
    return float(margin)


@lru_cache(maxsize=16)
def _read(path: Path, changed_ns: int, size: int) -> Callable[[SearchSpace], FactorCost]:
    data = _json(path)
    if data.get("format") == tables.FORMAT:
        return tables.LatencyTable.from_dict(data, path).cost
    if data.get("format") == linear.FORMAT:
        models = _linear_models(data, path)
        return lambda space: linear.linear_cost(path.stem, models, space)
    if imported.is_published(data):
        published = imported.published_tables(data, path)
        return lambda space: imported.pick_table(published, space.image_size).cost(space)
    raise RequestError(
        f"device {path}: this is none of the known formats: {tables.FORMAT!r}, {linear.FORMAT!r}, or the operations of "
        "ProxylessNAS or Once-for-all"
    )


def _json(path: Path) -> dict[str, Any]:
    with storage_errors(path):
        if path.stat().st_size > _LARGEST_BYTES:
            raise RequestError(f"device {path}: {path.stat().st_size} bytes are too many for a device file")
        raw = path.read_bytes()
    try:
        data = json.loads(raw)
    except ValueError as error:
        raise RequestError(f"device {path}: this is no JSON ({error})") from None
    if not isinstance(data, dict):
        raise RequestError(f"device {path}: a device file is a mapping, this one holds {type(data).__name__}")
    return data


def _linear_models(data: dict[str, Any], path: Path) -> tuple[linear.LinearModel, ...]:
    try:
        return linear.read_models(data)
    except RequestError as error:
        raise RequestError(f"device {path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"device {path}: this linear model is damaged ({error!r})") from error
