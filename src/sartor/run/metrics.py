"""``metrics.jsonl``: a line per logged step, which a kill can tear only at its end."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

from sartor.errors import RequestError
from sartor.storage import storage_errors, to_json, write_atomically


class MetricsFile:
    """Appends lines and reads them back; see :class:`sartor.report.schema.Metric` for the usual names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def log(self, stage: str, step: int, **values: Any) -> None:
        """Appends a line with the time."""
        line = to_json({"stage": stage, "step": step, **values, "time": round(time.time(), 3)}, indent=None)
        with storage_errors(self.path):
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def read(self, stage: str | None = None) -> list[dict[str, Any]]:
        """All lines, or those of one stage; a torn last line is left out."""
        with storage_errors(self.path):
            text = self.path.read_bytes() if self.path.exists() else b""
        lines = text[: text.rfind(b"\n") + 1].splitlines()
        try:
            found = [json.loads(line) for line in lines]
        except ValueError as error:
            raise RequestError(f"{self.path}: the file is damaged ({error}); start a new run folder") from error
        return [line for line in found if stage is None or line["stage"] == stage]

    def truncate(self, stage: str, step: int) -> None:
        """Drops the lines of ``stage`` beyond ``step``."""
        lines = self.read()
        kept = [line for line in lines if line["stage"] != stage or line["step"] <= step]
        if len(kept) < len(lines):
            self.close()
            write_atomically(self.path, "".join(to_json(line, indent=None) + "\n" for line in kept).encode())

    def tidy(self) -> None:
        """Cuts off a last line that a kill has torn."""
        with storage_errors(self.path):
            if self.path.exists():
                content = self.path.read_bytes()
                whole = content.rfind(b"\n") + 1
                if whole < len(content):
                    os.truncate(self.path, whole)

    def sync(self) -> None:
        """Brings every line to the disk itself."""
        if self._file is not None:
            with storage_errors(self.path):
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Every line was flushed; the next one opens the file again."""
        if self._file is not None:
            # What a full disk refused was said then, and cannot be written now either.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
