"""From plain data to checked dataclasses, collecting everything that is wrong instead of stopping at the first."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from sartor.errors import RequestError

T = TypeVar("T")

# What pydantic found wrong -> what is allowed there.
_ALLOWED: dict[str, str] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "list_type": "a list",
    "tuple_type": "a list",
    "path_type": "a path",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "missing": "a value",
}


@dataclass
class Problems:
    """Everything wrong with one job file.

    ``source`` is the file's name, ``places`` says where a dotted key was given (a line, or the command line).
    ``known`` holds all dotted keys there are, for hints.
    """

    source: str
    places: Mapping[str, str] = field(default_factory=dict)
    known: Iterable[str] = ()
    sentences: list[str] = field(default_factory=list)

    def add(self, key: str, sentence: str) -> None:
        """One problem at a dotted key (empty: the whole file)."""
        place = self._place(key)
        self.sentences.append(f"{place}: {sentence}" if place else sentence)

    def wrong(self, key: str, value: Any, allowed: str) -> None:
        """A value that is not allowed."""
        self.add(key, f"{key} is {shown(value)}, allowed is {allowed}")

    def unknown(self, key: str, siblings: Iterable[str], more: str = "") -> None:
        """A key that does not exist, with the closest one that does."""
        prefix, _, name = key.rpartition(".")
        siblings = list(siblings)
        hint = _closest(name, prefix, siblings, self.known)
        if not hint:
            hint = f"; {prefix or 'the top level'} knows {', '.join(siblings)}"
        self.add(key, f"{key} is not a known key{more}{hint}")

    def stop(self) -> None:
        """Raises all problems as one request error, if there are any."""
        if len(self.sentences) == 1:
            join = ", " if self.sentences[0].startswith(tuple(self.places.values())) else ": "
            raise RequestError(f"{self.source}{join}{self.sentences[0]}")
        if self.sentences:
            lines = "".join(f"\n  - {sentence}" for sentence in self.sentences)
            raise RequestError(f"{self.source} has {len(self.sentences)} problems:{lines}")

    def _place(self, key: str) -> str:
        """Where the key, or the nearest section around it, was given."""
        below = [place for name, place in self.places.items() if name.startswith(f"{key}.")]
        while key:
            if key in self.places:
                return self.places[key]
            key = key.rpartition(".")[0]
        return below[0] if below else ""


def check(kind: type[T], data: Any, key: str, problems: Problems, more: str = "") -> T | None:
    """``data`` as an instance of the dataclass ``kind``, or None where it cannot be one; notes what is wrong.

    Types are strict: no text for numbers, no truth values for numbers; a whole number is also a number.
    """
    if not isinstance(data, Mapping):
        problems.wrong(key, data, f"a mapping with {', '.join(_names(kind))}")
        return None
    known = _names(kind)
    for name in data:
        if name not in known:
            problems.unknown(_joined(key, name), known, more)
    kept = {name: value for name, value in data.items() if name in known}
    return guarded(lambda: _validated(kind, kept, key, problems), key, problems)


def guarded(make: Callable[[], T], key: str, problems: Problems) -> T | None:
    """The result of ``make``, or None after noting its request error at ``key``."""
    try:
        return make()
    except RequestError as error:
        problems.add(key, str(error))
        return None


def shown(value: Any) -> str:
    """A value as the user would write it, not too long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _validated(kind: type[T], data: Mapping[str, Any], key: str, problems: Problems) -> T | None:
    try:
        # Strict JSON knows no tuples and paths, so lists and text are taken for them, and for nothing else.
        around: Any = kind
        model: Any = _model(around).model_validate_json(json.dumps({"value": data}, default=str))
    except ValidationError as error:
        wrong: dict[str, list[str]] = {}
        for item in error.errors(include_url=False):
            name = str(item["loc"][1])
            wrong.setdefault(name, []).append(_allowed(item))
        for name, allowed in wrong.items():
            path = _joined(key, name)
            if name not in data:
                problems.add(key, f"{path} is missing; it must be given")
            else:
                problems.wrong(path, data[name], " or ".join(dict.fromkeys(allowed)) + _meant(data[name], allowed))
        return None
    result: T = model.value
    return result


@lru_cache(maxsize=64)
def _model(kind: Any) -> type[BaseModel]:
    """A model around a dataclass, whose strictness then holds inside."""
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)
    model: type[BaseModel] = create_model(kind.__name__, __config__=config, value=(kind, ...))
    return model


def _allowed(item: Any) -> str:
    """What is allowed where pydantic found an error."""
    template = _ALLOWED.get(item["type"])
    if template is None:
        return str(item["msg"][:1].lower() + item["msg"][1:])
    return template.format(**item.get("ctx", {}))


def _meant(value: Any, allowed: list[str]) -> str:
    """A hint where a word is nearly one of the allowed ones, which pydantic gives in quotes."""
    words = re.findall(r"'([^']+)'", " ".join(allowed))
    given = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str) and v not in words]
    close = difflib.get_close_matches(given[0], words, n=1) if given else []
    return f" (did you mean {close[0]}?)" if close else ""


def _names(kind: type[Any]) -> list[str]:
    return [f.name for f in fields(kind)]


def _joined(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _closest(name: str, prefix: str, siblings: list[str], known: Iterable[str]) -> str:
    """The hint: a sibling that is spelt alike, or a key of that name elsewhere."""
    close = difflib.get_close_matches(str(name), siblings, n=1)
    if close:
        return f" (did you mean {_joined(prefix, close[0])}?)"
    elsewhere = [key for key in known if key.rpartition(".")[2] == name and key.rpartition(".")[0] != prefix]
    return f" (did you mean {' or '.join(elsewhere)}?)" if elsewhere else ""
