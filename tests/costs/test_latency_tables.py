"""Latency tables: exact sums, what is refused and how, and devices that are files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor import mrf
from sartor.config import load_job
from sartor.costs.correction import Correction
from sartor.costs.devices import device_cost
from sartor.costs.files import DeviceFacts, file_facts, file_margin, read_table
from sartor.costs.keys import network_pieces, space_pieces
from sartor.costs.linear_fit import fit_linear, linear_document
from sartor.costs.tables import Entry, LatencyTable
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.budgets import budgets_of, check_reachable
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.testing.examples import small_space

SPACE = small_space("proxylessnas")


def table_of(space: SearchSpace, **changes: Any) -> LatencyTable:
    """A table with an entry for every block: its MACs in nanoseconds, and 1,000 more."""
    entries = {
        key: Entry(1000 + sum(layer.macs for layer in piece.layers), 900, 2000, 5)
        for key, piece in space_pieces(space).items()
    }
    facts: dict[str, Any] = {
        "kind": "table",
        "device": {"name": "board", "cpu": "a processor", "system": "Linux", "architecture": "x86_64"},
        "runtime": {"name": "onnxruntime", "version": "1.0"},
        "threads": 1,
        "dtype": "float32",
        "batch": 1,
        "image_size": space.image_size,
        "date": "2026-01-01T00:00:00+00:00",
        "repeats": 15,
        "space": {"name": space.name, "options": space.options},
        "call_ns": 5000,
        "entries": entries,
        "noise": {"clock": "thread CPU time", "noisy": False},
    }
    return LatencyTable(**{**facts, **changes})


def written(path: Path, document: Any) -> str:
    """A JSON file, and its path as a device."""
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return str(path)


CORRECTION = Correction(7000, 0.9, 120.0, 0.25, -0.01, 60)


@pytest.mark.parametrize("correction", [None, CORRECTION])
@pytest.mark.parametrize("name", ["proxylessnas", "mobilenet_v1", "ruled", "two_exits"])
def test_sums_are_exact(name: str, correction: Correction | None) -> None:
    """The factors give, to the nanosecond, the sum over each network's own blocks."""
    space = small_space(name)
    table = table_of(space, correction=correction)
    assert table.constant == (5000 if correction is None else 7000)
    rows = space.sample(30, np.random.default_rng(0))
    blueprints = [space.architecture(row).blueprint for row in rows]
    expected = [table.constant + sum(table.ns(p) for p in network_pieces(b)) for b in blueprints]
    cost = table.cost(space)
    assert cost(rows).tolist() == expected == [table.network_ns(b) for b in blueprints]
    assert np.issubdtype(cost(rows).dtype, np.integer)
    assert (cost(rows) == cost(space.canonical(rows))).all()


def test_plain_sums_need_no_correction() -> None:
    """Without a correction a block takes what its entry says; with one, what the coefficients say, at least 1 ns."""
    table = table_of(SPACE)
    piece = next(iter(space_pieces(SPACE).values()))
    assert table.ns(piece) == table.entries[piece.key or ""].ns
    corrected = dataclasses.replace(table, correction=CORRECTION)
    expected = 0.9 * table.ns(piece) + 120 + 0.25 * piece.params - 0.01 * piece.border_elements
    assert corrected.ns(piece) == round(expected)
    assert corrected.uncorrected().ns(piece) == table.ns(piece)
    assert dataclasses.replace(CORRECTION, ns_per_block=-1e9).ns(5, piece) == 1


def test_files_come_back(tmp_path: Path) -> None:
    """A table goes to JSON and back; the spread and what was interpolated are kept."""
    table = table_of(SPACE, correction=CORRECTION, errors={"corrected": {"margin_90": 0.04}})
    key = next(iter(table.entries))
    table = dataclasses.replace(table, entries={**table.entries, key: Entry(77, interpolated=True)})
    again = read_table(written(tmp_path / "T.json", table.to_dict()))
    assert again == table
    assert again.entries[key].interpolated and not again.entries[list(table.entries)[1]].interpolated
    assert again.margin == 0.04
    assert table_of(SPACE).margin is None
    assert file_margin(tmp_path / "T.json") == 0.04
    assert file_margin(written(tmp_path / "U.json", table_of(SPACE).to_dict())) is None


