"""The methods by name. Adding a method is one new file and one line here."""

from __future__ import annotations

import difflib
import importlib

from sartor.errors import RequestError
from sartor.methods.method import Method

_CLASSES = {
    "ows": ("sartor.methods.ows", "OWS"),
    "aows": ("sartor.methods.aows", "AOWS"),
    "tunas": ("sartor.methods.tunas", "TuNAS"),
    "fpnas": ("sartor.methods.fpnas", "FPNAS"),
    "ms_ranas": ("sartor.methods.ms_ranas", "MSRANAS"),
    "random": ("sartor.methods.random_search", "RandomSearch"),
}


def names() -> tuple[str, ...]:
    """The names of all methods."""
    return tuple(_CLASSES)


def method_class(name: str) -> type[Method]:
    """The class of a method; its ``settings_type`` is a dataclass of its settings."""
    if name not in _CLASSES:
        close = difflib.get_close_matches(name, _CLASSES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"unknown method {name!r}; known are {', '.join(_CLASSES)}{hint}")
    module, attribute = _CLASSES[name]
    found: type[Method] = getattr(importlib.import_module(module), attribute)
    return found
