"""Comparisons: the document, the same on any number of processes, resumed where they were stopped, budgets met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_samples import arrays, holed_table, small_table

from sartor.compare import methods, on_tables
from sartor.compare.oracle import Oracle
from sartor.compare.result import compare_table
from sartor.compare.table import Table, make_table
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.random_search import RandomSearch
from sartor.storage import to_json

OURS = ("ows", "aows", "tunas", "fpnas", "random")
ROW = ("regret_mean", "regret_mean_fit", "regret_ci95", "within_budget", "accuracy_mean", "answers")


class Mine(RandomSearch):
    """A method of one's own."""


def compared(table: Table | None = None, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"budgets": {"macs": 1180}, "names": OURS, "queries": 12, "seeds": 3, **changes}
    return compare_table(table or small_table(), **given)


@pytest.mark.parametrize("make", [small_table, holed_table])
@pytest.mark.parametrize("budgets", [{"macs": 1180}, {"latency_ms": 1.6}, {"macs": 1190, "latency_ms": 1.7}])
def test_every_answer_meets_the_true_budgets(make: Any, budgets: dict[str, float]) -> None:
    """All methods, both answers, additive and other costs, complete and missing rows; judged by the columns."""
    table = make()
    found = compared(table, budgets=budgets)
    best = max(table.means[i] for i in range(len(table)) if all(table.costs[c][i] <= v for c, v in budgets.items()))
    assert found["best_in_budget"] == pytest.approx(best)
    choices = [tuple(row) for row in table.choices.tolist()]
    for name, row in found["methods"].items():
        assert row["within_budget"] == 1.0 and len(row["answers"]) == 3, name
        for answer in [*row["answers"], *row["answers_fit"]]:
            position = choices.index(tuple(answer))
            assert all(table.costs[cost][position] <= limit for cost, limit in budgets.items())
        accuracies = [table.means[choices.index(tuple(answer))] for answer in row["answers"]]
        assert row["accuracy_mean"] == pytest.approx(np.mean(accuracies))
        assert row["regret_mean"] == pytest.approx(best - np.mean(accuracies))
        assert row["queries_used"] == [12] * 3


def test_the_document() -> None:
    """The keys that others read, and plain JSON."""
    found = json.loads(to_json(compared()))
    assert list(found)[:5] == ["methods", "best_in_budget", "queries", "seeds", "budget"]
    assert (found["queries"], found["seeds"], found["budget"]) == (12, 3, {"macs": 1180})
    for row in found["methods"].values():
        assert set(ROW) <= set(row)
        assert row["regret_ci95"][0] <= row["regret_mean"] <= row["regret_ci95"][1]
        assert len(row["curve"]["regret_mean"]) == len(found["curve_queries"])
        assert row["curve"]["regret_mean"][-1] == pytest.approx(row["regret_mean"])
    assert found["methods"]["random"]["difference_to_random"]["mean"] == 0


@pytest.mark.parametrize("noise", [0.0, 1.3])
def test_the_same_on_one_process_and_on_two(noise: float) -> None:
    """Searches depend on their seed alone."""
    one = compared(noise_points=noise, seeds=2, names=("aows", "fpnas"))
    assert to_json(compared(noise_points=noise, seeds=2, names=("aows", "fpnas"), processes=2)) == to_json(one)


