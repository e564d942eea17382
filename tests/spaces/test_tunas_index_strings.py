"""Index strings of the official tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sartor import spaces
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.spaces.tunas import read_index_string, write_index_string

# The best released row of the MobileNetV3-Like search.
V3_LIKE = (
    "0:0:1:1:1:3:1:0:0:1:1:0:0:0:1:0:0:0:1:2:2:4:1:0:2:1:0:0:1:0:0:0:2:0:0:3:2:5:1:0:2:0:0:0:1:0:0:1:1:1:0:4:"
    "1:5:1:0:0:0:1:0:1:1:0:0:0:1:0:3:1:5:1:2:1:1:0:2:1:1:0:2:1:1:0:2:6:6"
)
# The architecture of the official test of the latency model: 84 ms.
PROXYLESS = (
    "0:0:0:1:0:0:0:0:1:0:0:1:0:0:1:0:1:1:0:1:0:0:1:0:0:0:0:0:0:2:1:0:1:1:0:2:1:0:2:1:0:0:1:1:0:0:0:0:"
    "1:0:0:1:0:0:0:1:1:0:2:0:0:0:0:0:1:0:0:0:2:1:0:0:0"
)
FILTERS = (16, 24, 40, 80, 128, 192, 1024, 2048)
# Kernel, expansion, squeeze-excite of the layers of blocks 1 to 5; None where skipped.
LAYERS = (
    ((5, 4, True), None, None, None),
    ((7, 5, True), (3, 3, True), (3, 2, False), (3, 3, False)),
    ((7, 6, True), (3, 3, False), (3, 2, False), (5, 2, True)),
    ((5, 6, True), None, (3, 2, True), (3, 1, True)),
    ((5, 6, True), (7, 2, True), (7, 2, True), (7, 2, True)),
)


def test_published_string_is_decoded() -> None:
    """The published string gives the filters and layers of the published table, and the known network."""
    space = spaces.create("mobilenetv3_like")
    values = read_index_string(space, V3_LIKE).values
    assert tuple(values[f"filters{b}"] for b in range(8)) == FILTERS
    assert (values["stem_kernel"], values["stem_layer"]) == (3, "skip")
    for block, layers in enumerate(LAYERS, 1):
        for layer, expected in enumerate(layers, 1):
            there = layer == 1 or values[f"block{block}_layer{layer}"] == "layer"
            found = tuple(values[f"block{block}_{kind}{layer}"] for kind in ("kernel", "expansion", "se"))
            assert (found if there else None) == expected, (block, layer)
    known = space.references["tunas_mobilenetv3_like"]
    read = read_index_string(space, V3_LIKE)
    assert (space.canonical(np.asarray([read.row])) == space.canonical(np.asarray([known.row]))).all()
    assert read.blueprint.params == 6_265_872


def test_string_of_the_official_test_is_decoded(shared_data: Path) -> None:
    """The other published string gives the architecture that is listed with the latency model."""
    published = json.loads((shared_data / "tunas_pixel1_cost_model.json").read_text())["reference_architectures"]
    row = next(r for r in published if r["name"].startswith("unit_test"))
    values = read_index_string(spaces.create("proxylessnas"), PROXYLESS).values
    for place, words in row["choices"].items():
        block, layer = int(place[0]), int(place[2]) + 1
        if words == "skip":
            assert values[f"block{block}_layer{layer}"] == "skip"
            continue
        kernel, *expansion = words.split("_")
        assert values[f"block{block}_kernel{layer}"] == int(kernel[1:])
        assert not expansion or values[f"block{block}_expansion{layer}"] == int(expansion[0][1:])
        assert values.get(f"block{block}_layer{layer}", "layer") == "layer"


@pytest.mark.parametrize(
    ("space", "length"),
    [
        (spaces.create("proxylessnas"), 73),
        (spaces.create("proxylessnas_enlarged"), 73),
        (spaces.create("mobilenetv3_like"), 86),
        (spaces.create("mobilenetv3_like", depth=2, multiplier=0.25, collapsed=False), 46),
    ],
    ids=lambda value: value.name if isinstance(value, SearchSpace) else str(value),
)
def test_strings_come_back(space: SearchSpace, length: int) -> None:
    """Every architecture, inert choices included, survives being written and read; lengths are the official ones."""
    for row in space.sample(20, np.random.default_rng(0)):
        text = write_index_string(space.architecture(row))
        assert len(text.split(":")) == length
        assert read_index_string(space, text) == space.architecture(row)


def test_published_strings_are_written_as_they_were() -> None:
    """Reading and writing a published string changes nothing; blanks around it do no harm."""
    for name, text in (("mobilenetv3_like", V3_LIKE), ("proxylessnas", PROXYLESS)):
        space = spaces.create(name)
        assert write_index_string(read_index_string(space, f" {text}\n")) == text


def test_filters_of_the_enlarged_space_close_each_block() -> None:
    """In the enlarged space the number after a block's layers is its filters, which the first space leaves at 0."""
    enlarged = spaces.create("proxylessnas_enlarged")
    numbers = write_index_string(enlarged.references["mobilenet_v2"]).split(":")
    places = [0, 2, 15, 28, 41, 54, 67, 71, 72]
    assert [numbers[p] for p in places] == ["3", "1", "2", "2", "3", "2", "1", "1", "4"]
    plain = write_index_string(spaces.create("proxylessnas").references["proxylessnas_mobile"]).split(":")
    assert {plain[p] for p in places} == {"0"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:1", r"of this proxylessnas space has 73 numbers joined by colons, got 2"),
        (PROXYLESS.replace("0:0:0:1", "0:3:0:1", 1), r"number 2 \(block1_kernel1\): got '3', allowed is 0 to 2"),
        (
            PROXYLESS.replace("0:0:0:1", "1:0:0:1", 1),
            r"number 1 \(a node with a single choice\): got '1', allowed.*only 0",
        ),
        (PROXYLESS.replace("0:0:0:1", "0:x:0:1", 1), r"number 2 \(block1_kernel1\): got 'x'"),
        (PROXYLESS.replace("0:0:0:1", "0:-1:0:1", 1), r"got '-1', allowed is 0 to 2"),
        ("", "got 1"),
    ],
)
def test_wrong_strings_are_refused(text: str, message: str) -> None:
    """A string that does not fit names the place, what stood there and what is allowed."""
    with pytest.raises(RequestError, match=message):
        read_index_string(spaces.create("proxylessnas"), text)


def test_other_spaces_have_no_strings() -> None:
    """A space of another paper is refused, in both directions."""
    space = spaces.create("nas_bench_macro")
    with pytest.raises(RequestError, match=r"belong to the spaces proxylessnas.*not to nas_bench_macro"):
        read_index_string(space, "0:0")
    with pytest.raises(RequestError, match="not to nas_bench_macro"):
        write_index_string(space.architecture([0] * 8))
