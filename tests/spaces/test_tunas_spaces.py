"""The three TuNAS spaces: sizes, layers, shared weights and options as in the paper and its code."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.elastic.bank import widest_layers
from sartor.errors import RequestError
from sartor.layers import Residual, walk_layers
from sartor.space import SearchSpace
from sartor.spaces.tunas.blocks import round8, squeezed_width
from sartor.spaces.tunas.networks import MOBILENETV3_NETWORKS, PROXYLESSNAS_NETWORKS, known_networks
from sartor.testing.supernet_contract import assert_same_function, pictures

NAMES = ("proxylessnas", "proxylessnas_enlarged", "mobilenetv3_like")
SEVENS = {
    16: (8, 16, 24, 32),
    32: (16, 24, 32, 40, 48, 64),
    64: (32, 40, 48, 64, 80, 96, 128),
    128: (64, 80, 96, 128, 160, 192, 256),
    256: (128, 160, 192, 256, 320, 384, 512),
    512: (256, 320, 384, 512, 640, 768, 1024),
    1024: (512, 640, 768, 1024, 1280, 1536, 2048),
}
BASES = {
    "proxylessnas_enlarged": (16, 16, 16, 32, 64, 128, 256, 512, 1024),
    "mobilenetv3_like": (16, 16, 32, 64, 128, 256, 512, 1024),
}
# Kernels and expansions of block 1 and of block 7, and of five blocks whose three last layers may be skipped.
PROXYLESS_ALL, PROXYLESS_DISTINCT = 3 * 6 * (6 * 12**3) ** 5, 3 * 6 * (6 * 7**3) ** 5
FILTERS_ENLARGED = prod(len(SEVENS[b]) for b in BASES["proxylessnas_enlarged"])
FILTERS_V3 = prod(len(SEVENS[b]) for b in BASES["mobilenetv3_like"])
# decisions, logits, rows, different networks; then the last two as the paper and the facts print them
SIZES: dict[str, tuple[int, int, int, int, str, str]] = {
    "proxylessnas": (58, 138, PROXYLESS_ALL, PROXYLESS_DISTINCT, "2.156e+21", "6.6e+17"),
    "proxylessnas_enlarged": (
        67,
        191,
        FILTERS_ENLARGED * PROXYLESS_ALL,
        FILTERS_ENLARGED * PROXYLESS_DISTINCT,
        "1.392e+28",
        "4.3e+24",
    ),
    "mobilenetv3_like": (
        86,
        306,
        FILTERS_V3 * (2 * 2 * 3) * (36 * 72**3) ** 5,
        FILTERS_V3 * (2 * (1 + 3)) * (36 * 37**3) ** 5,
        "8.481e+42",
        "2.6e+38",
    ),
}


@pytest.fixture(scope="module", params=NAMES)
def space(request: pytest.FixtureRequest) -> SearchSpace:
    """Each space as in the paper."""
    return spaces.create(request.param)


def test_sizes(space: SearchSpace) -> None:
    """Decisions, logits, rows and different networks are the published ones, as exact integers."""
    decisions, logits, rows, distinct, rows_printed, distinct_printed = SIZES[space.name]
    assert (len(space.decisions), sum(space.sizes)) == (decisions, logits)
    assert (space.cardinality, space.distinct) == (rows, distinct)
    assert (f"{rows:.3e}", f"{distinct:.1e}") == (rows_printed, distinct_printed)
    assert min(space.sizes) > 1


def test_filter_choices(space: SearchSpace) -> None:
    """Searched filters are seven multiples of the base, rounded to multiples of 8; the first space searches none."""
    found = [d.options for d in space.decisions if d.name.startswith("filters")]
    assert found == [SEVENS[b] for b in BASES.get(space.name, ())]


def test_decisions_come_in_network_order(space: SearchSpace) -> None:
    """Inside a block the filters come first, then layer by layer whether it is there, kernel, expansion, gate."""
    names = [d.name for d in space.decisions]
    kinds = ("kernel", "expansion", "se") if space.name == "mobilenetv3_like" else ("kernel", "expansion")
    expected = [] if space.name == "proxylessnas" else ["filters3"]
    for layer in (1, 2, 3, 4):
        expected += [f"block3_layer{layer}"] * (layer > 1) + [f"block3_{kind}{layer}" for kind in kinds]
    start = names.index(expected[0])
    assert names[start : start + len(expected)] == expected
    by_name = {d.name: d for d in space.decisions}
    assert by_name["block3_kernel1"].when is None
    assert by_name["block3_kernel2"].when == ("block3_layer2", ("layer",))
    assert {by_name[f"block3_{kind}2"].kind for kind in ("kernel", "layer")} == {"op"}
    assert by_name["block3_expansion2"].kind == "width"


@pytest.mark.parametrize(
    ("name", "image_size", "sides"),
    [
        ("proxylessnas", 224, [112, 112, 56, 28, 14, 14, 7, 7]),
        ("proxylessnas", 32, [32, 32, 16, 8, 4, 4, 2, 2]),
        ("proxylessnas", 8, [8, 8, 8, 4, 4, 4, 2, 2]),
        ("mobilenetv3_like", 224, [112, 56, 28, 14, 14, 7]),
        ("mobilenetv3_like", 32, [32, 16, 8, 4, 4, 2]),
        ("mobilenetv3_like", 8, [8, 8, 4, 4, 4, 2]),
    ],
)
def test_layouts(name: str, image_size: int, sides: list[int]) -> None:
    """The resolution after every block, at the paper's size and at our two smaller layouts."""
    largest = spaces.create(name, image_size=image_size).largest
    assert largest is not None
    found = {b.name.partition("_")[0]: b.stack.out_side for b in largest.blueprint.blocks}
    assert [side for block, side in found.items() if block == "stem" or block.startswith("block")] == sides
    assert found["head" if name == "proxylessnas" else "head1"] == 1


