"""Pieces over processes: each once, after what it needs, and again only what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sartor.errors import RequestError, SartorError
from searches import worklist
from searches.pieces import Piece, comparison
from searches.worklist import piece_path
from tunas.variants import EXPERIMENT, MAIN

PLAN = comparison(MAIN, [0, 1], 3, long=True)


def needs(plan: Sequence[Piece]) -> Callable[[Piece], Sequence[Piece]]:
    """What a piece of the plan needs."""
    return lambda piece: EXPERIMENT.needs(piece, plan)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    """A failure costs the piece in work; the next start does the rest, each piece once and after its needs."""
    plan = PLAN
    started: list[str] = []

    def fake(piece: Piece) -> dict[str, Any]:
        if len(started) == 4:
            started.append("-")
            raise SartorError("killed")
        assert all(piece_path(tmp_path, need).exists() for need in needs(plan)(piece))
        started.append(piece.file)
        path = piece_path(tmp_path, piece)
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        return {}

    with pytest.raises(SartorError, match="killed"):
        worklist.run(tmp_path, plan, fake, needs(plan), 1, lambda *_: None)
    progress: list[tuple[int, int]] = []
    worklist.run(
        tmp_path, plan, fake, needs(plan), 1, lambda _piece, _found, done, total: progress.append((done, total))
    )
    assert sorted(f for f in started if f != "-") == sorted(p.file for p in plan)
    assert progress[0] == (5, len(plan))
    assert progress[-1] == (len(plan), len(plan))


def test_only_pieces_whose_needs_are_done_are_ready(tmp_path: Path) -> None:
    """At first the searches and the random networks."""
    plan = comparison(MAIN, [0, 1], 2, long=True)
    assert {p.file for p in worklist.ready(tmp_path, plan, needs(plan))} == {
        "search-tunas-0",
        "search-tunas-1",
        "short-random-0",
        "short-random-1",
    }
    path = piece_path(tmp_path, plan[1])
    path.parent.mkdir()
    path.write_text("{}")
    assert Piece("short", MAIN, 1) in worklist.ready(tmp_path, plan, needs(plan))
    with pytest.raises(RequestError, match="workers"):
        worklist.run(tmp_path, plan, lambda _: {}, needs(plan), 0, lambda *_: None)


class Task(NamedTuple):
    """A piece that writes its name."""

    file: str
    results: Path


def write_task(task: Task) -> dict[str, Any]:
    path = piece_path(task.results, task)
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"done": true}')
    return {"name": task.file}


def test_several_processes_do_the_same(tmp_path: Path) -> None:
    """Spawned workers, every piece once, what they found handed back."""
    plan = [Task(f"piece{i}", tmp_path) for i in range(3)]
    found: list[str] = []
    worklist.run(tmp_path, plan, write_task, lambda _: (), 2, lambda _p, content, *_: found.append(content["name"]))
    assert sorted(found) == [task.file for task in plan]
    assert worklist.read_piece(tmp_path, plan[0]) == {"done": True}
