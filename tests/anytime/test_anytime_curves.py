"""Curves of accuracy against cost: steps, areas and expected losses against hand-made and published values."""

from __future__ import annotations

import numpy as np
import pytest

from sartor.anytime.curves import Interpolation, accuracy_at, area_under_curve, expected_loss, expected_over
from sartor.errors import RequestError

# MSDNet as digitised from the figure of RANet's README: millions of operations by the port's counter, percent.
COSTS = [15.13, 25.48, 37.75, 52.02, 62.12, 74.00, 87.65, 99.95, 110.02, 121.56]
CIFAR10 = [89.5, 90.8, 91.5, 92.6, 93.0, 93.2, 93.55, 93.6, 93.7, 93.7]
CIFAR100 = [61.4, 64.6, 67.5, 69.5, 70.8, 72.1, 72.7, 73.9, 74.0, 74.1]


def test_steps() -> None:
    """A budget reaches an exit from its very cost on; below the first one there is chance."""
    values = accuracy_at([10, 20], [50.0, 40.0], [0, 9.99, 10, 19.99, 20, 1e9], chance=10.0)
    assert values.tolist() == [10, 10, 50, 50, 40, 40]
    assert accuracy_at([10, 20], [50.0, 60.0], 15).shape == ()


@pytest.mark.parametrize(
    ("accuracies", "chance", "low", "interpolation", "published"),
    [
        (CIFAR10, 10.0, 0.0, "step", 82.14),
        (CIFAR100, 1.0, 0.0, "step", 61.09),
        (CIFAR10, 10.0, 15.13, "step", 92.40),
        (CIFAR100, 1.0, 15.13, "step", 69.63),
        (CIFAR10, 10.0, 15.13, "trapezoid", 92.63),
        (CIFAR100, 1.0, 15.13, "trapezoid", 70.34),
    ],
)
def test_area_of_msdnet(
    accuracies: list[float], chance: float, low: float, interpolation: Interpolation, published: float
) -> None:
    """The areas under MSDNet's curves that the reference computed from accuracies of more digits than these."""
    area = area_under_curve(COSTS, accuracies, low, 121.56, chance=chance, interpolation=interpolation)
    assert area == pytest.approx(published, abs=0.05)


def test_area_is_the_mean_over_budgets() -> None:
    """Step and trapezoid are the means of what dense budgets give, on ranges that cut through steps."""
    costs, accuracies = [10.0, 20.0, 45.0], [30.0, 60.0, 50.0]
    for low, high in ((0.0, 60.0), (12.0, 33.0), (0.0, 5.0), (50.0, 60.0), (20.0, 45.0)):
        budgets = low + (np.arange(200_000) + 0.5) / 200_000 * (high - low)
        dense = accuracy_at(costs, accuracies, budgets, chance=7.0)
        assert area_under_curve(costs, accuracies, low, high, chance=7.0) == pytest.approx(dense.mean(), abs=1e-3)
        lines = np.where(budgets < 10, 7.0, np.interp(budgets, costs, accuracies))
        area = area_under_curve(costs, accuracies, low, high, chance=7.0, interpolation="trapezoid")
        assert area == pytest.approx(lines.mean(), abs=1e-3)


def test_area_with_the_best_so_far() -> None:
    """A worse late exit lowers the area unless the best exit reached may answer."""
    assert area_under_curve([10, 20], [50, 40], 10, 30) == 45.0
    assert area_under_curve([10, 20], [50, 40], 10, 30, best_so_far=True) == 50.0


def test_expected_loss_is_one_minus_area_for_uniform_budgets() -> None:
    """With B uniform, the expected error of Eq. 4 is 100 minus the step area (reference 5.1)."""
    budgets, weights = expected_over(np.ones_like, 0.0, 121.56, points=20_000)
    errors = [100 - a for a in CIFAR10]
    loss = expected_loss(COSTS, errors, budgets.tolist(), probabilities=weights.tolist(), no_prediction=90.0)
    assert loss == pytest.approx(100 - area_under_curve(COSTS, CIFAR10, 0, 121.56, chance=10.0), abs=0.01)


def test_expected_loss_by_hand() -> None:
    """Budgets with given probabilities, one below every exit; losses per picture are averaged."""
    losses = np.array([[1.0, 3.0], [0.5, 0.5]])  # two exits, two pictures
    value = expected_loss([10, 20], losses, [5, 10, 25], probabilities=[1, 2, 1], no_prediction=4.0)
    assert value == (1 * 4.0 + 2 * 2.0 + 1 * 0.5) / 4
    assert expected_loss([10, 20], losses, [10, 25], no_prediction=4.0) == 1.25


def test_density_shapes_budgets() -> None:
    """A law that prefers large budgets prefers late exits."""
    budgets, weights = expected_over(lambda b: b, 0.0, 30.0, points=3)
    assert budgets.tolist() == [5, 15, 25]
    np.testing.assert_allclose(weights, [5 / 45, 15 / 45, 25 / 45])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: accuracy_at([1, 2], [3.0], 1), "2 costs and 1 values"),
        (lambda: accuracy_at([2, 1], [3.0, 4.0], 1), "must ascend"),
        (lambda: area_under_curve([1], [3.0], 5, 5), "low below high; got 5 to 5"),
        (lambda: area_under_curve([1], [3.0], 0, 5, interpolation="spline"), "'step' and 'trapezoid'"),  # type: ignore[arg-type]
        (lambda: expected_loss([1], [3.0], [1, 2], probabilities=[1.0], no_prediction=1), "one probability"),
        (lambda: expected_loss([1], [3.0], [1], probabilities=[0.0], no_prediction=1), "one probability"),
    ],
)
def test_wrong_curves_are_refused(call: object, words: str) -> None:
    """What does not fit is named, with what arrived."""
    with pytest.raises(RequestError, match=words):
        call()  # type: ignore[operator]
