"""The stages of a network with exits as torch modules, on the weights of that network."""

from __future__ import annotations

from collections.abc import Iterable, Set

from torch import Tensor, nn

from sartor.anytime.stages import Stage, make_stages
from sartor.blueprint import Blueprint
from sartor.network import join_inputs


class StageModule(nn.Module):
    """One stage: takes the tensors it reads and gives its logits, then the tensors that later stages read.

    Args:
        stage: which blocks, in order.
        blocks: the network's, by name; they are shared, not copied.
        needed: what later stages read, so that it is not freed here.
    """

    def __init__(self, stage: Stage, blocks: nn.ModuleDict | nn.Sequential, needed: Set[str] = frozenset()) -> None:
        super().__init__()
        self.stage = stage
        self.blocks = nn.ModuleList(blocks.get_submodule(block.name) for block in stage.blocks)
        last_reader = {name: block.name for block in stage.blocks for name in block.inputs if name not in needed}
        self._wiring = [
            (b.name, b.inputs, b.join, [name for name in set(b.inputs) if last_reader.get(name) == b.name])
            for b in stage.blocks
        ]
        self._ends = stage.output not in needed

    def run(self, alive: dict[str, Tensor]) -> Tensor:
        """The logits; ``alive`` gains the tensors handed on, and loses those read for the last time."""
        for module, (name, inputs, join, dying) in zip(self.blocks, self._wiring, strict=True):
            alive[name] = module(join_inputs([alive[i] for i in inputs], join))
            for read in dying:
                del alive[read]
        return alive.pop(self.stage.output) if self._ends else alive[self.stage.output]

    def forward(self, *reads: Tensor) -> tuple[Tensor, ...]:
        alive = dict(zip(self.stage.reads, reads, strict=True))
        logits = self.run(alive)
        return (logits, *[alive[name] for name in self.stage.gives])


def stage_modules(network: nn.Module, blueprint: Blueprint, exits: Iterable[int] | None = None) -> list[StageModule]:
    """The stages of ``network``, which ``blueprint.build()`` made (see :func:`make_stages` for ``exits``).

    Raises:
        ValueError: the network is not that of the blueprint, or an exit does not exist.
    """
    blocks = network if isinstance(network, nn.Sequential) else getattr(network, "blocks", None)
    if not isinstance(blocks, nn.ModuleDict | nn.Sequential):
        raise ValueError(f"a network of blocks is needed, as Blueprint.build() makes it; got {type(network).__name__}")
    missing = [b.name for b in blueprint.blocks if b.name not in dict(blocks.named_children())]
    if missing:
        raise ValueError(f"the network lacks {len(missing)} blocks of {blueprint.name} ({missing[0]})")
    stages = make_stages(blueprint, exits)
    needed = [{name for later in stages[i + 1 :] for name in later.reads} for i in range(len(stages))]
    return [StageModule(stage, blocks, names) for stage, names in zip(stages, needed, strict=True)]