def test_layout_goes_by_size() -> None:
    """``auto`` changes below 16 and above 64 pixels, and a layout can be asked for."""
    for image_size, layout in ((15, "small"), (16, "cifar"), (64, "cifar"), (65, "imagenet")):
        for name in NAMES:
            auto = spaces.create(name, image_size=image_size).largest
            named = spaces.create(name, image_size=image_size, layout=layout).largest
            assert auto is not None
            assert named is not None
            assert auto.blueprint.blocks == named.blueprint.blocks


def test_activations_and_gates() -> None:
    """ReLU in blocks 1 and 2 and inside the stem's separable convolution, hard swish elsewhere, plain sigmoid gates."""
    largest = spaces.create("mobilenetv3_like").largest
    assert largest is not None
    functions = {b.name: {layer.function for layer in b.layers if layer.kind == "activation"} for b in blocks(largest)}
    assert functions["stem"] == functions["head1"] == functions["head2"] == {"hard_swish"}
    assert functions["stem_separable"] == {"relu"}
    assert functions["block2_layer2"] == {"relu", "sigmoid"}
    assert functions["block3_layer1"] == functions["block5_layer4"] == {"hard_swish", "relu", "sigmoid"}
    head2 = next(b for b in blocks(largest) if b.name == "head2")
    assert [(layer.kind, layer.bias) for layer in head2.layers] == [("conv", True), ("activation", False)]
    relu = spaces.create("mobilenetv3_like", activation="relu").largest
    assert relu is not None
    assert {layer.function for layer in relu.blueprint.layers} == {"", "relu", "sigmoid"}


def blocks(architecture: Any) -> tuple[Any, ...]:
    """The blocks of an architecture."""
    found: tuple[Any, ...] = architecture.blueprint.blocks
    return found


def test_first_layers_map_and_later_ones_add(space: SearchSpace) -> None:
    """Layer 1 of a block carries the stride and adds nothing; layers 2 to 4 add their input and may be missing."""
    assert space.largest is not None
    assert space.smallest is not None
    kept = {b.name: b for b in blocks(space.largest)}
    gone = {b.name: b for b in blocks(space.smallest)}
    for block in (2, 3, 4, 5):
        assert not any(isinstance(n, Residual) for n in kept[f"block{block}_layer1"].stack.body)
        for layer in (2, 3, 4):
            assert [type(n) for n in kept[f"block{block}_layer{layer}"].stack.body] == [Residual]
            assert gone[f"block{block}_layer{layer}"].is_empty
    assert ("stem_separable" in gone) == (space.name == "mobilenetv3_like")
    assert "block2_layer2" not in space.smallest.space.index or not gone["block2_layer1"].is_empty


def _slots(space: SearchSpace, template: str) -> set[str]:
    """The layers with weights that a block of the supernet holds, batch norms left out."""
    chosen = next(t for t in space.templates if t.name == template)
    stacks = ((template, stack) for stack in space.template_cells(chosen)[1])
    return {name for _, name in widest_layers(stacks) if not name.endswith("_norm")}


