"""The run folder: configuration, environment, metrics, checkpoints and results of one job. The folder is the state.

config.json        the resolved configuration; a folder of another configuration is refused
environment.json   versions and machine
stages.json        what is done, with what result and in how many seconds
metrics.jsonl      one line per logged step
index_sets.json    which pictures teach, steer, select and judge
checkpoints/       what is needed to go on
platforms/         the architecture, weights and exported file of every platform
result.json, report.html
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from sartor import environment
from sartor.errors import RequestError
from sartor.progress import Progress
from sartor.run.checkpoints import read_checkpoint, write_checkpoint
from sartor.run.differences import differences
from sartor.run.metrics import MetricsFile
from sartor.run.stages import StageBook
from sartor.storage import PARTIAL, storage_errors, to_json, write_atomically

FORMAT_VERSION = 1

CONFIG, ENVIRONMENT, STAGES, METRICS, METHOD, RESULT, INDEX_SETS, ERROR_LOG = (
    "config.json",
    "environment.json",
    "stages.json",
    "metrics.jsonl",
    "method.json",
    "result.json",
    "index_sets.json",
    "error.log",
)
_LOCK, _HOLDER = ".lock", ".holder.json"
# All that a folder may hold which was killed before its configuration was written.
_BEFORE_CONFIG = (_LOCK, _HOLDER, ENVIRONMENT)
# All that a run leaves which was refused before anything was computed, such as one with an impossible budget.
_BEFORE_WORK = (*_BEFORE_CONFIG, CONFIG, INDEX_SETS, ERROR_LOG)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class RunFolder:
    """One run on disk; use it as a context manager, which releases its lock.

    ``configuration`` is the resolved configuration, ``progress`` what shows how far the work is.
    """

    def __init__(self, path: Path, configuration: Mapping[str, Any], progress: Progress | None = None) -> None:
        self.path = path
        self.configuration = dict(configuration)
        self.progress = progress or Progress()
        self._lock: filelock.BaseFileLock | None = None
        self._metrics = MetricsFile(path / METRICS)
        self._stages = StageBook(path / STAGES)

    # ------------------------------------------------------------------ opening and closing

    @classmethod
    def create(
        cls, path: Path | str, configuration: Mapping[str, Any], *, progress: Progress | None = None
    ) -> RunFolder:
        """A new run, or the one already in ``path`` if it has the same configuration.

        Raises:
            RequestError: the folder belongs to something else, to another configuration or to another running
                process, or it cannot be written; nothing is touched then.
        """
        folder = cls(Path(path), json.loads(to_json(configuration)), progress)
        folder._check_belongs()
        with storage_errors(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
        folder._acquire()
        try:
            folder._check_belongs()  # another process may have come between
            folder._tidy()
            folder._write_environment()
            folder._write_configuration()
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def reopen(cls, path: Path | str, *, lock: bool = True, progress: Progress | None = None) -> RunFolder:
        """An existing run. With ``lock=False`` it is only read, which needs no write permission.

        Raises:
            RequestError: there is no run in ``path``, or it is in use by another process.
        """
        folder = cls(Path(path), {}, progress)
        configuration = folder.read_json(CONFIG)
        if not isinstance(configuration, dict):
            raise RequestError(f"{path}: this is no run folder, it has no {CONFIG}; give the folder of a run")
        if lock:
            return cls.create(path, configuration, progress=progress)
        folder.configuration = configuration
        folder._stages.stages = folder.read_json(STAGES) or {}
        return folder

    def close(self) -> None:
        """Releases the folder; what was logged is on disk."""
        self._metrics.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_belongs(self) -> None:
        """Refuses a folder that holds something else than this run."""
        with storage_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise RequestError(f"{self.path}: a run needs a folder, and this is a file; choose another --out")
            entries = {entry.name for entry in self.path.iterdir()} if self.path.exists() else set()
        if CONFIG not in entries:
            strange = sorted(e for e in entries if e not in _BEFORE_CONFIG and not e.endswith(PARTIAL))
            if strange:
                raise RequestError(
                    f"{self.path}: the folder is not empty and holds no run (it has {_some(strange)}); "
                    "choose an empty or a new folder with --out"
                )
            return
        stored = self.read_json(CONFIG)
        different = differences(stored if isinstance(stored, dict) else {}, self.configuration)
        if different and any(entry not in _BEFORE_WORK and not entry.endswith(PARTIAL) for entry in entries):
            raise RequestError(
                f"{self.path}: the folder holds a run of another configuration. Different are "
                f"{_some(different, '; ')}. Nothing was changed. Choose another folder with --out, or go back to the "
                "old values"
            )

    def _acquire(self) -> None:
        # thread_local=False: whoever closes the folder releases it, in whatever thread.
        lock = filelock.FileLock(self.path / _LOCK, thread_local=False)
        with storage_errors(self.path):
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                raise RequestError(
                    f"{self.path}: the folder is in use by {self._holder()}. Wait until it ends, stop it, or choose "
                    "another folder with --out"
                ) from None
        self._lock = lock
        try:
            self.write_json(_HOLDER, {"pid": os.getpid(), "host": socket.gethostname()})
        except BaseException:
            self.close()
            raise

    def _holder(self) -> str:
        try:
            holder = self.read_json(_HOLDER) or {}
        except RequestError:
            holder = {}
        if "pid" not in holder:
            return "another process"
        elsewhere = f" on {holder['host']}" if holder.get("host") != socket.gethostname() else ""
        return f"another process (pid {holder['pid']}{elsewhere})"

    def _tidy(self) -> None:
        """Removes what a kill left behind: unfinished files, and a torn last line of the metrics."""
        with storage_errors(self.path):
            for partial in self.path.rglob(f"*{PARTIAL}"):
                partial.unlink(missing_ok=True)
        self._metrics.tidy()
        self._stages.stages = self.read_json(STAGES) or {}

    def _write_configuration(self) -> None:
        """Writes the configuration; what was drawn for another one, before any work, is drawn again."""
        stored = self.read_json(CONFIG)
        if stored == self.configuration:
            return
        if stored is not None and differences(stored, self.configuration):
            with storage_errors(self.path):
                (self.path / INDEX_SETS).unlink(missing_ok=True)
        self.write_json(CONFIG, self.configuration)

    def _write_environment(self) -> None:
        """Writes the environment once, and what differs where the run goes on in another one."""
        here = environment.describe(
            threads=self.configuration.get("threads"), gpu=self.configuration.get("device") != "cpu"
        )
        first = self.read_json(ENVIRONMENT)
        if first is None:
            self.write_json(ENVIRONMENT, {"format_version": FORMAT_VERSION, **here, "resumed_with": []})
            return
        if first.get("format_version") != FORMAT_VERSION:
            raise RequestError(
                f"{self.path}: the run was written by Sartor {first.get('sartor')} in format "
                f"{first.get('format_version')}, this program reads format {FORMAT_VERSION}; start a new run folder"
            )
        last: dict[str, Any] = dict(first)
        for session in first["resumed_with"]:
            last |= session
        changed = {key: value for key, value in here.items() if key != "date" and value != last.get(key)}
        if changed:
            first["resumed_with"].append({"date": here["date"], **changed})
            self.write_json(ENVIRONMENT, first)

    # ------------------------------------------------------------------ files

    def file(self, *parts: str) -> Path:
        """The path of a file in the folder; the folders above it are created."""
        path = self.path.joinpath(*parts)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, value: Any) -> None:
        """Writes plain data (also numpy) as JSON, atomically; numbers that are not finite become null."""
        write_atomically(self.path / name, (to_json(value) + "\n").encode())

    def write_text(self, name: str, text: str) -> None:
        """Writes text, atomically."""
        write_atomically(self.path / name, text.encode())

    def read_json(self, name: str) -> Any:
        """The content of a JSON file, or None if there is none."""
        path = self.path / name
        with storage_errors(path):
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                return None
            except ValueError as error:
                raise RequestError(f"{path}: the file is damaged ({error}); start a new run folder") from error

    def result(self) -> dict[str, Any] | None:
        """The content of ``result.json``, or None before there is one."""
        result: dict[str, Any] | None = self.read_json(RESULT)
        return result

    # ------------------------------------------------------------------ checkpoints

    def write_checkpoint(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes tensors, numbers, text, lists and dicts, atomically, with the seconds of the stages so far.

        Raises:
            TypeError: something that could not be read back safely, such as a numpy array.
        """
        self._metrics.sync()
        write_checkpoint(self._checkpoint(name), content)
        self._stages.save()

    def read_checkpoint(self, name: str) -> dict[str, Any] | None:
        """What :meth:`write_checkpoint` wrote, on the CPU, or None; nothing but plain data is ever unpickled."""
        return read_checkpoint(self._checkpoint(name))

    def remove_checkpoint(self, name: str) -> None:
        """Removes a checkpoint that is no longer needed; it may be absent."""
        with storage_errors(self._checkpoint(name)):
            self._checkpoint(name).unlink(missing_ok=True)

    def _checkpoint(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"a checkpoint's name takes letters, digits and . _ -, got {name!r}")
        return self.path / "checkpoints" / f"{name}.pt"

    # ------------------------------------------------------------------ metrics

    def log(self, stage: str, step: int, **values: Any) -> None:
        """Appends a line to the metrics; see :class:`sartor.report.schema.Metric` for the usual names."""
        self._metrics.log(stage, step, **values)

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """All lines of the metrics, or those of one stage; a torn last line is left out."""
        return self._metrics.read(stage)

    def truncate_metrics(self, stage: str, step: int) -> None:
        """Drops the lines of ``stage`` beyond ``step``, the step of its checkpoint: they will come again."""
        self._metrics.truncate(stage, step)

    # ------------------------------------------------------------------ stages

    def done(self, stage: str) -> bool:
        """Whether ``stage`` was completed, in this process or an earlier one."""
        return self._stages.done(stage)

    def payload(self, stage: str) -> Any:
        """What :meth:`mark_done` kept of a stage; None before it is done."""
        return self._stages.payload(stage)

    def mark_done(self, stage: str, payload: Any = None) -> None:
        """Marks a stage as completed, with plain data that later stages need."""
        self._stages.mark_done(stage, payload)

    def clock(self, stage: str) -> AbstractContextManager[None]:
        """Counts the seconds inside it for ``stage``; they are kept with every checkpoint and completion.

        Work after the last checkpoint is lost in a kill and done again, so its seconds count once.
        """
        return self._stages.clock(stage)

    def seconds(self, stage: str) -> float:
        """Seconds spent in ``stage``, over all processes that worked on it."""
        return self._stages.seconds(stage)

    def cpu_seconds(self, stage: str) -> float:
        """Seconds that processors worked for ``stage``, over all processes that worked on it."""
        return self._stages.cpu_seconds(stage)


def _some(items: list[str], join: str = ", ", at_most: int = 5) -> str:
    more = f"{join}and {len(items) - at_most} more" if len(items) > at_most else ""
    return join.join(items[:at_most]) + more
