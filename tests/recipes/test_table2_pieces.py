"""The graph of pieces: what is shared between the cells of Table 2, and in what order it is done."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sartor.errors import RequestError
from searches import worklist
from slimmable.pieces import COLUMNS, PLATFORMS, ROWS, Piece, plan, retraining, standalone


def counts(pieces: list[Piece]) -> dict[tuple[str, str], int]:
    """How many pieces of each kind and system."""
    return dict(Counter((p.kind, p.system) for p in pieces))


def test_all_six_rows_share_what_does_not_depend_on_the_weights() -> None:
    """Seven searches, 23 retrainings and 14 networks alone make both tables for one seed."""
    found = plan(ROWS, [0], [0])
    assert counts(found) == {
        ("search", "OWS"): 1,
        ("search", "AOWS"): 6,
        ("train", "Slim"): 6,
        ("train", "OWS"): 6,
        ("train", "AOWS"): 11,
        ("alone", "Slim"): 7,
        ("alone", "OWS"): 7,
    }
    assert len(set(found)) == len(found) == 44
    assert len({p.file for p in found}) == 44


def test_two_rows_and_two_seeds() -> None:
    """Rows U and RS: three searches and seven retrainings per seed; Table 3 only for the seeds asked for."""
    found = plan(["U", "RS"], [0, 1], [0])
    assert counts([p for p in found if p.seed == 0 and p.kind != "alone"]) == {
        ("search", "OWS"): 1,
        ("search", "AOWS"): 2,
        ("train", "Slim"): 2,
        ("train", "OWS"): 2,
        ("train", "AOWS"): 3,
    }
    assert len([p for p in found if p.kind == "alone"]) == 14
    assert {p.seed for p in found if p.kind == "alone"} == {0}


def test_the_first_seed_is_complete_before_the_second_begins() -> None:
    """Seed after seed, so that an interrupted run leaves whole tables."""
    seeds = [p.seed for p in plan(["U"], [3, 1], [3, 1])]
    assert seeds == sorted(seeds, reverse=True)


def test_everything_needed_is_in_the_plan_and_comes_before() -> None:
    """No piece stands before the search it starts from, also where only Table 3 is asked for a seed."""
    found = plan(["RS", "L"], [0], [0, 1])
    for i, piece in enumerate(found):
        assert all(need in found[:i] for need in piece.needs)


def test_cells_of_row_u_share_one_network() -> None:
    """Sampling by the weights of row U is uniform sampling."""
    for system in ("Slim", "OWS", "AOWS"):
        assert retraining("U", f"{system}-W", 0) == retraining("U", f"{system}-U", 0)
        assert retraining("RS", f"{system}-W", 0) != retraining("RS", f"{system}-U", 0)


def test_uniform_retraining_of_slim_and_ows_serves_every_row() -> None:
    """One network weighted six ways; AOWS has its own for each row."""
    for column, networks in (("Slim-U", 1), ("OWS-U", 1), ("AOWS-U", 6)):
        assert len({retraining(row, column, 0) for row in ROWS}) == networks


def test_names() -> None:
    """A piece's file says what it is."""
    assert retraining("RS", "AOWS-W", 2).file == "train-aows-RS-RS-seed2"
    assert retraining("RS", "AOWS-U", 2).needs[0].file == "search-aows-RS-seed2"
    assert standalone("OWS", 0)[6].file == "alone-ows-p7-seed0"
    assert len(COLUMNS) == 6
    assert len(PLATFORMS) == 7


@pytest.mark.parametrize(("rows", "seeds"), [(["X"], [0]), ([], [0]), (["U"], []), (["U"], [-1])])
def test_wrong_requests(rows: list[str], seeds: list[int]) -> None:
    """An unknown row, or nothing to do, is refused in words."""
    with pytest.raises(RequestError, match="rows"):
        plan(rows, seeds)


def test_only_pieces_whose_needs_are_done_are_ready(tmp_path: Path) -> None:
    """A retraining waits for its search."""
    pieces = plan(["RS"], [0])
    names = [p.name for p in worklist.ready(tmp_path, pieces, lambda p: p.needs)]
    assert names == ["search-ows", "search-aows-RS", "train-slim-U", "train-slim-RS"]
    path = worklist.piece_path(tmp_path, pieces[0])
    path.parent.mkdir()
    path.write_text("{}")
    assert "train-ows-RS" in [p.name for p in worklist.ready(tmp_path, pieces, lambda p: p.needs)]
