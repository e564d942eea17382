"""What there is to do for the comparison and for the ablations, and in what order it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sartor.errors import RequestError, SartorError
from tunas import paper, worklist
from tunas.pieces import BEST_RANDOM, MAIN, RANDOM, Piece, ablations, comparison, needs
from tunas.variants import ABLATIONS, QUESTIONS, VARIANTS
from tunas.work import Job, piece_path


def test_the_comparison_repeats_whole_searches() -> None:
    """One search and one training of its answer per seed, the random networks, and the second stage with the best."""
    plan = comparison([0, 1, 2], 20, long=True)
    count = {(p.kind, p.network): 0 for p in plan}
    for p in plan:
        count[p.kind, p.network] += 1
    assert count == {
        ("search", MAIN): 3,
        ("short", MAIN): 3,
        ("short", RANDOM): 20,
        ("long", MAIN): 3,
        ("long", BEST_RANDOM): 1,
    }
    assert len({p.file for p in plan}) == len(plan)
    assert all(p.kind != "long" for p in comparison([0, 1], 2, long=False))


def test_needs_stand_before_what_needs_them() -> None:
    """A training waits for its search, the best random network for all random ones."""
    for plan in (comparison([1, 0], 5, long=True), ablations(VARIANTS, [0, 1])):
        for i, piece in enumerate(plan):
            assert all(need in plan[:i] for need in needs(piece, plan))
    plan = comparison([0, 1], 5, long=True)
    assert needs(Piece("long", MAIN, 1), plan) == (Piece("search", MAIN, 1),)
    assert len(needs(Piece("long", BEST_RANDOM), plan)) == 5


def test_ablations_go_seed_after_seed() -> None:
    """An interrupted run leaves every variant with as many seeds as any other, give or take one."""
    plan = ablations(["enlarged", "proxyless", "enlarged"], [3, 1])
    assert [p.number for p in plan] == [3] * 4 + [1] * 4


@pytest.mark.parametrize(("seeds", "randoms"), [([0], 5), ([0, 0], 5), ([0, 1], 1), ([0, -1], 5)])
def test_comparisons_without_a_spread_are_refused(seeds: list[int], randoms: int) -> None:
    """Two searches and two random networks at least."""
    with pytest.raises(RequestError, match="at least"):
        comparison(seeds, randoms, long=False)


def test_every_question_is_about_searches_that_there_are() -> None:
    """Both sides are variants, every variant answers something, and the paper's differences have their signs."""
    named = {name for q in QUESTIONS for name in (q.changed, q.base)}
    assert named == set(VARIANTS)
    assert set(ABLATIONS) == set(VARIANTS) - {MAIN}
    assert all(changed[0] < base[0] for changed, base in paper.ABLATIONS.values())
    for space, (validation, test) in paper.SEARCHED.items():
        assert validation[0] > paper.RANDOM_50[space][0][0] > paper.RANDOM_1[space][0]
        assert test[0] > paper.RANDOM_50[space][1][0]


def test_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure costs the piece in work; the next start does the rest, each piece once and after its needs."""
    plan = tuple(comparison([0, 1], 3, long=True))
    job = Job(tmp_path, "smoke", plan)
    started: list[str] = []

    def fake(job: Job, piece: Piece) -> dict[str, Any]:
        if len(started) == 4:
            started.append("-")
            raise SartorError("killed")
        assert all(piece_path(job.results, need).exists() for need in needs(piece, job.plan))
        started.append(piece.file)
        path = piece_path(job.results, piece)
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        return {}

    monkeypatch.setattr(worklist, "do_piece", fake)
    with pytest.raises(SartorError, match="killed"):
        worklist.run(job, 1, lambda *_: None)
    progress: list[tuple[int, int]] = []
    worklist.run(job, 1, lambda _piece, _found, done, total: progress.append((done, total)))
    assert sorted(f for f in started if f != "-") == sorted(p.file for p in plan)
    assert progress[0] == (5, len(plan))
    assert progress[-1] == (len(plan), len(plan))


def test_only_pieces_whose_needs_are_done_are_ready(tmp_path: Path) -> None:
    """At first the searches and the random networks."""
    plan = tuple(comparison([0, 1], 2, long=True))
    job = Job(tmp_path, "smoke", plan)
    assert {p.file for p in worklist.ready(plan, job)} == {
        "search-tunas-0",
        "search-tunas-1",
        "short-random-0",
        "short-random-1",
    }
    path = piece_path(tmp_path, plan[1])
    path.parent.mkdir()
    path.write_text("{}")
    assert Piece("short", MAIN, 1) in worklist.ready(plan, job)
    with pytest.raises(RequestError, match="workers"):
        worklist.run(job, 0, lambda *_: None)
