"""Fronts, staircases and hypervolumes against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from sartor.compare.pareto import best_within, front_chart, hypervolume, pareto_front, staircase
from sartor.errors import RequestError


def _grid(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Few distinct values, so that ties in one column and in both are common."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 9, n).astype(float), rng.integers(50, 60, n).astype(float)


@pytest.mark.parametrize("seed", range(20))
def test_front_by_all_pairs(seed: int) -> None:
    """A network is on the front if no other dominates it, and if it is the first of those equal to it."""
    cost, accuracy = _grid(seed)

    def beaten(i: int) -> bool:
        as_good = (cost <= cost[i]) & (accuracy >= accuracy[i])
        better = (cost < cost[i]) | (accuracy > accuracy[i])
        earlier = np.arange(len(cost)) < i
        return bool((as_good & (better | earlier)).any())

    expected = sorted((i for i in range(len(cost)) if not beaten(i)), key=lambda i: cost[i])
    assert pareto_front(cost, accuracy).tolist() == expected


def test_front_of_equals() -> None:
    """Equal networks are named once, by the first; a tie in one column is no draw."""
    assert pareto_front([2, 1, 1, 2], [5, 4, 4, 5]).tolist() == [1, 0]
    assert pareto_front([1, 1], [4, 5]).tolist() == [1]
    assert pareto_front([2, 1], [5, 5]).tolist() == [1]
    assert pareto_front([], []).tolist() == []


@pytest.mark.parametrize("seed", range(10))
def test_best_within_a_budget(seed: int) -> None:
    """The staircase is the maximum over what the budget allows, the budget itself included."""
    cost, accuracy = _grid(seed, 12)
    budgets = np.arange(0.0, 10.0, 0.5)
    found = best_within(cost, accuracy, budgets)
    for budget, value in zip(budgets, found, strict=True):
        inside = accuracy[cost <= budget]
        assert value == inside.max() if len(inside) else np.isnan(value)


@pytest.mark.parametrize("seed", range(10))
def test_hypervolume_by_counting_cells(seed: int) -> None:
    """On whole numbers the area is the number of unit cells that some network dominates."""
    cost, accuracy = _grid(seed)
    reference_cost, reference_accuracy = 7, 52
    cells = sum(
        bool(((cost <= x) & (accuracy >= y + 1)).any())
        for x in range(reference_cost)
        for y in range(reference_accuracy, 60)
    )
    found = hypervolume(cost, accuracy, reference_cost=reference_cost, reference_accuracy=reference_accuracy)
    assert found == cells


def test_hypervolume_by_hand() -> None:
    """Two steps, a network dearer than the reference and one worse than it."""
    costs, accuracies = [1.0, 2.0, 5.0, 0.5], [10.0, 20.0, 90.0, -1.0]
    assert hypervolume(costs, accuracies, reference_cost=4.0, reference_accuracy=0.0) == 1 * 10 + 2 * 20
    assert hypervolume([], [], reference_cost=4.0, reference_accuracy=0.0) == 0.0


def test_staircase_over_searches() -> None:
    """Means start where every search has a network, and their intervals are those of repeated searches."""
    searches = [([1.0, 3.0], [10.0, 30.0]), ([2.0], [20.0])]
    rows = staircase(searches, [1.0, 2.0, 3.0])
    assert [(row["cost"], row["accuracy"]) for row in rows] == [(2.0, 15.0), (3.0, 25.0)]
    assert rows[0]["high"] - rows[0]["accuracy"] == pytest.approx(12.7062 * 5.0)
    (alone,) = staircase(searches[:1], [1.0])
    assert alone["low"] == alone["accuracy"] == alone["high"]


def test_chart_draws_every_method() -> None:
    """Each method has a staircase that reaches to the dearest network of any front; dominated ones draw nothing."""
    chart = front_chart({"random": [([1, 9], [10, 5])], "ows": [([2, 4], [20, 40])], "absent": []}, "macs", "title")
    points = [(p["method"], p["cost"], p["accuracy"]) for p in chart["data"]["values"]]
    assert points == [("random", 1, 10), ("random", 4, 10), ("ows", 2, 20), ("ows", 4, 40)]


def test_chart_is_drawn() -> None:
    """The renderer takes the chart."""
    engine = pytest.importorskip("vl_convert")
    from sartor.report import theme

    chart = front_chart({"random": [([1, 2], [10, 20])]}, "macs", "title", "two networks")
    png = engine.vegalite_to_png(theme.resolve(chart, theme.LIGHT), vl_version="6.4", allowed_base_urls=[])
    assert png[:4] == b"\x89PNG"


def test_what_is_no_front() -> None:
    """Ragged columns, NaN and an endless reference are refused by name."""
    with pytest.raises(RequestError, match="one accuracy per cost"):
        pareto_front([1, 2], [3])
    with pytest.raises(RequestError, match=r"network 1 has cost 2\.0, accuracy nan"):
        pareto_front([1, 2], [3, np.nan])
    with pytest.raises(RequestError, match="finite reference"):
        hypervolume([1], [1], reference_cost=np.inf, reference_accuracy=0.0)
