"""MACs and parameters of MS-RANAS networks to the digit (reference 3.3 to 3.6), and the shapes behind them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ms_ranas_cells import ORACLE

import sartor
from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.spaces.ms_ranas import read_genotype


def network(**options: Any) -> Blueprint:
    """The network of the reference's cell, with two nodes."""
    space = spaces.create("ms_ranas", **options)
    return read_genotype(space, ORACLE).blueprint


def ablation(**options: Any) -> Blueprint:
    """The ablation network with the cell of DARTS."""
    space = spaces.create("ms_ranas", **{"layers": 5, "nodes": 4, "channels": 16, **options})
    return space.references["darts_v2"].blueprint


def lazy(whole: Blueprint, exit: int, count: str) -> int:
    """What an exit reads and, as the reference counts, the heads of the exits before it."""
    heads = [block for block in whole.blocks if block.is_exit and block.stage < exit]
    before: int = sum(getattr(layer, count) for block in heads for layer in block.layers)
    return before + int(getattr(whole.cut(exit, lazy=True), count))


# ---------------------------------------------------------------------- reference 3.5

R_MACS = [21_558_528, 38_861_312, 62_682_880, 85_949_440, 109_780_224, 131_137_024]
R_PARAMS = [290_154, 655_220, 1_192_830, 1_998_984, 3_379_602, 4_866_460]
R_LAZY_MACS = [6_763_776, 14_547_456, 36_214_528, 56_753_152, 81_767_680, 103_403_008]
R_LAZY_PARAMS = [261_098, 607_412, 1_045_310, 1_760_008, 2_799_890, 4_102_300]


def test_r_by_the_digit() -> None:
    """MACs and parameters of the proposed network up to every exit, all cells of the layers counted."""
    found = network()
    assert [found.cut(k).macs for k in range(6)] == R_MACS
    assert [found.cut(k).params for k in range(6)] == R_PARAMS
    assert (found.macs, found.params) == (R_MACS[-1], R_PARAMS[-1])


def test_r_lazily_by_the_digit() -> None:
    """The same where only what an exit reads is counted, and the heads of earlier exits."""
    found = network()
    assert [lazy(found, k, "macs") for k in range(6)] == R_LAZY_MACS
    assert [lazy(found, k, "params") for k in range(6)] == R_LAZY_PARAMS


def test_r_with_100_classes() -> None:
    """90 more outputs cost 11,520 MACs and 11,610 parameters per exit passed."""
    found = network(num_classes=100)
    assert [found.cut(k).macs for k in range(6)] == [m + 11_520 * (k + 1) for k, m in enumerate(R_MACS)]
    assert [found.cut(k).params for k in range(6)] == [p + 11_610 * (k + 1) for k, p in enumerate(R_PARAMS)]
    assert (found.macs, found.params) == (131_206_144, 4_936_120)


def test_the_first_exit_by_hand() -> None:
    """The sums of reference 3.5, part by part."""
    found = network().cut(0)
    macs = {block.name: sum(layer.macs for layer in block.layers) for block in found.blocks}

    def total(*words: str) -> int:
        return sum(m for name, m in macs.items() if all(word in name for word in words))

    assert total("generator") == 3_833_856
    assert (total("scale0", "input"), total("scale0", "edge")) == (2_097_152, 8_060_928)
    assert (total("scale1", "horizontal"), total("scale1", "diagonal")) == (262_144, 2_359_296)
    assert total("scale1", "edge") == 2_015_232
    assert (total("scale2", "horizontal"), total("scale2", "diagonal")) == (65_536, 589_824)
    assert total("scale2", "edge") == 503_808
    assert macs["exit0"] == 1_179_648 + 589_824 + 1_280
    assert sum(macs.values()) == R_MACS[0]


def test_costs_of_the_space_are_those_of_its_networks() -> None:
    """Factors add up to the same figures, up to every exit, all cells or lazily."""
    space = spaces.create("ms_ranas")
    row = np.array([read_genotype(space, ORACLE).row])
    assert [int(space.cost("macs", exit=k)(row)[0]) for k in range(6)] == R_MACS
    assert [int(space.cost("params", exit=k)(row)[0]) for k in range(6)] == R_PARAMS
    whole = space.architecture(row[0]).blueprint
    for name in ("macs", "params"):
        expected = [getattr(whole.cut(k, lazy=True), name) for k in range(6)]
        assert [int(space.cost(name, exit=k, lazy=True)(row)[0]) for k in range(6)] == expected


ABLATION = {  # scales -> MACs of all cells, lazily, and parameters at exits 2 to 5; exact integers behind 3.5's figures
    1: (
        [13_288_704, 29_960_704, 39_464_704, 49_636_352],
        [13_288_704, 29_960_704, 39_464_704, 49_636_352],
        [298_330, 614_916, 1_075_726, 1_597_528],
    ),
    2: (
        [6_341_888, 17_154_560, 28_362_496, 39_700_480],
        [5_293_312, 12_280_320, 24_168_192, 34_838_528],
        [305_914, 663_140, 1_206_126, 1_913_144],
    ),
    3: (
        [5_047_552, 14_837_760, 27_356_416, 39_870_720],
        [2_688_256, 5_926_912, 13_044_992, 26_109_184],
        [313_498, 711_364, 1_336_526, 2_228_760],
    ),
}


