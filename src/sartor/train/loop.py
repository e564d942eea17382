"""Steps with checkpoints: a loop that is killed and started again ends as if it had not been disturbed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

State = dict[str, Any]


class Stateful(Protocol):
    """Something whose whole state can be saved and restored."""

    def state_dict(self) -> State: ...

    def load_state_dict(self, state: Any) -> Any: ...


class Store(Protocol):
    """Where a loop keeps its state and its records; a run folder, or memory.

    ``checkpoint_seconds``: how long to work between two saved states.
    """

    checkpoint_seconds: float

    def load(self) -> State | None:
        """The last state saved, or None."""

    def save(self, state: State) -> None:
        """Keeps a state, at once or not at all."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Keeps one line of metrics."""

    def advance(self, done: float, total: float, shown: Mapping[str, float]) -> None:
        """Shows progress."""


class NoStore:
    """Keeps metrics in memory and no state: nothing to resume from."""

    checkpoint_seconds = math.inf

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def load(self) -> State | None:
        return None

    def save(self, state: State) -> None:
        return None

    def log(self, record: Mapping[str, Any]) -> None:
        self.records.append(dict(record))

    def advance(self, done: float, total: float, shown: Mapping[str, float]) -> None:
        return None


class MeanMetrics:
    """The mean of each metric between two lines of the log, NaN and missing values left out."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            if value == value:  # not NaN
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means


def run_until(
    step: Callable[[], Mapping[str, float]],
    position: Callable[[], tuple[float, float, int]],
    parts: Mapping[str, Stateful],
    store: Store,
    *,
    log_every: int = 10,
) -> None:
    """Runs ``step`` until the work is done, from where the last checkpoint in ``store`` left off.

    ``position()`` gives the work done, the work to do, and the pictures seen so far (every pass over a picture
    counts). ``step`` must depend on the state of ``parts`` alone, so that the moments of the checkpoints do not
    change the result. One line of metrics (means since the last line) per ``log_every`` steps.
    """
    steps = 0
    state = store.load()
    if state is not None:
        steps = state["step"]
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
    means, saved = MeanMetrics(), time.monotonic()
    done, total, images = position()
    while done < total:
        means.add(step())
        steps += 1
        done, total, images = position()
        if steps % log_every and done < total:
            continue
        line = means.take()
        store.log({"step": steps, "progress": min(1.0, done / total), "images": images, **line})
        store.advance(done, total, line)
        # Only between two lines of the log: a mean half taken would be lost.
        if time.monotonic() - saved >= store.checkpoint_seconds or done >= total:
            store.save({"step": steps, "parts": {name: part.state_dict() for name, part in parts.items()}})
            saved = time.monotonic()
