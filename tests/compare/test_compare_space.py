"""The space of a table: exactly the rows within the budgets, at exactly their costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from table_samples import holed_table, small_table

from sartor import mrf
from sartor.compare.cost import column_model
from sartor.compare.oracle import Oracle, best_scored
from sartor.compare.space import TablePlatform, TableSpace
from sartor.compare.table import Table
from sartor.methods.budgets import budgets_of
from sartor.methods.method import unary_scores
from sartor.methods.sampling import sample_distinct, sample_within
from sartor.policy import Policy

BUDGETS: tuple[Mapping[str, float], ...] = ({"macs": 1170}, {"latency_ms": 1.6}, {"macs": 1190, "latency_ms": 1.7})


@pytest.mark.parametrize("make", [small_table, holed_table])
@pytest.mark.parametrize("budgets", BUDGETS)
def test_the_solver_finds_the_best_row_that_fits(make: type[Table], budgets: Mapping[str, float]) -> None:
    """Against a search of the whole table, with complete and missing rows, additive and other costs."""
    table = make()
    oracle = Oracle(table, budgets, 10)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scores = unary_scores(oracle.space, [rng.normal(size=n) for n in oracle.space.sizes])
        expected = np.where(oracle.fits, scores(table.rows), np.inf).argmin()
        assert best_scored(oracle, scores) == expected
        best = mrf.k_best(oracle.space.problem(scores), oracle.space.table_budgets(oracle.platform), 5)
        values = np.sort(scores(table.rows)[oracle.fits])[:5]
        assert np.allclose([one.score for one in best], values)


@pytest.mark.parametrize("make", [small_table, holed_table])
def test_costs_are_those_of_the_table(make: type[Table]) -> None:
    """What a choice says that a row costs is its column, in the column's unit."""
    table = make()
    space = TableSpace(table, {"latency_ms": 1.7, "macs": 1200})
    found = budgets_of(space, TablePlatform({"latency_ms": 1.7, "macs": 1200}))
    assert [budget.name for budget in found] == ["latency_ms", "macs"]
    for position in np.flatnonzero(table.within({"latency_ms": 1.7, "macs": 1200}))[:10]:
        for budget in found:
            assert budget.cost_of(table.rows[position]) == pytest.approx(table.costs[budget.name][position], rel=1e-9)
            assert budget.cost(table.rows[position][None])[0] <= budget.limit


def test_additive_columns_are_exact_and_others_are_said_to_be_fitted() -> None:
    """MACs add up, also over pairs of decisions; a product of all decisions does not."""
    table = small_table()
    rows, sizes = table.rows, (3, 4, 2, 3)
    assert column_model("macs", table.costs["macs"], rows, sizes, True).exact
    pairs = table.costs["macs"] + 7 * rows[:, 0] * rows[:, 3]
    model = column_model("macs", pairs, rows, sizes, True)
    assert model.exact and (model.cost(rows) == pairs).all() and model.worst_error == 0
    product = column_model("latency_ms", table.costs["latency_ms"], rows, sizes, True)
    assert not product.exact and product.worst_error > 0.01


def test_samples_are_uniform_over_what_fits() -> None:
    """Uniform samples, and different ones until all were drawn once."""
    oracle = Oracle(holed_table(), {"macs": 1180}, 10)
    budgets = oracle.space.table_budgets(oracle.platform)
    inside = {tuple(row) for row in oracle.table.rows[oracle.fits].tolist()}
    rng = np.random.default_rng(0)
    for rows in (oracle.space.sample(2000, rng), sample_within(oracle.space, budgets, 2000, rng)):
        found, counts = np.unique(rows, axis=0, return_counts=True)
        assert {tuple(row) for row in found.tolist()} == inside
        assert counts.max() < 2.0 * 2000 / len(inside)
    distinct = sample_distinct(oracle.space, budgets, len(inside) + 3, rng)
    assert {tuple(row) for row in distinct[: len(inside)].tolist()} == inside and len(distinct) == len(inside) + 3


def test_a_policy_on_a_list_is_the_product_given_that_the_row_exists() -> None:
    """Probabilities, marginals, entropy, samples and mode against enumeration."""
    space = TableSpace(holed_table(), {"macs": 1180})
    assert space.rows is not None
    policy = Policy(space, [[d.name] for d in space.decisions], active_only=True)
    rng = np.random.default_rng(1)
    policy.logits = rng.normal(size=policy.logits.shape)
    logits = [row[:n] for row, n in zip(policy.logits, space.sizes, strict=True)]
    masses = np.exp([sum(logits[d][option] for d, option in enumerate(row)) for row in space.rows])
    share = masses / masses.sum()
    assert np.allclose(np.exp(policy.log_probability(space.rows)), share)
    assert policy.entropy_nats == pytest.approx(-(share * np.log(share)).sum())
    for d, probabilities in enumerate(policy.decision_probabilities()):
        assert np.allclose(probabilities, np.bincount(space.rows[:, d], share, minlength=space.sizes[d]))
    assert policy.mode().tolist() == space.rows[share.argmax()].tolist()
    drawn = policy.sample(20_000, rng)
    counts = np.bincount(space.table.positions(drawn), minlength=len(space.table))
    expected = np.zeros(len(space.table))
    expected[space.table.positions(space.rows)] = share
    assert np.abs(counts / 20_000 - expected).max() < 0.015
    # The gradient of log p, by differences.
    row, step = space.rows[3], 1e-6
    gradient = policy.gradients(row[None])[0]
    before = policy.log_probability(row[None])[0]
    moved = np.array(policy.logits)
    moved[1, 2] += step
    policy.logits = moved
    assert gradient[1, 2] == pytest.approx((policy.log_probability(row[None])[0] - before) / step, abs=1e-4)
