"""Where the searches of a comparison run: in this process, over several, or on the workers of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from sartor.errors import RequestError, SartorError
from sartor.optional import require
from sartor.progress import Progress

Piece = tuple[str, int]  # a method and a seed
Plain = dict[str, Any]

# What a search leaves instead of an answer where its method cannot be compared here: the reason.
NOT_APPLICABLE = "not_applicable"

_PATIENCE = "30s"

# The question of a worker process, set once when it starts.
_QUESTION: Question | None = None
# A process of a cluster may have several threads; searches of one process take turns, so that each has its machine.
_TURN = threading.Lock()


class Question(Protocol):
    """What is compared. It travels to other processes, so it holds plain data."""

    def identity(self) -> Plain:
        """What a folder's searches must agree in: another question has other answers."""

    def settings(self, name: str) -> str:
        """The settings of a method in words: a search that was kept under others is done again."""

    def search(self, piece: Piece, progress: Progress) -> Plain:
        """One whole search as plain data; the same wherever it runs. May hold ``not_applicable`` alone."""


@dataclass(frozen=True)
class Workers:
    """So many processes, or those of the Dask cluster whose scheduler has the address ``dask``."""

    processes: int = 1
    dask: str | None = None

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise RequestError(f"--processes {self.processes} must be at least 1")

    def search(
        self, question: Question, pieces: Sequence[Piece], progress: Progress
    ) -> Generator[tuple[Piece, Plain], None, None]:
        """The searches in the order in which they end. Of a method that was not applicable no more are started.

        Raises:
            RequestError: no cluster answers; SartorError: a process was killed from outside.
        """
        if self.dask is not None and pieces:
            yield from _on_cluster(question, pieces, self.dask)
        elif min(self.processes, len(pieces)) > 1:
            yield from _on_processes(question, pieces, min(self.processes, len(pieces)))
        else:
            yield from _here(question, pieces, progress)


def _here(question: Question, pieces: Sequence[Piece], progress: Progress) -> Iterator[tuple[Piece, Plain]]:
    refused = set()
    for piece in pieces:
        if piece[0] not in refused:
            found = question.search(piece, progress)
            if NOT_APPLICABLE in found:
                refused.add(piece[0])
            yield piece, found


def _on_processes(question: Question, pieces: Sequence[Piece], processes: int) -> Iterator[tuple[Piece, Plain]]:
    before = set(multiprocessing.active_children())
    # Fresh processes, so that nothing depends on what this one has done; the question travels to each once.
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(processes, context, initializer=_start, initargs=(question,))
        stack.callback(pool.shutdown, cancel_futures=True)
        futures = {pool.submit(_search_there, piece): piece for piece in pieces}
        try:
            yield from _as_they_end(futures, as_completed(futures))
        except BrokenProcessPool:
            raise SartorError(
                "a process of the comparison was killed from outside, as happens where memory runs out; what is done "
                "is kept. Start the same command again, with fewer --processes"
            ) from None
        except BaseException:
            # What still runs goes on from its checkpoint another time; waiting for it could take hours.
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()
            raise


def _on_cluster(question: Question, pieces: Sequence[Piece], address: str) -> Iterator[tuple[Piece, Plain]]:
    distributed: Any = require("distributed", extra="cluster")
    with ExitStack() as stack:
        try:
            client = distributed.Client(address, timeout=_PATIENCE, set_as_default=False)
            stack.callback(client.close)
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError, distributed.TimeoutError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise RequestError(
                f"--dask {address}: no Dask scheduler with a worker answers there ({reason[0]}); start one with "
                "`dask scheduler` and `dask worker ADDRESS --nthreads 1`, or use --processes"
            ) from None
        futures = {client.submit(_search_on_worker, question, piece, pure=False): piece for piece in pieces}
        stack.callback(client.cancel, list(futures))
        try:
            yield from _as_they_end(futures, distributed.as_completed(list(futures), loop=client.loop))
        except distributed.KilledWorker as error:
            raise SartorError(
                f"workers of the cluster died over one search ({error}); what is done is kept, the same command goes on"
            ) from None


def _as_they_end(futures: dict[Any, Piece], ended: Any) -> Iterator[tuple[Piece, Plain]]:
    for future in ended:
        if future.cancelled():
            continue
        found, piece = future.result(), futures[future]
        if NOT_APPLICABLE in found:
            for other, (name, _) in futures.items():
                if name == piece[0] and not other.done():
                    other.cancel()
        yield piece, found


def _start(question: Question) -> None:
    global _QUESTION
    _QUESTION = question


def _search_there(piece: Piece) -> Plain:
    assert _QUESTION is not None  # the pool's initialiser ran
    return _QUESTION.search(piece, Progress())


def _search_on_worker(question: Question, piece: Piece) -> Plain:
    with _TURN:
        return question.search(piece, Progress())
