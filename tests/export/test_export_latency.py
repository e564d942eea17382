"""Latency: thread CPU time, and figures that hang together."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import numpy as np
import pytest

from sartor.errors import RequestError
from sartor.export import measure_latency, time_calls
from sartor.export.session import open_session


def test_waiting_is_not_counted() -> None:
    """A call that sleeps costs next to nothing: the clock is the thread's CPU time."""
    assert time_calls(lambda: time.sleep(0.005), warmup=1, repeats=10).median_ms < 1


def test_work_is_counted_in_milliseconds() -> None:
    """A call that computes for 2 ms of CPU time is measured as 2 ms."""

    def spin() -> None:
        end = time.thread_time_ns() + 2_000_000
        while time.thread_time_ns() < end:
            pass

    found = time_calls(spin, warmup=1, repeats=20)
    assert found.median_ms == pytest.approx(2.0, rel=0.05)
    assert found.spread_ms[0] <= found.median_ms <= found.spread_ms[1]
    assert found.repeats == 20


def test_the_time_limit_stops_early() -> None:
    """Slow calls end at the limit with the true number of repeats, never below ten."""
    assert time_calls(lambda: time.sleep(0.01), warmup=1, repeats=1000, max_seconds=0.2).repeats < 100
    assert time_calls(lambda: None, warmup=1, repeats=50, max_seconds=0.0).repeats == 10


def test_garbage_collection_is_restored() -> None:
    """The collector is on again afterwards, also after a call that fails."""
    calls = iter(range(5))
    with pytest.raises(StopIteration):
        time_calls(lambda: next(calls), warmup=1)
    assert gc.isenabled()


def test_files_sessions_and_batches(exported: Path) -> None:
    """A path and an open session are both taken; a batch of 256 costs far more than one picture."""
    one = measure_latency(exported, repeats=30)
    many = measure_latency(open_session(exported), batch_size=256, repeats=30)
    assert many.median_ms > 5 * one.median_ms
    own = measure_latency(exported, inputs={"pictures": np.zeros((256, 1, 8, 8), np.float32)}, repeats=10)
    assert own.median_ms > 5 * one.median_ms


def test_a_missing_file_and_few_repeats_are_refused(tmp_path: Path) -> None:
    """No file, no latency; fewer than ten repeats give no percentiles."""
    with pytest.raises(RequestError, match="does not exist"):
        measure_latency(tmp_path / "absent.onnx")
    with pytest.raises(ValueError, match="repeats >= 10"):
        time_calls(lambda: None, repeats=3)
