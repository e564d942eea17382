"""A store for tests that can end the work as a kill does, and what the next process then finds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch

from sartor.train.loop import State


class Killed(Exception):
    """The end of a process, as a store plays it."""


class MemoryStore:
    """A store that keeps every state as a file would, and can end the work after so many of them.

    ``restarted()`` is what the next process finds: the last state, and the records up to it.
    """

    checkpoint_seconds = 0.0

    def __init__(self, kill_after: int | None = None) -> None:
        self.kill_after = kill_after
        self.saves = 0
        self.records: list[dict[str, Any]] = []
        self.shown: list[float] = []
        self._kept: bytes | None = None

    def load(self) -> State | None:
        return None if self._kept is None else _unpacked(self._kept)

    def save(self, state: State) -> None:
        self._kept = _packed(state)
        self.saves += 1
        if self.saves == self.kill_after:
            raise Killed

    def log(self, record: Mapping[str, Any]) -> None:
        self.records.append(dict(record))

    def advance(self, done: float, total: float, shown: Mapping[str, float]) -> None:
        self.shown.append(done / total)

    def restarted(self) -> MemoryStore:
        """The store as the next process finds it."""
        again = MemoryStore()
        again._kept = self._kept
        state = self.load()
        last = 0 if state is None else state["step"]
        again.records = [r for r in self.records if r["step"] <= last]
        return again


def through_a_file(state: Any) -> Any:
    """A state as it comes back from a file that nothing but plain data and tensors is read from."""
    return _unpacked(_packed(state))


def _packed(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _unpacked(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
