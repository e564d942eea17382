"""Orders of the sweep, frontiers that are too wide, explicit lists of rows, and large structured spaces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from mrf_graphs import best_rows, random_budgets, random_graph

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.mrf import (
    Budget,
    Problem,
    bisection,
    cheapest,
    count,
    k_best,
    lagrangian,
    log_partition,
    marginals,
    minimise,
    sample,
)
from sartor.mrf.plan import make_plan


def _chain(order: np.ndarray, size: int = 6) -> Problem:
    """A chain whose decisions are numbered by ``order``."""
    rng = np.random.default_rng(0)
    scopes = [tuple(sorted((int(a), int(b)))) for a, b in pairwise(order)]
    sizes = [size] * len(order)
    return Problem(tuple(sizes), FactorCost(sizes, [Factor(s, rng.random((size, size))) for s in scopes]))


def test_a_chain_numbered_out_of_order_stays_narrow() -> None:
    """Network order would need 6^14 states here; the greedy order needs pairs."""
    problem = _chain(np.random.default_rng(1).permutation(30))
    plan = make_plan(problem.sizes, frozenset(f.scope for f in problem.scores.factors))
    assert max(len(step.kept) for step in plan.steps) == 6
    assert count(problem) == 6**30
    assert minimise(problem).gap == 0.0


def test_plans_are_kept_for_problems_of_equal_structure() -> None:
    """New score tables over the same scopes reuse the prepared sweep."""
    first, second = _chain(np.arange(9)), _chain(np.arange(9))
    scopes = frozenset(f.scope for f in first.scores.factors)
    assert make_plan(first.sizes, scopes) is make_plan(second.sizes, scopes)


def test_a_frontier_too_wide_names_its_decisions() -> None:
    """All pairs among 12 decisions of 8 options need 8^11 states: an error that says between which."""
    sizes = [8] * 12
    pairs = [Factor((a, b), np.ones((8, 8))) for a in range(12) for b in range(a + 1, 12)]
    problem = Problem(tuple(sizes), FactorCost(sizes, pairs), names=[f"width{d}" for d in range(12)])
    with pytest.raises(RequestError, match=r"width0, width1.*too many decisions"):
        minimise(problem)
    with pytest.raises(RequestError, match="width0"):
        marginals(problem, 1.0)


def test_one_width_read_by_many_blocks_and_private_decisions() -> None:
    """Stages of blocks that share an output width, each with private kernel, expansion and skip: 1e27 rows."""
    rng = np.random.default_rng(2)
    sizes: list[int] = [7]
    scopes, width = [], 0
    for _ in range(6):
        new_width = len(sizes)
        sizes.append(7)
        for block in range(4):
            private = tuple(range(len(sizes), len(sizes) + 3))
            sizes += [3, 6, 2]
            scopes.append(((width,) if block == 0 else ()) + (new_width, *private))
        width = new_width
    tables = [Factor(s, rng.integers(0, 10**6, [sizes[d] for d in s])) for s in scopes]
    peaks = [Factor(s, rng.integers(0, 10**6, [sizes[d] for d in s])) for s in scopes]
    scores = FactorCost(sizes, [Factor((d,), rng.random(n)) for d, n in enumerate(sizes)])
    problem = Problem(tuple(sizes), scores)
    macs, peak = FactorCost(sizes, tables, 0, "sum", "macs"), FactorCost(sizes, peaks, 0, "max", "peak")
    assert count(problem) == 7**7 * 36**24
    low = cheapest(problem, macs).costs["macs"]
    budgets = [Budget(macs, low * 1.5, "macs"), Budget(peak, 900_000, "peak")]
    best = k_best(problem, budgets, 20)
    assert best[0].gap == 0.0 and (minimise(problem, budgets).row == best[0].row).all()
    assert [s.score for s in best] == sorted(s.score for s in best)
    for solution in best:
        _no_single_change_is_better(problem, budgets, solution.row, best)


def _no_single_change_is_better(problem: Problem, budgets: list[Budget], row: np.ndarray, best: list) -> None:
    """Every feasible neighbour that beats the worst of the list is itself in the list."""
    neighbours = np.array(
        [[*row[:d], o, *row[d + 1 :]] for d, n in enumerate(problem.sizes) for o in range(n) if o != row[d]]
    )
    fits = np.all([b.cost(neighbours) <= b.limit for b in budgets], axis=0)
    better = neighbours[fits & (problem.scores(neighbours) < best[-1].score - 1e-12)]
    listed = {tuple(s.row) for s in best}
    assert all(tuple(r) in listed for r in better)


def test_a_list_of_rows_is_scored_row_by_row() -> None:
    """Every reading over a random subset of the rows equals enumeration of that subset."""
    for seed in range(60):
        rng = np.random.default_rng([seed, 5])
        graph = random_graph(rng, "tree", ties=seed % 2 == 0)
        every = np.stack(np.unravel_index(np.arange(np.prod(graph.problem.sizes)), graph.problem.sizes), axis=1)
        chosen = every[rng.random(len(every)) < 0.5]
        if not len(chosen):
            continue
        problem = Problem(
            graph.problem.sizes, graph.problem.scores, graph.problem.rules, rows=rng.permutation(np.r_[chosen, chosen])
        )
        budgets = random_budgets(graph, rng, sums=seed % 3, peak=seed % 5 == 0)
        keys = {tuple(row) for row in chosen}
        expected = np.array([row for row in best_rows(graph, budgets) if tuple(row) in keys])
        assert count(problem, budgets) == len(expected)
        if not len(expected):
            with pytest.raises(RequestError):
                minimise(problem, budgets)
            continue
        assert (minimise(problem, budgets).row == expected[0]).all()
        np.testing.assert_array_equal([s.row for s in k_best(problem, budgets, 4)], expected[:4])
        least = cheapest(problem, graph.second, [b for b in budgets if b.name != "params"])
        assert tuple(least.row) in keys
        _check_distribution(problem, np.array([r for r in graph.rows() if tuple(r) in keys]), rng)


def _check_distribution(problem: Problem, rows: np.ndarray, rng: np.random.Generator) -> None:
    logs = -problem.scores(rows)
    total = np.logaddexp.reduce(logs)
    assert log_partition(problem, 1.0) == pytest.approx(total)
    for d, p in enumerate(marginals(problem, 1.0)):
        expected = np.bincount(rows[:, d], weights=np.exp(logs - total), minlength=problem.sizes[d])
        np.testing.assert_allclose(p, expected, atol=1e-10)
    keys = {tuple(row) for row in rows}
    assert all(tuple(row) in keys for row in sample(problem, 1.0, 20, rng))


def test_a_list_of_rows_under_the_lagrangians_and_without_an_answer() -> None:
    """Both multiplier searches work on a list, and its cheapest row is named where nothing fits."""
    rows = np.array([[0, 0], [0, 1], [1, 1], [2, 0]])
    scores = FactorCost((3, 2), [Factor((0, 1), np.array([[3.0, 2.0], [9.0, 1.0], [0.0, 9.0]]))])
    cost = FactorCost((3, 2), [Factor((0, 1), np.array([[1, 2], [0, 3], [5, 0]]))], 0, "sum", "cost")
    problem = Problem((3, 2), scores, rows=rows)
    for solve in (lagrangian, bisection):
        assert solve(problem, Budget(cost, 3, "cost")).row.tolist() == [1, 1]
    assert minimise(problem, [Budget(cost, 2, "cost")]).row.tolist() == [0, 1]
    with pytest.raises(InfeasibleBudgetError, match="cheapest reachable cost is 1"):
        minimise(problem, [Budget(cost, 0, "cost")])
    for wrong in (np.zeros((0, 2), int), np.array([[0, 2]]), np.array([[0.5, 1]]), np.array([0, 1])):
        with pytest.raises(RequestError, match="rows must"):
            Problem((3, 2), scores, rows=wrong)


def test_problems_whose_parts_disagree_are_refused() -> None:
    """Names, rules and scores that do not fit the sizes are named in the error."""
    scores = FactorCost((3, 2), [])
    with pytest.raises(RequestError, match="names"):
        Problem((3, 2), scores, names=["a"])
    with pytest.raises(RequestError, match="has shape"):
        Problem((3, 2), scores, [Factor((0,), np.ones(2, bool))])
    with pytest.raises(RequestError, match="reads decision 2"):
        Problem((3, 2), scores, [Factor((2,), np.ones(2, bool))])
    with pytest.raises(RequestError, match="scores are over"):
        Problem((3, 3), scores)
    with pytest.raises(RequestError, match="sum of factors"):
        Problem((3, 2), FactorCost((3, 2), [], 0, "max"))
    with pytest.raises(RequestError, match="no option"):
        Problem((3, 0), FactorCost((3, 0), []))
