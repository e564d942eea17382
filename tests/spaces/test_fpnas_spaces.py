"""The FP-NAS spaces: cardinalities, entropies, decisions, and the figures of the reference notes."""

from __future__ import annotations

import inspect
import math
from functools import cache
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest

from sartor import mrf, spaces
from sartor.config.read import options_type
from sartor.errors import RequestError
from sartor.layers import Gate, Residual, SplitAttention
from sartor.space import SearchSpace
from sartor.spaces.fpnas.fbnetv2_f import TABLE_1
from sartor.spaces.fpnas.fpnas_l0 import L0
from sartor.spaces.fpnas.fpnas_l1 import L1
from sartor.spaces.fpnas.fpnas_l2 import L2
from sartor.spaces.fpnas.macro import channel_options
from sartor.testing.supernet_contract import assert_same_function, pictures

NAMES = ("fbnetv2_f", "fbnetv2_f_fine", "fbnetv2_f_plus", "fpnas_l0", "fpnas_l1", "fpnas_l2")

# Reference 1.2: choices per row, and blocks per row; a fine space has them per block, a plus space twice each.
F_COUNTS = (24, 216, 216, 288, 288, 360, 360, 432, 720, 720)
F_BLOCKS = (1, 1, 2, 1, 2, 1, 2, 3, 1, 3)
# Reference 1.6: channel values per row; a row has 144 times that, the first 24 times.
L_CHANNELS = {
    "fpnas_l0": (3, 5, 5, 5, 5, 9, 9, 11, 13, 13, 8),
    "fpnas_l1": (5, 5, 5, 5, 5, 9, 9, 12, 12, 13, 13, 13),
    "fpnas_l2": (5, 5, 5, 5, 5, 9, 9, 12, 12, 13, 13, 13),
}
# Reference 3: entropy at the start in nats, and samples at entropy scales 1/16, 1/8, 1/4, 1/2.
ENTROPIES = {
    "fbnetv2_f": (56.25, (3, 7, 14, 28)),
    "fbnetv2_f_fine": (98.47, (6, 12, 24, 49)),
    "fbnetv2_f_plus": (63.19, (3, 7, 15, 31)),
    "fpnas_l0": (74.4, (4, 9, 18, 37)),
    "fpnas_l1": (82.95, (5, 10, 20, 41)),
    "fpnas_l2": (82.95, (5, 10, 20, 41)),
}
# Reference 1.6 and 2.4: median of uniform samples in millions of MACs with pools, and the share above the target.
MEDIANS = [
    ("fbnetv2_f", 128, 37, 60, 0.021),
    ("fbnetv2_f", 160, 57, 90, 0.027),
    ("fbnetv2_f", 192, 81, 130, 0.023),
    ("fbnetv2_f", 256, 141, 250, 0.006),
    ("fbnetv2_f_plus", 128, 42, None, None),
    ("fbnetv2_f_plus", 256, 159, None, None),
    ("fpnas_l0", 224, 394, 400, 0.48),
    ("fpnas_l1", 240, 916, 700, 0.78),
    ("fpnas_l2", 256, 1106, 1000, 0.62),
]


SIZES = {"fpnas_l0": 224, "fpnas_l1": 240, "fpnas_l2": 256}


@cache
def space_at(name: str, image_size: int) -> SearchSpace:
    """A space at a size of pictures, made once."""
    return spaces.create(name, image_size=image_size)


def space_of(name: str) -> SearchSpace:
    """A space at its own size, those of F at the size of the search for S1."""
    return space_at(name, SIZES.get(name, 128))


def settled(space: SearchSpace, **choices: Any) -> dict[str, Any]:
    """The values of the largest architecture with some choices replaced in every row."""
    assert space.largest is not None
    values = dict(space.largest.values)
    for name in values:
        variable = name.rsplit("_", 1)[1]
        values[name] = choices.get(variable, values[name])
    return values


