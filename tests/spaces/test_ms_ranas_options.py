"""Counts, wiring and options of the space ms_ranas."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from ms_ranas_cells import ORACLE
from torch import nn

from sartor import spaces
from sartor.blueprint import Block, Blueprint
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.spaces.ms_ranas import read_genotype
from sartor.train.exits import with_auxiliary


def create(**options: Any) -> SearchSpace:
    """The space at a small size."""
    return spaces.create("ms_ranas", **{"image_size": 16, "scales": 2, "layers": 4, "channels": 4, **options})


def network(**options: Any) -> Blueprint:
    """Its network with the cell of the reference."""
    return read_genotype(create(**options), ORACLE).blueprint


def blocks(found: Blueprint) -> dict[str, Block]:
    """Blocks by name."""
    return {block.name: block for block in found.blocks}


# ---------------------------------------------------------------------- counts


@pytest.mark.parametrize(("nodes", "edges", "cells"), [(1, 2, 49), (2, 5, 7_203), (4, 14, 1_037_664_180)])
def test_counts_of_cells(nodes: int, edges: int, cells: int) -> None:
    """Edges and different cells per kind (reference 1.1), and their pairs."""
    space = create(nodes=nodes)
    assert len(space.decisions) == 2 * edges
    assert space.cardinality == space.distinct == cells**2
    assert create(nodes=nodes, reductions="none").cardinality == cells


def test_cells_counted_one_by_one() -> None:
    """Of all rows of one kind with two operations, those that keep two edges per node are valid."""
    space = create(reductions="none", operations=("skip_connect", "sep_conv_3x3"))
    kept = 0
    for row in itertools.product(range(3), repeat=5):
        nodes = (row[:2], row[2:])
        valid = all(sum(option > 0 for option in node) == 2 for node in nodes)
        assert bool(space.valid(torch.tensor([row]).numpy())[0]) == valid
        kept += valid
    assert kept == space.cardinality == 4 * 12


def test_decisions_are_edges_in_order() -> None:
    """Node after node, predecessor after predecessor, normal cells before reduction cells, ``none`` first."""
    space = create()
    names = [f"{kind}_{j}_{i}" for kind in ("normal", "reduction") for j in range(2) for i in range(j + 2)]
    assert [d.name for d in space.decisions] == names
    assert space.decisions[0].options == (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )
    assert all(len(group) == 1 for group in space.groups)


# ---------------------------------------------------------------------- wiring


def test_wiring_of_a_cell() -> None:
    """Edges read the inputs of the cell or earlier nodes, nodes sum them, the output joins the nodes."""
    found = blocks(network())
    assert found["layer2_scale1_edge0_1"].inputs == ("layer2_scale1_input1",)
    assert found["layer2_scale1_node0"].inputs == ("layer2_scale1_edge0_0", "layer2_scale1_edge0_1")
    assert found["layer2_scale1_edge1_2"].inputs == ("layer2_scale1_node0",)
    assert found["layer2_scale1_node1"].inputs == ("layer2_scale1_edge1_0", "layer2_scale1_edge1_2")
    assert "layer2_scale1_edge1_1" not in found
    output = found["layer2_scale1"]
    assert (output.inputs, output.join) == (("layer2_scale1_node0", "layer2_scale1_node1"), "concat")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("two_back", [("layer2_scale0", "layer2_scale1"), ("layer3_scale0", "layer3_scale1")]),
        ("diagonal_horizontal", [("layer3_scale0",), ("layer3_scale1",)]),
        ("previous", [("layer2_scale1",), ("layer3_scale0", "layer3_scale1")]),
    ],
)
def test_what_cells_read(mode: str, expected: list[tuple[str, ...]]) -> None:
    """Where the two inputs of a cell on the coarser scale come from; the finest scale has layers k - 2 and k - 1."""
    found = blocks(network(cell_inputs=mode))

    def sources(name: str) -> tuple[str, ...]:
        read = found[name].inputs
        return read if len(read) == 1 else tuple(found[part].inputs[0] for part in read)

    assert [sources(f"layer4_scale1_input{i}") for i in (0, 1)] == expected
    assert [sources(f"layer4_scale0_input{i}") for i in (0, 1)] == [("layer2_scale0",), ("layer3_scale0",)]


def test_the_first_cells_read_the_generator_twice() -> None:
    """Both inputs of the first layer of cells come from the generator, as in DARTS."""
    found = blocks(network())
    for i in (0, 1):
        assert found[f"layer2_scale1_input{i}_diagonal"].inputs == ("generator_scale0",)
        assert found[f"layer2_scale1_input{i}_horizontal"].inputs == ("generator_scale1",)


def test_layers_run_in_order_and_stages_follow_the_exits() -> None:
    """All cells of a layer belong to the first exit at or after it."""
    found = network(layers=6, image_size=32, exits=(3, 6))
    assert [b.name for b in found.blocks if b.is_exit] == ["exit0", "exit1"]
    for block in found.blocks:
        layer = int(block.name[5]) if block.name.startswith("layer") else 0
        if not block.is_exit:
            assert block.stage == (layer > 3), block.name
    stages = [block.stage for block in found.blocks]
    assert stages == sorted(stages)
    assert blocks(found)["exit0"].inputs == ("layer3_scale1",)


def test_exits_by_layer() -> None:
    """All layers but the first, the last alone, or those asked for."""
    assert network().exits == 3
    assert network(exits="last").exits == 1
    assert network(exits=(2, 4)).exits == 2
    assert network(generator="extra_layer", exits=[1, 4]).exits == 2


def test_dropping_the_finest_scale() -> None:
    """After each third the finest scale is gone, the coarsest stays, and no cell reduces."""
    space = create(scales=3, layers=6, image_size=32, reductions="drop_finest")
    assert not any(d.name.startswith("reduction") for d in space.decisions)
    names = [t.name for t in space.templates]
    there = [[s for s in range(3) if f"layer{layer}_scale{s}" in names] for layer in range(2, 7)]
    assert there == [[0, 1, 2], [1, 2], [1, 2], [2], [2]]
    sources = {t.name: t.inputs for t in space.templates}
    assert sources["layer3_scale1_input1_diagonal"] == ("layer2_scale0",)
    assert sources["layer4_scale1_input1"] == ("layer3_scale1",)


@pytest.mark.parametrize(
    "options",
    [
        {"generator_style": "msdnet"},
        {"horizontal_kernel": 3},
        {"diagonal": "factorized_reduce"},
        {"after_reduction": "average_pool"},
        {"after_reduction": "average_pool", "diagonal": "factorized_reduce"},
        {"cell_inputs": "previous", "after_reduction": "average_pool"},
        {"cell_inputs": "diagonal_horizontal", "scale_width": (1, 2)},
        {"generator": "extra_layer", "exits": (1, 4)},
        {"reductions": "drop_finest"},
        {"full_grid": False},
        {"head": "pool", "stem_multiplier": 3, "in_channels": 1},
    ],
)
def test_every_alternative_runs(options: dict[str, Any]) -> None:
    """The network of each option gives logits at every exit and counts what torch counts."""
    found = read_genotype(create(**options), ORACLE).blueprint
    x = torch.zeros(2, found.in_channels, 16, 16)
    outputs = found.build().eval()(x)
    assert [tuple(y.shape) for y in outputs] == [(2, 10)] * found.exits
    assert found.params == sum(p.numel() for p in found.build().parameters())


def test_alternatives_of_the_parts() -> None:
    """What the options put in place of the proposed parts."""

    def kinds(name: str, **options: Any) -> list[str]:
        return [
            layer.kind + str(layer.kernel) * (layer.kind == "conv") for layer in blocks(network(**options))[name].layers
        ]

    assert kinds("generator_scale1") == ["conv3", "batch_norm"]
    assert kinds("generator_scale1", generator_style="msdnet") == ["conv3", "batch_norm", "activation"]
    assert kinds("layer2_scale0_input0") == ["activation", "conv1", "batch_norm"]
    assert kinds("layer2_scale0_input0", horizontal_kernel=3) == ["activation", "conv3", "batch_norm"]
    halved = ["activation", "conv1", "shift", "conv1", "batch_norm"]
    diagonal = "layer2_scale1_input0_diagonal"
    assert kinds(diagonal) == ["activation", "conv3", "batch_norm"]
    assert kinds(diagonal, diagonal="factorized_reduce") == halved
    # Layer 2 reduces: layer 3 reads maps of layer 1 that are twice as large, and four times on the finer scale.
    assert kinds("layer3_scale0_input0") == halved
    assert kinds("layer3_scale1_input0_diagonal") == ["activation", "conv3", "batch_norm"] * 2
    assert kinds("layer3_scale0_input0", after_reduction="average_pool") == [
        "pool",
        "activation",
        "conv1",
        "batch_norm",
    ]
    pooled = ["pool", "activation", "conv3", "batch_norm"]
    assert kinds("layer3_scale1_input0_diagonal", after_reduction="average_pool") == pooled


def test_the_head_fits_small_maps() -> None:
    """Its convolutions halve the map down to side 2, no further."""
    found = blocks(network())
    strides = {
        name: [layer.stride for layer in found[name].layers if layer.kind == "conv"]
        for name in ("exit0", "exit1", "exit2")
    }
    assert strides == {"exit0": [2, 1], "exit1": [1, 1], "exit2": [1, 1]}  # sides 4, 2, 2


# ---------------------------------------------------------------------- the auxiliary head


def test_the_auxiliary_head_serves_training_alone() -> None:
    """It is neither counted, built nor written; training adds it before the exit."""
    plain = network(exits="last", image_size=32)
    found = network(exits="last", image_size=32, auxiliary=True)
    assert found.auxiliary is not None
    assert found.blocks == plain.blocks
    assert found.to_dict() == plain.to_dict()
    trained, place = with_auxiliary(found)
    assert place == 0
    outputs = trained.build()(torch.zeros(2, 3, 32, 32))
    assert [tuple(y.shape) for y in outputs] == [(2, 10), (2, 10)]
    assert found.cut(0).auxiliary is None


def test_the_auxiliary_head_is_that_of_darts() -> None:
    """On a map of side 8: ReLU, pooling 5 of stride 3, 1x1 to 128, 2x2 to 768, linear, with batch norms and ReLUs."""
    space = create(scales=1, layers=4, image_size=32, exits="last", auxiliary=True)
    block = read_genotype(space, ORACLE).blueprint.auxiliary
    assert block is not None
    assert block.inputs == ("layer3_scale0",)
    modules = [m for m in Blueprint((block,), 3, 32).build().modules() if not list(m.children())]
    named = [(type(m).__name__, getattr(m, "kernel_size", None), getattr(m, "stride", None)) for m in modules]
    assert named[:8] == [
        ("ReLU", None, None),
        ("AvgPool2d", 5, 3),
        ("Conv2d", (1, 1), (1, 1)),
        ("BatchNorm2d", None, None),
        ("ReLU", None, None),
        ("Conv2d", (2, 2), (1, 1)),
        ("BatchNorm2d", None, None),
        ("ReLU", None, None),
    ]
    assert isinstance(modules[-1], nn.Linear)
    assert modules[-1].in_features == 768


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 12}, r"layer 3, scale 1: a map of side 3 cannot be halved.*image_size 12 a multiple of 8"),
        ({"image_size": 15}, "layer 1, scale 1: a map of side 15 cannot be halved"),
        ({"scales": 4}, "unknown scales 4; known are 1, 2, 3"),
        ({"layers": 1}, "layers 1 is not possible"),
        ({"nodes": 6}, "nodes 6 is not possible; 1 to 5 are"),
        ({"channels": 2}, "channels 2 is not possible; at least 4"),
        ({"channels": 6, "partial_channels": 4}, "a multiple of partial_channels 4"),
        ({"scale_width": (1,)}, "scale_width"),
        ({"exits": (2, 3)}, r"exits \[2, 3\] is not possible; give layers from 2 to 4 .* 4 among them"),
        ({"exits": (1, 4)}, "give layers from 2 to 4"),
        ({"exits": (4, 2)}, "in ascending order"),
        ({"exits": "some"}, "unknown exits 'some'"),
        ({"operations": ("none", "sep_conv_3x3")}, "leave 'none' out of operations"),
        ({"operations": ("sep_conv_7x7",)}, "unknown operation 'sep_conv_7x7'; known are max_pool_3x3"),
        ({"operations": ()}, "must be one or more"),
        ({"auxiliary": True}, "leave auxiliary out, or set exits: last"),
        ({"cell_inputs": "all"}, "unknown cell_inputs 'all'; known are two_back"),
        ({"horizontal_kernel": 5}, "unknown horizontal_kernel 5"),
        ({"num_classes": 0}, "num_classes 0 is not possible"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    """An impossible option is refused in one sentence that names what is allowed."""
    with pytest.raises(RequestError, match=f"ms_ranas: .*{message}"):
        create(**options)
