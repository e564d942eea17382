"""The recipe of latency budgets: what it asks, which networks it compares, what it says. Nothing is measured here."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import latency_figures
import latency_search as recipe
from sartor import spaces
from sartor.costs.devices import device_cost
from sartor.costs.keys import space_pieces
from sartor.costs.tables import Entry, LatencyTable
from sartor.profiling.networks import Measured
from sartor.space import SearchSpace

COUNT = 6


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return spaces.create("mobilenet_v1", **recipe.PICTURES, **{**recipe.OPTIONS, "levels": 3})


@pytest.fixture(scope="module")
def device(space: SearchSpace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A made-up device on which parameters cost more than MACs."""
    entries = {
        key: Entry(1_000 + sum(layer.macs for layer in piece.layers) // 8 + 2 * piece.params)
        for key, piece in space_pieces(space).items()
    }
    table = LatencyTable(
        kind="table",
        device={"name": "board"},
        runtime={"name": "onnxruntime", "version": "1.0"},
        threads=1,
        dtype="float32",
        batch=1,
        image_size=32,
        date="2026-01-01T00:00:00+00:00",
        repeats=15,
        space={"name": space.name, "options": space.options},
        call_ns=4_000,
        entries=entries,
        noise={},
        errors={"raw": {"margin_90": 0.25}},
    )
    path = tmp_path_factory.mktemp("device") / "device.json"
    path.write_text(json.dumps(table.to_dict()))
    return str(path)


@pytest.fixture(scope="module")
def networks(space: SearchSpace, device: str) -> dict[str, Any]:
    return recipe.equal_networks(space, device, COUNT)


def test_networks_have_equal_macs_and_the_solver_finds_the_ends(
    space: SearchSpace, device: str, networks: dict[str, Any]
) -> None:
    """All within 0.5 %, in the order of their prediction, and no sampled network lies beyond the solver's two."""
    rows = np.array(list(networks.values()))
    macs, latency = space.cost("macs")(rows), device_cost(space, device)(rows)
    assert len(rows) == COUNT and macs.max() / macs.min() - 1 <= 0.005
    assert (np.diff(latency) >= 0).all() and latency[-1] > 1.2 * latency[0]
    assert len({tuple(row) for row in rows.tolist()}) == COUNT


def test_a_budget_from_below_is_exact(space: SearchSpace) -> None:
    """It holds for the networks that cost at least so much, and for no other."""
    rows = space.sample(200, np.random.default_rng(0))
    cost = space.cost("macs")
    low = int(np.sort(cost(rows))[100])
    budget = recipe.at_least(cost, low)
    assert ((budget.cost(rows) <= budget.limit) == (cost(rows) >= low)).all()


def test_budgets_leave_room_for_the_margin(space: SearchSpace, device: str) -> None:
    """Ascending, above the smallest network's prediction times 1 + margin, below the largest one's."""
    assert space.smallest is not None and space.largest is not None
    budgets = [p["latency_ms"] for p in recipe.platforms(space, device)]
    low, high = 1.25 * device_cost(space, device)(np.array([space.smallest.row, space.largest.row])) / 1e6
    assert low < budgets[0] < budgets[1] < budgets[2] < high


def measured(ms: float) -> Measured:
    return Measured(ms, 0.01, 9, "thread CPU time", {"name": "r", "version": "2.0"}, "2026-01-01")


def test_what_it_says(space: SearchSpace, device: str, networks: dict[str, Any], tmp_path: Path) -> None:
    """Ranks per runtime and their correlations; each demand is answered with yes or NO, missing runtimes are named."""
    found: dict[str, Any] = {
        "onnxruntime": {name: measured(1.0 + i) for i, name in enumerate(networks)},
        "pytorch": {name: measured(9.0 - i) for i, name in enumerate(networks)},
        "openvino": None,
    }
    equal = recipe.order_rows(space, device, networks, found)
    assert [n["measured"]["pytorch"]["rank"] for n in equal["networks"]] == list(range(COUNT, 0, -1))
    assert equal["spearman"]["onnxruntime, pytorch"] == pytest.approx(-1)
    assert equal["last_over_first"]["onnxruntime"] == COUNT
    base: dict[str, Any] = {"margin": 0.05, "noise": 0.01, "scale": 1.0, "reason": None, "first": None}
    cases = [
        {"budget_ms": 1.0, "predicted_ms": 0.9, "measured_ms": 0.88, "missed": False},
        {"budget_ms": 2.0, "predicted_ms": 1.9, "measured_ms": 2.1, "missed": True},
        {"budget_ms": 3.0, "predicted_ms": 2.5, "measured_ms": None, "missed": None},
    ]
    platforms = [
        {"name": f"p{i}", "latency": {**base, **case}, "costs": {"macs": 5}, "test_accuracy": 50.0}
        for i, case in enumerate(cases)
    ]
    rows = recipe.search_rows({"platforms": platforms})
    assert [row["close"] for row in rows] == [True, False, None]
    table = {
        "runtime": {"name": "onnxruntime", "version": "1.0"},
        "machine": {"cpu": "a board"},
        "date": "today",
        "errors": {"raw": {"networks": 7, "median": 0.03, "p99": 0.1, "margin_90": 0.04}},
        "noise": {"network_median": None},
    }
    text = recipe.markdown(
        {
            "space": {"options": space.options},
            "table": table,
            "search": rows,
            "equal_macs": equal,
            "runtimes": {"onnxruntime": {}, "pytorch": {}, "openvino": None},
        }
    )
    lines = [line for line in text.splitlines() if line.startswith("| p")]
    assert [line.split(" | ")[7:9] for line in lines[1:]] == [["yes", "yes"], ["NO", "NO"], ["-", "-"]]
    assert "Not installed here: openvino." in text and "median of 7 other networks" in text
    assert all(a != b for a, b in itertools.pairwise(text.splitlines()) if a)


def test_rows_of_the_overview_say_what_was_missed() -> None:
    """The winner furthest from its prediction counts, above or below it."""
    winners = [{"missed": False, "prediction_off": 0.02}, {"missed": True, "prediction_off": -0.07}]
    equal = {"networks": [{}] * 3, "macs_spread": 0.0025, "last_over_first": {"predicted": 1.5, "onnxruntime": 1.4}}
    found = {"space": {"name": "mobilenet_v1"}, "search": winners, "equal_macs": equal}
    within, off, spread = latency_figures.overview_rows(found, "2 cores")
    assert within[2] == "1 of 2" and off[2] == "-7.0 %" and spread[2] == "predicted 1.50, onnxruntime 1.40"