# ---------------------------------------------------------------------- counts


def test_choices_per_row() -> None:
    """Every row has the reference's number of choices, which form one group; a fine space has them per block."""
    groups = {n: [math.prod(space_of(n).sizes[d] for d in g) for g in space_of(n).groups] for n in NAMES}
    assert groups["fbnetv2_f"] == list(F_COUNTS)
    assert groups["fbnetv2_f_plus"] == [2 * n for n in F_COUNTS]
    per_block = zip(F_COUNTS, F_BLOCKS, strict=True)
    assert groups["fbnetv2_f_fine"] == [n for n, blocks in per_block for _ in range(blocks)]
    for name, channels in L_CHANNELS.items():
        assert groups[name] == [24 * channels[0], *[144 * n for n in channels[1:]]]


def test_cardinalities() -> None:
    """The literal counts; split attention multiplies by 2 per row, the fine space is 2.17e18 times as large."""
    counts = {name: space_of(name).cardinality for name in NAMES}
    assert counts["fbnetv2_f"] == math.prod(F_COUNTS) == 2_695_612_494_689_630_945_280_000
    assert counts["fbnetv2_f_plus"] == 2**10 * counts["fbnetv2_f"]
    assert counts["fbnetv2_f_fine"] == counts["fbnetv2_f"] * 216 * 288 * 360 * 432**2 * 720**2
    printed = {name: f"{count:.3e}" for name, count in counts.items()}
    assert printed == {
        "fbnetv2_f": "2.696e+24",
        "fbnetv2_f_fine": "5.840e+42",
        "fbnetv2_f_plus": "2.760e+27",
        "fpnas_l0": "2.078e+32",
        "fpnas_l1": "1.061e+36",
        "fpnas_l2": "1.061e+36",
    }


@pytest.mark.parametrize("name", NAMES)
def test_entropy_and_samples_at_the_start(name: str) -> None:
    """The uniform distribution has the logarithm of the cardinality as its entropy; K is its scaled floor."""
    entropy_nats, samples = ENTROPIES[name]
    entropy = math.log(space_of(name).cardinality)
    assert entropy == pytest.approx(entropy_nats, abs=0.02)
    assert tuple(math.floor(scale * entropy) for scale in (1 / 16, 1 / 8, 1 / 4, 1 / 2)) == samples
    rows = [math.log(math.prod(space_of(name).sizes[d] for d in g)) for g in space_of(name).groups]
    assert sum(rows) == pytest.approx(entropy)


def test_row_entropies_of_f() -> None:
    """Row entropies of F in nats, and the 720 choices of a wide row as a sum over its five variables."""
    entropies = [round(math.log(n), 3) for n in F_COUNTS]
    assert entropies == [3.178, 5.375, 5.375, 5.663, 5.663, 5.886, 5.886, 6.068, 6.579, 6.579]
    space = space_of("fbnetv2_f")
    assert [space.sizes[d] for d in space.groups[-1]] == [3, 2, 2, 6, 10]


