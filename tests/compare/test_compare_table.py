"""Tables: read as they were written, refused with row and column where they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_samples import arrays, holed_table, small_table

from sartor.compare.table import make_table, read_table, write_table
from sartor.errors import InfeasibleBudgetError, RequestError


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What goes into a file comes out of it, with names, groups and every cost column."""
    given = arrays()
    costs = {name: given[name] for name in ("macs", "latency_ms")}
    write_table(
        tmp_path / "t.npz", given["choices"], given["accuracy"], costs, ["a", "b", "c", "d"], ["x", "y", "x", "z"]
    )
    table = read_table(tmp_path / "t.npz")
    assert (table.choices == given["choices"]).all() and (table.accuracy == given["accuracy"]).all()
    assert all((table.costs[name] == costs[name]).all() for name in costs)
    assert table.decision_names == ("a", "b", "c", "d") and table.groups == ((0, 2), (1,), (3,))
    assert table.complete and len(table) == 72 and table.name == "t"


def test_groups_by_position() -> None:
    """Groups may also be the positions of their decisions, padded."""
    table = small_table(groups=np.array([[1, 3], [0, -1], [2, -1]]))
    assert table.groups == ((1, 3), (0,), (2,))
    with pytest.raises(RequestError, match="every decision once"):
        small_table(groups=np.array([[1, 3], [0, 1], [2, -1]]))


def test_one_accuracy_per_row() -> None:
    """[n] is one repeat."""
    table = small_table(accuracy=arrays()["accuracy"][:, 0])
    assert table.accuracy.shape == (72, 1) and (table.means == table.accuracy[:, 0]).all()


def test_options_may_have_gaps() -> None:
    """Options are renumbered inside and answered as the file has them."""
    given = arrays()
    table = make_table({**given, "choices": given["choices"] * 3 + 1}, "gaps")
    assert (table.rows == given["choices"]).all() and table.options[1].tolist() == [1, 4, 7, 10]


def _with(key: str, place: tuple[int, ...], value: Any) -> dict[str, Any]:
    values = np.array(arrays()[key], dtype=float if isinstance(value, float) else None)
    values[place] = value
    return {key: values}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (_with("accuracy", (7, 1), np.nan), ["accuracy", "row 7", "column 1", "nan"]),
        (_with("choices", (5, 2), -1), ["choices", "row 5", "column 2", "-1"]),
        (_with("choices", (5, 2), 0.5), ["choices", "row 5", "column 2", "0.5"]),
        (_with("latency_ms", (9,), np.inf), ["latency_ms", "row 9", "inf"]),
        (_with("macs", (3,), -4), ["macs", "row 3", "-4"]),
        ({"macs": np.ones(71)}, ["macs", "[72]", "[71]"]),
        ({"accuracy": np.ones(70) * 50}, ["accuracy", "[72]", "[70]"]),
        ({"accuracy": np.ones((72, 2, 2)) * 50}, ["accuracy", "[72, 2, 2]"]),
        ({"accuracy": arrays()["accuracy"] / 100}, ["percent", "multiply by 100"]),
        ({"choices": np.zeros(72, int)}, ["choices", "[n, D]", "[72]"]),
        ({"choices": np.array([["a"] * 4] * 72)}, ["choices", "whole numbers"]),
        ({"decision_names": np.array(["a", "b"])}, ["decision_names", "[4]", "[2]"]),
        ({"decision_names": np.array(["a", "b", "a", "c"])}, ["decision_names", "'a'"]),
        ({"groups": np.array([0, 1])}, ["groups", "4 decisions"]),
    ],
)
def test_errors_name_row_and_column(changes: dict[str, Any], words: list[str]) -> None:
    """A wrong value is named with its place, a wrong shape with both shapes."""
    with pytest.raises(RequestError) as error:
        small_table(**changes)
    assert all(word in str(error.value) for word in words), error.value


def test_duplicate_rows_are_named() -> None:
    """The same architecture twice is an error that names both rows."""
    given = arrays()
    given["choices"][40] = given["choices"][12]
    with pytest.raises(RequestError, match=r"rows 12 and 40 .*columns of accuracy"):
        make_table(given, "twice")


@pytest.mark.parametrize("missing", ["choices", "accuracy"])
def test_missing_arrays_are_named(missing: str) -> None:
    """A file without choices or accuracies says which is missing and what it found."""
    given = arrays()
    del given[missing]
    with pytest.raises(RequestError, match=rf"'{missing}' is missing.*found are"):
        make_table(given, "part")


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    """Absent files, other files and pickles are refused in one sentence."""
    with pytest.raises(RequestError, match="no such file"):
        read_table(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("choices")
    with pytest.raises(RequestError, match="npz"):
        read_table(tmp_path / "text.npz")
    ragged = np.empty(2, dtype=object)
    ragged[:] = [[0, 1], [0]]
    np.savez(tmp_path / "ragged.npz", choices=ragged, accuracy=np.ones(2))
    with pytest.raises(RequestError, match="'choices' is ragged"):
        read_table(tmp_path / "ragged.npz")


def test_budgets_as_people_write_them() -> None:
    """Units, plain numbers with fractions, and several columns."""
    table = small_table()
    assert table.budgets(["macs=1.2k"]) == {"macs": 1200}
    assert table.budgets(["macs=1234.5", "latency_ms=1.5"]) == {"macs": 1234.5, "latency_ms": 1.5}
    assert table.budgets({"latency_ms": 2}) == {"latency_ms": 2}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["mac=1k"], "'mac'.*macs, latency_ms.*did you mean 'macs'"),
        (["macs"], "macs=12M"),
        (["macs=0"], "positive"),
        (["macs=12ms"], "unit of time"),
        (["macs=1k", "macs=2k"], "twice"),
    ],
)
def test_wrong_budgets(given: list[str], words: str) -> None:
    """An unknown column, a wrong unit, or the same column twice."""
    with pytest.raises(RequestError, match=words):
        small_table().budgets(given)


def test_a_budget_below_everything_names_the_cheapest() -> None:
    """Nothing fits: the cheapest row is said, for each column that fails."""
    table = small_table()
    cheapest = int(table.costs["macs"].min())
    with pytest.raises(InfeasibleBudgetError, match=f"cheapest row of small has macs {cheapest:,}"):
        table.within({"macs": cheapest - 1})
    assert table.within({"macs": cheapest}).sum() == 1


def test_positions_of_rows() -> None:
    """Every row is found where it stands, and none that does not exist."""
    for table in (small_table(), holed_table()):
        everything = small_table().rows
        expected = [table.index.get(tuple(row), -1) for row in everything.tolist()]
        assert table.positions(everything).tolist() == expected
