"""A made-up device, a bench on which networks take what a test wants, and jobs with latency budgets on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pipeline_jobs

from sartor.blueprint import Blueprint
from sartor.config import Job
from sartor.costs.keys import space_pieces
from sartor.costs.tables import Entry, LatencyTable
from sartor.errors import RequestError
from sartor.pipeline import run_job
from sartor.profiling.networks import Bench
from sartor.profiling.runtimes import Runtime
from sartor.run import RunFolder

MACHINE = {"cpu": "a board", "system": "Linux", "architecture": "riscv64"}
MARGIN = 0.1
# Of the networks of the job's space, with the margin and without.
BUDGETS_MS = {"watch": 0.5, "phone": 1.2}

# What a network takes, given its blueprint and what is predicted.
Law = Callable[[Blueprint, int], float]


def table() -> LatencyTable:
    """What the blocks of the job's space take on the made-up device."""
    space = pipeline_jobs.digits_space()
    blocks = space_pieces(space).items()
    return LatencyTable(
        kind="table",
        device={"name": "board", **MACHINE},
        runtime={"name": "fake", "version": "1.0"},
        threads=1,
        dtype="float32",
        batch=1,
        image_size=8,
        date="2026-01-01T00:00:00+00:00",
        repeats=4,
        space={"name": space.name, "options": space.options},
        call_ns=4_000,
        entries={key: Entry(1_000 + 2 * sum(layer.macs for layer in piece.layers)) for key, piece in blocks},
        noise={},
        errors={"raw": {"margin_90": MARGIN}},
    )


def written(folder: Path) -> str:
    """The device's file, as a platform names it."""
    path = folder / "board.json"
    path.write_text(json.dumps(table().to_dict()))
    return str(path)


class FakeRuntime(Runtime):
    """Calls are the nanoseconds they would take."""

    name = "fake"

    def __init__(self, law: Law, opened: list[str]) -> None:
        super().__init__()
        self.law, self.table, self.opened = law, table(), opened

    @property
    def version(self) -> str:
        return "1.1"

    def open_empty(self) -> Any:
        raise NotImplementedError

    def open_piece(self, piece: Any) -> Any:
        raise NotImplementedError

    def open_network(self, blueprint: Any) -> Any:
        raise NotImplementedError

    def open_shipped(self, network: Any) -> Any:
        assert network.onnx.is_file()
        self.opened.append(str(network.onnx))
        return round(self.law(network.blueprint, self.table.network_ns(network.blueprint)))


class FakeBench(Bench):
    """A bench on which networks take what ``law`` says; ``opened`` are the files that were measured."""

    opened: list[str]

    def __init__(
        self, law: Law | float, machine: dict[str, str] = MACHINE, missing: str = "", stop_after: int = 10**9
    ) -> None:
        opened: list[str] = []
        known: Law = law if callable(law) else lambda _, predicted: law * predicted
        seconds, asked = [0.0], [0]

        def runtime(name: str, threads: int, batch: int) -> Runtime:
            if missing:
                raise RequestError(missing)
            return FakeRuntime(known, opened)

        def timer(clock: str, repeats: int) -> Any:
            def timed(calls: Sequence[Any]) -> list[list[int]]:
                asked[0] += 1
                if asked[0] > stop_after:
                    raise KeyboardInterrupt
                return [[int(call)] * repeats for call in calls]

            return timed

        def clock() -> float:
            seconds[0] += 0.25
            return seconds[0]

        super().__init__(machine, runtime, timer, clock)
        object.__setattr__(self, "opened", opened)


def configuration(device: str, **changes: Any) -> dict[str, Any]:
    """The job, resolved: a small platform and a larger one on the made-up device, and one that only counts MACs."""
    platforms = [{"name": name, "latency_ms": ms, "device": device} for name, ms in BUDGETS_MS.items()]
    given = {
        "platforms": [*platforms, {"name": "tablet", "macs": "900k"}],
        "search": {"epochs": 1},
        "train": {"epochs": 1, "mode": "standalone"},
        "evaluation": {"cloud": 0},
        "baselines": [],
        "measure": {"seconds": 2.0},
    }
    for key, value in changes.items():
        given[key] = {**given[key], **value} if isinstance(value, dict) else value
    return Job.from_dict(pipeline_jobs.job(**given)).resolved()


def run(path: Path, asked: dict[str, Any], bench: Bench, stages: tuple[str, ...] = (), folder: Any = RunFolder) -> Any:
    """Runs a job, or the last stages of one; returns its result."""
    with folder.create(path, asked) as opened:
        return run_job(opened, stages or ("search", "train", "export", "measure", "report"), bench)
