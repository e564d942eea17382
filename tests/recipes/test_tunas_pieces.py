"""What there is to do for the comparison and for the ablations, and in what order it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from sartor.errors import RequestError
from searches.pieces import BEST_RANDOM, RANDOM, Piece
from searches.pieces import comparison as plan_comparison
from tunas import paper
from tunas.variants import EXPERIMENT, MAIN, QUESTIONS, VARIANTS


def comparison(seeds: list[int], randoms: int, long: bool) -> list[Piece]:
    return plan_comparison(MAIN, seeds, randoms, long=long)


def needs(plan: list[Piece]) -> Callable[[Piece], Sequence[Piece]]:
    return lambda piece: EXPERIMENT.needs(piece, plan)


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
    for plan in (comparison([1, 0], 5, long=True), EXPERIMENT.compared(tuple(VARIANTS), [0, 1])):
        for i, piece in enumerate(plan):
            assert all(need in plan[:i] for need in needs(plan)(piece))
    plan = comparison([0, 1], 5, long=True)
    assert needs(plan)(Piece("long", MAIN, 1)) == (Piece("search", MAIN, 1),)
    assert len(needs(plan)(Piece("long", BEST_RANDOM))) == 5


def test_ablations_go_seed_after_seed() -> None:
    """An interrupted run leaves every variant with as many seeds as any other, give or take one."""
    plan = EXPERIMENT.compared(["enlarged", "proxyless", "enlarged"], [3, 1])
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
    assert set(EXPERIMENT.ablations) == set(VARIANTS) - {MAIN}
    assert all(changed[0] < base[0] for changed, base in paper.ABLATIONS.values())
    for space, (validation, test) in paper.SEARCHED.items():
        assert validation[0] > paper.RANDOM_50[space][0][0] > paper.RANDOM_1[space][0]
        assert test[0] > paper.RANDOM_50[space][1][0]
