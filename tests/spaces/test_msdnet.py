"""MSDNet: published costs to the digit, wiring, and networks of a given size (reference 4)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import sartor
from sartor.blueprint import Blueprint
from sartor.errors import RequestError
from sartor.spaces.msdnet import closest_msdnet, msdnet
from sartor.testing import counted_macs

ANYTIME_10 = [14.96, 25.24, 37.43, 51.62, 61.69, 73.52, 87.13, 99.39, 109.44, 120.97]
PORT_10 = [15.13, 25.48, 37.75, 52.02, 62.12, 74.00, 87.65, 99.95, 110.02, 121.56]


def counts(found: Blueprint, name: str) -> list[float]:
    """A count up to every exit, in millions."""
    return [round(found.cut(k).count(name) / 1e6, 2) for k in range(found.exits)]


def macs(found: Blueprint) -> list[float]:
    """MACs up to every exit, in millions."""
    return [round(found.cut(k).macs / 1e6, 2) for k in range(found.exits)]


@pytest.mark.parametrize(
    ("name", "classes", "params", "expected", "port"),
    [
        ("msdnet_cifar_10", 10, 4.840, ANYTIME_10, PORT_10),
        ("msdnet_cifar_11", 10, 5.470, [*ANYTIME_10, 133.97], [*PORT_10, 134.58]),
        (
            "msdnet_cifar_10",
            100,
            4.956,
            [14.97, 25.26, 37.47, 51.67, 61.74, 73.59, 87.21, 99.48, 109.55, 121.09],
            [15.14, 25.51, 37.79, 52.06, 62.18, 74.07, 87.73, 100.04, 110.12, 121.68],
        ),
        (
            "msdnet_cifar_7",
            100,
            3.068,
            [14.97, 25.26, 36.78, 45.97, 56.93, 66.53, 75.49],
            [15.14, 25.51, 37.10, 46.33, 57.34, 66.96, 75.94],
        ),
        (
            "msdnet_cifar_budgeted_5",
            100,
            2.079,
            [6.79, 14.21, 27.28, 41.37, 58.09],
            [6.86, 14.35, 27.54, 41.71, 58.48],
        ),
        (
            "msdnet_cifar_budgeted_7",
            10,
            3.885,
            [6.78, 14.19, 27.01, 48.01, 75.84, 108.12, 136.48],
            [6.85, 14.33, 27.26, 48.40, 76.37, 108.78, 137.20],
        ),
        (
            "msdnet_cifar_budgeted_7",
            100,
            3.967,
            [6.79, 14.21, 27.04, 48.05, 75.90, 108.19, 136.57],
            [6.86, 14.35, 27.29, 48.45, 76.43, 108.85, 137.28],
        ),
    ],
)
def test_published_costs(name: str, classes: int, params: float, expected: list[float], port: list[float]) -> None:
    """Parameters, MACs per exit, and the count of the PyTorch port, which adds ReLUs, pooling and biases."""
    found = sartor.reference(name, num_classes=classes)
    assert (found.name, found.image_size) == (name, 32)
    assert round(found.params / 1e6, 3) == params
    assert macs(found) == expected
    assert counts(found, "msdnet_port_ops") == port


def test_the_network_for_cifar_10_to_the_digit() -> None:
    """The integers behind the published figures, and the parameters up to every exit."""
    found = msdnet()
    assert (found.macs, found.params) == (120_971_776, 4_839_544)
    params = [round(found.cut(k).params / 1e6, 3) for k in range(10)]
    assert params == [0.422, 0.854, 1.347, 1.781, 2.221, 2.724, 3.288, 3.772, 4.274, 4.840]


def test_exits_follow_their_layers() -> None:
    """Any-time exits after 4, 6, 8, ... layers; budgeted ones after 1, 3, 6, 10, 15."""
    for options, layers in (
        ({"blocks": 4}, [4, 6, 8, 10]),
        ({"blocks": 5, "placement": "budgeted", "base": 1, "step": 1}, [1, 3, 6, 10, 15]),
    ):
        found = msdnet(**options)
        sources = [block.inputs[0] for block in found.blocks if block.is_exit]
        assert [int(name.split("_")[0].removeprefix("layer")) for name in sources] == layers


def test_pruning_drops_the_finest_scales() -> None:
    """``max`` drops one after each third of the layers, with 1x1 convolutions; ``min`` keeps them to the end."""

    def scales(found: Blueprint, layer: int) -> list[int]:
        names = {block.name for block in found.blocks}
        return [scale for scale in range(3) if f"layer{layer}_scale{scale}" in names]

    most, least = (msdnet(blocks=4, pruning=pruning) for pruning in ("max", "min"))  # 10 layers
    assert [scales(most, layer) for layer in (1, 4, 5, 8, 9, 10)] == [[0, 1, 2]] * 2 + [[1, 2]] * 2 + [[2]] * 2
    assert [scales(least, layer) for layer in (1, 8, 9, 10)] == [[0, 1, 2], [0, 1, 2], [1, 2], [2]]
    reduced = {p: {b.name for b in n.blocks if b.name.endswith("_reduced")} for p, n in (("max", most), ("min", least))}
    assert reduced["max"] == {"layer5_scale1_reduced", "layer5_scale2_reduced", "layer9_scale2_reduced"}
    assert reduced["min"] == {f"layer{layer}_scale{scale}_reduced" for layer in (3, 6) for scale in range(3)}
    assert not any(block.name.endswith("_reduced") for block in msdnet(blocks=4, reduction=0.0).blocks)


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 16, "scales": 2},
        {"image_size": 8, "in_channels": 1},
        {"pruning": "min", "growth": 3, "channels": 5},
        {"bottleneck_factors": None, "scales": 1},
        {"placement": "budgeted", "base": 1, "step": 1, "reduction": 0.0},
    ],
)
def test_networks_run_and_count_what_torch_counts(options: dict[str, Any]) -> None:
    """Every option gives a network with logits at each exit, of exactly the counted MACs and parameters."""
    found = msdnet(**{"blocks": 3, "base": 2, "step": 1, "num_classes": 7, **options})
    with torch.device("meta"):
        network = found.build().eval()
        x = torch.empty(1, found.in_channels, found.image_size, found.image_size)
        assert [tuple(y.shape) for y in network(x)] == [(1, 7)] * 3
    assert counted_macs(network, x) == found.macs
    assert sum(p.numel() for p in network.parameters()) == found.params


def test_a_network_of_given_size() -> None:
    """The closest one is no further than any with neighbouring growth or channels; what is given stays."""
    options: dict[str, Any] = {"blocks": 4, "base": 2, "step": 1, "scales": 2, "image_size": 16}
    found = closest_msdnet(3_000_000, name="small", **options)
    assert (found.name, found.exits, found.image_size) == ("small", 4, 16)
    distance = abs(found.macs - 3_000_000)
    assert distance < 0.02 * 3_000_000
    every = [(g, c) for g in range(1, 9) for c in range(2 * g, 4 * g + 1)]
    assert distance == min(abs(msdnet(**options, growth=g, channels=c).macs - 3_000_000) for g, c in every)


def test_published_networks_are_met_again() -> None:
    """Asked for its own MACs, the published network is found."""
    assert closest_msdnet(120_971_776).macs == 120_971_776


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruning": "some"}, "unknown pruning 'some'; known are max, min"),
        ({"blocks": 0}, "blocks 0 is not possible"),
        ({"growth_factors": (1, 2)}, r"growth_factors \(1, 2\) is not possible; give 3"),
        ({"reduction": 2.0}, "reduction 2.0 is not possible"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    """An impossible option is refused in one sentence that names what is allowed."""
    with pytest.raises(RequestError, match=f"msdnet: {message}"):
        msdnet(**options)


def test_impossible_sizes_are_refused() -> None:
    """Too few MACs name the smallest network; growth and channels cannot be given beside them."""
    with pytest.raises(RequestError, match=r"the smallest network of these options has [\d,]+ MACs, 1,000 were asked"):
        closest_msdnet(1_000)
    with pytest.raises(RequestError, match="growth and channels follow from the MACs"):
        closest_msdnet(1_000_000, growth=6)
