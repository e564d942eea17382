"""Devices whose latencies are known, as factor costs in whole nanoseconds.

A device is one module with a function of the device's name that takes a space and returns a :class:`FactorCost`, from a
table of measured layers or from a fitted model; or it is a file, named by its path (:mod:`sartor.costs.files`), such as
``sartor profile`` makes. Whole numbers keep the solvers exact; people read milliseconds.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sartor.costs import files
from sartor.costs.factors import FactorCost
from sartor.errors import RequestError

if TYPE_CHECKING:
    from sartor.space import SearchSpace

LATENCY = "latency_ms"
MS_PER_NS = 1e-6

# Adding a device is one new file and one line here; tests/costs/test_devices.py then covers it.
_MODULES = {
    "pixel1_tunas": "sartor.costs.pixel1_tunas",
}

_COSTS: WeakKeyDictionary[SearchSpace, dict[object, FactorCost]] = WeakKeyDictionary()


def names() -> tuple[str, ...]:
    """The names of all devices."""
    return tuple(_MODULES)


def device_cost(space: SearchSpace, device: str) -> FactorCost:
    """The latency of a space's architectures on a device: a sum of factors in whole nanoseconds.

    Raises:
        RequestError: the device is unknown, or knows nothing of this space at this picture size.
    """
    known = _COSTS.setdefault(space, {})
    model = files.file_cost(device) if files.names_file(device) else _model(device)
    if model not in known:
        known[model] = model(space)
    return known[model]


def device_margin(device: str) -> float | None:
    """The share by which a device's predictions are too low for one network in ten; None where nobody measured it.

    Raises:
        RequestError: it is a file that cannot be read, or whose error report is damaged.
    """
    return files.file_margin(device) if files.names_file(device) else None


def latency_ms(space: SearchSpace, device: str | None, exit: int | None = None, lazy: bool = False) -> FactorCost:
    """The same latency in milliseconds, in floating point: to read, not to solve with.

    Raises:
        RequestError: as :func:`device_cost`; no device was named, or an exit before the last.
    """
    if device is None:
        known = ", ".join(_MODULES)
        raise RequestError(f"{LATENCY} is that of a device; name one of {known}, or the path of a table (T.json)")
    if exit not in (None, space.exits - 1) or (lazy and space.exits > 1):
        raise RequestError(f"device {device!r} knows the latency of whole networks, not of single exits")
    scaled = device_cost(space, device).scaled(MS_PER_NS)
    return FactorCost(scaled.sizes, scaled.factors, scaled.constant, scaled.reduction, LATENCY)


def _model(device: str) -> Callable[[SearchSpace], FactorCost]:
    if device not in _MODULES:
        close = difflib.get_close_matches(device, _MODULES, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise RequestError(
            f"no latencies are known of device {device!r}{hint}; known devices are {', '.join(_MODULES)}. Budgets in "
            "macs, params and peak_memory_bytes need no device; for latencies of your own device, give the path of "
            "a table (T.json) that sartor profile made"
        )
    function: Callable[[SearchSpace], FactorCost] = getattr(importlib.import_module(_MODULES[device]), device)
    return function
