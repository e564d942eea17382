"""Budgeted batches: the law of exits, thresholds with ties and floors, budgets realised on other pictures."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.anytime.budgeted import (
    BudgetedBatch,
    budgeted_curve,
    exit_law,
    exit_shares,
    leave_at,
    run_batch,
    solve_thresholds,
)
from sartor.errors import RequestError

COSTS = [15.0, 25.0, 37.0, 52.0, 74.0, 121.0]


def test_law_in_the_words_of_the_paper() -> None:
    """q_k = z (1 - q)^(k-1) q with z a normaliser, for k = 1 ... K, is the law in r = 1 - q."""
    q = 0.3
    paper = np.array([(1 - q) ** (k - 1) * q for k in range(1, 6)])
    np.testing.assert_allclose(exit_law(1 - q, 5), paper / paper.sum())
    np.testing.assert_allclose(exit_law(1.0, 4), [0.25] * 4)
    assert exit_law(0.0, 3).tolist() == [1, 0, 0] and exit_law(math.inf, 3).tolist() == [0, 0, 1]


@pytest.mark.parametrize("budget", [15.0001, 18.0, 30.0, 54.0, 80.0, 120.0, 120.9999])
def test_shares_cost_the_budget(budget: float) -> None:
    """The solved law's mean cost is the budget, below and above the mean cost, to nine digits."""
    shares = exit_shares(COSTS, budget)
    assert shares.sum() == pytest.approx(1.0)
    assert shares @ np.array(COSTS) == pytest.approx(budget, rel=1e-9)
    steps = shares[1:] / shares[:-1]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


def test_budgets_out_of_range_are_clamped() -> None:
    """Below the first cost all pictures leave there, above the last one they go to the end."""
    assert exit_shares(COSTS, 3.0).tolist() == [1, 0, 0, 0, 0, 0]
    assert exit_shares(COSTS, 500.0).tolist() == [0, 0, 0, 0, 0, 1]
    assert exit_shares([7.0], 9.0).tolist() == [1]


def test_thresholds_by_hand() -> None:
    """The floor(n q)-th highest confidence among those still there; the last exit takes everybody."""
    confidences = np.array([[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.2, 0.95, 0.6, 0.7], [1, 1, 1, 1, 1]])
    thresholds = solve_thresholds(confidences, [0.4, 0.2, 0.4])
    assert thresholds.tolist() == [0.8, 0.95, -math.inf]
    assert leave_at(confidences, thresholds).tolist() == [0, 0, 1, 2, 2]


def test_no_picture_leaves_where_the_floor_is_zero() -> None:
    """A share of less than one picture closes the exit; 0.29 of a hundred are 29, in floating point as well."""
    confidences = np.random.default_rng(0).random((3, 100))
    thresholds = solve_thresholds(confidences, [0.009, 0.29, 0.701])
    assert thresholds[0] == math.inf
    assert (leave_at(confidences, thresholds) == 1).sum() == 29
    assert (leave_at(confidences, np.full(3, 2.0)) == 2).all(), "the last exit takes all, whatever its threshold"


def test_ties_leave_together() -> None:
    """Pictures with the confidence of the threshold all leave; the exits after it get what is left."""
    confidences = np.array([[0.9, 0.5, 0.5, 0.5], [0.3, 0.1, 0.2, 0.4]])
    thresholds = solve_thresholds(np.vstack([confidences, confidences[:1]]), [0.5, 0.25, 0.25])
    assert thresholds[0] == 0.5
    assert leave_at(np.vstack([confidences, confidences[:1]]), thresholds).tolist() == [0, 0, 0, 0]
    assert thresholds[1] == math.inf, "nobody was left to leave at the second exit"


def test_batch_reports_what_was_realised() -> None:
    """Accuracy is that of the exit where each picture left; cost and shares are counted, not planned."""
    confidences = np.array([[0.9, 0.2, 0.2], [0.1, 0.8, 0.3], [0.5, 0.5, 0.5]])
    correct = np.array([[True, False, True], [False, True, False], [False, False, False]])
    batch = run_batch(confidences, correct, [10, 20, 60], [0.5, 0.5, -math.inf], planned=40.0)
    assert batch.shares == (1 / 3, 1 / 3, 1 / 3)
    assert batch.mean_cost == pytest.approx(30) and batch.planned == 40.0
    assert batch.accuracy == pytest.approx(200 / 3)


def test_json_round_trip() -> None:
    """Closed exits and the last threshold survive strict JSON."""
    batch = BudgetedBatch(40.0, 39.5, 91.25, (0.5, 0.0, 0.5), (0.75, math.inf, -math.inf))
    assert BudgetedBatch.from_dict(json.loads(json.dumps(batch.to_dict(), allow_nan=False))) == batch


def network_like(pictures: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences and answers of six exits that see more and more of the same difficulty of each picture."""
    difficulty = rng.normal(size=pictures)
    skill = np.linspace(0.8, 2.2, 6)[:, None]
    margin = skill - 0.9 * difficulty + 0.5 * rng.normal(size=(6, pictures))
    return 1 / (1 + np.exp(-3 * margin)), rng.random((6, pictures)) < 1 / (1 + np.exp(-3 * margin))


def test_budgets_are_realised_on_other_pictures() -> None:
    """Thresholds from 2,500 pictures realise nine budgets within 3 % on 10,000 others, and more cost is more right."""
    rng = np.random.default_rng(0)
    validation, _ = network_like(2_500, rng)
    confidences, correct = network_like(10_000, rng)
    budgets = [17.0, 20.0, 25.0, 32.0, 40.0, 54.0, 70.0, 90.0, 110.0]
    curve = budgeted_curve(COSTS, budgets, validation_confidences=validation, confidences=confidences, correct=correct)
    for batch in curve:
        assert batch.planned is not None and abs(batch.mean_cost / batch.planned - 1) < 0.03, batch
    assert curve[4].accuracy > 100 * correct[2].mean(), "easy pictures pay for hard ones"
    shares = np.array([batch.shares for batch in curve])
    assert (np.diff(shares[:, 0]) < 0).all() and (np.diff(shares[:, -1]) > 0).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: exit_shares([2, 1], 1.5), "must ascend"),
        (lambda: solve_thresholds(np.zeros((2, 5)), [1.0]), r"shapes \[2, 5\] and \[1\]"),
        (lambda: solve_thresholds(np.zeros((2, 0)), [0.5, 0.5]), r"shapes \[2, 0\]"),
        (lambda: solve_thresholds([[0.1, math.nan], [0, 0]], [0.5, 0.5]), "NaN"),
    ],
)
def test_wrong_batches_are_refused(call: object, words: str) -> None:
    """What does not fit is named."""
    with pytest.raises(RequestError, match=words):
        call()  # type: ignore[operator]
