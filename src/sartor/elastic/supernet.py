"""One set of weights for every architecture of a space."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sartor.blueprint import Block
from sartor.elastic.bank import WeightBank
from sartor.elastic.execution import Dropout, run_blocks, run_body
from sartor.elastic.layers import SlicedBatchNorm
from sartor.elastic.mixture import Beginnings, Plan, make_plan, run_plan, weighted_plan
from sartor.elastic.weighted_sum import Weight
from sartor.errors import RequestError
from sartor.initialisers import Initialiser
from sartor.layers import Layer
from sartor.network import build
from sartor.space import Architecture

if TYPE_CHECKING:
    from sartor.space import SearchSpace

Row = tuple[int, ...]
Vector = Sequence[Weight]
# One entry per decision: an option index or, for an op decision, a weight per option (a tensor or an array).
Selection = Architecture | Sequence[int | Tensor | np.ndarray[Any, Any]] | np.ndarray[Any, Any]
Statistics = dict[tuple[str, str], tuple[Tensor, Tensor]]


class Supernet(nn.Module):
    """Shared weights of a space, sliced for each selection; computes what the child computes and no more.

    In training mode batch norms use the statistics of the batch. In evaluation mode they use the statistics that
    :meth:`calibrate` stored for that architecture, and any other architecture is refused. ``recompute_branches``
    trades time for memory where several options of a decision are on (see :func:`sartor.elastic.mixture.run_plan`).
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, initialiser: Initialiser = "he_fan_out") -> None:
        super().__init__()
        self.space = space
        stacks = ((t.name, stack) for t in space.templates for stack in space.template_cells(t, "search")[1])
        present = ((name, stack) for name, stack in stacks if stack is not None)
        self.bank = WeightBank(present, seed=seed, initialiser=initialiser, norm_eps=space.norm_eps)
        self.statistics: dict[Row, Statistics] = {}
        self.dropout: Dropout | None = None  # set by the trainer for the passes that drop features
        self._collecting: _Collector | None = None
        self.recompute_branches = True
        self._blocks: dict[tuple[int, ...], Block | None] = {}
        self._read_by: dict[int, tuple[int, ...]] = {}
        self._plans: dict[tuple[Any, ...], tuple[Block, Plan] | None] = {}

    def forward(self, x: Tensor, selection: Selection, last_exit: int | None = None) -> Any:
        """The logits ``[B, classes]``, or a tuple with one per exit where the space has exits."""
        results = tuple(self.stages(x, selection, last_exit))
        return results if self.space.exits > 1 else results[0]

    def stages(self, x: Tensor, selection: Selection, last_exit: int | None = None) -> Iterator[Tensor]:
        """The result of each exit up to ``last_exit``, computing nothing beyond the last one taken."""
        entries = self._entries(selection)
        statistics = self._statistics_for(entries)
        parts = (self._part(position, entries) for position in self._running(last_exit))
        running = [part for part in parts if part is not None]
        plans = {block.name: (plan, weights) for block, plan, weights in running}
        readers = Counter((block.inputs, block.join) for block, plan, _ in running if plan is not None)
        beginnings = {read: Beginnings(count) for read, count in readers.items()}

        def apply(block: str, layer: Layer, x: Tensor) -> Tensor:
            module = self.bank.layer(block, layer.name)
            if not isinstance(module, SlicedBatchNorm):
                return module(x, layer)  # type: ignore[no-any-return]
            if self._collecting is not None:
                self._collecting.add((block, layer.name), x)
            return module(x, layer, None if statistics is None else statistics[block, layer.name])  # type: ignore[no-any-return]

        dropout = self.dropout if self.training else None

        def run_block(block: Block, y: Tensor) -> Tensor:
            plan, weights = plans[block.name]
            if plan is None:
                return run_body(block.name, block.stack.body, y, apply, dropout)
            shared = beginnings[block.inputs, block.join]
            y = run_plan(
                block.name,
                plan,
                weights,
                y,
                apply,
                dropout,
                recompute=self.recompute_branches,
                beginnings=shared,
                norm_eps=self.space.norm_eps if _in_single_precision(y) else None,
            )
            shared.leave()
            return y

        yield from run_blocks([block for block, _, _ in running], x, run_block)

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
        """The plain network of one architecture, as it is searched, with its own copy of weights and statistics.

        Statistics are copied where :meth:`calibrate` stored them.
        """
        row = self._row(self._entries(architecture))
        chosen = self.space.architecture(row)
        blueprint = self.space.blueprint(chosen.values, form="search").live()
        network = build(blueprint)
        copy_weights(blueprint.blocks, self.bank, network)
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

    def _entries(self, selection: Selection) -> Sequence[int | Vector]:
        """One entry per decision, checked; rules are not, because warm-ups may leave them aside."""
        if isinstance(selection, Architecture):
            if selection.space.fingerprint != self.space.fingerprint:
                raise RequestError(f"{selection} belongs to another space than this supernet of {self.space.name}")
            return selection.row
        entries = [_vector(e) if getattr(e, "ndim", 0) else int(e) for e in selection]
        if len(entries) != len(self.space.sizes):
            raise RequestError(
                f"{self.space.name} has {len(self.space.sizes)} decisions, the selection has {len(entries)}"
            )
        for decision, entry in zip(self.space.decisions, entries, strict=True):
            options = len(decision.options)
            if not 0 <= entry < options if isinstance(entry, int) else len(entry) != options:
                raise RequestError(f"{decision.name} takes an index below {options} or {options} weights, got {entry}")
        return entries

    def _row(self, entries: Sequence[int | Vector]) -> Row:
        """The canonical row: architectures that differ in inert decisions alone are one network."""
        if not all(isinstance(e, int) for e in entries):
            raise TypeError("a mixture of options is not an architecture: it can be neither calibrated nor extracted")
        return tuple(int(i) for i in self.space.canonical(np.asarray([entries]))[0])

    def _statistics_for(self, entries: Sequence[int | Vector]) -> Statistics | None:
        if self.training:
            return None
        row = self._row(entries)
        if row not in self.statistics:
            raise RuntimeError(
                f"{self.space.architecture(row)} is not calibrated: call supernet.calibrate(architecture, batches) "
                "before it is evaluated, or supernet.train() to use the statistics of the batch"
            )
        return self.statistics[row]

    def _running(self, last_exit: int | None) -> tuple[int, ...]:
        """The templates that some exit up to ``last_exit`` reads: cells that nobody needs are not run."""
        last = self.space.exits - 1 if last_exit is None else last_exit
        if last not in self._read_by:
            self._read_by[last] = self.space.read_by_exits(0, last)
        return self._read_by[last]

    def _block(self, position: int, indices: tuple[int, ...]) -> Block | None:
        """The block of one template for option indices in the order of its scope, if it exists; made once for each."""
        key = (position, *indices)
        if key not in self._blocks:
            template = self.space.templates[position]
            decisions = [self.space.decisions[self.space.index[name]] for name in template.scope]
            values = {d.name: d.options[i] for d, i in zip(decisions, indices, strict=True)}
            stack = self.space.stack(template, values, "search")
            self._blocks[key] = None if stack is None else self.space._block(position, stack)
        return self._blocks[key]

    def _part(self, position: int, entries: Sequence[int | Vector]) -> _Part | None:
        """The block that a template stands for; with several options on, how to run them and their weights."""
        scope = [self.space.index[name] for name in self.space.templates[position].scope]
        indices = tuple([i for d in scope if isinstance(i := entries[d], int)])
        if len(indices) == len(scope):
            block = self._block(position, indices)
            return None if block is None else (block, None, {})
        weights = {d: self._live(d, vector) for d in scope if not isinstance(vector := entries[d], int)}
        live = tuple(tuple(weights[d]) if d in weights else entries[d] for d in scope)
        if (position, live) not in self._plans:
            self._plans[position, live] = self._plan(position, scope, live)
        plan = self._plans[position, live]
        return None if plan is None else (*plan, weights)

    def _live(self, decision: int, vector: Vector) -> dict[int, Weight]:
        """The options that are on; zeros without gradient are off."""
        name, kind = self.space.decisions[decision].name, self.space.decisions[decision].kind
        if kind == "width":
            raise TypeError(f"{name} is a width: it takes one option, not a mixture")
        live = {i: w for i, w in enumerate(vector) if (isinstance(w, Tensor) and w.requires_grad) or w != 0}
        if not live:
            raise ValueError(f"{name}: every weight of the mixture is zero")
        return live

    def _plan(self, position: int, scope: Sequence[int], live: Sequence[Any]) -> tuple[Block, Plan] | None:
        """A plan over the decisions with several options, parents first; and one of the blocks, for its wiring.

        An option without a block adds nothing to the mixture; with no other option on there is nothing to run.
        """
        mixed = sorted(d for d, options in zip(scope, live, strict=True) if not isinstance(options, int))
        blocks: dict[tuple[int, ...], Block] = {}
        for combination in itertools.product(*[(o,) if isinstance(o, int) else o for o in live]):
            chosen = dict(zip(scope, combination, strict=True))
            block = self._block(position, combination)
            if block is not None:
                blocks[tuple([chosen[d] for d in mixed])] = block
            elif len(mixed) > 1:
                raise TypeError(f"{self.space.templates[position].name} is absent for some of several mixed decisions")
        if not blocks:
            return None
        bodies = {key: b.stack.body for key, b in blocks.items()}
        if len(mixed) == 1:
            plan = weighted_plan(mixed[0], {option: body for (option,), body in bodies.items()})
        else:
            plan = make_plan(mixed, bodies)
        return next(iter(blocks.values())), plan


# A block, how to run it where several options are on, and the weights of those by decision.
_Part = tuple[Block, Plan | None, Mapping[int, Mapping[int, Weight]]]


def _in_single_precision(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)


def _vector(entry: Any) -> Vector:
    """The weights of a mixture: numbers, or scalars that carry a gradient."""
    if isinstance(entry, Tensor) and entry.requires_grad:
        return tuple(entry)
    weights: list[float] = entry.tolist()
    return weights


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
    dtype = next(bank.parameters()).dtype
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
                        setattr(target, name, buffer.to(dtype))


def find_layer(network: nn.Module, block: str, name: str) -> nn.Module:
    """The layer ``name`` of a block of a plain network, inside residuals and gates too."""
    root: nn.Module = network.get_submodule(block if isinstance(network, nn.Sequential) else f"blocks.{block}")
    for path, module in root.named_modules():
        if path.rsplit(".", 1)[-1] == name:
            found: nn.Module = module
            return found
    raise KeyError(f"block {block} has no layer {name}")