def test_collapsed_layers_share_all_but_the_depthwise_kernels() -> None:
    """One expanding, one projecting convolution and one gate per layer; a depthwise kernel and norm per size."""
    space = spaces.create("mobilenetv3_like")
    pointwise = {"expand", "se_reduce", "se_expand", "project"}
    assert _slots(space, "block3_layer2") == pointwise | {f"depthwise_k{k}" for k in (3, 5, 7)}
    layer = space.template_cells(next(t for t in space.templates if t.name == "block3_layer2"))[1]
    norms = {x.name for s in layer for x in walk_layers(s.body) if x.kind == "batch_norm"}
    assert norms == {"expand_norm", "project_norm", *[f"depthwise_k{k}_norm" for k in (3, 5, 7)]}
    assert _slots(space, "stem") == {"conv_k3", "conv_k5"}
    assert _slots(space, "stem_separable") == {"pointwise", *[f"depthwise_k{k}" for k in (3, 5, 7)]}


def test_separable_kernels_are_complete_layers() -> None:
    """The kernels of block 1 of the ProxylessNAS spaces share nothing."""
    for name in NAMES[:2]:
        kinds = ("depthwise", "pointwise")
        assert _slots(spaces.create(name), "block1_layer1") == {f"{x}_k{k}" for x in kinds for k in (3, 5, 7)}


def test_uncollapsed_layers_share_nothing() -> None:
    """Without collapsing every pair of kernel and expansion has a bottleneck of its own; choices stay the same."""
    space = spaces.create("proxylessnas", collapsed=False)
    pairs = [f"_k{k}e{e}" for k in (3, 5, 7) for e in (3, 6)]
    assert _slots(space, "block2_layer1") == {f"{x}{p}" for x in ("expand", "depthwise", "project") for p in pairs}
    assert space.decisions == spaces.create("proxylessnas").decisions
    rows = space.sample(20, np.random.default_rng(0))
    assert (space.cost("macs")(rows) == spaces.create("proxylessnas").cost("macs")(rows)).all()


def test_uncollapsed_supernet_is_the_child() -> None:
    """The uncollapsed supernet, gates included, computes what the extracted network computes."""
    space = spaces.create("mobilenetv3_like", collapsed=False, image_size=8, num_classes=3, multiplier=0.25, depth=1)
    supernet = space.supernet(seed=1).double()
    for row in space.sample(1, np.random.default_rng(0)):
        architecture = space.architecture(row)
        assert_same_function(supernet, architecture, supernet.extract(architecture), pictures(space))