def test_what_a_file_says_of_its_measurements(tmp_path: Path) -> None:
    """Machine, runtime, threads and margin; nothing of a published table; again where the file has changed."""
    path = written(tmp_path / "T.json", table_of(SPACE, threads=4, errors={"raw": {"margin_90": 0.5}}).to_dict())
    facts = file_facts(path)
    assert facts.machine == {"cpu": "a processor", "system": "Linux", "architecture": "x86_64"}
    assert facts.runtime == {"name": "onnxruntime", "version": "1.0"}
    assert (facts.threads, facts.batch, facts.repeats, facts.margin) == (4, 1, 15, 0.5)
    written(tmp_path / "T.json", table_of(SPACE, errors={"raw": {"margin_90": 0.25}}).to_dict() | {"more": 1})
    assert file_margin(path) == 0.25
    published = {"Conv-input:224x224x3-output:112x112x32": [11.1, 0.2, 3]}
    assert file_facts(written(tmp_path / "P.json", published)) == DeviceFacts()


@pytest.mark.parametrize("margin", [-0.1, "much", None, True, float("inf")])
def test_a_damaged_margin_is_refused(margin: Any, tmp_path: Path) -> None:
    """No budget is met by an error report that cannot be read: the file and what to do are named."""
    errors = {"raw": {"margin_90": 0.1}, "corrected": {"margin_90": margin}}
    device = written(tmp_path / "T.json", table_of(SPACE, errors=errors).to_dict())
    with pytest.raises(RequestError, match=r"platform 'p': device .*T.json: margin_90 .* is .*latency_margin"):
        check_reachable(SPACE, [Platform("p", {"latency_ms": 50}, device=device)])
    check_reachable(SPACE, [Platform("p", {"latency_ms": 50}, device=device, latency_margin=0.1)])


