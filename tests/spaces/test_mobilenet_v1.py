"""The MobileNetV1 space: every integer of the reference notes, to the digit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sartor
from sartor import spaces
from sartor.errors import RequestError
from sartor.layers import walk_layers
from sartor.space import SearchSpace
from sartor.spaces.mobilenet_v1 import BASE_WIDTHS, NAMES, UNIFORM_WIDTHS, make_divisible, round_half_even

# Reference 1.2.
CHOICES = {
    32: (8, 16, 24, 32, 40, 48),
    64: (16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96),
    128: (24, 40, 48, 64, 80, 88, 104, 112, 128, 144, 152, 168, 176, 192),
    256: (48, 80, 104, 128, 152, 176, 208, 232, 256, 280, 304, 336, 360, 384),
    512: (104, 152, 208, 256, 304, 360, 408, 464, 512, 560, 616, 664, 720, 768),
    1024: (208, 304, 408, 512, 616, 720, 816, 920, 1024, 1128, 1232, 1328, 1432, 1536),
}
# Reference 1.4: width -> MACs, parameters; 32 x 32 pictures, 100 classes.
TABLE_1 = {
    0.25: (3_354_112, 238_772),
    0.375: (7_341_312, 505_532),
    0.5: (12_213_248, 869_892),
    0.625: (19_018_496, 1_332_940),
    0.75: (26_577_408, 1_893_460),
    0.875: (36_200_704, 2_552_796),
    1.0: (46_446_592, 3_309_476),
}
MACS_BY_VARIABLE = [
    *(884_736, 2_392_064, 2_244_608, 4_489_216, 2_170_880, 4_341_760, 2_134_016),
    *(4_268_032, 4_268_032, 4_268_032, 4_268_032, 4_268_032, 2_115_584, 4_231_168, 102_400),
]
# Reference 1.5: widths 0.25, 0.275, ..., 1.0 on ImageNet, millions of MACs, truncated.
UNIVERSALLY_SLIMMABLE = [
    *(41, 48, 64, 71, 80, 89, 100, 114, 124, 136, 149, 162, 177, 201, 217, 232),
    *(249, 267, 287, 306, 325, 345, 366, 389, 421, 443, 466, 490, 517, 543, 568),
]
IMAGENET = {  # AutoSlim (three) and AOWS (TensorRT fp16, 0.04 ms)
    149_825_128: (16, 32, 48, 48, 88, 88, 224, 176, 224, 368, 320, 224, 744, 744),
    324_756_536: (16, 32, 48, 64, 112, 184, 320, 368, 320, 416, 464, 560, 1128, 1128),
    572_070_904: (24, 64, 128, 144, 232, 232, 560, 464, 512, 464, 560, 560, 1128, 1128),
    267_009_824: (16, 32, 64, 112, 360, 48, 464, 664, 152, 664, 256, 208, 816, 304),
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    """The paper's space: CIFAR-100."""
    return spaces.create("mobilenet_v1", num_classes=100, image_size=32)


def test_choices(space: SearchSpace) -> None:
    """The channel sets per base width are the paper's."""
    assert [d.options for d in space.decisions] == [CHOICES[base] for base in BASE_WIDTHS]


def test_table_sizes_and_cardinality(space: SearchSpace) -> None:
    """185 unary cells, 2,396 pairwise cells, 6 x 11 x 14^12 architectures, all of them distinct."""
    assert sum(space.sizes) == 185
    # Fifteen pairwise terms: pictures to stem, thirteen pairs, last width to classes.
    assert sum(len(space.template_cells(t)[1]) for t in space.templates) == 2_396
    assert sum(f.table.size for f in space.cost("macs").factors) == 2_396 - 6 - 14
    assert space.cardinality == space.distinct == 6 * 11 * 14**12


@pytest.mark.parametrize("width", UNIFORM_WIDTHS)
def test_table_1(width: float) -> None:
    """The seven uniform networks have the paper's MACs, and the parameters counted for them."""
    blueprint = sartor.reference(f"mobilenet_v1_{width:g}x", num_classes=100, image_size=32)
    assert (blueprint.macs, blueprint.params) == TABLE_1[width]
    assert sum(p.numel() for p in blueprint.build().parameters()) == blueprint.params


def test_macs_by_variable() -> None:
    """At 1.0x every block has the MACs of its variable."""
    blueprint = sartor.reference("mobilenet_v1_1.0x", num_classes=100, image_size=32)
    assert [sum(x.macs for x in b.layers) for b in blueprint.blocks] == MACS_BY_VARIABLE


