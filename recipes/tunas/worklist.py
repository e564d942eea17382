"""All pieces over a few processes: a piece starts when what it needs is done, the earlier in the plan the sooner."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from sartor.errors import RequestError, SartorError
from tunas.pieces import Piece, needs
from tunas.work import Job, do_piece, piece_path

# Called after every piece with what it found, and how many are done of how many.
Report = Callable[[Piece, dict[str, Any], int, int], None]


def run(job: Job, workers: int, report: Report) -> None:
    """Does the pieces of a plan whose result is not there yet.

    Raises:
        SartorError: what a piece raised; the others in work are finished first. Start again and it goes on.
    """
    if workers < 1:
        raise RequestError(f"--workers {workers}: at least one process is needed")
    todo = [piece for piece in job.plan if not piece_path(job.results, piece).exists()]
    total = len(job.plan)
    done = total - len(todo)
    if workers == 1:
        for piece in todo:
            done += 1
            report(piece, do_piece(job, piece), done, total)
        return
    # Spawned, not forked: a fork of a process that has run torch may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        running: dict[Future[dict[str, Any]], Piece] = {}
        while todo or running:
            for piece in ready(todo, job)[: workers - len(running)]:
                todo.remove(piece)
                running[pool.submit(do_piece, job, piece)] = piece
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done += 1
                report(running.pop(future), _result(future), done, total)


def ready(todo: Sequence[Piece], job: Job) -> list[Piece]:
    """The pieces whose needs are done, in the order of the plan."""
    return [p for p in todo if all(piece_path(job.results, need).exists() for need in needs(p, job.plan))]


def _end_with(parent: int) -> None:
    """Ends this worker when the command is gone: killed, it would leave workers that hold their pieces' folders."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _result(future: Future[dict[str, Any]]) -> dict[str, Any]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise SartorError(
            "a worker process was ended from outside (out of memory?). Start the same command again: it goes on from "
            "the last checkpoints, with fewer --workers if memory is short"
        ) from error
