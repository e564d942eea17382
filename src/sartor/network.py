"""The plain network of a blueprint: torch layers and nothing else, no trace of elasticity."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sartor.blueprint import NORM_EPS, Block, Blueprint
from sartor.initialisers import Initialiser, initialise
from sartor.layers import WITH_WEIGHTS, Layer, Node, Parallel, Residual, SplitAttention
from sartor.memory import PICTURES

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hard_swish": nn.Hardswish,
    "hard_sigmoid": nn.Hardsigmoid,
    "swish": nn.SiLU,
    "sigmoid": nn.Sigmoid,
}


class ResidualModule(nn.Sequential):
    """x + body(x)."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + y


class GateModule(nn.Sequential):
    """x * body(x), with one factor per channel."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x * y


class SplitAttentionModule(nn.Module):
    """The sum of branches on one input, weighted per channel by a softmax over them (see :class:`SplitAttention`)."""

    def __init__(self, branches: Sequence[nn.Module], gate: nn.Module, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.gate = gate
        self.channels = channels  # known beforehand, because an exporter would write its computation into the graph

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.branches]
        return attend(parts, self.gate(join_inputs(parts, "sum")), self.channels)


class ParallelModule(nn.ModuleList):
    """The outputs of branches on one input, concatenated along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


class Shift(nn.Module):
    """Cuts off the first row and the first column."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:, 1:]


class Channels(nn.Module):
    """The channels from ``start`` to before ``stop``."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]


class GraphNetwork(nn.Module):
    """Blocks in order of execution, each reading the outputs of earlier ones.

    The result is a tensor, or a tuple with one per exit where there are several.
    """

    def __init__(self, blueprint: Blueprint, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(dict(blocks))
        exits = exit_names(blueprint.blocks)
        last_reader = {name: block.name for block in blueprint.blocks for name in block.inputs}
        self._wiring = [
            (b.name, b.inputs, b.join, b.name in exits, [n for n in set(b.inputs) if last_reader[n] == b.name])
            for b in blueprint.blocks
        ]

    def stages(self, x: Tensor) -> Iterator[Tensor]:
        """The result of every exit, each computed when it is asked for; frees what nobody reads any more."""
        outputs = {PICTURES: x}
        for name, inputs, join, is_exit, dying in self._wiring:
            y = self.blocks[name](join_inputs([outputs[i] for i in inputs], join))
            for read in dying:
                del outputs[read]
            if is_exit:
                yield y
            outputs[name] = y

    def forward(self, x: Tensor) -> Any:
        results = tuple(self.stages(x))
        return results if len(results) > 1 else results[0]


def build(
    blueprint: Blueprint, *, seed: int = 0, dropout: float = 0.0, initialiser: Initialiser = "he_fan_out"
) -> nn.Module:
    """The network of a blueprint with freshly initialised weights (see :func:`sartor.initialisers.initialise`).

    A chain becomes an ``nn.Sequential`` of blocks; a graph or a network with exits a :class:`GraphNetwork`.
    """
    generator = torch.Generator().manual_seed(seed)
    blocks = {b.name: build_body(b.stack.body, dropout, blueprint.norm_eps) for b in blueprint.blocks}
    network = nn.Sequential(OrderedDict(blocks)) if is_chain(blueprint.blocks) else GraphNetwork(blueprint, blocks)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            groups = module.groups if isinstance(module, nn.Conv2d) else 1
            initialise(module.weight, module.bias, groups, generator, initialiser)
    return network


def build_body(body: Sequence[Node], dropout: float = 0.0, norm_eps: float = NORM_EPS) -> nn.Sequential:
    """The layers of a body as a sequence of named torch modules."""
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for i, node in enumerate(body):
        if isinstance(node, Layer):
            if node.name in modules and node.kind in WITH_WEIGHTS:
                raise ValueError(f"two layers of one body are named {node.name!r}")
            if node.kind == "linear" and "flatten" not in modules:
                modules["flatten"] = nn.Flatten()  # a block may begin with features that another one pooled
            name = f"{node.name}_{i}" if node.name in modules else node.name
            modules[name] = build_layer(node, dropout, norm_eps, in_place=owns_input(body, i))
            if node.kind == "global_pool" and not _still_spatial(body, i):
                modules["flatten"] = nn.Flatten()
        elif isinstance(node, SplitAttention):
            branches = [build_body(branch, dropout, norm_eps) for branch in node.branches]
            gate = build_body(node.gate, dropout, norm_eps)
            modules[f"split_attention{i}"] = SplitAttentionModule(branches, gate, node.channels)
        elif isinstance(node, Parallel):
            modules[f"parallel{i}"] = ParallelModule([build_body(b, dropout, norm_eps) for b in node.branches])
        else:
            wrapper = ResidualModule if isinstance(node, Residual) else GateModule
            inner = build_body(node.body, dropout, norm_eps)
            modules[f"{type(node).__name__.lower()}{i}"] = wrapper(OrderedDict(inner.named_children()))
    return nn.Sequential(modules)


def build_layer(layer: Layer, dropout: float = 0.0, norm_eps: float = NORM_EPS, *, in_place: bool = True) -> nn.Module:
    """One torch layer; ``in_place`` lets an activation overwrite its input."""
    if layer.kind == "conv":
        return nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            layer.stride,
            padding(layer),
            layer.dilation,
            layer.groups,
            layer.bias,
        )
    if layer.kind == "linear":
        return nn.Linear(layer.in_channels, layer.out_channels)
    if layer.kind == "batch_norm":
        return nn.BatchNorm2d(layer.out_channels, norm_eps, affine=layer.affine)
    if layer.kind == "activation":
        return ACTIVATIONS[layer.function](**({} if layer.function == "sigmoid" else {"inplace": in_place}))
    if layer.kind == "pool":
        if layer.function == "max":
            return nn.MaxPool2d(layer.kernel, layer.stride, padding(layer))
        return nn.AvgPool2d(layer.kernel, layer.stride, padding(layer), count_include_pad=False)
    if layer.kind == "dropout":
        return nn.Dropout(dropout)
    if layer.kind == "channels":
        return Channels(layer.start, layer.start + layer.out_channels)
    if layer.kind == "shuffle":
        return nn.ChannelShuffle(layer.groups)
    return nn.AdaptiveAvgPool2d(1) if layer.kind == "global_pool" else Shift()


