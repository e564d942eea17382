"""Tables in the formats of ProxylessNAS and Once-for-all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor import spaces
from sartor.costs.devices import device_cost
from sartor.costs.imported import is_published, pick_table, published_tables
from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.stack import Stack

SMALL = {
    "Conv-input:8x8x3-output:4x4x8": [1.5, 0.1, 10],
    "expanded_conv-input:4x4x8-output:4x4x8-expand:3-kernel:3-stride:1-idskip:1": [0.25, 0.1, 10],
    "expanded_conv-input:4x4x8-output:4x4x8-expand:3-kernel:5-stride:1-idskip:1": [0.5, 0.1, 10],
    "Logits-input:4x4x8-output:5": [0.125, 0.1, 10],
}


def _space(image_size: int = 8, kernels: tuple[int, ...] = (3, 5), function: str = "relu") -> SearchSpace:
    side = image_size // 2

    def stem() -> Stack:
        return Stack(3, image_size).conv("conv", 8, kernel=3, stride=2).batch_norm().activation()

    def block(kernel: int, layer: str) -> Stack:
        start = Stack(8, side)
        body = start.conv("expand", 24).batch_norm().activation(function).depthwise("depthwise", kernel=kernel)
        body = body.batch_norm().activation(function).conv("project", 8).batch_norm()
        return start if layer == "skip" else start.residual(body)

    def head() -> Stack:
        return Stack(8, side).global_pool().dropout().linear("linear", 5)

    decisions = [Decision("kernel", kernels), Decision("layer", ("layer", "skip"))]
    templates = [Template("stem", (), stem), Template("block", ("kernel", "layer"), block), Template("head", (), head)]
    return SearchSpace("tiny", decisions, templates, image_size=image_size)


def test_the_published_network(shared_data: Path) -> None:
    """ProxylessNAS-Mobile takes 86.4 ms by the Pixel 1 table of ProxylessNAS."""
    device = str(shared_data / "lut" / "pixel1_proxylessnas.json")
    space = spaces.create("proxylessnas", filters="published")
    found = spaces.create("proxylessnas_enlarged").references["proxylessnas_mobile"].values
    values = {name: found[name] for name in space.index}
    row = space.encode(values)
    assert int(device_cost(space, device)(np.array([row]))[0]) == 86_376_643
    assert round(float(space.cost("latency_ms", device=device)(np.array([row]))[0]), 1) == 86.4


def test_published_tables_refuse_what_they_lack(shared_data: Path) -> None:
    """The space of TuNAS has 32 filters where the table has 24: the missing operation is named."""
    device = str(shared_data / "lut" / "pixel1_proxylessnas.json")
    with pytest.raises(RequestError, match=r"18 of the 72 .*56x56x32-expand:3-kernel:3-stride:2-idskip:0"):
        device_cost(spaces.create("proxylessnas"), device)
    with pytest.raises(RequestError, match="'pixel1_proxyless' has latencies at 224 pixels, not at 32"):
        device_cost(spaces.create("proxylessnas", image_size=32), device)


def test_once_for_all_networks(shared_data: Path) -> None:
    """A network of Once-for-all's space, at two of its sizes, takes the sum of its operations."""
    data = json.loads((shared_data / "lut" / "note10_ofa_mbv3.json").read_text())
    tables = published_tables(data, "note10")
    assert [t.image_size for t in tables] == list(range(160, 225, 4))
    assert {t.name for t in tables} == {"note10_ofa"}

    def block(start: Stack, hidden: int, width: int, kernel: int, stride: int, squeeze: bool, function: str) -> Stack:
        body = start if hidden == start.out_channels else start.conv("expand", hidden).batch_norm().activation(function)
        body = body.depthwise("depthwise", kernel=kernel, stride=stride).batch_norm().activation(function)
        if squeeze:
            gate = Stack(hidden, body.out_side).global_pool().conv("reduce", 8).activation()
            body = body.gate(gate.conv("expand", hidden).activation("hard_sigmoid"))
        return body.conv("project", width).batch_norm()

    start = Stack(3, 224)
    stem = start.conv("conv", 24, kernel=3, stride=2).batch_norm().activation("hard_swish")
    first = Stack(24, 112).residual(block(Stack(24, 112), 24, 24, 3, 1, False, "relu"))
    second = block(Stack(24, 112), 96, 32, 5, 2, False, "relu")
    third = block(Stack(32, 56), 128, 48, 3, 2, True, "relu")
    head = Stack(192, 7).conv("conv", 1152).batch_norm().activation("hard_swish").global_pool()
    last = Stack(1152, 1).conv("mix", 1536).activation("hard_swish").linear("linear", 1000)
    stacks = [stem, first, second, third, head, last]
    templates = [Template(f"part{i}", (), lambda stack=stack: stack) for i, stack in enumerate(stacks)]
    space = SearchSpace("ofa", [Decision("none", (0,))], templates, image_size=224)
    names = [
        "Conv-input:224x224x3-output:112x112x24",
        "expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0",
        "expanded_conv-input:112x112x24-output:56x56x32-expand:96-kernel:5-stride:2-idskip:0-se:0-hs:0",
        "expanded_conv-input:56x56x32-output:28x28x48-expand:128-kernel:3-stride:2-idskip:0-se:1-hs:0",
        "Conv_1-input:7x7x192-output:7x7x1152",
        "AvgPool2D-input:7x7x1152-output:1x1x1152",
        "Conv_2-input:1x1x1152-output:1x1x1536",
        "Logits-input:1x1x1536-output:1000",
    ]
    expected = sum(round(data["224"][name][0] * 1e6) for name in names)
    cost = pick_table(tables, 224).cost(space)
    assert int(cost(np.zeros((1, 1), int))[0]) == expected
    assert pick_table(tables, 224).network_ns(space.architecture([0]).blueprint) == expected


def test_small_tables(tmp_path: Path) -> None:
    """A file in that format is a device; a skipped block takes nothing; the pooling is in the logits."""
    device = tmp_path / "phone.json"
    device.write_text(json.dumps(SMALL))
    cost = device_cost(_space(), str(device))
    assert cost(np.array([[0, 0], [1, 0], [0, 1], [1, 1]])).tolist() == [1_875_000, 2_125_000, 1_625_000, 1_625_000]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (_space(kernels=(3, 7)), "no entry for 'expanded_conv-.*kernel:7"),
        (_space(function="hard_swish"), "2 of the 4 different blocks"),
        (_space(image_size=16), "has latencies at 8 pixels, not at 16"),
    ],
)
def test_other_spaces_are_refused(tmp_path: Path, space: SearchSpace, message: str) -> None:
    """A kernel, an activation or a size that the table lacks stops with the operation or the size."""
    device = tmp_path / "phone.json"
    device.write_text(json.dumps(SMALL))
    with pytest.raises(RequestError, match=message):
        device_cost(space, str(device))


@pytest.mark.parametrize("value", [None, [], ["fast"], [float("nan")], [-1.0], [True]])
def test_entries_must_be_numbers(value: Any) -> None:
    """An entry that is no list of milliseconds is refused with its name."""
    data = {**SMALL, "Conv-input:8x8x3-output:4x4x8": value}
    assert is_published(data)
    with pytest.raises(RequestError, match=r"'Conv-input:8x8x3-output:4x4x8' needs \[milliseconds"):
        published_tables(data, "T.json")


def test_other_documents_are_not_published() -> None:
    """What only looks like a table is told apart."""
    assert is_published(SMALL) and is_published({"8": SMALL})
    assert not any(map(is_published, ({}, {"a": 1}, {"a": {}}, [], {"8": {"Conv": [1]}})))
