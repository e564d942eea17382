"""The FP-NAS spaces: what their blocks are made of, and what their options change."""

from __future__ import annotations

import inspect
from typing import Literal, get_type_hints

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fpnas_spaces import NAMES, SIZES, settled, space_at, space_of
from torch import nn

from sartor import spaces
from sartor.blueprint import Block, Blueprint
from sartor.config.read import options_type
from sartor.errors import RequestError
from sartor.layers import Gate, Residual, SplitAttention
from sartor.memory import PICTURES
from sartor.testing.supernet_contract import assert_same_function, pictures

# ---------------------------------------------------------------------- blocks


def test_bypass() -> None:
    """Kernel 0 is nothing where shapes agree, and else a 1x1 convolution with batch norm and ReLU and the stride."""
    space = space_of("fbnetv2_f")
    values = settled(space, kernel=0)
    blocks = {b.name: b for b in space.blueprint(values).blocks}
    assert [n for n, b in blocks.items() if b.is_empty] == [
        *("row1_block1", "row3_block1", "row3_block2", "row5_block1", "row5_block2", "row7_block1", "row7_block2"),
        *("row8_block2", "row8_block3", "row10_block1", "row10_block2", "row10_block3"),
    ]
    reduction = [(x.kind, x.kernel, x.stride, x.function) for x in blocks["row9_block1"].layers]
    assert reduction == [("conv", 1, 2, ""), ("batch_norm", 1, 1, ""), ("activation", 1, 1, "relu")]
    # In a stride-1 row whose channels change, the first block is a 1x1 convolution and the rest vanish.
    values["row7_channels"] = 48
    blocks = {b.name: b for b in space.blueprint(values).blocks}
    assert [x.kind for x in blocks["row7_block1"].layers] == ["conv", "batch_norm", "activation"]
    assert blocks["row7_block2"].is_empty


def test_one_split_is_squeeze_excite() -> None:
    """With 0 or 1 split everywhere the ++ space resolves to the networks of F, layer for layer."""
    plain, plus = space_of("fbnetv2_f"), space_of("fbnetv2_f_plus")
    for row in plain.sample(5, np.random.default_rng(0)):
        values = plain.architecture(row).values
        same = {name.replace("_se", "_splits"): value for name, value in values.items()}
        assert plus.blueprint(same).blocks == plain.blueprint(values).blocks


