"""Loss tables: what they recover, what they do not claim to know, and what the window holds."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.methods.loss_tables import Observations, additive_ridge, conditional_mean, fill_unknown

SIZES = (3, 4, 2)
EFFECTS = [np.array([0.3, 0.1, -0.4]), np.array([0.6, 0.2, -0.1, -0.7]), np.array([0.25, -0.25])]
MEAN = 1.5
FACTORIAL = np.array(list(itertools.product(*[range(n) for n in SIZES])))


def truth(rows: NDArray[Any]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = MEAN + sum(effect[rows[:, d]] for d, effect in enumerate(EFFECTS))
    return values


def centred(tables: Any) -> list[NDArray[np.float64]]:
    return [t - t.mean() for t in tables]


def assert_tables(found: Any, expected: Any, atol: float) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


# ---------------------------------------------------------------- estimators


def test_conditional_means_recover_effects_divided_by_their_number() -> None:
    """On all combinations each cell is the mean loss plus the option's effect, both divided by the decisions."""
    tables = conditional_mean(FACTORIAL, truth(FACTORIAL), SIZES)
    assert_tables(tables, [(MEAN + effect) / 3 for effect in EFFECTS], 1e-12)


def test_ridge_recovers_effects_in_their_true_scale() -> None:
    """On all combinations a vanishing ridge gives the effects themselves and shares the mean evenly."""
    tables = additive_ridge(FACTORIAL, truth(FACTORIAL), SIZES, ridge=1e-9)
    assert_tables(tables, [MEAN / 3 + effect for effect in EFFECTS], 1e-6)


def test_ridge_predicts_an_additive_truth_from_few_random_rows() -> None:
    """From 15 random rows with a small ridge, predictions on all 24 are the truth: nothing is confounded."""
    rows = np.random.default_rng(0).integers(SIZES, size=(15, 3))
    tables = additive_ridge(rows, truth(rows), SIZES, ridge=1e-9)
    predicted = sum(t[FACTORIAL[:, d]] for d, t in enumerate(tables))
    np.testing.assert_allclose(predicted, truth(FACTORIAL), atol=1e-6)


def test_ridge_is_not_confounded_by_how_rows_were_drawn() -> None:
    """Where two decisions were drawn together, ridge still splits their effects; conditional means mix them."""
    rng = np.random.default_rng(1)
    rows = rng.integers(SIZES, size=(400, 3))
    linked = rng.random(400) < 0.8
    rows[linked, 1] = np.minimum(rows[linked, 0], 3)
    values = truth(rows)
    ridge = centred(additive_ridge(rows, values, SIZES, ridge=1e-6))
    means = centred([3 * t for t in conditional_mean(rows, values, SIZES)])
    expected = centred(EFFECTS)
    assert_tables(ridge, expected, 1e-4)
    assert max(np.abs(a - b).max() for a, b in zip(means, expected, strict=True)) > 0.1


def test_the_ridge_counts_in_observations() -> None:
    """An option seen ``ridge`` times is pulled half-way to its decision's mean."""
    rows, values = np.array([[0], [0], [0], [1], [1], [1]]), np.array([1.0, 1, 1, -1, -1, -1])
    for strength, factor in ((3.0, 0.5), (1.0, 0.75), (0.0, 1.0), (1e9, 0.0)):
        (table,) = additive_ridge(rows, values, (2,), strength)
        np.testing.assert_allclose(table, factor * np.array([1.0, -1.0]), atol=1e-8)


def test_ridge_equals_least_squares_with_a_penalty() -> None:
    """The normal equations written out: indicators, centred values, a ridge on every indicator."""
    rng = np.random.default_rng(2)
    rows = rng.integers(SIZES, size=(50, 3))
    values = rng.normal(size=50)
    x = np.concatenate([np.eye(n)[rows[:, d]] for d, n in enumerate(SIZES)], axis=1)
    expected = np.linalg.solve(x.T @ x + 0.7 * np.eye(9), x.T @ (values - values.mean())) + values.mean() / 3
    np.testing.assert_allclose(np.concatenate(additive_ridge(rows, values, SIZES, 0.7)), expected, atol=1e-10)


