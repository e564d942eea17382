"""The spaces: one file each, laid out like the table in its paper; ``create`` makes one by name."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from sartor.errors import RequestError
from sartor.space import SearchSpace

# Adding a space is one new file and one line here; the contract tests then cover it.
_MODULES = {
    "mobilenet_v1": "sartor.spaces.mobilenet_v1",
    "channel_bench_macro": "sartor.spaces.channel_bench_macro",
    "nas_bench_macro": "sartor.spaces.nas_bench_macro",
    "proxylessnas": "sartor.spaces.tunas.proxylessnas",
    "proxylessnas_enlarged": "sartor.spaces.tunas.proxylessnas_enlarged",
    "mobilenetv3_like": "sartor.spaces.tunas.mobilenetv3_like",
    "fbnetv2_f": "sartor.spaces.fpnas.fbnetv2_f",
    "fbnetv2_f_fine": "sartor.spaces.fpnas.fbnetv2_f_fine",
    "fbnetv2_f_plus": "sartor.spaces.fpnas.fbnetv2_f_plus",
    "fpnas_l0": "sartor.spaces.fpnas.fpnas_l0",
    "fpnas_l1": "sartor.spaces.fpnas.fpnas_l1",
    "fpnas_l2": "sartor.spaces.fpnas.fpnas_l2",
    "ms_ranas": "sartor.spaces.ms_ranas.space",
}


def names() -> tuple[str, ...]:
    """The names of all spaces."""
    return tuple(_MODULES)


def builder(name: str) -> Callable[..., SearchSpace]:
    """The function that builds a space; its signature lists the options."""
    if name not in _MODULES:
        close = difflib.get_close_matches(name, _MODULES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"unknown space {name!r}; known are {', '.join(_MODULES)}{hint}")
    function: Callable[..., SearchSpace] = getattr(importlib.import_module(_MODULES[name]), name)
    return function


def create(name: str, **options: Any) -> SearchSpace:
    """A search space by name, such as ``create("mobilenet_v1", num_classes=100, image_size=32)``.

    Raises:
        RequestError: the name or an option is unknown, or an option has an impossible value.
    """
    build = builder(name)
    known = inspect.signature(build).parameters
    for option in options:
        if option not in known:
            close = difflib.get_close_matches(option, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RequestError(f"space {name!r} has no option {option!r}; it has {', '.join(known)}{hint}")
    return build(**options)