def test_an_interrupted_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the folder holds is not searched again, more seeds are added, and the document is that of one run."""
    whole = compared(names=("ows",))
    compared(names=("ows",), seeds=2, folder=tmp_path)
    asked: list[tuple[str, int]] = []
    search = on_tables.TableSearches.search
    monkeypatch.setattr(
        on_tables.TableSearches, "search", lambda own, piece, bar: asked.append(piece) or search(own, piece, bar)
    )
    assert to_json(compared(names=("ows",), folder=tmp_path)) == to_json(whole)
    assert asked == [("ows", 2), ("random", 2)]


def test_a_folder_of_another_comparison_is_refused(tmp_path: Path) -> None:
    """Another budget or number of queries in the same folder is a mistake that is named."""
    compared(names=(), folder=tmp_path)
    with pytest.raises(RequestError, match=r"another comparison: budget\.macs .there 1180, asked for 1190"):
        compared(names=(), folder=tmp_path, budgets={"macs": 1190})
    with pytest.raises(RequestError, match=r"another comparison: queries .there 12, asked for 13"):
        compared(names=(), folder=tmp_path, queries=13)


def test_methods_that_no_table_can_carry_are_rows_with_a_reason() -> None:
    """MS-RANAS needs gradients; the others go on."""
    found = compared(names=("ms_ranas", "ows"))
    row = found["methods"]["ms_ranas"]
    assert "gradient" in row["not_applicable"] and row["answers"] == [] and row["regret_mean"] is None
    assert found["methods"]["ows"]["not_applicable"] is None


def test_missing_packages_are_rows_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its library evolution is not applicable, and says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyglove", None)
    found = compared(names=("evolution",))
    assert "sartor[compare]" in found["methods"]["evolution"]["not_applicable"]


def test_regularised_evolution() -> None:
    """Within the budget, every network looked at once, the same again with the same seed, better than its start."""
    pytest.importorskip("pyglove")
    table = make_table(arrays((4, 4, 4, 4, 4)), "larger")
    oracle = Oracle(table, {"macs": float(np.quantile(table.costs["macs"], 0.6))}, 60)
    looked, answers = {}, {}
    for seed in (0, 1, 2, 3, 0):
        method, evaluator = methods.make("evolution", oracle, seed), oracle.evaluator(seed)
        while not evaluator.done:
            method.step(evaluator)
        rows = evaluator.history.rows
        assert len(set(rows)) == 60 and all(oracle.fits[table.index[row]] for row in rows)
        answer = method.choose(oracle.platform).architecture.row
        assert looked.setdefault(seed, rows) == rows and answers.setdefault(seed, answer) == answer
    means = np.array([table.means[[table.index[row] for row in rows]] for rows in looked.values()])
    assert means[:, -20:].mean() > means[:, :12].mean() + 0.3


def test_ours_beat_random_search() -> None:
    """On a table of 1,024 rows with interactions, 40 queries: OWS and AOWS lose less than half of what random does."""
    table = make_table(arrays((4, 4, 4, 4, 4)), "larger")
    limit = float(np.quantile(table.costs["macs"], 0.4))
    found = compare_table(table, {"macs": limit}, ("ows", "aows"), 40, 8)["methods"]
    for name in ("ows", "aows"):
        assert found[name]["regret_mean"] < 0.5 * found["random"]["regret_mean"], name
        assert found[name]["difference_to_random"]["better"], name


def test_looks_that_agree_are_not_repeated() -> None:
    """One run each and no noise: once that is known, queries go to networks that were not seen."""
    given = arrays((4, 4, 4, 4), repeats=1)
    oracle = Oracle(make_table(given, "exact"), {"macs": float(np.max(given["macs"]))}, 60)
    evaluator, method = oracle.evaluator(0), methods.make("ows", oracle, 0)
    while not evaluator.done:
        method.step(evaluator)
    assert len(set(evaluator.history.rows)) >= 60 - 8


def test_a_method_of_ones_own() -> None:
    """A class by its module takes part; a module that cannot be loaded is named."""
    found = compared(names=(f"{__name__}:Mine",))
    assert found["methods"][f"{__name__}:Mine"]["regrets"] == found["methods"]["random"]["regrets"]
    with pytest.raises(RequestError, match="cannot be loaded"):
        compared(names=("nowhere:Mine",))
    with pytest.raises(RequestError, match="no subclass"):
        compared(names=("json:dumps",))


def test_random_search_looks_at_different_networks() -> None:
    """Without replacement: as many queries as fit see everything, and find what looks best."""
    table = small_table(accuracy=arrays()["accuracy"].mean(axis=1))
    oracle = Oracle(table, {"macs": 1180}, 72)
    inside = int(oracle.fits.sum())
    found = compare_table(table, {"macs": 1180}, ("random",), inside, 2)
    assert found["methods"]["random"]["regret_mean"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"names": ("rendom",)}, "did you mean 'random'"),
        ({"queries": 73}, "72 rows"),
        ({"queries": 0}, "at least 1"),
        ({"seeds": 0}, "--seeds 0"),
        ({"noise_points": -1.0}, "--noise"),
        ({"budgets": {}}, "needs a budget"),
        ({"budgets": {"params": 3}}, "macs, latency_ms"),
    ],
)
def test_wrong_requests(changes: dict[str, Any], words: str) -> None:
    """Everything that can be wrong by hand, in one sentence."""
    with pytest.raises(RequestError, match=words):
        compared(**changes)


def test_impossible_budgets() -> None:
    """A budget that nothing meets is refused before any search, with the cheapest."""
    with pytest.raises(InfeasibleBudgetError, match="cheapest row"):
        compared(budgets={"macs": 1})


def test_the_rule_knows_no_table() -> None:
    """Settings follow from the number of queries alone."""
    assert methods.settings_for("evolution", 50).population == 10
    assert methods.settings_for("evolution", 5000).population == 50
    assert methods.settings_for("ows", 50) == methods.settings_for("ows", 3000)
    assert methods.settings_for("ows", 50).check == 0.5
