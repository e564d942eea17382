"""The two evaluators: what an answer costs, and what a method learns from it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sartor.methods.evaluator import SCORING_COST, TRAINING_COST, History, TableEvaluator
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.runtime import Runtime
from sartor.testing.evaluators import RandomPictures, stairs
from sartor.testing.stores import through_a_file
from sartor.train.passes import Pass
from sartor.train.settings import SearchTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

SPACE = stairs()
ROWS = np.array(list(itertools.product(*[range(n) for n in SPACE.sizes])))
SMALL, LARGE = (0, 0, 0, 0), (2, 2, 2, 2)


# ---------------------------------------------------------------- a table


def table(queries: int = 5, repeats: int = 1, seed: int = 0) -> TableEvaluator:
    accuracy = np.arange(len(ROWS), dtype=float)[:, None] / 2 + np.arange(repeats) * 10
    return TableEvaluator(ROWS, accuracy, queries, np.random.default_rng(seed))


def test_every_answer_of_a_table_is_a_query() -> None:
    """Scores are errors and accuracies from 0 to 1; each costs one query, counted in order."""
    evaluator = table()
    losses, qualities = evaluator.score([ROWS[10], SPACE.architecture(ROWS[80])])
    np.testing.assert_allclose(qualities, [0.05, 0.4])
    np.testing.assert_allclose(losses, [0.95, 0.6])
    assert evaluator.progress == 2 / 5 and not evaluator.done
    assert evaluator.history.rows == [tuple(ROWS[10]), tuple(ROWS[80])]


def test_on_a_table_only_observed_passes_cost() -> None:
    """There are no weights to train: passes that nobody observes are free and NaN; paired ones are errors."""
    evaluator = table()
    assert not evaluator.trains
    losses = evaluator.train([Pass(LARGE), Pass(SMALL), Pass(ROWS[40], observe=True, minus=0)])
    assert np.isnan(losses[:2]).all() and losses[2] == pytest.approx(0.8)
    assert evaluator.spent == 1


def test_beyond_the_last_query_there_is_nothing() -> None:
    """Every further answer is NaN, costs nothing and is not remembered."""
    evaluator = table(queries=2)
    losses, qualities = evaluator.score(list(ROWS[:4]))
    assert np.isnan(losses).tolist() == np.isnan(qualities).tolist() == [False, False, True, True]
    assert evaluator.done and evaluator.progress == 1.0 and len(evaluator.history.rows) == 2
    assert np.isnan(evaluator.train([Pass(SMALL, observe=True)])).all()


def test_a_table_may_count_rounds() -> None:
    """With rounds the search ends after so many scorings, each answered whole, while queries are left."""
    evaluator = TableEvaluator(ROWS, np.zeros(len(ROWS)), 100, np.random.default_rng(0), rounds=2)
    for progress in (0.5, 1.0):
        losses, _ = evaluator.score(list(ROWS[:7]))
        assert not np.isnan(losses).any() and evaluator.progress == progress
    assert evaluator.done and evaluator.spent == 14


def test_noise_is_that_of_a_small_batch() -> None:
    """Every answer gets normal noise of the stated points, afresh and from the generator given."""
    evaluator = TableEvaluator(ROWS, np.full(len(ROWS), 50.0), 4000, np.random.default_rng(0), noise_points=1.3)
    _, qualities = evaluator.score([SMALL] * 4000)
    assert qualities.mean() == pytest.approx(0.5, abs=0.001)
    assert qualities.std() == pytest.approx(0.013, rel=0.05)


def test_nothing_asked_nothing_answered() -> None:
    """An empty question has an empty answer."""
    losses, qualities = table().score([])
    assert losses.shape == qualities.shape == (0,)


def test_repeats_are_drawn() -> None:
    """With several repeats per network a query draws one of them, from the generator given."""
    evaluator = table(queries=300, repeats=3)
    _, qualities = evaluator.score([SMALL] * 300)
    assert set(np.round(qualities, 3)) == {0.0, 0.1, 0.2}
    assert (np.bincount(np.round(10 * qualities).astype(int)) > 70).all()
    again = table(queries=300, repeats=3).score([SMALL] * 300)[1]
    assert (again == qualities).all()


def test_a_table_goes_on_after_a_kill() -> None:
    """Queries spent, history and the draws of repeats go on where they were."""
    evaluator, other = table(queries=20, repeats=3), table(queries=20, repeats=3, seed=9)
    evaluator.score(list(ROWS[:7]))
    other.load_state_dict(through_a_file(evaluator.state_dict()))
    expected = evaluator.score(list(ROWS[7:20]))
    found = other.score(list(ROWS[7:20]))
    assert (found[0] == expected[0]).all() and other.done
    assert other.history == evaluator.history


# ---------------------------------------------------------------- a supernet


def supernet_evaluator(epochs: float = 1.0, passes_per_step: int = 3, **settings: Any) -> SupernetEvaluator:
    streams = RandomPictures(SPACE), RandomPictures(SPACE, seed=1)
    training = SearchTraining(epochs=epochs, batch_size=8, **settings)
    runtime = Runtime(torch.device("cpu"))
    return SupernetEvaluator(SPACE.supernet(seed=0), *streams, training, runtime, passes_per_step=passes_per_step)


def test_training_costs_three_times_scoring() -> None:
    """A trained picture costs a forward and a backward computation, a scored one the forward alone."""
    evaluator = supernet_evaluator()
    assert evaluator.total_cost == 12 * 3 * 8 * TRAINING_COST and TRAINING_COST == 3 * SCORING_COST
    evaluator.train([Pass(LARGE), Pass(SMALL)])
    assert (evaluator.cost, evaluator.images) == (2 * 8 * TRAINING_COST, 16)
    evaluator.score([SMALL, LARGE, SMALL])
    assert (evaluator.cost, evaluator.images) == (2 * 8 * TRAINING_COST + 3 * 8 * SCORING_COST, 16 + 24)
    assert evaluator.progress == evaluator.cost / evaluator.total_cost


def test_it_ends_when_the_cost_is_spent() -> None:
    """As many steps of the stated passes as the epochs have; progress ends at 1."""
    evaluator, steps = supernet_evaluator(epochs=0.5), 0
    while not evaluator.done:
        evaluator.train([Pass(LARGE), Pass(SMALL), Pass(ROWS[40])])
        steps += 1
    assert steps == 6 and evaluator.progress == 1.0


def test_train_makes_one_update_per_call() -> None:
    """Observed losses are those before the update; one SGD step follows, from the next batch each time."""
    evaluator = supernet_evaluator(learning_rate=0.1, momentum=0.0, weight_decay=0.0)
    reference = SPACE.supernet(seed=0).train()
    stream = RandomPictures(SPACE)
    for step in range(2):
        (loss,) = evaluator.train([Pass(LARGE, observe=True)])
        x, y = stream.batch(step)
        expected = F.cross_entropy(reference(x.to(memory_format=torch.channels_last), LARGE), y)
        assert loss == pytest.approx(expected.item(), rel=1e-5)
        expected.backward()
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter -= 0.1 * parameter.grad
        reference.zero_grad()
        reference.bank.forget_prefixes()


def test_scores_are_of_one_batch_that_never_teaches() -> None:
    """All selections see the same policy pictures, the next ones at the next call; weights and BN do not change."""
    evaluator = supernet_evaluator()
    before = {k: v.clone() for k, v in evaluator.supernet.state_dict().items()}
    losses, qualities = evaluator.score([SMALL, SMALL, LARGE])
    assert losses[0] == losses[1] != losses[2] and 0 <= qualities.min() <= qualities.max() <= 1
    assert evaluator.score([SMALL])[0][0] != losses[0]
    assert all(torch.equal(v, before[k]) for k, v in evaluator.supernet.state_dict().items())
    assert all(p.grad is None for p in evaluator.supernet.parameters())
    x, y = RandomPictures(SPACE, seed=1).batch(0)
    with torch.no_grad():
        logits = evaluator.supernet(x, SMALL)
    assert losses[0] == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert qualities[0] == pytest.approx((logits.argmax(1) == y).double().mean().item())


def test_history_holds_what_was_scored() -> None:
    """Rows with losses and qualities in order; training is no observation."""
    evaluator = supernet_evaluator()
    evaluator.train([Pass(LARGE, observe=True)])
    losses, qualities = evaluator.score([SPACE.architecture(SMALL), LARGE])
    assert evaluator.history == History([SMALL, LARGE], list(losses), list(qualities))


def test_mixtures_are_no_observations() -> None:
    """A selection with a weight vector is no architecture and stays out of the history."""
    history = History()
    history.add([0, torch.tensor([0.5, 0.5])], 1.0, 0.5)
    history.add([0, torch.tensor(1)], 1.0, 0.5)
    assert history.rows == [(0, 1)]


def test_the_rate_follows_the_cost() -> None:
    """The schedule runs over the allowed cost, whoever spends it."""
    evaluator = supernet_evaluator(epochs=1.0, schedule="linear", learning_rate=0.1)
    rates = []
    for _ in range(4):
        evaluator.train([Pass(LARGE)] * 9)
        rates.append(evaluator.learning_rate)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
