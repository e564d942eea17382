"""Every exact reading against enumeration, on 200 random chains and 200 random graphs of small width."""

from __future__ import annotations

import numpy as np
import pytest
from mrf_graphs import Graph, best_rows, random_budgets, random_graph

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.mrf import Budget, Problem, cheapest, count, k_best, lagrangian, log_partition, marginals, minimise

SEEDS = range(200)
KINDS = ("chain", "tree")


def _case(seed: int, kind: str) -> tuple[Graph, list[Budget], np.ndarray]:
    """A graph, 0 to 2 summed budgets with or without a maximum, and its rows within them, best first."""
    rng = np.random.default_rng([seed, len(kind)])
    graph = random_graph(rng, kind, ties=seed % 3 == 0)
    budgets = random_budgets(graph, rng, sums=(0, 1, 1, 2)[seed % 4], peak=seed % 8 < 4)
    return graph, budgets, best_rows(graph, budgets)


@pytest.mark.parametrize("kind", KINDS)
def test_minimum_within_budgets_equals_enumeration(kind: str) -> None:
    """The row of least score is found, ties going to the cheapest and then to the lowest indices."""
    solved = 0
    for seed in SEEDS:
        graph, budgets, expected = _case(seed, kind)
        if len(expected):
            found = minimise(graph.problem, budgets)
            np.testing.assert_array_equal(found.row, expected[0], err_msg=f"seed {seed}")
            assert found.gap == 0.0
            assert found.score == pytest.approx(graph.problem.scores(expected[:1])[0])
            assert found.costs == {b.name: b.cost(expected[:1])[0] for b in budgets}
            solved += 1
    assert solved > 150


@pytest.mark.parametrize("kind", KINDS)
def test_infeasible_budgets_are_detected(kind: str) -> None:
    """Exactly the problems in which enumeration finds no row raise, from every function that needs one."""
    refused = 0
    for seed in SEEDS:
        graph, budgets, expected = _case(seed, kind)
        if not len(expected):
            with pytest.raises(InfeasibleBudgetError if len(graph.rows()) else RequestError):
                minimise(graph.problem, budgets)
            with pytest.raises(RequestError):
                k_best(graph.problem, budgets, 3)
            with pytest.raises(RequestError):
                cheapest(graph.problem, graph.peak, budgets)
            refused += 1
    assert refused > 8


@pytest.mark.parametrize("kind", KINDS)
def test_k_best_equals_enumeration(kind: str) -> None:
    """The k best rows come in order, all different, and fewer where fewer exist."""
    for seed in SEEDS:
        graph, budgets, expected = _case(seed, kind)
        if len(expected):
            found = k_best(graph.problem, budgets, 1 + seed % 9)
            np.testing.assert_array_equal([s.row for s in found], expected[: 1 + seed % 9], err_msg=f"seed {seed}")
            assert all(s.gap == 0.0 for s in found)


@pytest.mark.parametrize("kind", KINDS)
def test_count_equals_enumeration(kind: str) -> None:
    """Counts under rules, maxima and summed budgets are exact, zero included."""
    for seed in SEEDS:
        graph, budgets, expected = _case(seed, kind)
        assert count(graph.problem, budgets) == len(expected), f"seed {seed}"


@pytest.mark.parametrize("kind", KINDS)
def test_cheapest_equals_enumeration(kind: str) -> None:
    """The least value of a sum and of a maximum within the budgets, and among those rows the least score."""
    for seed in SEEDS:
        graph, budgets, expected = _case(seed, kind)
        if not len(expected):
            continue
        for cost in (graph.first, graph.peak):
            found = cheapest(graph.problem, cost, budgets)
            values = cost(expected)
            assert found.costs[cost.name] == values.min(), f"seed {seed}"
            least = graph.problem.scores(expected[values == values.min()]).min()
            assert found.score == pytest.approx(least), f"seed {seed}"


@pytest.mark.parametrize("kind", KINDS)
def test_lagrangian_is_the_best_hull_point_and_its_gap_holds(kind: str) -> None:
    """The breakpoint search equals the best row over all multipliers; the optimum is within its stated gap."""
    for seed in SEEDS:
        graph, budgets, _ = _case(seed, kind)
        maxima = [b for b in budgets if not b.summed]
        sums = [b for b in budgets if b.summed][:1]
        rows = best_rows(graph, [*sums, *maxima])
        if not sums or not len(rows):
            continue
        found = lagrangian(graph.problem, sums[0], maxima)
        optimum = graph.problem.scores(rows[:1])[0]
        assert optimum - 1e-9 <= found.score <= optimum + found.gap + 1e-9, f"seed {seed}"
        assert found.score == pytest.approx(_best_on_hull(graph, sums[0], maxima)), f"seed {seed}"


