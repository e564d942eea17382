"""Times models on the machine it runs on. Needs Python 3.9, numpy and onnxruntime; no other file of Sartor.

``sartor profile --bundle FOLDER`` puts a copy of this file beside the models that it is to time, as ``run.py``. On the
device, in that folder:

    python run.py                 # or: python run.py --minutes 5
    python run.py                 # after an interruption the same command goes on

and then bring the folder (or just its ``timings.jsonl``) back, to ``sartor profile --collect FOLDER``. Sartor itself
measures with the same functions.

How it measures: every model is visited again and again, in another order each time, so that a busy minute does not
fall on one model alone. A visit takes a few models together, warms them up, and times them in turn. The clock is the
CPU time of the measuring thread where one thread computes, which other programs do not lengthen much, and the time on
the wall where several do.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Container, Iterable, Sequence
from pathlib import Path
from typing import Any

FORMAT = "sartor timings"
FORMAT_VERSION = 1
TIMINGS = "timings.jsonl"
PLAN = "plan.json"

Call = Callable[[], object]
Clock = Callable[[], int]  # nanoseconds

CLOCKS: dict[str, Clock] = {
    "thread CPU time": time.thread_time_ns,
    "process CPU time": time.process_time_ns,
    "wall": time.perf_counter_ns,
}


class MeasuringError(Exception):
    """A model cannot be timed, or the timings of another plan are in the way."""


class Timer:
    """Times calls, a few in turn.

    Args:
        clock: one of ``CLOCKS``.
        repeats: timed samples of a visit.
        warmup: untimed calls before them.
        sample_ns: a sample makes as many calls as take this long, so that reading the clock does not count.
    """

    def __init__(self, clock: str, repeats: int = 15, warmup: int = 2, sample_ns: int = 100_000) -> None:
        self.clock = CLOCKS[clock]
        self.repeats, self.warmup, self.sample_ns = repeats, warmup, sample_ns

    def __call__(self, calls: Sequence[Call]) -> list[list[int]]:
        """Nanoseconds of one call, ``repeats`` times for each of ``calls``."""
        counts = [self._count(call) for call in calls]
        found: list[list[int]] = [[] for _ in calls]
        collecting = gc.isenabled()
        gc.disable()  # a collection inside a sample would be counted as the model's time
        try:
            for _ in range(self.repeats):
                for samples, call, count in zip(found, calls, counts):  # noqa: B905 (Python 3.9)
                    call()  # the others have just used the caches
                    start = self.clock()
                    for _ in range(count):
                        call()
                    samples.append((self.clock() - start) // count)
        finally:
            if collecting:
                gc.enable()
        return found

    def _count(self, call: Call) -> int:
        """Warms up, and says how many calls make a sample."""
        call()
        start = self.clock()
        for _ in range(self.warmup):
            call()
        one = max((self.clock() - start) / self.warmup, 1.0)
        return min(100, max(1, math.ceil(self.sample_ns / one)))


class Timings:
    """What was measured so far: a file with a header and one line per group of models, written as it is measured."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.header = {"format": FORMAT, "version": FORMAT_VERSION, **header}
        self.groups: list[dict[str, Any]] = []
        if path.exists():
            self._resume()
        else:
            self._write_header()

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return float(sum(group["seconds"] for group in self.groups))

    def add(self, group: dict[str, Any]) -> None:
        """Notes a group, on disk before the next one begins."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(group) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.groups.append(group)

    def _write_header(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.header) + "\n", encoding="utf-8")

    def _resume(self) -> None:
        header, self.groups = read_timings(self.path)
        if header is None:  # killed while it was made
            self._write_header()
            return
        for name in ("plan", "runtime", "threads", "machine"):
            if header.get(name) != self.header.get(name):
                raise MeasuringError(
                    f"{self.path} holds timings of another {name} ({header.get(name)}, now {self.header.get(name)}); "
                    "move it away to measure afresh"
                )
        self.header = header
        # A line that was cut short by a kill would spoil the next one.
        lines = [json.dumps(self.header), *[json.dumps(group) for group in self.groups]]
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.replace(self.path)


def read_timings(path: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The header and the groups of a file; a last line that was cut short is dropped.

    Raises:
        MeasuringError: it is no such file.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    read: list[Any] = []
    for number, line in enumerate(lines):
        try:
            read.append(json.loads(line))
        except ValueError:
            if number + 1 < len(lines):
                raise MeasuringError(f"{path}, line {number + 1}: this is no line of timings") from None
    if not read:
        return None, []
    header = read[0]
    if not isinstance(header, dict) or header.get("format") != FORMAT or header.get("version") != FORMAT_VERSION:
        raise MeasuringError(f"{path}: this is no file of timings (version {FORMAT_VERSION})")
    return header, read[1:]


class Schedule:
    """Which jobs come next: rounds over all of them, each in another order, until the time is up.

    The first round takes the jobs in their order, at least the ``essential`` first ones, for ``first_share`` of the
    time; the rounds after it visit those again, or of them only the jobs ``again``. It depends on nothing but what was
    measured before, so that an interrupted run goes on as if nothing had happened.
    """

    def __init__(
        self,
        jobs: Sequence[str],
        seconds: float,
        seed: int = 0,
        essential: int = 1,
        first_share: float = 1 / 3,
        again: Container[str] | None = None,
        group_size: int = 8,
    ) -> None:
        self.jobs, self.seconds, self.seed = jobs, seconds, seed
        self.essential, self.first_share, self.size = max(essential, 1), first_share, group_size
        self.again = again
        self.spent = 0.0
        self.round = 0
        self.seen: list[str] = []
        self.order: list[str] = []
        self.place = 0

    def next(self) -> list[str] | None:
        """The next group of jobs, of the round ``round``; None when the time is up."""
        if self.round == 0:
            wanted = len(self.seen) < len(self.jobs) and self.spent < self.seconds * self.first_share
            if wanted or len(self.seen) < self.essential:
                return list(self.jobs[len(self.seen) : len(self.seen) + self.size])
        if self.spent >= self.seconds:
            return None
        if self.round == 0 or self.place >= len(self.order):
            self._begin(self.round + 1)
        if not self.order:
            return None
        return self.order[self.place : self.place + self.size]

    def note(self, group: dict[str, Any]) -> None:
        """A group that was measured."""
        self.spent += group["seconds"]
        if group["round"] == 0:
            self.seen += group["visits"]
            return
        if group["round"] != self.round:
            self._begin(group["round"])
        self.place += len(group["visits"])

    def _begin(self, number: int) -> None:
        self.round, self.place = number, 0
        self.order = [job for job in self.seen if self.again is None or job in self.again]
        random.Random(f"{self.seed} {number}").shuffle(self.order)


def measure(
    open_job: Callable[[str], Call],
    timings: Timings,
    timer: Callable[[Sequence[Call]], list[list[int]]],
    schedule: Schedule,
    *,
    now: Callable[[], float] = time.monotonic,
    advance: Callable[[float], None] = lambda seconds: None,
) -> None:
    """Times what the (fresh) schedule asks for, going on from what ``timings`` already holds."""
    for group in timings.groups:
        schedule.note(group)
    while True:
        names = schedule.next()
        if names is None:
            return
        start = now()
        calls, opening = [], []
        for name in names:
            before = now()
            calls.append(open_job(name))
            opening.append(now() - before)
        before = now()
        samples = timer(calls)
        timed, total = now() - before, sum(map(sum, samples)) or 1
        visits = {
            name: {"ns": found, "seconds": round(opened + timed * sum(found) / total, 6)}
            for name, found, opened in zip(names, samples, opening)  # noqa: B905
        }
        group = {"round": schedule.round, "seconds": now() - start, "visits": visits}
        timings.add(group)
        schedule.note(group)
        advance(group["seconds"])


def open_model(model: Any, threads: int = 1, batch: int = 1) -> Call:
    """One prediction of an ONNX file, or of the bytes of one, in onnxruntime on the CPU."""
    import numpy as np
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {}
    for node in session.get_inputs():
        shape = [size if isinstance(size, int) else batch for size in node.shape]
        feed[node.name] = rng.standard_normal(shape).astype(np.float32)
    outputs = [node.name for node in session.get_outputs()]
    return lambda: session.run(outputs, feed)


def machine() -> dict[str, Any]:
    """What this device is."""
    import platform

    names: Iterable[str] = ()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = [
            line.partition(":")[2].strip() for line in lines if line.lower().startswith(("model name", "hardware"))
        ]
    except OSError:
        pass
    cpu = next(iter(names), "") or platform.processor() or platform.machine()
    return {"cpu": cpu, "system": platform.system(), "architecture": platform.machine()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Times the models of the folder this file lies in."""
    parser = argparse.ArgumentParser(description="Times the models in this folder; see the top of this file.")
    parser.add_argument("--minutes", type=float, help="how long to measure (default: as planned)")
    given = parser.parse_args(arguments)
    folder = Path(__file__).resolve().parent
    plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    import onnxruntime

    files = {job["id"]: folder / job["file"] for job in plan["jobs"]}
    header = {
        "plan": plan["digest"],
        "runtime": {"name": "onnxruntime", "version": onnxruntime.__version__},
        "threads": plan["threads"],
        "clock": plan["clock"],
        "machine": machine(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    again = None if plan["again"] is None else set(plan["again"])
    seconds = 60.0 * (plan["minutes"] if given.minutes is None else given.minutes)
    try:
        timings = Timings(folder / TIMINGS, header)
        spent = [timings.seconds]

        def advance(more: float) -> None:
            spent[0] += more
            print(f"\r{spent[0]:.0f} of {seconds:.0f} seconds", end="", file=sys.stderr, flush=True)

        measure(
            lambda name: open_model(str(files[name]), plan["threads"]),
            timings,
            Timer(plan["clock"], plan["repeats"]),
            Schedule(list(files), seconds, plan["seed"], plan["essential"], plan["first_share"], again),
            advance=advance,
        )
    except MeasuringError as error:
        print(error, file=sys.stderr)
        return 2
    visits = sum(len(group["visits"]) for group in timings.groups)
    print(
        f"\n{visits} visits to {len(files)} models. Bring this folder back to: sartor profile --collect",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
