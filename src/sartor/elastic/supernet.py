"""One set of weights for every architecture of a space."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sartor.blueprint import Block
from sartor.elastic.bank import WeightBank
from sartor.elastic.execution import Dropout, run_blocks, run_mixture
from sartor.elastic.layers import SlicedBatchNorm
from sartor.errors import RequestError
from sartor.layers import Layer, Node
from sartor.network import build
from sartor.space import Architecture

if TYPE_CHECKING:
    from sartor.space import SearchSpace

Row = tuple[int, ...]
# One entry per decision: an option index or, for an op decision, a weight per option.
Selection = Architecture | Sequence[int | Tensor] | np.ndarray[Any, Any]
Statistics = dict[tuple[str, str], tuple[Tensor, Tensor]]


class Supernet(nn.Module):
    """Shared weights of a space, sliced for each selection; computes what the child computes and no more.

    In training mode batch norms use the statistics of the batch. In evaluation mode they use the statistics that
    :meth:`calibrate` stored for that architecture, and any other architecture is refused.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        stacks = ((t.name, stack) for t in space.templates for stack in space.template_cells(t)[1])
        self.bank = WeightBank(stacks, seed=seed)
        self.statistics: dict[Row, Statistics] = {}
        self.dropout: Dropout | None = None  # set by the trainer for the passes that drop features
        self._collecting: _Collector | None = None
        self._blocks: dict[tuple[int, ...], Block] = {}

    def forward(self, x: Tensor, selection: Selection, last_exit: int | None = None) -> Any:
        """The logits ``[B, classes]``, or a tuple with one per exit where the space has exits."""
        results = tuple(self.stages(x, selection, last_exit))
        return results if self.space.exits > 1 else results[0]

    def stages(self, x: Tensor, selection: Selection, last_exit: int | None = None) -> Iterator[Tensor]:
        """The result of each exit up to ``last_exit``, computing nothing beyond the last one taken."""
        entries = self._entries(selection)
        statistics = self._statistics_for(entries)
        bodies: dict[str, list[tuple[Tensor | float, tuple[Node, ...]]]] = {}
        blocks = []
        for position, template in enumerate(self.space.templates):
            if last_exit is not None and template.stage > last_exit:
                continue
            mixture = self._mixture(position, entries)
            bodies[template.name] = [(w, b.stack.body) for w, b in mixture]
            blocks.append(mixture[0][1])

        def apply(block: str, layer: Layer, x: Tensor) -> Tensor:
            module = self.bank.layer(block, layer.name)
            if not isinstance(module, SlicedBatchNorm):
                return module(x, layer)  # type: ignore[no-any-return]
            if self._collecting is not None:
                self._collecting.add((block, layer.name), x)
            return module(x, layer, None if statistics is None else statistics[block, layer.name])  # type: ignore[no-any-return]

        dropout = self.dropout if self.training else None
        yield from run_blocks(blocks, x, lambda b, y: run_mixture(b.name, bodies[b.name], y, apply, dropout))

    @torch.no_grad()
    def calibrate(self, architecture: Selection, batches: Iterable[Tensor]) -> None:
        """Stores the batch-norm statistics of one architecture: the mean over ``batches`` of their statistics.

        The same as a plain network's cumulative average after its running statistics were reset.
        """
        row = self._row(self._entries(architecture))
        self._collecting, training, dropout = _Collector(), self.training, self.dropout
        self.train()
        self.dropout = None
        try:
            for x in batches:
                tuple(self.stages(x, row))
            self.statistics[row] = self._collecting.means()
        finally:
            self._collecting, self.dropout = None, dropout
            self.train(training)

    def extract(self, architecture: Selection) -> nn.Module:
        """The plain network of one architecture with its own copy of weights and statistics.

        Statistics are copied where :meth:`calibrate` stored them.
        """
        row = self._row(self._entries(architecture))
        chosen = self.space.architecture(row)
        network = build(chosen.blueprint)
        copy_weights(chosen.blueprint.blocks, self.bank, network)
        if row in self.statistics:
            for (block, name), (mean, variance) in self.statistics[row].items():
                norm = find_layer(network, block, name)
                assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
                assert norm.running_var is not None
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance)
        reference = next(self.parameters())
        network.to(reference.device, reference.dtype)
        return network.train(self.training)

    def _entries(self, selection: Selection) -> Sequence[int | Tensor]:
        """One entry per decision, checked; rules are not, because warm-ups may leave them aside."""
        if isinstance(selection, Architecture):
            if selection.space.fingerprint != self.space.fingerprint:
                raise RequestError(f"{selection} belongs to another space than this supernet of {self.space.name}")
            return selection.row
        entries = [e if isinstance(e, Tensor) and e.ndim else int(e) for e in selection]
        if len(entries) != len(self.space.sizes):
            raise RequestError(
                f"{self.space.name} has {len(self.space.sizes)} decisions, the selection has {len(entries)}"
            )
        for decision, entry in zip(self.space.decisions, entries, strict=True):
            options = len(decision.options)
            if (len(entry) != options) if isinstance(entry, Tensor) else not 0 <= entry < options:
                raise RequestError(f"{decision.name} takes an index below {options} or {options} weights, got {entry}")
        return entries

    def _row(self, entries: Sequence[int | Tensor]) -> Row:
        """The canonical row: architectures that differ in inert decisions alone are one network."""
        if any(isinstance(e, Tensor) for e in entries):
            raise TypeError("a mixture of options is not an architecture: it can be neither calibrated nor extracted")
        return tuple(int(i) for i in self.space.canonical(np.asarray([entries]))[0])

    def _statistics_for(self, entries: Sequence[int | Tensor]) -> Statistics | None:
        if self.training:
            return None
        row = self._row(entries)
        if row not in self.statistics:
            raise RuntimeError(
                f"{self.space.architecture(row)} is not calibrated: call supernet.calibrate(architecture, batches) "
                "before it is evaluated, or supernet.train() to use the statistics of the batch"
            )
        return self.statistics[row]

    def _block(self, position: int, indices: tuple[int, ...]) -> Block:
        """The block of one template for option indices in the order of its scope; made once for each."""
        key = (position, *indices)
        if key not in self._blocks:
            template = self.space.templates[position]
            decisions = [self.space.decisions[self.space.index[name]] for name in template.scope]
            values = {d.name: d.options[i] for d, i in zip(decisions, indices, strict=True)}
            self._blocks[key] = self.space._block(position, self.space.stack(template, values))
        return self._blocks[key]

    def _mixture(self, position: int, entries: Sequence[int | Tensor]) -> list[tuple[Tensor | float, Block]]:
        """The blocks that a template stands for, with their weights; zeros without gradient are left out."""
        template = self.space.templates[position]
        scope = [self.space.index[name] for name in template.scope]
        indices = [i for d in scope if not isinstance(i := entries[d], Tensor)]
        if len(indices) == len(scope):
            return [(1.0, self._block(position, tuple(indices)))]
        choices: list[list[tuple[Any, Any]]] = []
        for name, d in zip(template.scope, scope, strict=True):
            decision, entry = self.space.decisions[d], entries[d]
            if not isinstance(entry, Tensor) or entry.ndim == 0:
                choices.append([(1.0, decision.options[int(entry)])])
                continue
            if decision.kind == "width":
                raise TypeError(f"{name} is a width: it takes one option, not a mixture")
            live = [i for i in range(len(entry)) if entry.requires_grad or entry[i] != 0]
            if not live:
                raise ValueError(f"{name}: every weight of the mixture is zero")
            choices.append([(entry[i], decision.options[i]) for i in live])
        mixture: list[tuple[Tensor | float, Block]] = []
        for combination in itertools.product(*choices):
            weight: Any = 1.0
            for w, _ in combination:
                weight = weight * w
            values = {n: value for n, (_, value) in zip(template.scope, combination, strict=True)}
            mixture.append((weight, self.space._block(position, self.space.stack(template, values))))
        return mixture