def _best_on_hull(graph: Graph, budget: Budget, maxima: list[Budget]) -> float:
    """The least score within the budget among vertices of the lower convex hull, by gift wrapping."""
    rows = best_rows(graph, maxima)
    points = np.unique(np.stack([budget.cost(rows), graph.problem.scores(rows)], axis=1), axis=0)
    hull: list[np.ndarray] = []
    for point in points:
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    best = np.inf
    for cost, score in hull:
        best = min(best, score) if cost <= budget.limit else best
    return best


def _turns_up(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


@pytest.mark.parametrize("kind", KINDS)
def test_marginals_and_log_partition_equal_enumeration(kind: str) -> None:
    """Probabilities of all options and the normaliser are those of the enumerated distribution."""
    for seed in SEEDS:
        graph, _, _ = _case(seed, kind)
        rng = np.random.default_rng(seed)
        temperature, multiplier = 10 ** rng.uniform(-2, 1), rng.uniform(0, 0.01)
        rows = graph.rows()
        if not len(rows):
            with pytest.raises(RequestError, match="no architecture"):
                marginals(graph.problem, temperature)
            continue
        logs = -(graph.problem.scores(rows) + multiplier * graph.first(rows)) / temperature
        total = np.logaddexp.reduce(logs)
        assert log_partition(graph.problem, temperature, graph.first, multiplier) == pytest.approx(total, rel=1e-10)
        found = marginals(graph.problem, temperature, graph.first, multiplier)
        for d, size in enumerate(graph.problem.sizes):
            expected = np.bincount(rows[:, d], weights=np.exp(logs - total), minlength=size)
            np.testing.assert_allclose(found[d], expected, atol=1e-10, err_msg=f"seed {seed}")


def test_two_and_three_sums_with_scarce_labels_state_a_true_gap() -> None:
    """Where label_limit cuts the search, the answer is within budgets and the optimum within the stated gap."""
    gaps = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 9])
        graph = random_graph(rng, "chain", ruled=False)
        budgets = random_budgets(graph, rng, sums=2, peak=False)
        expected = best_rows(graph, budgets)
        if not len(expected):
            continue
        try:
            found = minimise(graph.problem, budgets, label_limit=1)
        except RequestError as error:
            # One label may not even tell whether anything fits; it must say that and no more.
            assert "label_limit" in str(error)
            continue
        optimum = graph.problem.scores(expected[:1])[0]
        assert all(found.costs[b.name] <= b.limit for b in budgets)
        assert found.score - found.gap - 1e-9 <= optimum <= found.score + 1e-9, f"seed {seed}"
        gaps += found.gap > 0
    assert gaps > 3


def test_three_sums_and_a_maximum_equal_enumeration() -> None:
    """Any number of summed budgets is solved exactly on spaces this small."""
    solved = 0
    for seed in range(80):
        rng = np.random.default_rng([seed, 11])
        graph = random_graph(rng, "chain", ties=seed % 3 == 0)
        third = FactorCost(graph.problem.sizes, graph.peak.factors, 5, "sum", "third")
        rows = graph.rows()
        if not len(rows):
            continue
        budgets = [*random_budgets(graph, rng, 2, True), Budget(third, float(np.median(third(rows))), "third")]
        expected = best_rows(graph, budgets)
        if len(expected):
            found = minimise(graph.problem, budgets)
            np.testing.assert_array_equal(found.row, expected[0], err_msg=f"seed {seed}")
            ordered = [s.row for s in k_best(graph.problem, budgets, 5)]
            np.testing.assert_array_equal(ordered, expected[:5], err_msg=f"seed {seed}")
            solved += 1
        else:
            with pytest.raises(InfeasibleBudgetError):
                minimise(graph.problem, budgets)
    assert solved > 25


@pytest.mark.parametrize("seed", range(6))
def test_eight_layers_of_five_choices_equal_enumeration(seed: int) -> None:
    """390,625 rows as in the notes (8.1): one and two sums, the 30 best, and the count within a coarse sum."""
    rng = np.random.default_rng(seed)
    sizes = [5] * 8
    rows = np.stack(np.unravel_index(np.arange(5**8), sizes), axis=1)
    scopes = [(i, i + 1) for i in range(7)]
    scores = FactorCost(sizes, [Factor((d,), rng.standard_normal(5) - 0.3 * np.arange(5)) for d in range(8)])
    first, second = (
        FactorCost(sizes, [Factor(s, np.sort(rng.integers(0, top, (5, 5)), axis=None).reshape(5, 5)) for s in scopes])
        for top in (1000, 60)
    )
    problem = Problem(tuple(sizes), scores)
    values, one, two = scores(rows), first(rows), second(rows)
    budgets = [Budget(first, float(np.quantile(one, 0.3)), "first"), Budget(second, float(np.median(two)), "second")]
    for chosen, kept in (
        (budgets[:1], one <= budgets[0].limit),
        (budgets, (one <= budgets[0].limit) & (two <= budgets[1].limit)),
    ):
        best = np.sort(values[kept])[:30]
        assert minimise(problem, chosen).score == pytest.approx(best[0])
        np.testing.assert_allclose([s.score for s in k_best(problem, chosen, 30)], best)
        assert count(problem, chosen) == kept.sum()
