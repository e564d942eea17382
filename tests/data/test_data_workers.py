"""Worker processes: order, errors, death, and a start without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from sartor.data.decode import centre_crop, decode_many
from sartor.data.workers import WorkerPool
from sartor.errors import RequestError, SartorError


def test_results_keep_their_order_and_errors_their_kind() -> None:
    """Many jobs on two workers come back in order; a RequestError raised there is one here; the pool lives on."""
    pool = WorkerPool(2)
    try:
        jobs = [(np.full((k % 7 + 4, 9, 1), k), 4) for k in range(25)]
        for k, got in enumerate(pool.map(centre_crop, jobs)):
            assert np.array_equal(got, np.full((4, 4, 1), k))
        with pytest.raises(RequestError, match="there is no such file"):
            pool.submit(decode_many, ["/nowhere.png"], 3, 8, True).result()
        assert pool.submit(centre_crop, np.zeros((9, 9, 1)), 3).result().shape == (3, 3, 1)
    finally:
        pool.close()


def test_a_killed_worker_is_reported() -> None:
    """A worker that dies (out of memory, say) is a clear error, not a wait without end."""
    pool = WorkerPool(1)
    try:
        pool._workers[0].process.kill()
        with pytest.raises(SartorError, match="a worker process ended unexpectedly"):
            pool.submit(centre_crop, np.zeros((9, 9, 1)), 3).result(timeout=20)
    finally:
        pool.close()


def test_no_worker_outlives_its_pool() -> None:
    """A pool that is simply forgotten ends its processes."""
    pool = WorkerPool(1)
    process = pool._workers[0].process
    del pool
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is not None


def test_data_without_torch() -> None:
    """Workers and the command line import the data package without torch."""
    code = "import sys, sartor.data, sartor.data.workers, sartor.data.crops; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0


def test_at_least_one_worker() -> None:
    """A pool without processes is refused."""
    with pytest.raises(RequestError, match="at least one process"):
        WorkerPool(0)