class _Collector:
    """Sums the statistics of batch-norm inputs over batches."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str, str], tuple[Tensor, Tensor, int]] = {}

    def add(self, slot: tuple[str, str], x: Tensor) -> None:
        variance, mean = torch.var_mean(x, dim=(0, 2, 3))
        if slot in self.sums:
            old_mean, old_variance, count = self.sums[slot]
            self.sums[slot] = (old_mean + mean, old_variance + variance, count + 1)
        else:
            self.sums[slot] = (mean, variance, 1)

    def means(self) -> Statistics:
        if not self.sums:
            raise ValueError("calibration needs at least one batch")
        return {slot: (mean / count, variance / count) for slot, (mean, variance, count) in self.sums.items()}


def copy_weights(blocks: Sequence[Block], bank: WeightBank, network: nn.Module) -> None:
    """Copies the prefixes that ``blocks`` use from ``bank`` into the plain ``network`` built from them."""
    with torch.no_grad():
        for block in blocks:
            for layer in block.layers:
                if (block.name, layer.name) not in bank._table:
                    continue
                source, target = (
                    bank.layer(block.name, layer.name),
                    find_layer(network, block.name, layer.name),
                )
                for name, parameter in target.named_parameters(recurse=False):
                    prefix = getattr(source, name)[tuple(slice(0, n) for n in parameter.shape)]
                    parameter.data = prefix.detach().clone()
                for name, buffer in target.named_buffers(recurse=False):
                    if buffer.is_floating_point():
                        setattr(target, name, buffer.to(source.weight.dtype))  # type: ignore[arg-type]


def find_layer(network: nn.Module, block: str, name: str) -> nn.Module:
    """The layer ``name`` of a block of a plain network, inside residuals and gates too."""
    root: nn.Module = network.get_submodule(block if isinstance(network, nn.Sequential) else f"blocks.{block}")
    for path, module in root.named_modules():
        if path.rsplit(".", 1)[-1] == name:
            found: nn.Module = module
            return found
    raise KeyError(f"block {block} has no layer {name}")
