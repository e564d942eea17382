"""``stages.json``: what is done, with what result, and in how many seconds."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sartor import environment
from sartor.storage import to_json, write_atomically


class StageBook:
    """The stages of a run. Seconds are kept with every checkpoint and completion, and add up over restarts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stages: dict[str, dict[str, Any]] = {}
        self._since: dict[str, float] = {}  # running stages: the moment up to which their seconds are counted

    def done(self, stage: str) -> bool:
        """Whether a stage was completed."""
        return "finished" in self.stages.get(stage, {})

    def payload(self, stage: str) -> Any:
        """What a completed stage left; None before."""
        return self.stages.get(stage, {}).get("payload")

    def mark_done(self, stage: str, payload: Any) -> None:
        """Completes a stage."""
        plain = json.loads(to_json(payload))
        self.stages[stage] = {**self.stages.get(stage, {}), "finished": environment.now(), "payload": plain}
        self.save()

    @contextlib.contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Counts the seconds inside it."""
        self._since[stage] = time.monotonic()
        try:
            yield
        finally:
            self._count(stage)
            del self._since[stage]

    def seconds(self, stage: str) -> float:
        """Seconds spent in a stage so far."""
        running = time.monotonic() - self._since[stage] if stage in self._since else 0.0
        return float(self.stages.get(stage, {}).get("seconds", 0.0)) + running

    def save(self) -> None:
        """Writes everything, with the seconds of running stages up to now."""
        for stage in self._since:
            self._count(stage)
        write_atomically(self.path, (to_json(self.stages) + "\n").encode())

    def _count(self, stage: str) -> None:
        total = self.seconds(stage)
        self.stages.setdefault(stage, {})["seconds"] = total
        self._since[stage] = time.monotonic()
