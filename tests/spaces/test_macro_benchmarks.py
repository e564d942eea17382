"""The two published tables of trained networks: every row of them, to the digit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np

from sartor import spaces


def test_all_rows_of_channel_bench_macro(shared_data: Path) -> None:
    """MACs and parameters of all 16,384 published width settings."""
    table = np.load(shared_data / "tables" / "channel_bench_macro.npz")
    space = spaces.create("channel_bench_macro")
    rows = table["width"].astype(np.int64) - 1
    assert len(rows) == space.cardinality == 16_384
    assert (space.cost("macs")(rows) == table["mobilenet_flops"]).all()
    assert (space.cost("params")(rows) == table["mobilenet_params"]).all()


def test_all_rows_of_nas_bench_macro(shared_data: Path) -> None:
    """MACs and parameters of all 6,561 published networks."""
    table = json.loads((shared_data / "tables" / "nasbench_macro_cifar10.json").read_text())
    space = spaces.create("nas_bench_macro")
    rows = np.asarray([[int(digit) for digit in key] for key in table])
    assert len(rows) == space.cardinality == 6_561
    assert space.cost("macs")(rows).tolist() == [entry["flops"] for entry in table.values()]
    assert space.cost("params")(rows).tolist() == [entry["params"] for entry in table.values()]


def test_blueprints_of_nas_bench_macro_agree_with_the_factors() -> None:
    """A stride-1 identity is an empty block that costs nothing; a strided one is a convolution."""
    space = spaces.create("nas_bench_macro")
    blueprint = space.architecture([0] * 8).blueprint
    layers = {b.name: len(b.layers) for b in blueprint.blocks}
    assert [layers[f"layer{i}"] for i in range(1, 9)] == [2, 0, 2, 0, 0, 2, 0, 0]
    rows = np.asarray(list(itertools.islice(itertools.product(range(3), repeat=8), 0, None, 331)))
    assert space.cost("macs")(rows).tolist() == [space.architecture(r).blueprint.macs for r in rows]


def test_macro_spaces_hold_what_their_papers_say() -> None:
    """Seven widths in quarters, eight layers with three options; ends are the all-first and all-last rows."""
    widths = spaces.create("channel_bench_macro")
    assert [d.options[-1] for d in widths.decisions] == [128, 768, 768, 768, 256, 1536, 1024]
    assert all(d.options[0] * 4 == d.options[-1] for d in widths.decisions)
    layers = spaces.create("nas_bench_macro")
    assert layers.smallest is not None
    assert layers.largest is not None
    assert layers.smallest.row == (0,) * 8
    assert layers.largest.row == (2,) * 8
