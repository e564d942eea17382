"""Where pictures come from. To add a source: one module with a ``listing`` function, and one line in ``SOURCES``."""

from __future__ import annotations

import difflib
import importlib

from sartor.data.sources.listing import Listing, Loader, LoadOptions, Split, array_split
from sartor.errors import RequestError

__all__ = ["SOURCES", "Listing", "LoadOptions", "Loader", "Split", "array_split", "find_source", "register_source"]

# Name in job files -> the module that holds ``listing``; imported when first used.
SOURCES: dict[str, str | Loader] = {
    "digits": "sartor.data.sources.digits",
    "arrays": "sartor.data.sources.arrays",
}


def register_source(name: str, loader: Loader) -> None:
    """Adds a source from outside the package under a new name."""
    if name in SOURCES:
        raise ValueError(f"the data source {name!r} is already registered")
    SOURCES[name] = loader


def find_source(name: str) -> Loader:
    """The loader of a source.

    Raises:
        RequestError: no source has this name; the message gives the closest one.
    """
    if name not in SOURCES:
        close = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"data source {name!r} is unknown, there are {', '.join(sorted(SOURCES))}{hint}")
    entry = SOURCES[name]
    if isinstance(entry, str):
        loader: Loader = importlib.import_module(entry).listing
        return loader
    return entry
