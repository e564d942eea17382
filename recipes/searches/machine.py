"""Where pieces of work run, and how long they take."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from sartor.pipeline.store import FolderStore
from sartor.run import RunFolder
from sartor.train.loop import State


@dataclass(frozen=True)
class Machine:
    """Where pieces run; it does not belong to the setting."""

    device: str = "auto"
    precision: str = "float32"
    threads: int | None = 1
    data: Path | None = None


class ClockedStore(FolderStore):
    """A store that also keeps how long the work took, over all processes that had a part in it.

    Work that a kill undid counts once. ``cpu_seconds`` is the time of the process: the honest figure on a machine
    that others use too.
    """

    def __init__(self, folder: RunFolder, stage: str) -> None:
        super().__init__(folder, stage, lambda *_, **__: None)
        self.seconds = self.cpu_seconds = 0.0
        self._restart()

    def load(self) -> State | None:
        state = super().load()
        if state is not None:
            self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self._restart()
        return state

    def save(self, state: State) -> None:
        self.seconds += time.monotonic() - self._wall
        self.cpu_seconds += time.process_time() - self._cpu
        self._restart()
        super().save({**state, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds})

    def _restart(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    @property
    def times(self) -> dict[str, float]:
        """What the last checkpoint says, as results keep it."""
        return {"seconds": round(self.seconds, 2), "cpu_seconds": round(self.cpu_seconds, 2)}


def machine_arguments(parser: argparse.ArgumentParser, data: str) -> None:
    """The arguments of a command that trains, beside its own; ``data`` says what ``--data`` is."""
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="torch threads per process")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--data", type=Path, help=data)
    parser.add_argument("--tables-only", action="store_true", help="train nothing, write the tables of what is there")
    parser.add_argument("--publish", action="store_true", help="also write the results into recipes/results")


def machine_of(given: argparse.Namespace) -> Machine:
    """Where the pieces run."""
    return Machine(given.device, given.precision, given.threads, given.data)
