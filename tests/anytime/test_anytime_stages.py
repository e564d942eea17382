"""Stages: what runs up to which exit, what is handed on, and what it costs."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from anytime_networks import chain, grid, pictures, settled
from torch import nn

from sartor.anytime.modules import stage_modules
from sartor.anytime.stages import exit_costs, make_stages
from sartor.blueprint import Block, Blueprint
from sartor.stack import Stack


def test_stages_by_hand() -> None:
    """The fine cell of layer 2 waits for the exit that reads it, that of the last layer is never run."""
    first, second = make_stages(grid(scales=2, layers=3))
    assert [b.name for b in first.blocks] == ["stem0", "stem1", "down1_1", "cell1_1", "exit0"]
    assert (first.reads, first.gives, first.output) == (("pictures",), ("stem0", "cell1_1"), "exit0")
    assert [b.name for b in second.blocks] == ["cell1_0", "down2_1", "cell2_1", "exit1"]
    assert (second.reads, second.gives, second.output) == (("stem0", "cell1_1"), (), "exit1")


def test_no_block_runs_twice_and_none_too_early(blueprint: Blueprint) -> None:
    """Stages share no block, each block's inputs are there, and only tensors that are read later are handed on."""
    stages = make_stages(blueprint)
    names = [b.name for stage in stages for b in stage.blocks]
    assert len(names) == len(set(names))
    there = {"pictures"}
    for position, stage in enumerate(stages):
        assert set(stage.reads) <= there
        made = {b.name for b in stage.blocks}
        later = {name for other in stages[position + 1 :] for name in other.reads}
        assert set(stage.gives) == made & later
        there |= set(stage.gives)
    assert "cell3_0" not in names and "cell3_1" not in names, "no exit reads the finer scales of the last layer"


def test_lazy_plan_is_one_stage_without_other_heads() -> None:
    """A single exit known beforehand needs no head but its own; a subset of exits skips the others' heads."""
    network = grid(scales=2, layers=4)
    (lazy,) = make_stages(network, [2])
    assert lazy.reads == ("pictures",) and not lazy.gives
    assert [b.name for b in lazy.blocks if b.is_exit] == ["exit2"]
    some = make_stages(network, [2, 0])
    assert [s.exit for s in some] == [0, 2]
    assert [b.name for s in some for b in s.blocks if b.is_exit] == ["exit0", "exit2"]


def test_empty_blocks_hand_on_the_tensor_they_read() -> None:
    """An empty block does no work: who reads it reads its source, within a stage and between stages."""
    (stage,) = make_stages(chain())
    assert [(b.name, b.inputs) for b in stage.blocks] == [("stem", ("pictures",)), ("head", ("stem",))]
    network = grid(scales=1, layers=3)
    empty = Block("empty", ("cell1_0",), Stack(4, 8), stage=0)
    blocks = []
    for block in network.blocks:
        blocks.append(dataclasses.replace(block, inputs=("empty",)) if block.name == "cell2_0" else block)
        blocks.extend([empty] if block.name == "cell1_0" else [])
    first, second = make_stages(dataclasses.replace(network, blocks=tuple(blocks)))
    assert first.gives == ("cell1_0",) == second.reads


def test_costs_by_three_counts() -> None:
    """All cells, what an interrupted run computes, and what one exit reads; heads of earlier exits where they run."""
    blueprint = grid(scales=2, layers=3, channels=4, image_size=8, in_channels=1, classes=10)
    conv = {"stem0": 36 * 64, "stem1": 144 * 16, "down": 144 * 16, "fine": 144 * 64, "coarse": 288 * 16, "exit": 40}
    first, second = exit_costs(blueprint)
    layer = conv["down"] + conv["fine"] + conv["coarse"] + conv["exit"]
    stems = conv["stem0"] + conv["stem1"]
    assert first.macs == stems + layer and second.macs == stems + 2 * layer
    assert first.anytime_macs == first.lazy_macs == stems + layer - conv["fine"]
    assert second.anytime_macs == stems + 2 * layer - conv["fine"]
    assert second.lazy_macs == second.anytime_macs - conv["exit"]
    assert second.params == second.stored_params == blueprint.params
    assert second.stored_bytes == first.stored_bytes == 4 * blueprint.params
    assert first.lazy_params < second.lazy_params < second.anytime_params < second.params


def test_costs_agree_with_cut_networks(blueprint: Blueprint) -> None:
    """The counts are those of the networks that Blueprint.cut makes."""
    for cost in exit_costs(blueprint):
        every, lazy = blueprint.cut(cost.exit), blueprint.cut(cost.exit, lazy=True)
        assert (cost.macs, cost.params) == (every.macs, every.params)
        assert (cost.lazy_macs, cost.lazy_params) == (lazy.macs, lazy.params)


def test_costs_of_a_plain_network() -> None:
    """A network without exits has one, and all counts agree."""
    (cost,) = exit_costs(chain())
    assert cost.macs == cost.anytime_macs == cost.lazy_macs == chain().macs
    assert cost.params == cost.anytime_params == cost.lazy_params == cost.stored_params


def test_modules_compute_the_network(blueprint: Blueprint, network: nn.Module) -> None:
    """Chained stages give the logits of the whole network, and so does each exit's lazy stage."""
    x = pictures()
    with torch.no_grad():
        expected = network(x)
        alive = {"pictures": x}
        for module in stage_modules(network, blueprint):
            logits, *gives = module(*[alive[name] for name in module.stage.reads])
            alive.update(zip(module.stage.gives, gives, strict=True))
            torch.testing.assert_close(logits, expected[module.stage.exit])
        for exit in range(3):
            (lazy,) = stage_modules(network, blueprint, [exit])
            torch.testing.assert_close(lazy(x)[0], expected[exit])


def test_a_running_stage_keeps_live_tensors_only(blueprint: Blueprint, network: nn.Module) -> None:
    """After each stage only what later stages read is left; nothing is left at the end."""
    modules = stage_modules(network, blueprint)
    alive, there = {"pictures": pictures()}, {"pictures"}
    for position, module in enumerate(modules):
        there |= set(module.stage.gives)
        later = {name for other in modules[position + 1 :] for name in other.stage.reads}
        with torch.no_grad():
            module.run(alive)
        assert set(alive) == there & later
    assert not alive


def test_logits_that_are_read_again_stay() -> None:
    """A block may be an exit and an input of later blocks."""
    stem = Stack(1, 8).conv("conv", 4, kernel=3, stride=2).global_pool().linear("linear", 4)
    more = Stack(4, 1).linear("linear", 4)
    blocks = (
        Block("first", ("pictures",), stem, is_exit=True),
        Block("second", ("first",), more, stage=1, is_exit=True),
    )
    blueprint = Blueprint(blocks, 1, 8)
    network, x = settled(blueprint), pictures()
    first, second = stage_modules(network, blueprint)
    assert first.stage.gives == ("first",)
    with torch.no_grad():
        logits, handed_on = first(x)
        torch.testing.assert_close(logits, handed_on)
        torch.testing.assert_close(second(handed_on)[0], network(x)[1])


def test_wrong_exits_and_networks_are_refused(blueprint: Blueprint, network: nn.Module) -> None:
    """An exit that does not exist, no exit, and a network of other blocks are each named."""
    for exits in ([3], [-1], []):
        with pytest.raises(ValueError, match="exits 0 to 2"):
            make_stages(blueprint, exits)
    with pytest.raises(ValueError, match="lacks"):
        stage_modules(settled(grid(scales=2, layers=2)), blueprint)
    with pytest.raises(ValueError, match="got Linear"):
        stage_modules(nn.Linear(1, 1), blueprint)
