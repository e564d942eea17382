"""``stages.json``: what is done, with what result, and in how many seconds, on the wall and of the processor."""

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
        # Running stages: the moment up to which their seconds are counted, on the wall and of this process.
        self._since: dict[str, tuple[float, float]] = {}

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
        self._since[stage] = _now()
        try:
            yield
        finally:
            self._count(stage)
            del self._since[stage]

    def seconds(self, stage: str) -> float:
        """Seconds spent in a stage so far."""
        return self._spent(stage, "seconds", 0)

    def cpu_seconds(self, stage: str) -> float:
        """Seconds that processors worked for a stage so far, all threads of this process together."""
        return self._spent(stage, "cpu_seconds", 1)

    def save(self) -> None:
        """Writes everything, with the seconds of running stages up to now."""
        for stage in self._since:
            self._count(stage)
        write_atomically(self.path, (to_json(self.stages) + "\n").encode())

    def _count(self, stage: str) -> None:
        spent = {"seconds": self.seconds(stage), "cpu_seconds": self.cpu_seconds(stage)}
        self.stages.setdefault(stage, {}).update(spent)
        self._since[stage] = _now()

    def _spent(self, stage: str, key: str, place: int) -> float:
        running = _now()[place] - self._since[stage][place] if stage in self._since else 0.0
        return float(self.stages.get(stage, {}).get(key, 0.0)) + running


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()
