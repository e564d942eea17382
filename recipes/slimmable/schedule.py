"""All pieces over a few processes: a piece starts when what it needs is done, the earlier in the plan the sooner."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from sartor.errors import SartorError
from slimmable.pieces import Piece
from slimmable.work import Machine, do_piece, piece_path

# Called after every piece with what it found, and how many are done of how many.
Report = Callable[[Piece, dict[str, Any], int, int], None]


def run(pieces: Sequence[Piece], results: Path, size_name: str, machine: Machine, workers: int, report: Report) -> None:
    """Does the pieces of a plan that are not done yet.

    Raises:
        SartorError: what a piece raised; the others in work are finished first. Start again and it goes on.
    """
    todo = [piece for piece in pieces if not piece_path(results, piece).exists()]
    done = len(pieces) - len(todo)
    if workers == 1:
        for piece in todo:
            done += 1
            report(piece, do_piece(results, size_name, piece, machine), done, len(pieces))
        return
    # Spawned, not forked: a fork of a process that has run torch may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        running: dict[Future[dict[str, Any]], Piece] = {}
        while todo or running:
            for piece in ready(todo, results)[: workers - len(running)]:
                todo.remove(piece)
                running[pool.submit(do_piece, results, size_name, piece, machine)] = piece
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done += 1
                report(running.pop(future), _result(future), done, len(pieces))


def ready(todo: Sequence[Piece], results: Path) -> list[Piece]:
    """The pieces whose needs are done, in the order of the plan."""
    return [piece for piece in todo if all(piece_path(results, need).exists() for need in piece.needs)]


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
