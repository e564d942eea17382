"""What two configurations disagree in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

# Keys that change neither what is computed nor on what: a run may go on with other values.
FREE_KEYS = ("threads", "checkpoint_seconds", "data.workers", "data.cache")


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The dotted keys in which two configurations differ, with both values; free keys are left out."""
    there, here = dict(_flat(stored)), dict(_flat(asked))
    keys = [*there, *(key for key in here if key not in there)]
    return [
        f"{key} (there {_shown(there, key)}, asked for {_shown(here, key)})"
        for key in keys
        if there.get(key, _ABSENT) != here.get(key, _ABSENT) and key not in FREE_KEYS
    ]


_ABSENT = object()


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list) and item and all(isinstance(part, Mapping) for part in item):
            named = {str(part.get("name", index)): part for index, part in enumerate(item)}
            yield from _flat(named, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "nothing"
