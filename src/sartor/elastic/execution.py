"""Running blueprints on shared weights: one walk for the supernet and for the slimmable network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.blueprint import Block
from sartor.layers import Layer, Node, Parallel, Residual, SplitAttention
from sartor.memory import PICTURES
from sartor.network import attend, exit_names, join_inputs, makes_tensor, padding

# Applies a layer that owns weights: (block name, layer, input) -> output.
ApplyWeights = Callable[[str, Layer, Tensor], Tensor]
# What a block gets of another one's output while a network is trained: (reader, source, output) -> what is read.
Read = Callable[[str, str, Tensor], Tensor]

_ACTIVATIONS: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid,
    "swish": F.silu,
    "sigmoid": lambda x, _: torch.sigmoid(x),
}


class DropPath:
    """Drop path: leaves out residual branches, or edges of a graph, for whole pictures, with its own generator.

    Args:
        rates: block name -> the rate at which its residual branches are left out; what is kept grows by 1 / (1 - rate).
        generator: on the CPU.
        edges: block name -> the rate at which its whole output is left out of the sums that read it.
    """

    def __init__(
        self, rates: Mapping[str, float], generator: torch.Generator, edges: Mapping[str, float] | None = None
    ) -> None:
        self.rates = rates
        self.generator = generator
        self.edges = edges or {}

    def __call__(self, block: str, x: Tensor) -> Tensor:
        """The output of a residual branch of ``block``, some pictures left out."""
        return self._drop(self.rates.get(block, 0.0), x)

    def edge(self, block: str, x: Tensor) -> Tensor:
        """The output of ``block`` as a sum reads it, some pictures left out."""
        return self._drop(self.edges.get(block, 0.0), x)

    def _drop(self, rate: float, x: Tensor) -> Tensor:
        if not rate:
            return x
        keep = torch.rand((len(x), 1, 1, 1), generator=self.generator) >= rate
        return x * (keep / (1.0 - rate)).to(x.device, x.dtype)


class Dropout:
    """Dropout with its own generator, so that a resumed run drops the same features; and stochastic depth, if any."""

    def __init__(self, rate: float, generator: torch.Generator, paths: DropPath | None = None) -> None:
        self.rate = rate
        self.generator = generator
        self.paths = paths

    def __call__(self, x: Tensor) -> Tensor:
        if not self.rate:
            return x
        keep = torch.rand(x.shape, generator=self.generator).to(x.device) >= self.rate
        return x * keep / (1.0 - self.rate)


def run_blocks(
    blocks: Sequence[Block], x: Tensor, run_block: Callable[[Block, Tensor], Tensor], read: Read | None = None
) -> Iterator[Tensor]:
    """The outputs of the exits (or of the last block), computing nothing beyond the last one taken.

    A block does without those of its inputs that are not among ``blocks``.
    """
    outputs = {PICTURES: x}
    last_reader = {name: i for i, block in enumerate(blocks) for name in block.inputs}
    exits = exit_names(blocks)
    for i, block in enumerate(blocks):
        present = [name for name in block.inputs if name in outputs]
        inputs = [outputs[name] if read is None else read(block.name, name, outputs[name]) for name in present]
        y = run_block(block, join_inputs(inputs, block.join))
        for name in block.inputs:
            if last_reader[name] == i:
                outputs.pop(name, None)  # frees what nobody reads any more
        if block.name in exits:
            yield y
        outputs[block.name] = y


def run_body(
    block: str, body: Sequence[Node], x: Tensor, apply: ApplyWeights, dropout: Dropout | None = None
) -> Tensor:
    """Runs the layers of one block; never overwrites ``x`` itself."""
    owned = False  # as network.owns_input says, carried along
    for node in body:
        if isinstance(node, Layer):
            x = run_layer(block, node, x, apply, dropout, in_place=owned)
            owned = owned or makes_tensor(node)
        elif isinstance(node, SplitAttention):
            parts = [run_body(block, branch, x, apply, dropout) for branch in node.branches]
            logits = run_body(block, node.gate, join_inputs(parts, "sum"), apply, dropout)
            x = attend(parts, logits, node.channels)
            owned = True
        elif isinstance(node, Parallel):
            x = torch.cat([run_body(block, branch, x, apply, dropout) for branch in node.branches], dim=1)
            owned = True
        else:
            y = run_body(block, node.body, x, apply, dropout)
            if dropout is not None and dropout.paths is not None and isinstance(node, Residual):
                y = dropout.paths(block, y)
            x = x + y if isinstance(node, Residual) else x * y
            owned = True
    return x


def run_layer(
    block: str, layer: Layer, x: Tensor, apply: ApplyWeights, dropout: Dropout | None, *, in_place: bool
) -> Tensor:
    """Runs one layer; those with weights go through ``apply``, activations may overwrite ``x`` on request."""
    if layer.kind in ("conv", "linear", "batch_norm"):
        return apply(block, layer, x)
    if layer.kind == "activation":
        return _ACTIVATIONS[layer.function](x, in_place)
    if layer.kind == "global_pool":
        return x.mean((2, 3), keepdim=True)
    if layer.kind == "dropout":
        return x if dropout is None else dropout(x)
    if layer.kind in ("shift", "channels", "shuffle"):
        return _rearrange(layer, x)
    if layer.function == "max":
        return F.max_pool2d(x, layer.kernel, layer.stride, padding(layer))
    return F.avg_pool2d(x, layer.kernel, layer.stride, padding(layer), count_include_pad=False)


def _rearrange(layer: Layer, x: Tensor) -> Tensor:
    if layer.kind == "shift":
        return x[:, :, 1:, 1:]
    if layer.kind == "channels":
        return x[:, layer.start : layer.start + layer.out_channels]
    return F.channel_shuffle(x, layer.groups)