def test_distinct_networks() -> None:
    """A bypassed row is one network per channel value: kernel 0 counts once where the paper counts all its values."""
    channels = [len(channel_options(row)) for row in TABLE_1.rows]
    per_row = [c + 2 * n // 3 for c, n in zip(channels, F_COUNTS, strict=True)]
    assert space_of("fbnetv2_f").distinct == math.prod(per_row)


def test_blocks_of_the_large_spaces() -> None:
    """27 blocks in L0, 32 in L1 and L2, as the paper states; 17 in F."""
    assert [sum(row.blocks for row in m.rows) for m in (L0, L1, L2, TABLE_1)] == [27, 32, 32, 17]
    assert [spaces.create(f"fpnas_l{i}").image_size for i in range(3)] == [224, 240, 256]


# ---------------------------------------------------------------------- decisions


def test_names_of_decisions() -> None:
    """Rows decide in F, ++ and L, blocks in the fine space; a row of one expansion does not decide it."""
    names = [d.name for d in space_of("fbnetv2_f").decisions]
    assert names[:4] == ["row1_kernel", "row1_activation", "row1_se", "row1_channels"]
    assert names[-5:] == ["row10_kernel", "row10_activation", "row10_se", "row10_expansion", "row10_channels"]
    plus = space_of("fbnetv2_f_plus").decisions
    assert plus[6].name == "row2_splits"
    assert plus[6].options == (0, 1, 2, 4)
    fine = [d.name for d in space_of("fbnetv2_f_fine").decisions]
    assert "row3_block2_kernel" in fine
    assert "row3_block3_kernel" not in fine
    assert [t.name for t in space_of("fbnetv2_f").templates if t.name.startswith("row3")] == [
        "row3_block1",
        "row3_block2",
    ]


def test_a_block_reads_its_own_row_and_the_channels_before() -> None:
    """The first block of a row reads the previous row's channels too, a repeated one its own row alone."""
    scopes = {t.name: t.scope for t in space_of("fbnetv2_f").templates}
    own = ("row5_kernel", "row5_activation", "row5_se", "row5_expansion", "row5_channels")
    assert scopes["row5_block1"] == ("row4_channels", *own)
    assert scopes["row5_block2"] == own
    fine = {t.name: t.scope for t in space_of("fbnetv2_f_fine").templates}
    assert fine["row5_block2"][0] == "row5_block1_channels"


@pytest.mark.parametrize("name", NAMES)
def test_smallest_and_largest_are_the_ends(name: str) -> None:
    """No architecture has fewer MACs or parameters than the smallest or more than the largest: the solver's word."""
    space = space_of(name)
    assert space.smallest is not None
    assert space.largest is not None
    for cost in (space.cost("macs"), space.cost("params")):
        ends = cost(np.asarray([space.smallest.row, space.largest.row]))
        assert ends[0] == mrf.minimise(space.problem(cost)).score
        assert ends[1] == -mrf.minimise(space.problem(cost.scaled(-1.0))).score


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


# ---------------------------------------------------------------------- figures


def test_largest_network_without_squeeze_excite() -> None:
    """At 128 pixels 121.595 M MACs and 4.2226 M weights, 109.275 M with kernel 3, 105.567 M relative to the input."""
    space = space_of("fbnetv2_f")
    network = space.blueprint(settled(space, se=0))
    assert network.macs == 121_595_392
    assert network.count("fbnet_zoo_params") == 4_222_552
    assert round(space.blueprint(settled(space, se=0, kernel=3)).macs, -3) == 109_275_000
    relative = spaces.create("fbnetv2_f", image_size=128, expansion_base="in")
    assert round(relative.blueprint(settled(relative, se=0)).macs, -3) == 105_567_000


@pytest.mark.parametrize(("name", "image_size", "median", "target", "share"), MEDIANS)
def test_random_networks(name: str, image_size: int, median: float, target: float | None, share: float | None) -> None:
    """Uniform samples have the reference's median, pools counted, and its share above the search target."""
    space = space_at(name, image_size)
    mega = space.cost("fbnet_zoo_macs")(space.sample(40_000, np.random.default_rng(0))) / 1e6
    assert np.median(mega) == pytest.approx(median, rel=0.015)
    if target is not None:
        assert (mega > target).mean() == pytest.approx(share, abs=0.005 if share < 0.1 else 0.02)


def test_random_parameters_of_the_large_spaces() -> None:
    """Median weights of uniform samples in millions: 8.9, 16.2, 17.3."""
    for name, median in (("fpnas_l0", 8.9), ("fpnas_l1", 16.2), ("fpnas_l2", 17.3)):
        space = space_of(name)
        weights = space.cost("fbnet_zoo_params")(space.sample(40_000, np.random.default_rng(1))) / 1e6
        assert np.median(weights) == pytest.approx(median, rel=0.03)


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