def test_what_one_split_computes() -> None:
    """Squeeze-excite by hand: pool, reduce with the block's activation, expand, hard sigmoid, multiply, then project.

    The plus space computes it with one split, and the F space with squeeze-excite, on the same weights.
    """
    space = space_of("fbnetv2_f_plus")
    (block,) = [b for b in space.blueprint(settled(space, splits=1)).blocks if b.name == "row9_block1"]
    network = Blueprint((Block("block", (PICTURES,), block.stack),), block.stack.in_channels, block.stack.in_side)
    built = network.build(seed=2).double().train()
    x = torch.randn(3, block.stack.in_channels, 6, 6, dtype=torch.float64)
    layers = {path.rsplit(".", 1)[-1]: m for path, m in built.named_modules()}
    modules = {name.split("_k")[0]: m for name, m in layers.items() if isinstance(m, nn.Conv2d)}
    norms = {name.split("_k")[0]: m for name, m in layers.items() if isinstance(m, nn.BatchNorm2d)}
    inner = F.hardswish(norms["expand"](modules["expand"](x)))
    moved = F.hardswish(norms["depthwise"](modules["depthwise"](inner)))
    reduce, expand = modules["se_reduce"], modules["se_expand"]
    hidden = F.hardswish(moved.mean((2, 3)) @ reduce.weight.flatten(1).T + reduce.bias)
    gate = (hidden @ expand.weight.flatten(1).T + expand.bias + 3).clamp(0, 6) / 6
    expected = norms["project"](modules["project"](moved * gate[:, :, None, None]))
    torch.testing.assert_close(built(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("splits", "squeezed"), [(1, 208), (2, 416), (4, 832)])
def test_layers_of_a_block(splits: int, squeezed: int) -> None:
    """Expansion once, one depthwise convolution per split, a gate or an attention on the inner width, projection."""
    space = space_of("fbnetv2_f_plus")
    blocks = {b.name: b for b in space.blueprint(settled(space, splits=splits)).blocks}
    (node,) = blocks["row10_block2"].stack.body
    assert isinstance(node, Residual)
    assert isinstance(node.body[3], SplitAttention) == (splits > 1)
    assert any(isinstance(n, Gate) for n in node.body) == (splits == 1)
    convolutions = [x for x in blocks["row10_block2"].layers if x.kind == "conv"]
    shapes = [(x.in_channels, x.out_channels, x.kernel, x.depthwise, x.bias) for x in convolutions]
    inner = 832  # 4.5 x 184 = 828, to the nearest multiple of 8
    assert shapes == [
        (184, inner, 1, False, False),
        *[(inner, inner, 5, True, False)] * splits,
        (inner, squeezed, 1, False, True),
        (squeezed, splits * inner, 1, False, True),
        (inner, 184, 1, False, False),
    ]


def test_squeeze_rule() -> None:
    """The fixed rule squeezes to a quarter of the inner width whatever the splits; squeeze-excite is the same."""
    fixed = spaces.create("fbnetv2_f_plus", squeeze="fixed")
    for splits in (1, 4):
        blocks = {b.name: b for b in fixed.blueprint(settled(fixed, splits=splits)).blocks}
        reduce = next(x for x in blocks["row10_block1"].layers if "reduce" in x.name)
        assert reduce.out_channels == 208


@pytest.mark.parametrize(("base", "inner"), [("out", 72), ("in", 48), ("max_in", 72)])
def test_expansion_base(base: str, inner: int) -> None:
    """The expansion multiplies the output channels, the input channels, or the largest input channels there are."""
    space = spaces.create("fbnetv2_f", expansion_base=base)
    values = settled(space, expansion=3.0) | {"row2_channels": 16}
    blocks = {b.name: b for b in space.blueprint(values).blocks}
    assert blocks["row3_block1"].layers[0].out_channels == inner


def test_weights_are_kept_apart_by_choice() -> None:
    """Kernels, activations and splits have their own weights, repeated blocks too; widths share theirs as prefixes."""
    space = space_of("fbnetv2_f_plus")
    names = {}
    for kernel in (3, 5):
        for activation in ("relu", "hard_swish"):
            for splits in (0, 1, 2, 4):
                values = settled(space, kernel=kernel, activation=activation, splits=splits)
                blocks = {b.name: b for b in space.blueprint(values).blocks}
                names[kernel, activation, splits] = {x.name for x in blocks["row9_block1"].layers if x.params}
    for a, b in [(a, b) for a in names for b in names if a != b]:
        assert names[a].isdisjoint(names[b])
    shared = spaces.create("fbnetv2_f_plus", share_activation=True)
    found = []
    for activation in ("relu", "hard_swish"):
        blocks = {b.name: b for b in shared.blueprint(settled(shared, activation=activation)).blocks}
        found.append({x.name for x in blocks["row9_block1"].layers if x.params})
    assert found[0] == found[1]


# ---------------------------------------------------------------------- options


def test_layouts() -> None:
    """Five reductions for ImageNet, four for pictures up to 64 pixels, two below 16."""
    sides = {}
    for size in (224, 32, 8):
        smallest = space_at("fbnetv2_f", size).smallest
        assert smallest is not None
        sides[size] = [b.stack.out_side for b in smallest.blueprint.blocks]
    assert sides[224] == [112, 112, 56, 56, 56, 28, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7, 7, 7, 7, 1]
    assert sides[32] == [32, 32, 16, 16, 16, 8, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 2, 1]
    assert sides[8] == [8, 8, 8, 8, 8, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    assert space_at("fbnetv2_f", 32).options["layout"] == "cifar"


def test_heads() -> None:
    """The conv head convolves before the pooling; the pool head narrows, expands by 6, pools and convolves after it."""
    space = spaces.create("fbnetv2_f", head="pool")
    assert space.largest is not None
    blocks = {b.name: b for b in space.largest.blueprint.blocks}
    layers = [layer for name in ("tail", "head") for layer in blocks[name].layers if layer.kind == "conv"]
    shapes = [(x.in_channels, x.out_channels, x.in_side) for x in layers]
    assert shapes == [(184, 224, 7), (224, 1344, 7), (1344, 1984, 1)]
    assert [x.kind for x in blocks["classifier"].layers] == ["global_pool", "dropout", "linear"]
    plain = space_of("fbnetv2_f").largest
    assert plain is not None
    assert [x.kind for x in plain.blueprint.blocks[-2].layers] == ["conv", "batch_norm", "activation"]


def test_small_machines() -> None:
    """A multiplier scales stem, rows and head, a divisor makes finer inner widths; repeats and options have caps."""
    small = spaces.create("fbnetv2_f", image_size=32, multiplier=0.5, depth=1, divisor=4)
    assert small.largest is not None
    assert [b.stack.out_channels for b in small.largest.blueprint.blocks][:4] == [8, 8, 12, 12]
    assert sum(t.name.startswith("row") for t in small.templates) == 10
    assert small.decisions[-1].options == (56, 60, 64, 68, 72, 76, 80, 84, 88, 92)
    assert small.largest.blueprint.blocks[-2].stack.out_channels == 992
    inner = small.blueprint(settled(small, expansion=0.75)).blocks[2].layers[0].out_channels
    few = spaces.create("fbnetv2_f", channel_choices=3)
    assert [d.options for d in few.decisions if d.name in ("row3_channels", "row10_channels")] == [
        (16, 20, 24),
        (112, 144, 184),
    ]
    assert inner == 12  # 0.75 x 12 = 9, rounded to a multiple of 4 and up, because 8 lost more than 5 %


@pytest.mark.parametrize("name", NAMES)
def test_a_job_file_knows_the_options(name: str) -> None:
    """Every option can stand in a job file with its type, and has the space's own default."""
    hints = get_type_hints(options_type(name))
    assert hints["depth"] == int | None
    assert hints["head"] == Literal["conv", "pool"]
    assert set(hints) == set(space_of(name).options)
    assert inspect.signature(spaces.builder(name)).parameters["image_size"].default == SIZES.get(name, 224)
    assert spaces.builder(name).__name__ == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 7}, "fbnetv2_f: image_size 7 is too small"),
        ({"layout": "round"}, "unknown layout 'round'; known are auto, small"),
        ({"head": "none"}, "unknown head 'none'; known are conv, pool"),
        ({"expansion_base": "both"}, "unknown expansion_base 'both'"),
        ({"squeeze": "half"}, "unknown squeeze 'half'"),
        ({"multiplier": 0}, "multiplier 0 is not possible"),
        ({"depth": 0}, "depth 0 is not possible"),
        ({"divisor": -8}, "divisor -8 is not possible"),
        ({"channel_choices": 1}, "channel_choices 1 is not possible, at least 2"),
        ({"deapth": 1}, "did you mean 'depth'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    """An impossible option is refused in one sentence."""
    with pytest.raises(RequestError, match=message):
        spaces.create("fbnetv2_f", **options)


def test_supernet_with_other_options() -> None:
    """With the pool head, shared activations and expansions of the input, supernet and extracted network agree."""
    options = {"head": "pool", "share_activation": True, "expansion_base": "in", "squeeze": "fixed"}
    space = spaces.create(
        "fbnetv2_f_plus", num_classes=5, image_size=16, multiplier=0.25, depth=2, channel_choices=2, **options
    )
    supernet = space.supernet(seed=0).double()
    assert space.largest is not None
    for row in (space.largest.row, *space.sample(2, np.random.default_rng(0))):
        architecture = space.architecture(row)
        assert_same_function(supernet, architecture, supernet.extract(architecture), pictures(space))
