"""From fake pieces to the tables: weights, spreads, gains, shared widths, costs, and the command around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import table2
from sartor.platforms import WEIGHTINGS
from sartor.storage import to_json, write_atomically
from slimmable import paper
from slimmable.markdown import document, figure
from slimmable.pieces import COLUMNS, PLATFORMS, ROWS, Piece, plan
from slimmable.results import collect, shared_widths, summary
from slimmable.sizes import SIZES, platforms
from slimmable.work import piece_path

SPACE = SIZES["smoke"].make_space()
SMALLEST = {name: d.options[0] for name, d in zip([d.name for d in SPACE.decisions], SPACE.decisions, strict=True)}


def fake(piece: Piece) -> dict[str, Any]:
    """A piece whose accuracies say which it is: 50 + platform, one more for OWS, two for AOWS, ten per seed."""
    base = {"piece": piece.name, "seed": piece.seed, "images": 1000, "seconds": 2.0, "cpu_seconds": 1.0}
    if piece.kind == "search":
        budgets = {p.name: p.budgets["macs"] for p in platforms(SPACE)}
        choices = {p: {"architecture": SMALLEST, "costs": {"macs": budgets[p] // 2}} for p in PLATFORMS}
        return {**base, "choices": choices, "sampled_macs": [{"mean": 9e4, "q05": 8e4, "q95": 1e5}] * 2}
    gain = {"Slim": 0, "OWS": 1, "AOWS": 2}[piece.system]
    trained = PLATFORMS if piece.platform is None else (piece.platform,)
    return {**base, "accuracies": {p: 50 + PLATFORMS.index(p) + gain + 10 * piece.seed for p in trained}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All six rows, two seeds, Table 3 for one of them."""
    for piece in plan(ROWS, [0, 1], [0]):
        write_atomically(piece_path(tmp_path, piece), to_json(fake(piece)).encode())
    return tmp_path


def test_table2_is_weighted_by_the_rows(folder: Path) -> None:
    """Every cell is the sum of weights times accuracies, mean and spread over seeds, the paper's number beside it."""
    found = collect(folder, "smoke", ROWS, [0, 1])
    for row in ROWS:
        expected = sum(w * (50 + i) for i, w in enumerate(WEIGHTINGS[row]))
        for gain, column in enumerate(("Slim-U", "OWS-U", "AOWS-W")):
            cell = found["table2"][row][column]
            assert cell["values"]["0"] == pytest.approx(expected + gain)
            assert cell["mean"] == pytest.approx(expected + gain + 5)
            assert cell["spread"] == pytest.approx(10 / 2**0.5)
            assert cell["paper"] == paper.TABLE2[row][column]
            assert found["gains"][row][column]["mean"] == pytest.approx(gain)
            assert found["gains"][row][column]["spread"] == pytest.approx(0)


def test_table3_and_costs(folder: Path) -> None:
    """Seven networks alone make a column; their costs add up, those of one shared network do not."""
    found = collect(folder, "smoke", ["U"], [0, 1])
    mean = sum(w * (50 + i) for i, w in enumerate(WEIGHTINGS["U"]))
    assert found["table3"]["Slim"]["values"] == {"0": pytest.approx(mean)}
    assert found["table3_gain"]["mean"] == pytest.approx(1)
    assert found["table3_gain"]["paper"] == pytest.approx(0.85)
    assert found["costs"]["seven networks alone"] == {"images": 7000, "seconds": 14, "cpu_seconds": 7}
    assert found["costs"]["one shared network"] == {"images": 1000, "seconds": 2, "cpu_seconds": 1}


def test_what_is_not_done_is_a_dash(folder: Path) -> None:
    """A half-finished folder has tables too: a cell without its network, a column of Table 3 with six of seven."""
    for piece in plan(["U"], [0, 1], [0]):
        if piece.name == "train-ows-U" or piece.name == "alone-slim-p4":
            piece_path(folder, piece).unlink()
    found = collect(folder, "smoke", ["U", "RS"], [0, 1])
    assert found["table2"]["U"]["OWS-U"]["mean"] is None
    assert found["table2"]["RS"]["OWS-U"]["mean"] is None
    assert found["table2"]["RS"]["OWS-W"]["mean"] is not None
    assert found["table3"]["Slim"]["mean"] is None
    assert "| - (65.96) |" in document(found)


def test_shared_widths() -> None:
    """Neighbours are compared layer by layer; the original widths are drawn beside the found ones."""
    assert shared_widths([[1, 2, 3], [1, 2, 4], [2, 2, 4]]) == [2, 2]


def test_found_widths(folder: Path) -> None:
    """Identical networks share all 14 layers; half the budget is half used."""
    found = collect(folder, "smoke", ["RS"], [0])
    assert found["searches"]["search-aows-RS"]["0"]["shared"] == [14] * 6
    assert "| search-ows | 50.00 - 50.00 |" in document(found)
    assert set(found["searches"]) == {"original", "search-ows", "search-aows-RS"}


def test_figures_as_words() -> None:
    """Spread and the paper's number where there are any."""
    assert figure(summary({0: 50.0, 1: 52.0}, 64.44)) == "51.00 ± 1.41 (64.44)"
    assert figure(summary({0: 1.5}, -0.22), "+") == "+1.50 (-0.22)"
    assert figure(summary({})) == "-"


def test_the_paper_s_table_is_whole() -> None:
    """Six rows of six; in row U sampling makes no difference; OWS-U beats Slim-U everywhere."""
    assert list(paper.TABLE2) == list(ROWS)
    assert all(list(row) == list(COLUMNS) for row in paper.TABLE2.values())
    assert all(paper.TABLE2["U"][f"{s}-U"] == paper.TABLE2["U"][f"{s}-W"] for s in ("Slim", "OWS", "AOWS"))
    assert all(row["OWS-U"] - row["Slim-U"] > 1.4 for row in paper.TABLE2.values())


def test_the_command_writes_tables_and_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --tables-only nothing is trained; a folder of another size is refused with exit code 2."""
    (folder / "pieces").rename(folder / "kept")
    results = folder / "results"
    base = ["--rows", "U", "RS", "--seeds", "0", "1", "--out", str(results), "--tables-only"]
    assert table2.main(["--size", "smoke", *base]) == 0
    (folder / "kept").rename(results / "pieces")
    assert table2.main(["--size", "smoke", *base]) == 0
    assert "## Table 2" in capsys.readouterr().out
    names = {path.name for path in results.iterdir()}
    assert {"results.json", "tables.md", "figure2.png", "figure3-U.png", "figure3-RS.png"} <= names
    assert max(path.stat().st_size for path in results.glob("*.png")) < 200_000
    assert table2.main(["--size", "cpu", *base]) == 2
    assert "another configuration" in capsys.readouterr().err
