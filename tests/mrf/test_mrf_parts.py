"""The solver's parts on their own: dominance, multipliers for several sums, exact grids, messages."""

from __future__ import annotations

import numpy as np
import pytest
from mrf_graphs import TABLE_1_MACS, concave_scores, mobilenet_costs, random_graph

from sartor.costs.factors import Factor, FactorCost
from sartor.mrf import Budget, Problem, minimise
from sartor.mrf.dual import solve_dual
from sartor.mrf.elimination import LOG_SUM, MINIMUM, Reading, around, logsumexp, so_far, to_go, without_private
from sartor.mrf.hull import best_point, crossing_edge
from sartor.mrf.pareto import undominated
from sartor.mrf.tables import build_tables


@pytest.mark.parametrize("sums", [0, 1, 2, 3])
@pytest.mark.parametrize("depth", [1, 3])
def test_dominance_keeps_what_matters_and_sorts(sums: int, depth: int) -> None:
    """No label with fewer than depth dominators is lost; for depth 1 nothing dominated stays."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 120))
        group, score = rng.integers(0, 3, n), rng.integers(0, 12, n).astype(float)
        costs = rng.integers(0, 12, (sums, n)).astype(float)
        kept = undominated(group, score, costs, depth, lambda tied: tied)
        values = np.vstack([score, costs, np.arange(n)])
        keys = [(group[i], *values[:, i]) for i in kept]
        assert keys == sorted(keys)
        for i in range(n):
            no_worse = (group == group[i]) & (values[:-1] <= values[:-1, [i]]).all(axis=0)
            equal = (values[:-1] == values[:-1, [i]]).all(axis=0)
            dominators = int((no_worse & (~equal | (np.arange(n) < i))).sum())
            assert dominators >= depth or i in kept, f"seed {seed}: label {i} was lost"
            assert not (depth == 1 and i in kept and dominators), f"seed {seed}: label {i} should go"


def test_dominance_is_the_same_for_many_groups_and_large_numbers() -> None:
    """Scores near 2^50 and costs near 2^49 in 10,000 groups take other code paths to the same answer."""
    rng = np.random.default_rng(0)
    group, score, cost = rng.integers(0, 4, 300), rng.integers(0, 40, 300) * 1.0, rng.integers(0, 40, (1, 300)) * 1.0
    plain = undominated(group, score, cost, 2, lambda tied: tied)
    large = undominated(group * 2500, score * 2.0**44, cost * 2.0**43, 2, lambda tied: tied)
    np.testing.assert_array_equal(plain, large)


def test_dominance_keeps_apart_many_groups_of_large_costs() -> None:
    """64 groups with costs from 0 to 2^50 - 1: in doubles a running minimum over all would mix neighbours."""
    group = np.repeat(np.arange(64), 2)
    score, cost = np.tile([0.0, 1.0], 64), np.tile([2.0**50 - 1, 0.0], 64)
    np.testing.assert_array_equal(undominated(group, score, cost[None], 1, lambda tied: tied), np.arange(128))


def test_multipliers_for_two_sums_give_the_best_bound() -> None:
    """Column generation reaches at least the bound of every multiplier pair on a fine grid around it."""
    macs, params = mobilenet_costs()
    for seed, target in enumerate(TABLE_1_MACS[1:]):
        problem = Problem(macs.sizes, concave_scores(macs.sizes, np.random.default_rng(seed)))
        used = float(params(minimise(problem, [Budget(macs, target, "macs")]).row[None])[0])
        tables = build_tables(problem, [Budget(macs, target, "macs"), Budget(params, int(0.8 * used), "params")])

        def bound(multipliers: np.ndarray, tables=tables) -> float:  # type: ignore[no-untyped-def]
            cells = tables.blocks(tables.weighted(multipliers))
            least = to_go(tables.plan, without_private(cells, MINIMUM), MINIMUM)[0][0]
            return float(least - multipliers @ tables.limits)

        best = solve_dual(tables).multipliers
        reached = bound(best)
        assert reached > bound(np.zeros(2))
        for a in (0.0, 0.5, 0.9, 0.99, 1.0, 1.01, 1.1, 2.0):
            for b in (0.0, 0.5, 0.9, 0.99, 1.0, 1.01, 1.1, 2.0):
                assert bound(best * np.array([a, b])) <= reached + 2.0**50 * 1e-8


def test_multipliers_for_one_sum_agree_with_the_breakpoint_search() -> None:
    """Both searches end on the same edge of the hull."""
    macs, _ = mobilenet_costs()
    for seed, target in enumerate(TABLE_1_MACS):
        problem = Problem(macs.sizes, concave_scores(macs.sizes, np.random.default_rng(seed)))
        tables = build_tables(problem, [Budget(macs, target, "macs")])
        hull = crossing_edge(tables)
        assert hull is not None
        assert solve_dual(tables).multipliers[0] == pytest.approx(hull.multiplier, rel=1e-6)


def test_grids_lose_nothing_that_doubles_hold() -> None:
    """Whole scores stay whole, costs are counted in their common divisor, limits are rounded down to it."""
    sizes = (3, 2)
    scores = FactorCost(sizes, [Factor((0,), np.array([5, 7, 1005])), Factor((1,), np.array([2, 3]))])
    cost = FactorCost(sizes, [Factor((0, 1), np.array([[64, 96], [128, 160], [192, 64]]))], 32, "sum", "cost")
    tables = build_tables(Problem(sizes, scores), [Budget(cost, 227, "cost")])
    assert tables.cost_units.tolist() == [32.0] and tables.limits.tolist() == [4.0]
    assert (
        tables.score_unit * 2**50 >= 1001
        and (tables.score * tables.score_unit == tables.score_unit * tables.score).all()
    )
    assert sorted(np.unique(tables.score * tables.score_unit)) == [0.0, 1.0, 2.0, 3.0, 1000.0, 1001.0]
    point = best_point(tables, 0.0)
    assert tables.row(point.picks).tolist() == [0, 0] and point.cost == 0.0


def test_messages_of_both_sides_meet_in_every_block() -> None:
    """A block's table joined with what lies outside it reduces to the same total in every block."""
    readings: list[tuple[Reading, float]] = [(MINIMUM, 1.0), (LOG_SUM, -1.0)]
    for seed in range(40):
        graph = random_graph(np.random.default_rng(seed), "tree", ruled=False)
        tables = build_tables(graph.problem, [])
        for reading, sign in readings:
            blocks = without_private(tables.blocks(sign * tables.score * tables.score_unit), reading)
            backward = to_go(tables.plan, blocks, reading)
            outside = around(tables.plan, so_far(tables.plan, blocks, reading), backward, reading)
            for block, beyond in zip(blocks, outside, strict=True):
                total = reading.reduce((block + beyond).reshape(1, -1), 1)[0]
                assert total == pytest.approx(backward[0][0])


def test_logsumexp_of_nothing_is_minus_infinity() -> None:
    """Rows that rules forbid altogether neither warn nor turn into nan."""
    values = np.array([[-np.inf, -np.inf], [-800.0, -np.inf], [800.0, 800.0]])
    np.testing.assert_allclose(logsumexp(values, 1), [-np.inf, -800.0, 800.0 + np.log(2)])
