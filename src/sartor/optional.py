"""Packages that only some users need: imported where used, and named kindly where missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from sartor.errors import MissingDependencyError


def require(module: str, *, extra: str) -> ModuleType:
    """The imported ``module``, which the extra ``extra`` of Sartor installs.

    Raises:
        MissingDependencyError: the package is absent, or present but unable to load.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package
        found = "is not installed" if absent else f"is installed but does not load ({error})"
        raise MissingDependencyError(
            f"This step needs the package '{package}', which {found}. Install it with: pip install 'sartor[{extra}]'"
        ) from error
