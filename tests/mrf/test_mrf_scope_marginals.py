"""Joint probabilities of several decisions, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from mrf_graphs import random_graph

from sartor.costs.factors import Factor, FactorCost
from sartor.mrf import Problem, scope_marginals


@pytest.mark.parametrize("kind", ["chain", "tree"])
def test_joint_probabilities_equal_enumeration(kind: str) -> None:
    """For neighbours and for decisions that no factor reads together, rules or none."""
    tested = 0
    for seed in range(30):
        graph = random_graph(np.random.default_rng([seed, 5]), kind)
        rows = graph.rows()
        if not len(rows):
            continue
        sizes = graph.problem.sizes
        last = len(sizes) - 1
        scopes = [(0,), (0, 1), (0, last), (last - 2, last - 1, last)]
        logs = -graph.problem.scores(rows) / 0.7
        share = np.exp(logs - np.logaddexp.reduce(logs))
        for scope, found in zip(scopes, scope_marginals(graph.problem, 0.7, scopes), strict=True):
            expected = np.zeros([sizes[d] for d in scope])
            np.add.at(expected, tuple(rows[:, d] for d in scope), share)
            np.testing.assert_allclose(found, expected, atol=1e-12)
        tested += 1
    assert tested > 20


def test_joint_probabilities_of_a_list_of_rows() -> None:
    """A table with missing rows: only its rows have mass."""
    scores = FactorCost([2, 2, 2], [Factor((0,), np.array([0.0, np.log(2)]))])
    problem = Problem((2, 2, 2), scores, rows=np.array([[0, 0, 1], [1, 1, 0], [1, 0, 0]]))
    (found,) = scope_marginals(problem, 1.0, [(0, 1)])
    np.testing.assert_allclose(found, [[0.5, 0.0], [0.25, 0.25]])