def test_a_file_is_a_device(tmp_path: Path) -> None:
    """A platform names a table by its path: budgets on whole nanoseconds, costs in milliseconds, the solver obeys."""
    table = table_of(SPACE)
    device = written(tmp_path / "T.json", table.to_dict())
    rows = SPACE.sample(20, np.random.default_rng(0))
    ns = table.cost(SPACE)(rows)
    assert (device_cost(SPACE, device)(rows) == ns).all()
    assert SPACE.cost("latency_ms", device=device)(rows) == pytest.approx(ns / 1e6, rel=1e-12)
    limit = float(np.median(ns) / 1e6)
    platform = Platform("phone", {"latency_ms": limit}, device=device)
    (budget,) = budgets_of(SPACE, platform)
    found = mrf.minimise(SPACE.problem(SPACE.cost("macs").scaled(-1.0)), [budget])
    assert table.cost(SPACE)(found.row[None])[0] <= limit * 1e6
    with pytest.raises(InfeasibleBudgetError, match="cheapest reachable latency_ms"):
        check_reachable(SPACE, [Platform("watch", {"latency_ms": 1e-4}, device=device)])


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A table that was made afresh replaces the one read before, for a new space."""
    device = written(tmp_path / "T.json", table_of(SPACE).to_dict())
    row = SPACE.sample(1, np.random.default_rng(0))
    before = device_cost(SPACE, device)(row)[0]
    written(tmp_path / "T.json", table_of(SPACE, call_ns=123_456).to_dict())
    assert device_cost(SPACE, device)(row)[0] == before + 118_456


def test_missing_entries_are_named(tmp_path: Path) -> None:
    """A block without an entry stops with its template and key; a table of another space says whose it is."""
    table = table_of(SPACE)
    key = list(table.entries)[3]
    rest = {k: v for k, v in table.entries.items() if k != key}
    device = written(tmp_path / "T.json", dataclasses.replace(table, entries=rest).to_dict())
    with pytest.raises(RequestError) as caught:
        device_cost(SPACE, device)
    assert "1 of the" in str(caught.value) and repr(key) in str(caught.value)
    other = written(tmp_path / "other.json", table_of(small_space("mobilenet_v1")).to_dict())
    with pytest.raises(
        RequestError, match=r"\(made for mobilenet_v1\): .* blocks of space 'proxylessnas' have no entry"
    ):
        device_cost(SPACE, other)


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    """Latencies hold at one picture size; both are named, and what to do."""
    device = written(tmp_path / "T.json", table_of(SPACE, image_size=32).to_dict())
    with pytest.raises(RequestError, match=r"at 32x32 pixels, not at 8x8. Set deploy_image_size: 32, or make a table"):
        device_cost(SPACE, device)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 9}, "this is version 9"),
        ({"unit": "ms"}, "must be in ns, this table has unit 'ms'"),
        ({"unit": None, "threads": None}, "needs unit, threads"),
        ({"entries": {"k": [-4, 1, 2, 3]}}, "damaged.*takes -4 ns"),
        ({"entries": {"k": 4}}, "damaged"),
        ({"entries": []}, "damaged"),
        ({"kind": "guess"}, "unknown kind 'guess'"),
        ({"image_size": "big"}, "damaged"),
        ({"device": {}}, "damaged"),
        ({"correction": {"scale": 1}}, "damaged"),
        ({"format": "else"}, "none of the known formats"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Units and keys that are missing or wrong are named; nothing is guessed."""
    document = {**table_of(SPACE).to_dict(), **change}
    document = {k: v for k, v in document.items() if v is not None or k not in ("unit", "threads")}
    with pytest.raises(RequestError, match=message):
        device_cost(SPACE, written(tmp_path / "T.json", document))


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "this is no JSON"), ("[1]", "is a mapping"), ("{}", "none of the known formats"), ("\x00", "no JSON")],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """What is no device file is refused with its path."""
    with pytest.raises(RequestError, match=f"T.json.*{message}"):
        device_cost(SPACE, written(tmp_path / "T.json", text))
    with pytest.raises(RequestError, match=r"absent\.json: there is no such file. Make one with sartor profile"):
        device_cost(SPACE, str(tmp_path / "absent.json"))


def test_linear_files_are_devices(tmp_path: Path) -> None:
    """A linear model that was fitted here is read like those that are published."""
    rows = SPACE.sample(60, np.random.default_rng(0))
    model = fit_linear(SPACE, rows, (SPACE.cost("macs")(rows) * 2.0).tolist())
    device = written(tmp_path / "L.json", linear_document(model, kind="linear"))
    assert (device_cost(SPACE, device)(rows) == model.cost(SPACE)(rows)).all()
    broken = linear_document(model)
    del broken["models"][0]["tables"]  # type: ignore[index]
    with pytest.raises(RequestError, match=r"B\.json: this linear model is damaged"):
        device_cost(SPACE, written(tmp_path / "B.json", broken))


def test_jobs_name_files_beside_them(tmp_path: Path) -> None:
    """A relative path of a device is meant from the job file's folder, so that the run goes on from any other."""
    job = tmp_path / "job.yaml"
    job.write_text(
        "data: digits\nspace: mobilenet_v1\nmethod: ows\nplatforms:\n"
        "  - {name: phone, latency_ms: 4ms, device: tables/T.json}\n"
        "  - {name: pixel, latency_ms: 60ms, device: pixel1_tunas}\n"
    )
    assert [p.device for p in load_job(job).platforms] == [str(tmp_path / "tables" / "T.json"), "pixel1_tunas"]
