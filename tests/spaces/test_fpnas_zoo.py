"""The published FBNetV2 networks: widths, costs by block, and the zoo's own figures to the digit."""

from __future__ import annotations

import numpy as np
import pytest

import sartor
from sartor import spaces
from sartor.errors import RequestError

# Reference 8: size of pictures, the zoo's MACs, its parameters (weights only), our MACs, our parameters.
ZOO = {
    "fbnetv2_f1": (128, 56_410_560, 5_999_408, 56_231_936, 6_024_736),
    "fbnetv2_f2": (160, 85_441_392, 5_999_408, 85_163_192, 6_024_736),
    "fbnetv2_f3": (192, 121_824_000, 6_899_504, 121_423_712, 6_924_832),
    "fbnetv2_f4": (224, 238_351_984, 6_994_824, 237_605_592, 7_022_864),
    "fbnetv2_l1": (224, 326_023_008, 8_496_520, 325_025_344, 8_538_776),
    "fbnetv2_l2": (256, 423_912_768, 8_496_520, 422_610_304, 8_538_776),
}
F1_INNER = (8, 48, 112, 128, 144, 136, 232, 288, 0, 360, 144, 368, 840, 992, 0, 1344)
F4_INNER = (16, 88, 48, 48, 128, 112, 144, 144, 184, 136, 0, 320, 264, 184, 392, 624, 520, 896, 0, 1344)
# Stem, fifteen blocks, head, classifier, with pools.
F1_MACS = [
    *(884_736, 1_081_344, 3_981_312, 8_372_224, 5_054_464, 3_034_368, 1_540_608, 1_796_608, 2_290_176),
    *(286_720, 4_348_800, 1_725_696, 2_861_568, 4_569_600, 5_475_840, 516_096, 6_988_800, 1600 + 1_600_000),
]


@pytest.mark.parametrize("name", ZOO)
def test_zoo_to_the_digit(name: str) -> None:
    """At the published size MACs and parameters are the zoo's in its counts, and the noted ones in ours."""
    network = sartor.reference(name)
    found = (network.count("fbnet_zoo_macs"), network.count("fbnet_zoo_params"), network.macs, network.params)
    assert (network.image_size, *found) == ZOO[name]
    assert network.name == name


@pytest.mark.parametrize(("name", "inner"), [("fbnetv2_f1", F1_INNER), ("fbnetv2_f4", F4_INNER)])
def test_inner_widths(name: str, inner: tuple[int, ...]) -> None:
    """Inner widths of the blocks, 0 for those that are bypassed; a block as wide as its input does not expand."""
    blocks = sartor.reference(name).blocks[1:-1]
    found = [next((x.in_channels for x in b.layers if x.depthwise), 0) for b in blocks[:-1]]
    assert (*found, blocks[-1].layers[0].out_channels) == inner
    assert blocks[0].layers[0].depthwise


def test_macs_by_block_of_f1() -> None:
    """Every block of F1 has the zoo's MACs."""
    zoo = sartor.costs.conventions.CONVENTIONS["fbnet_zoo_macs"]
    network = sartor.reference("fbnetv2_f1")
    assert [sum(map(zoo, block.layers)) for block in network.blocks] == F1_MACS


def test_other_sizes_and_classes() -> None:
    """Small pictures get the strides of small pictures; the network runs and has the classes asked for."""
    import torch

    network = sartor.reference("fbnetv2_f1", num_classes=10, image_size=32)
    assert network.blocks[0].stack.out_side == 32
    assert network.blocks[-3].stack.out_side == 2
    assert network.build()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sum(p.numel() for p in network.build().parameters()) == network.params


def test_counts_of_a_space_are_those_of_its_networks() -> None:
    """Counts by the zoo's convention are factor costs too, equal to the blueprint's; they exceed ours by the pools."""
    space = spaces.create("fbnetv2_f", image_size=64, multiplier=0.25, depth=1)
    rows = space.sample(20, np.random.default_rng(0))
    for name in ("fbnet_zoo_macs", "fbnet_zoo_params"):
        expected = [space.architecture(row).blueprint.count(name) for row in rows]
        assert space.cost(name)(rows).tolist() == expected
    networks = [space.architecture(row).blueprint for row in rows]
    pools = [sum(x.in_elements for x in b.layers if x.kind == "global_pool") for b in networks]
    assert (space.cost("fbnet_zoo_macs")(rows) - space.cost("macs")(rows)).tolist() == pools
    with pytest.raises(RequestError, match=r"unknown cost 'fbnet_macs'.*fbnet_zoo_macs"):
        space.cost("fbnet_macs")
    with pytest.raises(RequestError, match=r"unknown count 'macs'; known are fbnet_zoo_macs, fbnet_zoo_params"):
        networks[0].count("macs")