def padding(layer: Layer) -> int:
    """The padding that keeps the side at stride 1, or none."""
    return layer.dilation * (layer.kernel // 2) if layer.padded else 0


def join_inputs(inputs: Sequence[Tensor], join: str) -> Tensor:
    """One tensor from the inputs of a block."""
    if join == "concat":
        return torch.cat(list(inputs), dim=1)
    total = inputs[0]
    for other in inputs[1:]:
        total = total + other
    return total


def attend(parts: Sequence[Tensor], logits: Tensor, channels: int) -> Tensor:
    """The sum of R ``parts`` ``[B, channels, S, S]``, weighted by a softmax over them.

    ``logits`` ``[B, channels * R, 1, 1]`` hold the values of one channel next to each other.
    """
    split = logits.reshape(-1, channels, len(parts), 1, 1)
    weights = split.softmax(2).unbind(2)  # R of [B, channels, 1, 1]
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total = total + part * weight
    return total


def owns_input(body: Sequence[Node], position: int) -> bool:
    """Whether the input of the node at ``position`` was made in this body, so that it may be overwritten.

    The input of the whole body may be a shortcut, a tensor that other blocks read, or the caller's pictures; a
    dropout at rest hands it on as it is, and a cut is a view of it.
    """
    return any(makes_tensor(node) for node in body[:position])


def makes_tensor(node: Node) -> bool:
    """Whether the output of a node is a tensor of its own, and neither its input nor a view of that."""
    return not isinstance(node, Layer) or node.kind not in ("dropout", "shift", "channels")


def last_logits(outputs: Any) -> Tensor:
    """The logits of a network, of its last exit where it has several."""
    logits: Tensor = outputs[-1] if isinstance(outputs, tuple) else outputs
    return logits


def exit_names(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The blocks whose outputs are the results: those marked as exits, or else the last one."""
    return tuple(b.name for b in blocks if b.is_exit) or (blocks[-1].name,)


def is_chain(blocks: Sequence[Block]) -> bool:
    """Whether every block reads just the one before it and only the last one is an output."""
    previous = (PICTURES, *[b.name for b in blocks])
    linear = all(b.inputs == (p,) for b, p in zip(blocks, previous, strict=False))
    return linear and not any(b.is_exit for b in blocks)


def _still_spatial(body: Sequence[Node], position: int) -> bool:
    """Whether a convolution follows the pooling (in a gate); features for a linear layer are flattened."""
    following = next((n for n in body[position + 1 :] if isinstance(n, Layer) and n.kind in ("conv", "linear")), None)
    return following is None or following.kind == "conv"
