"""Where pictures come from. To add a source: one module with a loader function, and one line in ``SOURCES``."""

from __future__ import annotations

import difflib
import importlib

from sartor.data.sources.listing import Listing, Loader, LoadOptions, Split, array_split
from sartor.errors import RequestError

__all__ = ["SOURCES", "Listing", "LoadOptions", "Loader", "Split", "array_split", "find_source", "register_source"]

# Name in job files -> module and loader function; imported when first used.
SOURCES: dict[str, str | Loader] = {
    "digits": "sartor.data.sources.digits:listing",
    "cifar10": "sartor.data.sources.cifar:listing_cifar10",
    "cifar100": "sartor.data.sources.cifar:listing_cifar100",
    "folder": "sartor.data.sources.folder:listing",
    "arrays": "sartor.data.sources.arrays:listing",
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
        module, function = entry.split(":")
        loader: Loader = getattr(importlib.import_module(module), function)
        return loader
    return entry