def test_off_grid_expansions_build_uncollapsed() -> None:
    """A fractional expansion, which is no choice of the space, gives a name that torch accepts."""
    space = spaces.create("mobilenetv3_like", collapsed=False, image_size=8, num_classes=3)
    values = known_networks(MOBILENETV3_NETWORKS["hard_swish"], space.decisions)["mobilenet_v3_large"]
    assert space.blueprint(values).build()(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_fixed_filters() -> None:
    """The three lists of fixed filters; a block of stride 1 keeps the number where it doubles with the stride."""
    found = {}
    for filters in ("proxylessnas", "doubled_per_stride", "doubled_per_block"):
        space = spaces.create("proxylessnas", filters=filters)
        assert space.cardinality == PROXYLESS_ALL
        assert space.largest is not None
        widths = {b.name: b.stack.out_channels for b in blocks(space.largest)}
        found[filters] = [widths[n] for n in ("stem", *[f"block{b}_layer1" for b in range(1, 8)], "head")]
    assert found == {
        "proxylessnas": [32, 16, 32, 40, 80, 96, 192, 320, 1280],
        "doubled_per_stride": [16, 16, 32, 64, 128, 128, 256, 256, 256],
        "doubled_per_block": [16, 16, 16, 32, 64, 128, 256, 512, 1024],
    }


def test_multiplier_and_depth_shrink_the_space() -> None:
    """Base filters scale and stay multiples of 8; blocks have as many layers as asked for."""
    small = spaces.create("proxylessnas_enlarged", multiplier=0.25, depth=2)
    options = {d.name: d.options for d in small.decisions}
    assert options["filters0"] == (8, 16)
    assert options["filters8"] == SEVENS[256]
    assert "block2_layer2" in options
    assert "block2_layer3" not in options
    assert not any("_layer" in name for name in spaces.create("mobilenetv3_like", depth=1).index if "block" in name)
    largest = spaces.create("proxylessnas", multiplier=0.5).largest
    assert largest is not None
    assert [b.stack.out_channels for b in blocks(largest)][:3] == [16, 8, 16]


def test_roundings() -> None:
    """Halves round up, 8 is the least, and a gate's hidden width gains a step where rounding lost over a tenth."""
    assert [round8(c) for c in (1, 11, 12, 20, 24 * 2.5, 184.0)] == [8, 8, 16, 24, 64, 184]
    assert [squeezed_width(c) for c in (8, 64, 72, 120, 240, 480, 672, 960)] == [8, 16, 24, 32, 64, 120, 168, 240]


def test_norms_add_what_tensorflow_adds(space: SearchSpace) -> None:
    """Every batch norm adds 0.001 to the variance."""
    assert space.smallest is not None
    network = space.smallest.build()
    assert {m.eps for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}


def test_references_are_the_official_networks(shared_data: Path) -> None:
    """The networks listed by the spaces are those of the published latency model, choice by choice."""
    published = json.loads((shared_data / "tunas_pixel1_cost_model.json").read_text())["reference_architectures"]
    names = {"tunas_mobilenetv3_like_best_released": "tunas_mobilenetv3_like"}
    checked = 0
    for row in published:
        space = spaces.create(row["space"])
        known = space.references.get(names.get(row["name"], row["name"]))
        if known is not None:
            checked += 1
            assert _spelt(known.blueprint) == _published(row), row["name"]
    assert checked == 5


def _spelt(blueprint: Blueprint) -> dict[str, tuple[int, int, int, int, int]]:
    """Block -> kernel, stride, channels in the middle, out, and gates, read off the concrete layers."""
    found = {}
    for block in blueprint.blocks:
        depthwise = [layer for layer in block.layers if layer.depthwise]
        if depthwise:
            gates = sum(layer.kind == "global_pool" for layer in block.layers)
            layer = depthwise[0]
            found[block.name] = (layer.kernel, layer.stride, layer.out_channels, block.stack.out_channels, gates)
    return found


def _published(row: dict[str, Any]) -> dict[str, tuple[int, int, int, int, int]]:
    """The same from the published choices."""
    filters, is_v3 = row["filters"], row["space"] == "mobilenetv3_like"
    strides = (2, 2, 2, 2, 1, 2) if is_v3 else (2, 1, 2, 2, 2, 1, 2, 1)
    found = {}
    for place, words in row["choices"].items():
        block, layer = map(int, place.split("."))
        if words == "skip" or block == 0:
            continue
        marks = {word.rstrip("0123456789"): int(word.lstrip("kse")) for word in words.split("_")}
        entering = filters[block] if layer else filters[block - 1]
        middle = entering * marks.get("e", 1)
        stride = 1 if layer else strides[block]
        found[f"block{block}_layer{layer + 1}"] = (marks["k"], stride, middle, filters[block], marks.get("se", 0))
    return found


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("proxylessnas", {"image_size": 7}, "proxylessnas: image_size 7 is too small"),
        ("proxylessnas_enlarged", {"layout": "round"}, "unknown layout 'round'; known are auto, imagenet"),
        ("mobilenetv3_like", {"depth": 0}, "mobilenetv3_like: depth 0"),
        ("proxylessnas", {"multiplier": 0.0}, "multiplier 0.0 must be above 0"),
        (
            "proxylessnas",
            {"filters": "mnasnet"},
            "unknown filters 'mnasnet'; known are proxylessnas, published, doubled",
        ),
        ("mobilenetv3_like", {"activation": "tanh"}, "unknown activation 'tanh'"),
    ],
)
def test_wrong_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    """An impossible option is refused in one sentence that names what is allowed."""
    with pytest.raises(RequestError, match=message):
        spaces.create(name, **options)


def test_networks_name_their_space() -> None:
    """A network is listed where the space holds it: exactly its filters, enough layers, its activation."""
    assert list(spaces.create("proxylessnas").references) == ["proxylessnas_mobile"]
    assert list(spaces.create("proxylessnas_enlarged").references) == list(PROXYLESSNAS_NETWORKS)
    assert list(spaces.create("mobilenetv3_like").references) == ["tunas_mobilenetv3_like"]
    assert list(spaces.create("proxylessnas_enlarged", depth=6).references) == list(PROXYLESSNAS_NETWORKS)
    assert list(spaces.create("proxylessnas_enlarged", depth=3).references) == []
    assert spaces.create("mobilenetv3_like", activation="relu").references == {}
    assert spaces.create("proxylessnas", filters="doubled_per_block").references == {}
    assert spaces.create("mobilenetv3_like", multiplier=0.5).references == {}
