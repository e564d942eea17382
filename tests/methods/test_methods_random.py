"""Random search: honest because it stays within the budgets, costs what the others cost, and answers what it saw."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from sartor import spaces
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import SCORING_COST, TRAINING_COST, TableEvaluator
from sartor.methods.ows import OWS
from sartor.methods.random_search import RandomSearch, RandomSettings
from sartor.methods.sampling import sample_within
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.platforms import TARGET_MACS, Platform
from sartor.runtime import Runtime
from sartor.testing.evaluators import RandomPictures, platforms_for, stairs
from sartor.train.settings import SearchTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

SPACE = stairs()
ROWS = np.array(list(itertools.product(*[range(n) for n in SPACE.sizes])))


def supernet_evaluator(method: Any, epochs: float) -> SupernetEvaluator:
    pictures = RandomPictures(SPACE), RandomPictures(SPACE, seed=1)
    settings = SearchTraining(epochs=epochs, batch_size=8)
    runtime = Runtime(torch.device("cpu"))
    return SupernetEvaluator(SPACE.supernet(), *pictures, settings, runtime, passes_per_step=method.passes_per_step)


def run(method: Any, epochs: float) -> SupernetEvaluator:
    evaluator = supernet_evaluator(method, epochs)
    while not evaluator.done:
        method.step(evaluator)
    return evaluator


# ---------------------------------------------------------------- samples


@pytest.mark.parametrize("macs", [*TARGET_MACS, 2_345_120, 2_400_000])
def test_samples_are_within_the_budget(macs: int) -> None:
    """Also for budgets that uniform samples never meet, down to the smallest network itself."""
    space = spaces.create("mobilenet_v1", num_classes=100, image_size=32)
    budgets = budgets_of(space, Platform("p", {"macs": macs}))
    rows = sample_within(space, budgets, 30, np.random.default_rng(0))
    costs = space.cost("macs")(rows)
    assert rows.shape == (30, 14) and (costs <= macs).all()
    if macs >= TARGET_MACS[0]:
        assert len(np.unique(rows, axis=0)) > 25
        assert np.mean(costs) > 0.7 * macs


def test_uniform_samples_stay_uniform() -> None:
    """Where enough uniform samples fit, what comes back is uniform over the rows within the budget."""
    cost = SPACE.cost("macs")(ROWS)
    platform = Platform("p", {"macs": int(np.quantile(cost, 0.3))})
    rows = sample_within(SPACE, budgets_of(SPACE, platform), 20_000, np.random.default_rng(0))
    inside = {tuple(row) for row in ROWS[cost <= platform.budgets["macs"]]}
    found, counts = np.unique(rows, axis=0, return_counts=True)
    assert {tuple(row) for row in found} == inside
    assert counts.min() > 0.8 * len(rows) / len(inside) and counts.max() < 1.2 * len(rows) / len(inside)


def test_samples_keep_every_budget() -> None:
    """A sum and a maximum hold together, tight as they are."""
    space = spaces.create("mobilenet_v1", num_classes=100, image_size=32)
    budgets = budgets_of(space, Platform("p", {"macs": "5M", "params": "200k", "peak_memory_bytes": 120_000}))
    rows = sample_within(space, budgets, 20, np.random.default_rng(0))
    assert len(rows) == 20
    for budget in budgets:
        assert (budget.cost(rows) <= budget.limit).all(), budget.name


def test_nothing_fits() -> None:
    """A budget that no network meets is an error that names the cheapest."""
    with pytest.raises(InfeasibleBudgetError, match="macs"):
        sample_within(SPACE, budgets_of(SPACE, Platform("p", {"macs": 1})), 5, np.random.default_rng(0))


# ---------------------------------------------------------------- cost


def test_it_costs_what_the_others_cost() -> None:
    """The allowance is that of OWS at the same settings, and neither spends more than a step beyond it."""
    platforms = platforms_for(SPACE)
    ows, random = run(OWS(SPACE, platforms), 2.0), run(RandomSearch(SPACE, platforms), 2.0)
    assert ows.total_cost == random.total_cost == 24 * 3 * 8 * TRAINING_COST
    assert ows.cost == ows.total_cost
    assert 0 <= random.cost - random.total_cost < 50 * 8 * SCORING_COST
    trained, scored = random.updates * 3 * 8 * TRAINING_COST, random.cost - random.updates * 3 * 8 * TRAINING_COST
    assert trained == pytest.approx(0.75 * random.total_cost, abs=3 * 8 * TRAINING_COST)
    assert scored == len(random.history.rows) * 8 * SCORING_COST


@pytest.mark.parametrize("epochs", [4 / 12, 1.0, 3.0])
def test_short_searches_score_every_platform(epochs: float) -> None:
    """However few steps there are, each platform has candidates and the cost is kept to within one round."""
    method = RandomSearch(SPACE, platforms_for(SPACE))
    evaluator = run(method, epochs)
    answers = [method.choose(platform) for platform in method.platforms]
    assert len(answers) == 3
    assert evaluator.cost <= evaluator.total_cost + max(len(s) for s in method.seen) * 8 * SCORING_COST
    assert max(len(s) for s in method.seen) <= 50


def test_candidates_share_their_pictures() -> None:
    """A platform's candidates are the same in every round, and are scored together."""
    method = RandomSearch(SPACE, platforms_for(SPACE), RandomSettings(candidates=4, scoring=0.5))
    evaluator = run(method, 3.0)
    for seen in method.seen:
        assert 1 <= len(seen) <= 4
        assert len({count for _, count in seen.values()}) == 1
    assert sum(count for seen in method.seen for _, count in seen.values()) == len(evaluator.history.rows)
    assert min(count for seen in method.seen for _, count in seen.values()) > 1


