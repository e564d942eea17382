"""Worker processes for decoding and cropping: plain subprocesses that import neither torch nor the user's script.

``multiprocessing`` would either fork a process in which torch runs threads, or import the main script again (which
breaks scripts without a ``__main__`` guard). A worker here is a fresh interpreter that reads jobs from a pipe.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from sartor.errors import RequestError, SartorError

_BOOT = "import sys; sys.path[:] = {path!r}; from sartor.data.workers import serve; serve()"


class WorkerPool:
    """``count`` processes that run module-level functions of ``sartor``; results come back in the order of the jobs."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise RequestError(f"workers: give at least one process, got {count}")
        self.count = count
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._workers = [_Worker() for _ in range(count)]
        for worker in self._workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(max_workers=count, thread_name_prefix="sartor-workers")
        # Also where close() is never called: no worker outlives its pool.
        self._finalise = weakref.finalize(self, _end, self._workers)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Runs ``function(*arguments)`` in the next free worker."""
        return self._threads.submit(_run_in_free, self._free, f"{function.__module__}:{function.__name__}", arguments)

    def map(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """The results of ``function(*job)`` in order, at most twice as many under way as there are workers."""
        pending: deque[Future[Any]] = deque()
        for job in jobs:
            pending.append(self.submit(function, *job))
            if len(pending) >= 2 * self.count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def close(self) -> None:
        """Ends the processes; jobs under way are lost."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._finalise()


def serve() -> None:
    """The life of a worker: read a job, run it, answer, until the pipe closes."""
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a stray print must not end up among the answers
    while True:
        try:
            name, arguments = pickle.load(jobs)
        except EOFError:
            return
        module, function = name.split(":")
        try:
            answer = (True, getattr(importlib.import_module(module), function)(*arguments))
        except Exception as error:
            answer = (False, error)
        pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
        answers.flush()


class _Worker:
    """One process and its two pipes. The pickles on them come from this program only, never from a user."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BOOT.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def run(self, name: str, arguments: tuple[Any, ...]) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            pickle.dump((name, arguments), self.process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()
            good, answer = pickle.load(self.process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            raise SartorError(
                f"a worker process ended unexpectedly (exit status {self.process.poll()}), perhaps for want of "
                "memory; start the command again, or with workers set to 0"
            ) from error
        if not good:
            raise answer
        return answer

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            self.process.stdin.close()


def _run_in_free(free: SimpleQueue[_Worker], name: str, arguments: tuple[Any, ...]) -> Any:
    worker = free.get()
    try:
        return worker.run(name, arguments)
    finally:
        free.put(worker)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()
