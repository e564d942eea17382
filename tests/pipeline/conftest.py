"""One finished run, shared by all tests that only read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pipeline_jobs
import pytest

from sartor.run import RunFolder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run with all baselines. Do not write to it."""
    path = tmp_path_factory.mktemp("pipeline") / "finished"
    pipeline_jobs.run(path)
    return path


@pytest.fixture(scope="session")
def result(finished: Path) -> dict[str, Any]:
    """The result of that run."""
    with RunFolder.reopen(finished, lock=False) as folder:
        found = folder.result()
    assert found is not None
    return found
