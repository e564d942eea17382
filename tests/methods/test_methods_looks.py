"""Looks at networks: estimates that weigh prediction and observation, and what to look at next."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.looks import Looks
from sartor.methods.ows import OWS, OWSSettings
from sartor.methods.random_search import RandomSearch
from sartor.mrf import Budget, Problem
from sartor.platforms import Platform
from sartor.testing.evaluators import stairs

SPACE = stairs()
ROWS = np.array(list(itertools.product(*[range(n) for n in SPACE.sizes])))
MACS = SPACE.cost("macs")(ROWS)
PLATFORM = Platform("p", {"macs": int(np.quantile(MACS, 0.5))})


def nothing(rows: NDArray[Any]) -> NDArray[np.float64]:
    return np.zeros(len(rows))


def test_repeated_looks_are_trusted_more() -> None:
    """An estimate moves from the prediction to the mean of its looks, by the share that the variances give."""
    looks = Looks()
    rng = np.random.default_rng(0)
    own, noise = rng.normal(0, 1.0, 400), 0.5
    for i in range(400):
        for _ in range(1 if i < 200 else 4):
            looks.add((i,), own[i] + noise * rng.normal())
    found = looks.estimates(nothing)
    for part, times in ((slice(0, 200), 1), (slice(200, 400), 4)):
        error = found.losses[part] - own[part]
        expected = np.sqrt(noise**2 / times / (1 + noise**2 / times))
        assert error.std() == pytest.approx(expected, rel=0.15)
        assert found.deviations[part].mean() == pytest.approx(expected, rel=0.15)
    assert found.own_deviation == pytest.approx(1.0, rel=0.1)


def test_pure_noise_leaves_the_prediction() -> None:
    """Where looks at one network differ as much as networks do, the model decides and not the lowest look."""
    looks, rng = Looks(), np.random.default_rng(1)
    for i in range(50):
        for _ in range(4):
            looks.add((i, 0), 0.1 * i + rng.normal(0, 3.0))
    assert looks.best(lambda rows: 0.1 * rows[:, 0], []) is not None
    row, _ = looks.best(lambda rows: 0.1 * rows[:, 0], []) or ((99,), 0.0)
    assert row[0] <= 3


def test_candidates_are_new_and_within_the_budget() -> None:
    """The best of the model that were not seen come first; what cannot be better is not looked at again."""
    scores = FactorCost((10, 3), [Factor((0,), np.arange(10.0)), Factor((1,), np.zeros(3))])
    cost = FactorCost((10, 3), [Factor((0,), np.arange(10)), Factor((1,), np.arange(3))])
    problem, budget = Problem((10, 3), scores), Budget(cost, 9, "macs")
    listed = Problem((10, 3), scores, rows=np.indices((10, 3)).reshape(2, -1).T)
    for asked in (problem, listed):
        looks = Looks()
        assert looks.candidates(scores, asked, [budget], 2)[:, 0].tolist() == [0, 0]
        for option in range(3):
            looks.add((0, option), 50.0)
            looks.add((0, option), 50.0)
        rows = looks.candidates(scores, asked, [budget], 4)
        assert (rows[:3, 0] == 1).all() and (cost(rows) <= 9).all()


def test_all_seen_means_looked_at_again() -> None:
    """Where nothing new is left, looks go to those that may be the best."""
    scores = FactorCost((3,), [Factor((0,), np.arange(3.0))])
    looks = Looks()
    for option, loss in ((0, 5.0), (1, 1.0), (2, 5.0)):
        for _ in range(3):
            looks.add((option,), loss)
    assert looks.candidates(nothing, Problem((3,), scores), [], 1).tolist() == [[1]]


def test_looks_survive_a_file() -> None:
    """State is plain data."""
    looks = Looks()
    looks.add((1, 2), 0.5)
    looks.add((1, 2), 0.7)
    looks.add((0, 0), float("nan"))
    again = Looks()
    again.load_state_dict(looks.state_dict())
    assert len(again) == 1 and (1, 2) in again and again.best(nothing, []) == looks.best(nothing, [])


def search(method: Any, queries: int) -> list[tuple[int, ...]]:
    """The rows that a method looks at on a table."""
    evaluator = TableEvaluator(ROWS, 70.0 + ROWS.sum(axis=1), queries, np.random.default_rng(0), 0.5)
    while not evaluator.done:
        method.step(evaluator)
    return evaluator.history.rows


def test_exploration_stays_within_the_budget() -> None:
    """``within_budgets`` looks at nothing that could not be the answer, and at nothing twice while it explores."""
    method = OWS(SPACE, [PLATFORM], OWSSettings(check=0.5, within_budgets=True), 3)
    rows = np.array(search(method, 20))
    assert (SPACE.cost("macs")(rows) <= PLATFORM.budgets["macs"]).all()
    assert len(np.unique(rows[:10], axis=0)) == 10


def test_random_search_repeats_nothing_before_everything_was_seen() -> None:
    """On a table every network within the budget is looked at once before any is again."""
    inside = int((PLATFORM.budgets["macs"] >= MACS).sum())
    rows = search(RandomSearch(SPACE, [PLATFORM], None, 1), inside + 5)
    assert len(set(rows[:inside])) == inside and len(set(rows)) == inside
    budgets = budgets_of(SPACE, PLATFORM)
    assert all(budget.cost(np.array(rows)).max() <= budget.limit for budget in budgets)
