"""The methods by name. Adding a method is one new file and one line here; one's own are named by module and class."""

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
    """The class of a method, also of one's own as ``package.module:Class``.

    Its ``settings_type`` is a dataclass of its settings.

    Raises:
        RequestError: the name is unknown, or what it names is no method.
    """
    if ":" in name:
        return _own(name)
    if name not in _CLASSES:
        close = difflib.get_close_matches(name, _CLASSES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ", and one's own as package.module:Class"
        raise RequestError(f"unknown method {name!r}; known are {', '.join(_CLASSES)}{hint}")
    module, attribute = _CLASSES[name]
    found: type[Method] = getattr(importlib.import_module(module), attribute)
    return found


def _own(name: str) -> type[Method]:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RequestError(f"method {name!r} cannot be loaded: {error}") from None
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise RequestError(f"method {name!r} is no subclass of sartor.methods.method.Method")
    if not hasattr(found, "settings_type"):
        raise RequestError(f"method {name!r} has no settings_type: name the dataclass of its settings")
    return found