@pytest.mark.parametrize("estimate", [conditional_mean, additive_ridge])
def test_options_never_seen_are_unknown(estimate: Any) -> None:
    """What was not observed is NaN, also where nothing was observed at all."""
    rows = FACTORIAL[FACTORIAL[:, 1] != 2]
    tables = estimate(rows, truth(rows), SIZES)
    assert [np.isnan(t).tolist() for t in tables] == [[False] * 3, [False, False, True, False], [False] * 2]
    nothing = estimate(np.zeros((0, 3), dtype=int), np.zeros(0), SIZES)
    assert all(np.isnan(t).all() for t in nothing)


# ---------------------------------------------------------------- unknown options


def test_unknown_widths_lie_between_their_neighbours() -> None:
    """Between known widths the value is interpolated, beyond them it is the nearest one's; never zero."""
    nan = np.nan
    (filled,) = fill_unknown([np.array([nan, 3.0, nan, nan, 6.0, nan])], [True])
    np.testing.assert_allclose(filled, [3.0, 3.0, 4.0, 5.0, 6.0, 6.0])


def test_unknown_operations_take_the_mean() -> None:
    """Options without an order take the mean of the known ones."""
    (filled,) = fill_unknown([np.array([1.0, np.nan, 4.0])], [False])
    np.testing.assert_allclose(filled, [1.0, 2.5, 4.0])


def test_an_unknown_decision_says_nothing() -> None:
    """A decision without any observation is flat: no option is preferred."""
    filled = fill_unknown([np.full(3, np.nan), np.full(2, np.nan)], [True, False])
    assert [len(set(t)) for t in filled] == [1, 1]


def test_known_values_stay_and_inputs_too() -> None:
    """Nothing known changes, and the tables given are not written to."""
    table = np.array([1.0, np.nan, 2.0])
    (filled,) = fill_unknown([table], [True])
    assert filled[0] == 1.0 and filled[2] == 2.0 and np.isnan(table[1])


# ---------------------------------------------------------------- observations


def observed(n: int = 1_000) -> Observations:
    """``n`` observations whose value is their number, evenly over the search."""
    observations = Observations(2)
    for i in range(n):
        observations.add((i % 3, i % 2), float(i), i / n)
    return observations


def test_the_window_is_the_end_of_the_search() -> None:
    """A window of 0.2 holds what was observed within the last fifth before the latest observation."""
    rows, values = observed().window(0.2)
    assert values.tolist() == list(range(799, 1_000))
    assert rows.tolist() == [[i % 3, i % 2] for i in range(799, 1_000)]


def test_a_window_of_one_is_everything() -> None:
    """A window of 1 holds every observation, the first included."""
    observations = Observations(2)
    for i in range(11):
        observations.add((0, 0), float(i), i / 10)
    assert len(observations.window(1.0)[1]) == 11


def test_the_window_ends_where_asked() -> None:
    """Up to observation ``count`` later ones are as if they had not been: the window moves with its end."""
    _, values = observed().window(0.1, count=500)
    assert values.tolist() == list(range(399, 500))


def test_nothing_observed() -> None:
    """An empty window has rows of the right shape."""
    rows, values = Observations(4).window(0.2)
    assert rows.shape == (0, 4) and values.shape == (0,)


def test_what_was_not_observed_is_not_kept() -> None:
    """NaN is no observation."""
    observations = Observations(2)
    observations.add((1, 1), np.nan, 0.5)
    assert observations.count == 0


def test_arrays_grow_and_come_back() -> None:
    """More observations than the first arrays hold survive their state, bit for bit."""
    observations = observed(700)
    observations.add((2, 1), 1 / 3, 1.0)
    again = Observations(2)
    again.load_state_dict(observations.state_dict())
    for a, b in zip(again.window(1.0), observations.window(1.0), strict=True):
        assert (a == b).all() and len(a) == 701