@pytest.mark.parametrize("scales", ABLATION)
def test_ablation_networks(scales: int) -> None:
    """The ablation networks agree with the printed digits of reference 3.5, and stay as they are."""
    found = ablation(scales=scales)
    macs, lazy_macs, params = ABLATION[scales]
    assert [found.cut(k).macs for k in range(4)] == macs
    assert [lazy(found, k, "macs") for k in range(4)] == lazy_macs
    assert [found.cut(k).params for k in range(4)] == params
    printed = {
        1: ([13.29, 29.96, 39.46, 49.64], [13.29, 29.96, 39.46, 49.64], [0.298, 0.615, 1.076, 1.598]),
        2: ([6.34, 17.15, 28.36, 39.70], [5.29, 12.28, 24.17, 34.84], [0.306, 0.663, 1.206, 1.913]),
        3: ([5.05, 14.84, 27.36, 39.87], [2.69, 5.93, 13.04, 26.11], [0.313, 0.711, 1.337, 2.229]),
    }[scales]
    for exact, rounded, digits in zip((macs, lazy_macs, params), printed, (2, 2, 3), strict=True):
        assert [round(value / 1e6, digits) for value in exact] == rounded


def test_the_first_exit_costs_12_percent() -> None:
    """Three scales, five layers, the DARTS cell: 12.7 % of the MACs (the paper: 12 %), 14.1 % of the parameters."""
    found = ablation(scales=3)
    assert round(found.cut(0).macs / found.macs, 3) == 0.127
    assert round(found.cut(0).params / found.params, 3) == 0.141


def test_the_network_of_darts() -> None:
    """36 channels, 20 cells, one scale: 528.4 M MACs and 3.35 M parameters, the auxiliary head not among them."""
    found = sartor.reference("darts_v2", num_classes=10)
    assert (found.macs, found.params) == (528_359_040, 3_349_342)
    assert (found.name, found.image_size, found.exits) == ("darts_v2", 32, 1)
    assert found.auxiliary is not None
    assert found.auxiliary.inputs == ("layer14_scale0",)  # cell 2L // 3 = 13, counted from 0
    assert sum(layer.macs for layer in found.auxiliary.layers) == 576 * 128 * 4 + 128 * 768 * 4 + 7680
    assert sum(layer.params for layer in found.auxiliary.layers) == 576 * 128 + 256 + 128 * 768 * 4 + 1536 + 7690


# ---------------------------------------------------------------------- reference 3.3 and 3.4: the alternatives


MODES = ("two_back", "diagonal_horizontal", "previous")
WIDTHS = ((1, 1, 1), (1, 2, 2), (1, 2, 4))


@pytest.mark.parametrize(
    ("options", "macs", "params"),
    [
        ({}, (0.123, 0.135), (0.095, 0.150)),
        ({"head": "pool"}, (0.113, 0.125), (0.019, 0.024)),
        ({"stem_multiplier": 3}, (0.32, 0.38), (0.125, 0.170)),
        ({"generator": "extra_layer"}, (0.279, 0.356), (0.118, 0.164)),
        ({"reductions": "drop_finest"}, (0.287, 0.364), (0.247, 0.258)),
        ({"reductions": "none"}, (0.202, 0.224), (0.231, 0.246)),
    ],
)
def test_alternatives_have_the_ratios_of_the_reference(
    options: dict[str, Any], macs: tuple[float, float], params: tuple[float, float]
) -> None:
    """First exit over last one, over three ways to feed the cells and three ratios of widths (reference 3.3)."""
    found = [ablation(cell_inputs=mode, scale_width=width, **options) for mode in MODES for width in WIDTHS]
    for (low, high), count in ((macs, "macs"), (params, "params")):
        ratios = [getattr(network.cut(0), count) / getattr(network, count) for network in found]
        assert (round(min(ratios), len(str(low)) - 2), round(max(ratios), len(str(high)) - 2)) == (low, high)


@pytest.mark.parametrize(
    ("options", "params", "macs"),
    [
        ({"channels": 16}, 2.22, [6.9, 11.8, 18.7, 25.2, 32.1, 38.3]),
        ({"channels": 16, "scale_width": (1, 2, 2)}, 4.17, [11.6, 20.6, 33.4, 45.6, 58.6, 69.5]),
        ({"channels": 16, "scale_width": (1, 2, 4)}, 7.29, [15.4, 27.4, 44.5, 61.1, 79.0, 93.9]),
        ({"channels": 12, "scale_width": (1, 2, 4)}, 4.98, [9.8, 17.0, 27.2, 37.2, 48.1, 57.2]),
        (
            {"channels": 16, "scale_width": (1, 2, 4), "head": "pool", "stem_multiplier": 3},
            4.21,
            [39.1, 56.1, 71.4, 85.1, 100.0, 111.9],
        ),
    ],
)
def test_other_final_networks(options: dict[str, Any], params: float, macs: list[float]) -> None:
    """The candidates for the final network that the reference lists beside R."""
    found = network(**options)
    assert round(found.params / 1e6, 2) == params
    assert [round(found.cut(k).macs / 1e6, 1) for k in range(6)] == macs


def test_without_the_cells_that_no_exit_reads() -> None:
    """They leave every exit what it reads and the others' heads, and a fifth of R's MACs away."""
    found = network(full_grid=False)
    assert found.macs == R_LAZY_MACS[-1]
    assert found.params == R_LAZY_PARAMS[-1]
    whole = network()
    for k in range(6):
        assert found.cut(k, lazy=True) == whole.cut(k, lazy=True)


def test_shapes_of_r() -> None:
    """Channels and sides of every layer and scale (reference 3.4)."""
    found = {block.name: (block.stack.out_channels, block.stack.out_side) for block in network().blocks}
    for scale, side in enumerate((32, 16, 8)):
        assert found[f"generator_scale{scale}"] == (32, side)
        channels = [found[f"layer{layer}_scale{scale}"] for layer in range(2, 8)]
        halves = [(64, 1), (128, 2), (128, 2), (256, 4), (256, 4), (256, 4)]
        assert channels == [(width, side // by) for width, by in halves]
