"""How everything here is measured: interleaved pairs, CPU time, the median with its interval, and the machine.

On a machine shared with other work the wall clock says little: CPU time of this process is compared, both sides take
turns within a second or two, and the order inside a pair alternates so that a drift cancels.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"
FORMAT_VERSION = 1
MIB = 2**20

Work = Callable[[], Any]
Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One number with its 95 % interval and, where there is one, the goal that it must not exceed or fall below."""

    name: str
    value: float
    low: float
    high: float
    unit: str = "ratio"
    goal: float | None = None
    at_least: bool = False
    samples: int = 1
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the value keeps the goal; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def cpu_seconds(work: Work) -> float:
    """CPU time (user and system, all threads of this process) that one call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def pairs(
    first: Work, second: Work, count: int, *, after: tuple[Work | None, Work | None] = (None, None), warm_up: int = 2
) -> Seconds:
    """CPU seconds ``[count, 2]`` of two pieces of work taking turns; each has its own untimed tidying up ``after``.

    The collector of reference cycles rests meanwhile: it would run at the cost of whichever side is unlucky.
    """
    seconds = np.empty((warm_up + count, 2))
    gc.collect()
    gc.disable()
    try:
        for i in range(warm_up + count):
            for side in (0, 1) if i % 2 == 0 else (1, 0):
                seconds[i, side] = cpu_seconds((first, second)[side])
                tidy = after[side]
                if tidy is not None:
                    tidy()
    finally:
        gc.enable()
    return seconds[warm_up:]


def repeats(work: Work, count: int, *, warm_up: int = 2) -> Seconds:
    """CPU seconds ``[count]`` of one piece of work."""
    return np.array([cpu_seconds(work) for _ in range(warm_up + count)])[warm_up:]


def median_interval(values: Sequence[float] | Seconds, confidence: float = 0.95) -> tuple[float, float, float]:
    """The median and an interval that covers the true one with at least ``confidence``, whatever the distribution.

    The interval lies between two order statistics, symmetric in rank, by the binomial distribution. With fewer than
    six values no such interval exists, and the whole range is given.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    outside, rank = 0.0, 0
    while 2 * (outside + math.comb(n, rank) / 2**n) <= 1 - confidence:
        outside += math.comb(n, rank) / 2**n
        rank += 1
    low = max(0, rank - 1)
    return float(np.median(ordered)), float(ordered[low]), float(ordered[n - 1 - low])


def ratio(name: str, seconds: Seconds, *, goal: float | None = None, at_least: bool = False, **details: Any) -> Figure:
    """The median over pairs ``[n, 2]`` of first / second."""
    value, low, high = (math.exp(v) for v in median_interval(np.log(seconds[:, 0] / seconds[:, 1])))
    medians = (np.median(seconds, axis=0) * 1e3).round(3).tolist()
    details = {"first_ms": medians[0], "second_ms": medians[1], **details}
    return Figure(name, value, low, high, "ratio", goal, at_least, len(seconds), details)


def ratio_of_totals(
    name: str, seconds: Seconds, rng: np.random.Generator, *, goal: float | None = None, **details: Any
) -> Figure:
    """Total of the first over total of the second, pairs ``[n, 2]`` of different work; bootstrap over the pairs."""
    draws = seconds[rng.integers(len(seconds), size=(4000, len(seconds)))].sum(axis=1)
    low, high = np.quantile(draws[:, 0] / draws[:, 1], [0.025, 0.975])
    total = seconds.sum(axis=0)
    means = (seconds.mean(axis=0) * 1e3).round(3).tolist()
    details = {"first_mean_ms": means[0], "second_mean_ms": means[1], **details}
    return Figure(
        name, float(total[0] / total[1]), float(low), float(high), "ratio", goal, False, len(seconds), details
    )


def ratio_of_bytes(name: str, first: float, second: float, *, goal: float | None = None, **details: Any) -> Figure:
    """Two amounts of memory, each exact or a median already."""
    details = {"first_mib": round(first / MIB, 1), "second_mib": round(second / MIB, 1), **details}
    return Figure(name, first / second, first / second, first / second, goal=goal, details=details)


def duration(name: str, seconds: Seconds, *, goal: float | None = None, unit: str = "ms", **details: Any) -> Figure:
    """The median of repeated work in ``ms`` or ``s``."""
    value, low, high = median_interval(seconds * (1e3 if unit == "ms" else 1.0))
    return Figure(name, value, low, high, unit, goal, False, len(seconds), details)


def environment() -> dict[str, Any]:
    """Machine, versions, threads and the load while measuring."""
    import os

    import torch

    from sartor.environment import describe

    load = list(os.getloadavg()) if hasattr(os, "getloadavg") else None
    return {**describe(threads=torch.get_num_threads(), gpu=False), "load_average": load}


def report(benchmark: str, question: str, figures: Sequence[Figure], settings: dict[str, Any]) -> None:
    """Prints the figures and writes them to ``results/<benchmark>.json``."""
    for figure in figures:
        print(line(figure), flush=True)
    document = {
        "format_version": FORMAT_VERSION,
        "benchmark": benchmark,
        "question": question,
        "settings": settings,
        "environment": environment(),
        "figures": [{**asdict(f), "met": f.met} for f in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def line(figure: Figure) -> str:
    """One figure as people read it."""
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    goal = "" if figure.goal is None else f"goal {'>=' if figure.at_least else '<='} {figure.goal:g}"
    span = f"[{figure.low:.4g}, {figure.high:.4g}]"
    return f"{figure.name:<58} {figure.value:>9.4g} {figure.unit:<6} {span:<20} {goal:<13} {verdict}"
