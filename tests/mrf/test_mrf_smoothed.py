"""The smoothed chain: samples, limits of the temperature, shifts, and what may not go wrong in log space."""

from __future__ import annotations

import numpy as np
import pytest
from mrf_graphs import TABLE_1_MACS, concave_scores, mobilenet_costs, random_graph

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.mrf import Budget, Problem, lagrangian, log_partition, marginals, minimise, sample


@pytest.mark.parametrize("kind", ["chain", "tree"])
def test_joint_samples_follow_the_distribution(kind: str) -> None:
    """Frequencies of whole rows pass a chi-square test against the enumerated distribution."""
    tested = 0
    for seed in range(30):
        rng = np.random.default_rng([seed, 3])
        graph = random_graph(rng, kind)
        rows = graph.rows()
        if not 2 <= len(rows) <= 400:
            continue
        draws = sample(graph.problem, 1.5, 20_000, rng, graph.first, 1e-3)
        logs = -(graph.problem.scores(rows) + 1e-3 * graph.first(rows)) / 1.5
        expected = 20_000 * np.exp(logs - np.logaddexp.reduce(logs))
        shape = graph.problem.sizes
        seen = np.bincount(np.ravel_multi_index(draws.T, shape), minlength=int(np.prod(shape)))
        seen = seen[np.ravel_multi_index(rows.T, shape)]
        assert seen.sum() == 20_000, "a draw broke a rule"
        likely = expected > 5
        rest = max(expected[~likely].sum(), 1e-9)
        statistic = ((seen - expected)[likely] ** 2 / expected[likely]).sum()
        statistic += (seen[~likely].sum() - rest) ** 2 / max(rest, 5)
        freedom = max(int(likely.sum()), 1)
        # Five standard deviations of the chi-square distribution.
        assert statistic < freedom + 5 * np.sqrt(2 * freedom) + 5, f"seed {seed}"
        tested += 1
    assert tested > 12


def test_independent_samples_follow_the_marginals_and_break_dependence() -> None:
    """joint=False draws each decision from its marginal, as official AOWS, so agreeing pairs become rare."""
    pair = FactorCost([2, 2], [Factor((0, 1), np.array([[0.0, 50.0], [50.0, 0.5]]))])
    problem, rng = Problem((2, 2), pair), np.random.default_rng(0)
    single = marginals(problem, 1.0)
    apart = sample(problem, 1.0, 50_000, rng, joint=False)
    together = sample(problem, 1.0, 50_000, rng)
    for draws in (apart, together):
        np.testing.assert_allclose(draws.mean(axis=0), [single[0][1], single[1][1]], atol=0.01)
    assert (together[:, 0] == together[:, 1]).all()
    assert (apart[:, 0] != apart[:, 1]).mean() == pytest.approx(2 * single[0][0] * single[0][1], abs=0.01)


def test_mobilenet_chain_is_stable_at_the_papers_temperatures() -> None:
    """From 1 to 1e-6 marginals are finite and sum to 1 within 1e-9 (reference 8.4, case 7)."""
    macs, _ = mobilenet_costs()
    problem = Problem(macs.sizes, concave_scores(macs.sizes, np.random.default_rng(0)))
    for target in TABLE_1_MACS:
        multiplier = lagrangian(problem, Budget(macs, target, "macs")).multiplier
        assert multiplier is not None
        for temperature in (1.0, 1e-2, 5e-4, 1e-6, 1e-12):
            for p in marginals(problem, temperature, macs, multiplier):
                assert np.isfinite(p).all() and abs(p.sum() - 1) < 1e-9
            assert np.isfinite(log_partition(problem, temperature, macs, multiplier))


