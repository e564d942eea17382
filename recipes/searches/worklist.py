"""All pieces over a few processes: a piece starts when what it needs is done, the earlier in the plan the sooner.

The result of a piece is one JSON file in the results folder; its presence says that the piece is done.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sartor.errors import RequestError, SartorError
from sartor.storage import storage_errors


class Named(Protocol):
    """A piece of work with a name for its files."""

    @property
    def file(self) -> str: ...


P = TypeVar("P", bound=Named)
# Does a piece, and writes its result; it is sent to the worker processes.
Do = Callable[[P], dict[str, Any]]
# The pieces whose results a piece starts from.
Needs = Callable[[P], Sequence[P]]
# Called after every piece with what it found, and how many are done of how many.
Report = Callable[[P, dict[str, Any], int, int], None]


def piece_path(results: Path, piece: Named) -> Path:
    """Where the result of a piece is kept."""
    return results / "pieces" / f"{piece.file}.json"


def read_piece(results: Path, piece: Named) -> dict[str, Any] | None:
    """The result of a piece, or None while it is not done."""
    path = piece_path(results, piece)
    with storage_errors(path):
        if not path.exists():
            return None
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def run(results: Path, plan: Sequence[P], do: Do[P], needs: Needs[P], workers: int, report: Report[P]) -> None:
    """Does the pieces of a plan whose result is not there yet.

    Raises:
        SartorError: what a piece raised; the others in work are finished first. Start again and it goes on.
    """
    if workers < 1:
        raise RequestError(f"--workers {workers}: at least one process is needed")
    todo = [piece for piece in plan if not piece_path(results, piece).exists()]
    done = len(plan) - len(todo)
    if workers == 1:
        for piece in todo:
            done += 1
            report(piece, do(piece), done, len(plan))
        return
    # Spawned, not forked: a fork of a process that has run torch may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        running: dict[Future[dict[str, Any]], P] = {}
        while todo or running:
            for piece in ready(results, todo, needs)[: workers - len(running)]:
                todo.remove(piece)
                running[pool.submit(do, piece)] = piece
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                done += 1
                report(running.pop(future), _result(future), done, len(plan))


def ready(results: Path, todo: Sequence[P], needs: Needs[P]) -> list[P]:
    """The pieces whose needs are done, in the order of the plan."""
    return [piece for piece in todo if all(piece_path(results, need).exists() for need in needs(piece))]


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
