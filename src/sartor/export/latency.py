"""How long one prediction takes on one thread, measured so that a busy machine does not change the answer.

The clock is the CPU time of the measuring thread: with four other processes on two cores the median wall time
of one network rose from 3.9 to 12.4 ms, its thread CPU time only to 4.5 ms.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.export.session import open_session

# A timed sample spans at least this many ticks of the clock (some systems tick every 15.6 ms only).
_MIN_TICKS = 20
_MIN_REPEATS = 10
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True)
class Latency:
    """Thread CPU time of one call, in milliseconds.

    ``spread_ms`` holds the 10th and the 90th percentile of ``repeats`` timed samples.
    """

    median_ms: float
    spread_ms: tuple[float, float]
    repeats: int


def time_calls(
    call: Callable[[], object], *, warmup: int = 10, repeats: int = 50, max_seconds: float = 10.0
) -> Latency:
    """Times ``call`` by thread CPU time after ``warmup`` untimed calls.

    Stops early, but never below 10 repeats, when the timed calls have taken ``max_seconds``.
    """
    if warmup < 1 or repeats < _MIN_REPEATS:
        raise ValueError(f"needs warmup >= 1 and repeats >= {_MIN_REPEATS}, got {warmup} and {repeats}")
    calls = _calls_per_sample(call, warmup)
    samples_ms: list[float] = []
    deadline = time.monotonic() + max_seconds
    collecting = gc.isenabled()
    gc.disable()  # A collection inside a sample would be counted as the network's time.
    try:
        while len(samples_ms) < repeats and (len(samples_ms) < _MIN_REPEATS or time.monotonic() < deadline):
            start_ns = time.thread_time_ns()
            for _ in range(calls):
                call()
            samples_ms.append((time.thread_time_ns() - start_ns) / 1e6 / calls)
    finally:
        if collecting:
            gc.enable()
    low, median, high = (float(value) for value in np.percentile(samples_ms, [10, 50, 90]))
    return Latency(median, (low, high), len(samples_ms))


def measure_latency(
    model: Any,
    *,
    inputs: dict[str, NDArray[Any]] | None = None,
    batch_size: int = 1,
    warmup: int = 10,
    repeats: int = 50,
    max_seconds: float = 10.0,
) -> Latency:
    """Single-thread latency of an ONNX network in onnxruntime.

    Args:
        model: an ONNX file, the bytes of one, or an open session (which should run on one thread: work of
            other threads is not seen by the clock of this one).
        inputs: what to feed; by default standard normal numbers (seeded) of each input's shape.
        batch_size: stands for every dimension that the file leaves open, where ``inputs`` is not given.
        warmup, repeats, max_seconds: see ``time_calls``.

    Raises:
        RequestError: the file does not exist or is no ONNX file.
    """
    session = open_session(model) if isinstance(model, (str, Path, bytes)) else model
    feed = inputs if inputs is not None else _random_inputs(session, batch_size)
    return time_calls(lambda: session.run(None, feed), warmup=warmup, repeats=repeats, max_seconds=max_seconds)


def _calls_per_sample(call: Callable[[], object], warmup: int) -> int:
    """Warms up, and says how many calls make one sample long enough for the clock."""
    tick_ns = time.get_clock_info("thread_time").resolution * 1e9
    call()
    start_ns = time.thread_time_ns()
    for _ in range(warmup):
        call()
    one_call_ns = max((time.thread_time_ns() - start_ns) / warmup, 1.0)
    return max(1, math.ceil(_MIN_TICKS * tick_ns / one_call_ns))


def _random_inputs(session: Any, batch_size: int) -> dict[str, NDArray[Any]]:
    """Standard normal numbers for every input of ``session``; always the same ones."""
    rng = np.random.default_rng(0)
    feed = {}
    for node in session.get_inputs():
        shape = [size if isinstance(size, int) else batch_size for size in node.shape]
        feed[node.name] = rng.standard_normal(shape).astype(_DTYPES[node.type])
    return feed
