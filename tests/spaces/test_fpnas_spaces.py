"""The FP-NAS spaces: cardinalities, entropies, decisions, and the figures of the reference notes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fpnas_spaces import NAMES, settled, space_at, space_of

from sartor import mrf, spaces
from sartor.spaces.fpnas.fbnetv2_f import TABLE_1
from sartor.spaces.fpnas.fpnas_l0 import L0
from sartor.spaces.fpnas.fpnas_l1 import L1
from sartor.spaces.fpnas.fpnas_l2 import L2
from sartor.spaces.fpnas.macro import channel_options

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