def test_cold_marginals_and_samples_are_the_minimum() -> None:
    """As the temperature falls marginals, samples and -T log Z tend to the unique best row."""
    rng = np.random.default_rng(1)
    for seed in range(20):
        graph = random_graph(np.random.default_rng(seed), "tree")
        if not len(graph.rows()):
            continue
        best = minimise(graph.problem)
        cold = marginals(graph.problem, 1e-7)
        assert [int(p.argmax()) for p in cold if p.max() > 0.999] == [
            int(o) for o, p in zip(best.row, cold, strict=True) if p.max() > 0.999
        ]
        scores = graph.problem.scores(sample(graph.problem, 1e-7, 50, rng))
        np.testing.assert_allclose(scores, best.score, atol=1e-5)
        assert -1e-7 * log_partition(graph.problem, 1e-7) == pytest.approx(best.score, abs=1e-5)


def test_infinite_temperature_is_uniform_over_valid_rows() -> None:
    """At infinite temperature log Z is the log of the count, also under rules and forbidden cells."""
    graph = random_graph(np.random.default_rng(4), "chain")
    assert log_partition(graph.problem, np.inf) == pytest.approx(np.log(len(graph.rows())))


def test_shifting_a_table_changes_no_marginal() -> None:
    """A constant added to one decision's scores leaves marginals and solutions alone (reference 8.4, case 11)."""
    macs, _ = mobilenet_costs()
    scores = concave_scores(macs.sizes, np.random.default_rng(2))
    tables = list(scores.factors)
    tables[5] = Factor((5,), tables[5].table + 1024.0)
    shifted = Problem(macs.sizes, FactorCost(macs.sizes, tables))
    plain = Problem(macs.sizes, scores)
    multiplier = 1e-9
    for a, b in zip(marginals(plain, 5e-4, macs, multiplier), marginals(shifted, 5e-4, macs, multiplier), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)
    for target in TABLE_1_MACS:
        budget = Budget(macs, target, "macs")
        assert (minimise(plain, [budget]).row == minimise(shifted, [budget]).row).all()


def test_independent_wrong_signs_of_the_printed_equation_are_not_ours() -> None:
    """-T log Z lies below the least energy and rises to it: with a sign lost per layer it would not."""
    macs, _ = mobilenet_costs()
    problem = Problem(macs.sizes, concave_scores(macs.sizes, np.random.default_rng(3)))
    least = minimise(problem).score
    soft = [-t * log_partition(problem, t) for t in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6)]
    assert soft == sorted(soft) and soft[-1] < least
    assert soft[-1] == pytest.approx(least, abs=1e-5)


def test_seeded_samples_repeat() -> None:
    """The passed generator is the only source of randomness."""
    macs, _ = mobilenet_costs()
    problem = Problem(macs.sizes, concave_scores(macs.sizes, np.random.default_rng(0)))
    first, second = (sample(problem, 1e-3, 9, np.random.default_rng(7)) for _ in range(2))
    assert first.shape == (9, 14) and (first == second).all()
    assert sample(problem, 1e-3, 0, np.random.default_rng(7)).shape == (0, 14)
    assert sample(problem, 1e-3, 0, np.random.default_rng(7), joint=False).shape == (0, 14)


@pytest.mark.parametrize(
    ("temperature", "multiplier", "word"),
    [(0.0, 0.0, "temperature"), (-1.0, 0.0, "temperature"), (np.nan, 0.0, "temperature"), (1.0, np.nan, "multiplier")],
)
def test_wrong_settings_are_refused(temperature: float, multiplier: float, word: str) -> None:
    """A temperature that is not positive or a multiplier that is not finite is named in the error."""
    macs, _ = mobilenet_costs()
    problem = Problem(macs.sizes, FactorCost(macs.sizes, []))
    with pytest.raises(RequestError, match=word):
        marginals(problem, temperature, macs, multiplier)


def test_a_temperature_that_overflows_is_refused() -> None:
    """Energies divided by a vanishing temperature would silently forbid rows; it is an error instead."""
    problem = Problem((2,), FactorCost([2], [Factor((0,), np.array([0.0, 1e10]))]))
    with pytest.raises(RequestError, match="too low"):
        marginals(problem, 1e-300)