def test_smallest_and_largest(space: SearchSpace) -> None:
    """The ends of the space have 2,345,120 and 102,700,032 MACs."""
    assert space.smallest is not None
    assert space.largest is not None
    assert space.smallest.blueprint.macs == 2_345_120
    assert space.largest.blueprint.macs == 102_700_032
    assert space.largest.values == {name: base * 3 // 2 for name, base in zip(NAMES, BASE_WIDTHS, strict=True)}


def test_macs_have_a_common_divisor_of_32(space: SearchSpace) -> None:
    """Every cell of every template is a multiple of 32 MACs and of no larger number."""
    stacks = [stack for template in space.templates for stack in space.template_cells(template)[1]]
    cells = [sum(layer.macs for layer in walk_layers(stack.body)) for stack in stacks]
    assert math.gcd(*cells) == 32


def test_universally_slimmable_list() -> None:
    """All 31 published ImageNet values are met, truncated to millions."""
    widths = [0.25 + 0.025 * i for i in range(31)]
    found = [sartor.reference(f"mobilenet_v1_{w:.3f}x").macs // 1_000_000 for w in widths]
    assert found == UNIVERSALLY_SLIMMABLE
    assert sartor.reference("mobilenet_v1_1.0x").macs == 568_740_352


@pytest.mark.parametrize("macs", IMAGENET)
def test_published_imagenet_configurations(macs: int) -> None:
    """The published AutoSlim and AOWS networks have their published cost."""
    imagenet = spaces.create("mobilenet_v1", num_classes=1000, image_size=224)
    assert imagenet.blueprint(dict(zip(NAMES, IMAGENET[macs], strict=True))).macs == macs


def test_rounding_rules_differ_where_the_notes_say() -> None:
    """Round half up and round half to even part at 0.3, 0.6 and 0.625 of 32 channels; both give the same sets."""
    assert [make_divisible(32 * w) for w in (0.3, 0.6, 0.625)] == [16, 24, 24]
    assert [round_half_even(32 * w) for w in (0.3, 0.6, 0.625)] == [8, 16, 16]
    levels = [i / 10 for i in range(2, 16)]
    for base, choices in CHOICES.items():
        assert sorted({make_divisible(base * w) for w in levels}) == list(choices)
    # The guard: rounding may not lose more than a tenth.
    assert make_divisible(35) == 32
    assert make_divisible(43.9 / 4) == 16


def test_baselines_mostly_lie_off_the_grid(space: SearchSpace) -> None:
    """2, 4, 14, 4, 2, 4, 14 of the 14 baseline widths are options; only two baselines are in the space."""
    assert space.uniform is not None
    inside = [
        sum(value in d.options for d, value in zip(space.decisions, space.uniform(w).values(), strict=True))
        for w in UNIFORM_WIDTHS
    ]
    assert inside == [2, 4, 14, 4, 2, 4, 14]
    assert set(space.references) == {"mobilenet_v1_0.5x", "mobilenet_v1_1x"}
    assert space.references["mobilenet_v1_0.5x"].blueprint.macs == TABLE_1[0.5][0]


def test_uniform_baselines_as_a_space(space: SearchSpace) -> None:
    """Explicit widths make the seven-level space, which holds all seven baselines."""
    assert space.uniform is not None
    levels = [list(space.uniform(w).values()) for w in UNIFORM_WIDTHS]
    baselines = spaces.create("mobilenet_v1", widths=[list(c) for c in zip(*levels, strict=True)])
    assert [a.blueprint.macs for a in baselines.references.values()] == [macs for macs, _ in TABLE_1.values()]
    assert baselines.references["mobilenet_v1_1x"] == baselines.largest


def test_random_macs(space: SearchSpace) -> None:
    """Uniform samples have the published mean, quantiles and shares within the seven budgets."""
    macs = space.cost("macs")(space.sample(400_000, np.random.default_rng(0))) / 1e6
    assert macs.mean() == pytest.approx(34.03, abs=0.05)
    assert np.quantile(macs, [0.01, 0.99]) == pytest.approx([16.3, 56.8], abs=0.15)
    shares = [(macs <= table[0] / 1e6).mean() for table in TABLE_1.values()]
    assert shares == pytest.approx([0, 5e-6, 0.0008, 0.030, 0.207, 0.618, 0.910], abs=0.003)
    assert shares[0] == 0
    assert shares[1] < 5e-5


def test_layouts(space: SearchSpace) -> None:
    """Up to 64 pixels the stem keeps the resolution and the last map is an eighth; above, it halves it first."""
    sides = [b.stack.out_side for b in space.references["mobilenet_v1_1x"].blueprint.blocks]
    assert sides == [32, 32, 16, 16, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2, 1]
    large = spaces.create("mobilenet_v1", image_size=65).smallest
    assert large is not None
    assert large.blueprint.blocks[0].stack.out_side == 33
    cifar = spaces.create("mobilenet_v1", image_size=128, layout="cifar").smallest
    assert cifar is not None
    assert cifar.blueprint.blocks[0].stack.out_side == 128


def test_options_scale_the_grid() -> None:
    """Range, levels, multiplier and divisor shape the grid; a single level is a fixed width."""
    small = spaces.create("mobilenet_v1", min_width=0.5, max_width=1.0, levels=3, multiplier=0.5, divisor=4)
    assert small.decisions[0].options == (8, 12, 16)
    assert small.decisions[-1].options == (256, 384, 512)
    assert spaces.create("mobilenet_v1", min_width=1.0, max_width=1.0, levels=1).cardinality == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 7}, "image_size 7 is too small"),
        ({"layout": "round"}, "unknown layout 'round'"),
        ({"levels": 0}, "at least one level"),
        ({"min_width": 1.0, "max_width": 0.5}, "0 < min_width <= max_width"),
        ({"widths": [[8]]}, "needs 14 non-empty lists"),
        ({"widths": [[0]] * 14}, "needs 14 non-empty lists"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    """An impossible option is refused in one sentence."""
    with pytest.raises(RequestError, match=message):
        spaces.create("mobilenet_v1", **options)
