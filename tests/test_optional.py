"""Optional packages: found, missing, or broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from sartor.errors import MissingDependencyError
from sartor.optional import require


def test_a_present_package_is_imported() -> None:
    """What is installed is simply returned, submodules included."""
    assert require("json.decoder", extra="export").__name__ == "json.decoder"


def test_a_missing_package_names_its_extra() -> None:
    """The error names the package and the command that brings it."""
    with pytest.raises(MissingDependencyError, match=r"'no_such_package'.*pip install 'sartor\[export\]'"):
        require("no_such_package.part", extra="export")


def test_a_broken_package_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is there but cannot load is not called missing."""
    (tmp_path / "broken_package.py").write_text("raise ImportError('libfoo.so: not found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"does not load \(libfoo"):
        require("broken_package", extra="report")
