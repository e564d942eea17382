"""What runs up to which exit: a network with exits as a chain of stages, each computed only when its exit is wanted.

A stage holds the blocks that its exit reads and no exit before it has read. A network that is stopped at an exit has so
computed nothing but what the exits up to this one read - less than "all cells up to the layer", as papers count: the
fine scales of late layers, which only later exits read, wait until one of those is wanted, and what no exit reads is
never computed. Since exits read ever more, nothing is computed twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sartor.blueprint import Block, Blueprint
from sartor.memory import PICTURES
from sartor.wiring import ancestors

BYTES_PER_PARAMETER = 4


@dataclass(frozen=True)
class Stage:
    """The work between two exits.

    ``reads`` names what it takes (the pictures, and tensors of earlier stages), ``gives`` the tensors that later stages
    read. ``blocks`` are in order of execution; a tensor has the name of the block that made it.
    """

    exit: int
    blocks: tuple[Block, ...]
    output: str
    reads: tuple[str, ...]
    gives: tuple[str, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds for one picture."""
        return sum(layer.macs for block in self.blocks for layer in block.layers)

    @property
    def params(self) -> int:
        """Learnt parameters of the blocks that run here."""
        return sum(layer.params for block in self.blocks for layer in block.layers)


@dataclass(frozen=True)
class ExitCost:
    """What one picture costs up to an exit, by three ways of counting; heads of earlier exits count where they run.

    Args:
        exit: 0-based.
        macs, params: every block up to this exit, needed or not ("all cells", the count of the papers).
        anytime_macs, anytime_params: what a run computes that is stopped here (see :func:`make_stages`).
        lazy_macs, lazy_params: what this exit alone reads, enough where the exit is known beforehand.
        stored_params, stored_bytes: the whole network in float32, which a device stores whatever it computes.
    """

    exit: int
    macs: int
    params: int
    anytime_macs: int
    anytime_params: int
    lazy_macs: int
    lazy_params: int
    stored_params: int
    stored_bytes: int


def make_stages(blueprint: Blueprint, exits: Iterable[int] | None = None) -> tuple[Stage, ...]:
    """The stages of a run that may stop at any of ``exits`` (0-based; default: all), in order.

    One exit is the lazy plan: a single stage with all that this exit reads, and no head of an earlier one.

    Raises:
        ValueError: there is no such exit, or none was asked for.
    """
    outputs = exit_blocks(blueprint)
    chosen = sorted(set(range(len(outputs)) if exits is None else exits))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < len(outputs):
        raise ValueError(f"{blueprint.name} has exits 0 to {len(outputs) - 1}, not {chosen}")
    working = _working_blocks(blueprint)
    reads_of = {block.name: block.inputs for block in working}
    done: set[str] = set()
    groups: list[tuple[Block, ...]] = []
    for exit in chosen:
        needed = ancestors(reads_of, [outputs[exit]]) - done
        groups.append(tuple(block for block in working if block.name in needed))
        done |= needed
    reads = [_reads(group) for group in groups]
    gives = [
        tuple(block.name for block in group if any(block.name in later for later in reads[i + 1 :]))
        for i, group in enumerate(groups)
    ]
    return tuple(Stage(k, groups[i], outputs[k], reads[i], gives[i]) for i, k in enumerate(chosen))


def exit_costs(blueprint: Blueprint) -> tuple[ExitCost, ...]:
    """The costs of every exit, in order."""
    stages, costs = make_stages(blueprint), []
    for exit in range(len(stages)):
        (lazy,) = make_stages(blueprint, [exit])
        every = [b for b in blueprint.blocks if b.stage <= exit or len(stages) == 1]
        costs.append(
            ExitCost(
                exit=exit,
                macs=sum(layer.macs for block in every for layer in block.layers),
                params=sum(layer.params for block in every for layer in block.layers),
                anytime_macs=sum(stage.macs for stage in stages[: exit + 1]),
                anytime_params=sum(stage.params for stage in stages[: exit + 1]),
                lazy_macs=lazy.macs,
                lazy_params=lazy.params,
                stored_params=blueprint.params,
                stored_bytes=BYTES_PER_PARAMETER * blueprint.params,
            )
        )
    return tuple(costs)


def exit_blocks(blueprint: Blueprint) -> tuple[str, ...]:
    """The blocks whose outputs are logits, in order: those marked as exits, or else the last one."""
    return tuple(b.name for b in blueprint.blocks if b.is_exit) or (blueprint.blocks[-1].name,)


def _working_blocks(blueprint: Blueprint) -> tuple[Block, ...]:
    """The blocks that compute something; who reads an empty one reads the tensor that it hands on."""
    sources, working = {PICTURES: PICTURES}, []
    for block in blueprint.blocks:
        inputs = tuple(sources[name] for name in block.inputs)
        idle = block.is_empty and not block.is_exit
        sources[block.name] = inputs[0] if idle else block.name
        if not idle:
            working.append(dataclasses.replace(block, inputs=inputs))
    return tuple(working)


def _reads(blocks: Sequence[Block]) -> tuple[str, ...]:
    """What a group of blocks takes from outside, in order of first use."""
    own = {block.name for block in blocks}
    return tuple(dict.fromkeys(name for block in blocks for name in block.inputs if name not in own))
