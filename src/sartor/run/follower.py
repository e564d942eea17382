"""The folders of the processes that help a run: copies of its state, which vanish at the end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sartor.run.folder import CONFIG, INDEX_SETS, STAGES, RunFolder
from sartor.storage import storage_errors

# What decides how a run goes on; everything else is written for people.
_STATE = (STAGES, INDEX_SETS)


@contextlib.contextmanager
def follow(leader: Path) -> Iterator[RunFolder]:
    """A private copy of a run's state, so that this process takes the same steps as the one that owns the run."""
    with tempfile.TemporaryDirectory(prefix="sartor-rank-") as temporary, storage_errors(leader):
        copy = Path(temporary) / "run"
        copy.mkdir()
        for name in (CONFIG, *_STATE):
            if (leader / name).exists():
                shutil.copy2(leader / name, copy / name)
        for name in ("checkpoints", "platforms"):
            if (leader / name).exists():
                shutil.copytree(leader / name, copy / name)
        with RunFolder.reopen(copy) as folder:
            yield folder
