"""The recipes that need no training, and the overview of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chinese_restaurant
import ground_truth
import overview
from oracles import Oracle, channel_bench_macro
from sartor import spaces
from sartor.errors import RequestError, SartorError
from sartor.platforms import Platform


@pytest.fixture(scope="module")
def truth() -> Oracle:
    """All rows of the benchmark's space, with accuracies that are exactly additive and a little noisy."""
    space = spaces.create("channel_bench_macro")
    rows = np.stack(np.unravel_index(np.arange(4**7), (4,) * 7), axis=1).astype(np.int64)
    rng = np.random.default_rng(0)
    effects = np.sort(rng.random((7, 4)), axis=1)
    exact = 80 + effects[np.arange(7), rows].sum(axis=1)
    accuracy = exact[:, None] + 0.01 * rng.standard_normal((len(rows), 3))
    return Oracle(space, rows, accuracy, np.asarray(space.cost("macs")(rows)))


def test_on_additive_accuracies_the_solver_is_all_but_perfect(truth: Oracle) -> None:
    """OWS finds networks within noise of the best at every budget; random search does not."""
    found = ground_truth.regrets(truth, seed=0)
    assert len(found["OWS"]) == 10
    assert max(found["OWS"]) < 0.06
    assert np.mean(found["random search, same rows"]) > 3 * np.mean(found["OWS"])
    assert all(regret >= 0 for regrets in found.values() for regret in regrets)


def test_regret_is_measured_against_the_best_within_the_budget(truth: Oracle) -> None:
    """The best has none; a network above the budget is an error, not a good answer."""
    platform = ground_truth.platforms_of(truth)[3]
    within = np.flatnonzero(truth.macs <= platform.budgets["macs"])
    best = truth.rows[within[truth.accuracy.mean(axis=1)[within].argmax()]]
    assert truth.regret(best, platform) == 0
    assert truth.regret((0,) * 7, platform) > 0
    with pytest.raises(SartorError, match="breaks its budget"):
        truth.regret((3,) * 7, platform)


def test_random_search_answers_with_what_it_saw(truth: Oracle) -> None:
    """The lowest loss within the budget; the smallest network where none fits."""
    from sartor.methods.evaluator import TableEvaluator

    evaluator = TableEvaluator(truth.rows, truth.accuracy, 10, np.random.default_rng(0))
    evaluator.history.add((3,) * 7, 0.1, 0.9)
    evaluator.history.add((1,) * 7, 0.3, 0.7)
    evaluator.history.add((0,) * 7, 0.2, 0.8)
    middle, tiny = ground_truth.platforms_of(truth)[5], Platform("tiny", {"macs": int(truth.macs.min()) - 1})
    assert ground_truth.best_observed(truth, evaluator, middle) == (0,) * 7
    evaluator.history.losses[2] = 0.4
    assert ground_truth.best_observed(truth, evaluator, middle) == (1,) * 7
    assert ground_truth.best_observed(truth, evaluator, tiny) == (0,) * 7


def test_budgets_and_table_of_the_real_benchmark(shared_data: Path) -> None:
    """16,384 networks, ten ascending budgets; without the file a sentence says what is missing."""
    real = channel_bench_macro(shared_data)
    assert real.accuracy.shape == (16_384, 3)
    limits = [p.budgets["macs"] for p in ground_truth.platforms_of(real)]
    assert limits == sorted(limits)
    assert real.accuracy_of((3, 3, 3, 3, 2, 3, 1)) == pytest.approx(91.89, abs=0.005)
    with pytest.raises(RequestError, match="SARTOR_SHARED_DATA"):
        channel_bench_macro(shared_data / "nowhere")


def test_intervals_hold_the_mean() -> None:
    """Resampled seeds: around the mean, narrower with more of them, a point where all agree."""
    rng = np.random.default_rng(0)
    low, high = ground_truth.interval(np.array([1.0, 2.0, 3.0, 4.0]), rng)
    assert 1 < low < 2.5 < high < 4
    assert ground_truth.interval(np.full(5, 2.0), rng) == (2.0, 2.0)


def test_mean_tables_of_the_process(tmp_path: Path) -> None:
    """20,000 draws: 5.79 and 3.15 tables within four standard errors; the picture is small."""
    found = chinese_restaurant.measure()["processes"]
    for process, expected in zip(found, (5.79, 3.15), strict=True):
        assert process["expected_tables"] == pytest.approx(expected, abs=0.005)
        assert abs(process["mean_tables"] - process["expected_tables"]) < 4 * process["standard_error"]
        assert process["standard_error"] < 0.03
    chinese_restaurant.draw(tmp_path / "figure1.png", draws=200)
    assert 0 < (tmp_path / "figure1.png").stat().st_size < 200_000


def test_the_overview_replaces_its_table_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], truth: Oracle
) -> None:
    """What was run stands beside the paper; what was not says so; the text around stays."""
    (tmp_path / "README.md").write_text(f"before\n{overview.BEGIN}\nold\n{overview.END}\nafter\n")
    results = tmp_path / "results"
    assert chinese_restaurant.main(["--out", str(results)]) == 0
    assert overview.main([str(tmp_path)]) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n")
    assert "old" not in text
    assert "5.79" in text and "not run" in text
    assert overview.main([str(tmp_path)]) == 0
    assert (tmp_path / "README.md").read_text() == text
    (tmp_path / "README.md").write_text("no marks")
    assert overview.main([str(tmp_path)]) == 2
    assert "marks" in capsys.readouterr().err


def test_rows_of_table2_in_the_overview() -> None:
    """Accuracies, differences, Table 3, shared widths and costs of a run, each beside the paper's number."""
    from slimmable.pieces import COLUMNS
    from slimmable.results import summary

    cell: dict[str, Any] = summary({0: 30.0, 1: 31.0}, 64.44)
    found = {
        "size": "cpu",
        "seeds": [0, 1],
        "rows": ["U"],
        "environment": {"cores": 2, "cpu": "a processor", "packages": {"torch": "2.9"}},
        "table2": {"U": dict.fromkeys(COLUMNS, cell)},
        "gains": {"U": dict.fromkeys(COLUMNS, cell)},
        "table3": {"Slim": cell, "OWS": summary({}, 64.31)},
        "table3_gain": summary({}, 0.85),
        "searches": {"original": {"": {"shared": [0, 2]}}, "search-ows": {"0": {"shared": [1, 9]}}},
        "costs": {
            "one shared network": {"images": 300, "cpu_seconds": 40},
            "seven networks alone": {"images": 700, "cpu_seconds": 50},
        },
    }
    rows = overview._table2_rows(found)
    assert rows[0][:3] == ["Table 2, row U, Slim-U (%)", "64.44", "30.50 ± 0.71"]
    assert "a processor" in rows[0][3] and "2 seeds" in rows[0][3]
    shown = {row[0]: row[2] for row in rows}
    assert shown["Table 3, OWS (%)"] == "-"
    assert shown["equal widths of #6 and #7 by OWS, of 14 layers"] == "9 (original widths: 2)"
    assert "0.43 of the pictures, 0.80 of the CPU time" in shown.values()