# ---------------------------------------------------------------- answers


def test_the_best_observed_wins() -> None:
    """On a table the answer is the best of what was seen within the budget, ties going to the first."""
    accuracy = np.random.default_rng(0).uniform(60, 80, len(ROWS))
    method = RandomSearch(SPACE, platforms_for(SPACE))
    evaluator = TableEvaluator(ROWS, accuracy, 60, np.random.default_rng(1))
    while not evaluator.done:
        method.step(evaluator)
    quality = {tuple(row): a for row, a in zip(ROWS.tolist(), accuracy, strict=True)}
    for k, platform in enumerate(method.platforms):
        seen = evaluator.history.rows[k::3]
        choice = method.choose(platform)
        best = max(seen, key=quality.__getitem__)
        assert choice.architecture.row == best
        assert choice.score == pytest.approx(1 - quality[best] / 100)


def test_repeated_observations_are_averaged() -> None:
    """A network seen several times counts with its mean loss."""
    method = RandomSearch(SPACE, [Platform("p", {"macs": "1G"})])
    method.seen[0] = {(0, 0, 0, 0): [1.5, 3.0], (1, 1, 1, 1): [0.4, 1.0], (2, 2, 2, 2): [0.8, 2.0]}
    choice = method.choose(method.platforms[0])
    assert choice.architecture.row == (1, 1, 1, 1) and choice.score == 0.4


def test_what_it_cannot_answer() -> None:
    """Other platforms, and platforms never scored, are refused with what to do."""
    method = RandomSearch(SPACE, platforms_for(SPACE))
    with pytest.raises(RequestError, match=r"no answer for platform 'other'.*tight, loose, small.*use ows or aows"):
        method.choose(Platform("other", {"macs": "1G"}))
    with pytest.raises(RequestError, match=r"before it scored a network for platform 'tight'; allow more"):
        method.choose(method.platforms[0])
    with pytest.raises(RequestError, match="no scores to solve with"):
        method.scores()


@pytest.mark.parametrize("settings", [{"scoring": 0.0}, {"scoring": 1.0}, {"candidates": 0}])
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    """A share of cost or a number of candidates that makes no sense is refused."""
    with pytest.raises(RequestError, match="scoring"):
        RandomSettings(**settings)
