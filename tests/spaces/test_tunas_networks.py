"""Known networks of the TuNAS spaces: exact parameters and MACs, and the widths of the published tables."""

from __future__ import annotations

import pytest
import torch

import sartor
from sartor.blueprint import Blueprint

# parameters with 1000 and with 1001 classes, MACs at 224 pixels
COUNTS = {
    "mobilenet_v2": (3_504_872, 3_506_153, 300_774_272),
    "mnasnet_b1": (4_383_312, 4_384_593, 314_415_872),
    "proxylessnas_mobile": (4_080_512, 4_081_793, 320_427_584),
    "mobilenet_v3_large": (5_483_032, 5_484_313, 216_589_760),
    "tunas_mobilenetv3_like": (6_265_872, 6_267_921, 208_730_880),
}
PRINTED_MACS = ("300.8", "314.4", "320.4", "216.6", "208.7")
# Expanded widths, layer by layer; the expansions of the spaces are ratios.
EXPANDED = {
    "mobilenet_v3_large": [64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960],
    "mobilenet_multi_avg": [96, 64, 160, 192, 128, 192, 384, 384, 384, 384, 768, 640, 960, 768, 768, 768],
    "mobilenet_multi_max": [96, 192, 128, 128, 384, 512, 384, 384, 768, 384, 768, 640, 800, 640],
}
KERNELS = {
    "mobilenet_v3_large": [3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5],
    "mobilenet_multi_avg": [3, 3, 5, 3, 3, 3, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5],
    "mobilenet_multi_max": [3, 5, 3, 3, 5, 3, 3, 3, 3, 3, 3, 5, 3, 5],
}
OUT = {
    "mobilenet_v3_large": [24, 40, 80, 112, 160],
    "mobilenet_multi_avg": [32, 64, 128, 160, 192],
    "mobilenet_multi_max": [32, 64, 128, 128, 160],
}
HEADS = {
    "mobilenet_v3_large": [960, 1280],
    "mobilenet_multi_avg": [960, 1280],
    "mobilenet_multi_max": [960, 1280],
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name: str) -> None:
    """Parameters at 1000 and 1001 classes and MACs, to the unit."""
    blueprint = sartor.reference(name)
    assert blueprint.name == name
    assert (blueprint.params, sartor.reference(name, num_classes=1001).params, blueprint.macs) == COUNTS[name]


def test_macs_as_printed() -> None:
    """The exact MACs round to the printed millions."""
    assert tuple(f"{macs / 1e6:.1f}" for _, _, macs in COUNTS.values()) == PRINTED_MACS


@pytest.mark.parametrize("name", EXPANDED)
def test_absolute_widths(name: str) -> None:
    """Ratios resolve to the absolute expanded widths of the published tables, off the grid too."""
    bodies = [b for b in sartor.reference(name).blocks if b.name.startswith("block") and not b.is_empty]
    depthwise = [next(layer for layer in b.layers if layer.depthwise) for b in bodies]
    assert [layer.out_channels for layer in depthwise] == EXPANDED[name]
    assert [layer.kernel for layer in depthwise] == KERNELS[name]
    assert [b.stack.out_channels for b in bodies if b.name.endswith("layer1")] == OUT[name]
    assert [b.stack.out_channels for b in sartor.reference(name).blocks if b.name.startswith("head")] == HEADS[name]


def test_squeeze_excite_of_mobilenet_v3() -> None:
    """Gates sit in blocks 2, 4 and 5 and nowhere else."""
    gated = {
        b.name for b in sartor.reference("mobilenet_v3_large").blocks if any(x.name == "se_reduce" for x in b.layers)
    }
    assert gated == {f"block{b}_layer{i}" for b, layers in ((2, 3), (4, 2), (5, 3)) for i in range(1, layers + 1)}


def test_multi_hardware_networks_use_relu() -> None:
    """MobileNet-Multi has no gate, no hard swish and no separable convolution in the stem."""
    for name in ("mobilenet_multi_avg", "mobilenet_multi_max"):
        blueprint = sartor.reference(name)
        assert {layer.function for layer in blueprint.layers} == {"", "relu"}
        assert next(b for b in blueprint.blocks if b.name == "stem_separable").is_empty
        assert blueprint.blocks[0].stack.out_channels == 32


@pytest.mark.parametrize("name", [*COUNTS, "mobilenet_multi_avg", "mobilenet_multi_max"])
def test_any_classes_and_size(name: str) -> None:
    """A reference has the classes and the picture size asked for, and runs; it says which norms it has."""
    blueprint = sartor.reference(name, num_classes=7, image_size=32)
    assert (blueprint.num_classes, blueprint.image_size, blueprint.norm_eps) == (7, 32, 1e-3)
    assert blueprint.build().eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    assert Blueprint.from_dict(blueprint.to_dict()) == blueprint
