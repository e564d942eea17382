"""The stages of a network with exits as torch modules, on the weights of that network."""

from __future__ import annotations

from collections.abc import Iterable, Set

from torch import Tensor, nn

from sartor.anytime.stages import Stage, make_stages
from sartor.blueprint import Blueprint
from sartor.network import join_inputs


class StageModule(nn.Module):
    """One stage: takes the tensors it reads and gives its logits, then the tensors that later stages read."""

    def __init__(self, stage: Stage, blocks: nn.ModuleDict | nn.Sequential) -> None:
        super().__init__()
        self.stage = stage
        self.blocks = nn.ModuleList(blocks.get_submodule(block.name) for block in stage.blocks)
        last_reader = {name: block.name for block in stage.blocks for name in block.inputs}
        self._dying = [[n for n in set(b.inputs) if last_reader[n] == b.name] for b in stage.blocks]

    def run(self, alive: dict[str, Tensor], needed: Set[str] = frozenset()) -> Tensor:
        """The logits; ``alive`` gains the tensors handed on, and loses those read for the last time.

        ``needed`` names tensors of earlier stages that later ones read as well.
        """
        kept = {*needed, *self.stage.gives}
        for module, block, dying in zip(self.blocks, self.stage.blocks, self._dying, strict=True):
            alive[block.name] = module(join_inputs([alive[name] for name in block.inputs], block.join))
            for name in dying:
                if name not in kept:
                    del alive[name]
        return alive[self.stage.output] if self.stage.output in kept else alive.pop(self.stage.output)

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
    return [StageModule(stage, blocks) for stage in make_stages(blueprint, exits)]
