"""Rewards on a table of all networks: what is measured, against whom, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracles import Oracle
from sartor import spaces
from sartor.errors import SartorError
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.rewards import Reward
from sartor.methods.tunas import TuNASSettings
from tunas import table_oracle, table_oracle_report


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """All rows of NAS-Bench-Macro's space, with accuracies that grow with the MACs."""
    space = spaces.create("nas_bench_macro")
    rows = np.stack(np.unravel_index(np.arange(3**8), (3,) * 8), axis=1).astype(np.int64)
    macs = np.asarray(space.cost("macs")(rows))
    accuracy = 80 + 10 * np.sqrt(macs / macs.max()) + 0.2 * np.random.default_rng(0).normal(size=len(rows))
    return Oracle(space, rows, np.stack([accuracy - 0.1, accuracy, accuracy + 0.1], axis=1), macs)


@pytest.fixture(scope="module")
def found(oracle: Oracle) -> dict[str, Any]:
    """Everything, much too short."""
    return table_oracle.measure(oracle, 2, share=0.015)


def test_answers_are_judged_by_the_truth(oracle: Oracle) -> None:
    """The best within the target has no regret; what is above it is an error; the own answer may be above."""
    platform = oracle.platform(50)
    limit = platform.budgets["macs"]
    fits = np.flatnonzero(oracle.macs <= limit)
    best = tuple(oracle.rows[fits[oracle.means[fits].argmax()]])
    largest = (2,) * 8
    judged = table_oracle.judged(oracle, best, largest, platform)
    assert judged["regret"] == 0 and judged["ratio"] <= 1
    assert judged["own_ratio"] == oracle.macs.max() / limit
    assert judged["own_lack"] == pytest.approx(oracle.means.max() - oracle.accuracy_of(largest))
    with pytest.raises(SartorError, match="breaks its budget"):
        table_oracle.judged(oracle, largest, None, platform)


def test_random_search_keeps_the_budget_and_uses_every_query(oracle: Oracle) -> None:
    """Without noise it returns the best network that it drew."""
    platform = oracle.platform(25)
    exact = np.repeat(oracle.means[:, None], 1, axis=1)
    evaluator = TableEvaluator(oracle.rows, exact, 200, np.random.default_rng(0))
    row = table_oracle.best_of_random(oracle, platform, evaluator, seed=3)
    assert evaluator.done
    assert oracle.space.cost("macs")(np.array([row]))[0] <= platform.budgets["macs"]
    assert oracle.accuracy_of(row) == pytest.approx(100 * max(evaluator.history.qualities))


def test_the_absolute_reward_meets_the_target_and_a_steep_soft_one_does_not(oracle: Oracle) -> None:
    """At 600 queries the signs of the paper are there already."""
    absolute = table_oracle.outcome(oracle, TuNASSettings(), 50, 0, 600)
    soft = table_oracle.outcome(oracle, TuNASSettings(reward="soft", cost_exponent=-0.09), 50, 0, 600)
    assert absolute["own_ratio"] == pytest.approx(1, abs=0.08)
    assert soft["own_ratio"] < 0.8
    assert absolute["sampled_ratio"] == pytest.approx(1, abs=0.1)


def test_what_was_measured_is_not_measured_again(oracle: Oracle, found: dict[str, Any]) -> None:
    """The results file is the state: kept for the same seeds and queries, dropped for others."""
    kept = json.loads(json.dumps(found))
    del kept["systems"]["hard -1.00"]
    saved: list[int] = []
    again = table_oracle.measure(oracle, 2, kept, lambda f: saved.append(len(f["systems"])), share=0.015)
    assert len(saved) == 1
    assert again["systems"]["hard -1.00"] == found["systems"]["hard -1.00"]
    assert again["systems"].keys() == found["systems"].keys() == table_oracle.SYSTEMS.keys()


def test_tables_say_what_holds_and_what_does_not(found: dict[str, Any]) -> None:
    """Every claim has its figure and its verdict, whatever that is."""
    claims = table_oracle_report.claims(found)
    text = table_oracle_report.markdown(found)
    assert text.count(": holds.") == sum(c["holds"] for c in claims.values())
    assert text.count("does NOT hold.") == sum(not c["holds"] for c in claims.values())
    assert claims["absolute_meets_the_target"]["mean_miss"] == pytest.approx(
        np.abs(np.array(found["systems"]["absolute -0.10"]["own_ratio"]) - 1).mean()
    )
    assert "| 300 |" in text and "| 3,000 |" in text
    assert "| random search |" in text and "| growing tenfold |" in text


@pytest.mark.parametrize("kind", ["absolute", "soft", "hard"])
def test_contours_are_of_the_rewards_that_searches_use(oracle: Oracle, kind: Any) -> None:
    """Every point of a line has its line's reward; the best network lies on line 0."""
    platform = oracle.platform(50)
    shares = oracle.macs / platform.budgets["macs"]
    rewards = Reward(kind, -0.1, budgets_of(oracle.space, platform))(oracle.rows, oracle.means / 100)
    np.testing.assert_allclose(table_oracle_report.reward(kind, -0.1, shares, oracle.means / 100), rewards)
    for point in table_oracle_report.contours(kind, -0.1, int(rewards.argmax()), shares, oracle.means):
        value = table_oracle_report.reward(kind, -0.1, np.array(point["ratio"]), point["accuracy"] / 100)
        assert value == pytest.approx(rewards.max() - 0.01 * point["level"])


def test_the_picture_is_drawn(oracle: Oracle, found: dict[str, Any], tmp_path: Path) -> None:
    """Three panels as one PNG; the frontier ascends."""
    points = table_oracle_report.frontier(oracle.macs / oracle.macs.max(), oracle.means)
    assert [p["accuracy"] for p in points] == sorted(p["accuracy"] for p in points) and len(points) > 5
    table_oracle_report.draw(found, oracle, tmp_path / "rewards.png")
    assert 10_000 < (tmp_path / "rewards.png").stat().st_size < 600_000
