"""What the page says of networks with exits, and how cells are drawn."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sartor.report.anytime import anytime
from sartor.report.cells import cells

EXITS = [
    {"exit": 0, "anytime_macs": 2_000_000, "test_accuracy": 50.0, "test_ensemble_accuracy": 50.0, "val_accuracy": None},
    {"exit": 1, "anytime_macs": 6_000_000, "test_accuracy": 60.0, "test_ensemble_accuracy": 64.0, "val_accuracy": None},
]


def result(**changes: Any) -> dict[str, Any]:
    platforms = [
        {"name": "watch", "exit": 0, "budgets": {"macs": 3e6}},
        {"name": "phone", "exit": 1, "budgets": {"macs": 8e6}},
        {"name": "tablet", "exit": 1, "budgets": {"params": 1e6}},
    ]
    found = {"exits": EXITS, "batches": [], "path": "anytime.safetensors", "stages": {"folder": "anytime"}}
    baseline = {"name": "msdnet", "anytime": {"exits": [{**EXITS[0], "test_accuracy": 40.0}]}}
    return {"platforms": platforms, "data": {"classes": 10}, "anytime": found, "baselines": [baseline], **changes}


def test_areas_end_at_the_largest_budget() -> None:
    """Up to the first exit there is chance, then a step per exit, up to the largest platform's budget."""
    found = anytime(result(), "MS-RANAS")
    assert found is not None and found.high == 8e6
    ours, msdnet = found.areas
    assert ours.single == pytest.approx((2 * 10 + 4 * 50 + 2 * 60) / 8)
    assert ours.ensemble == pytest.approx((2 * 10 + 4 * 50 + 2 * 64) / 8)
    assert msdnet.single == pytest.approx((2 * 10 + 6 * 40) / 8)
    assert found.served == {0: ("watch",), 1: ("phone", "tablet")}
    assert found.splits == ("test",)
    assert [path for path, _ in found.files] == ["anytime.safetensors", "anytime/anytime.json"]


def test_runs_without_exits_have_no_section() -> None:
    """Nothing is said where there is no network with exits."""
    assert anytime(result(anytime=None), "OWS") is None


def test_cells_show_every_edge_that_was_kept() -> None:
    """One curve and one label per operation but ``none``, and one dashed line per node to the output."""
    choices = {"normal_0_0": "sep_conv_3x3", "normal_0_1": "skip_connect", "normal_1_0": "none"}
    choices |= {"normal_1_1": "dil_conv_5x5", "normal_1_2": "my_<op>"}
    (cell,) = cells(choices)
    assert cell.kind == "normal" and len(cell.edges) == 4
    assert cell.svg.count('class="edge"') == 4 and cell.svg.count('class="joins"') == 2
    assert cell.text[1] == "node 1: dilated 5\u00d75 of layer \u22121 + my_<op> of node 0"
    assert "my_&lt;op&gt;" in cell.svg and "<op>" not in cell.svg


def test_labels_do_not_cover_each_other() -> None:
    """No two labels of a cell overlap, whatever is kept."""
    for sources in ((0, 1, 0, 2, 0, 2, 0, 3), (0, 1, 0, 1, 1, 2, 3, 4), (0, 1, 1, 2, 2, 3, 0, 1)):
        choices = {f"normal_{k // 2}_{source}": "sep_conv_3x3" for k, source in enumerate(sources)}
        (cell,) = cells(choices)
        boxes = [
            tuple(map(float, found))
            for found in re.findall(r'rect class="label" x="([\d.-]+)" y="([\d.-]+)" width="([\d.-]+)"', cell.svg)
        ]
        assert len(boxes) == 8
        for i, (x, y, wide) in enumerate(boxes):
            for u, v, other in boxes[:i]:
                assert abs(y - v) >= 18 or x + wide <= u + 0.2 or u + other <= x + 0.2


def test_other_spaces_have_no_cells() -> None:
    """Choices that are no edges draw no cell."""
    assert cells({"width1": 8, "normal_0_0": "skip_connect"}) == ()
