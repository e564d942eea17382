"""Device files: a device named by the path of a file, whatever latency model is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
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


def names_file(device: str) -> bool:
    """Whether a device is meant as the path of a file."""
    return device.endswith(".json") or "/" in device or "\\" in device


def file_cost(path: str | Path) -> Callable[[SearchSpace], FactorCost]:
    """The function of a space that a device file stands for; read again where the file has changed.

    Raises:
        RequestError: there is no such file, or it holds none of: a table of ``sartor profile``, a linear model, a table
            of ProxylessNAS or Once-for-all.
    """
    path = Path(path).expanduser()
    with storage_errors(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            raise RequestError(
                f"device {path}: there is no such file. Make one with sartor profile SPACE --out {path.name}"
            ) from None
        return _read(path, status.st_mtime_ns, status.st_size)


def file_margin(path: str | Path) -> float | None:
    """The share by which a file's predictions are too low for one network in ten; None where it was not measured.

    Raises:
        RequestError: as :func:`file_cost`.
    """
    errors = _json(Path(path).expanduser()).get("errors")
    reports = [errors[kind] for kind in ("corrected", "raw") if errors.get(kind)] if isinstance(errors, dict) else []
    return float(reports[0]["margin_90"]) if reports and "margin_90" in reports[0] else None


def read_table(path: str | Path) -> tables.LatencyTable:
    """A table that ``sartor profile`` made.

    Raises:
        RequestError: as :func:`file_cost`; or it is another device file.
    """
    data = _json(Path(path))
    if data.get("format") != tables.FORMAT:
        raise RequestError(f"{path}: this is no latency table of sartor profile")
    return tables.LatencyTable.from_dict(data, path)


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
