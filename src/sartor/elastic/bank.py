"""The widest weights of every layer that a set of blocks can ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from sartor.blueprint import NORM_EPS
from sartor.elastic.layers import Extent, SlicedBatchNorm, SlicedConv2d, SlicedLinear, SlicedModule
from sartor.initialisers import Initialiser
from sartor.layers import WITH_WEIGHTS, Layer, walk_layers
from sartor.stack import Stack


class WeightBank(nn.Module):
    """Sliced layers by block and layer name, each as wide as its widest use.

    Args:
        stacks: pairs (block name, stack), all that will ever run.
        seed, initialiser: what the weights start from (see :func:`sartor.initialisers.initialise`).
        norms: whether batch norms are held here (a slimmable network keeps one set per platform instead).
        norm_eps: what they add to the variance.
    """

    def __init__(
        self,
        stacks: Iterable[tuple[str, Stack]],
        *,
        seed: int = 0,
        initialiser: Initialiser = "he_fan_out",
        norms: bool = True,
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.blocks = nn.ModuleDict()
        for (block, name), layer in widest_layers(stacks).items():
            if layer.kind == "batch_norm" and not norms:
                continue
            if block not in self.blocks:
                self.blocks[block] = nn.ModuleDict()
            holder = self.blocks[block]
            assert isinstance(holder, nn.ModuleDict)
            holder[name] = _sliced(layer, generator, initialiser, norm_eps)
        self._table = {
            (block, name): module
            for block, holder in self.blocks.items()
            if isinstance(holder, nn.ModuleDict)
            for name, module in holder.items()
        }

    def layer(self, block: str, name: str) -> nn.Module:
        """The sliced layer of one slot."""
        return self._table[block, name]

    def use_direct_gradients(self, direct: bool) -> None:
        """Chooses between gradients added in place and ordinary autograd slices, for every layer."""
        for module in self.modules():
            if isinstance(module, SlicedModule):
                module.direct_gradients = direct

    def used_prefixes(self) -> Iterator[tuple[nn.Parameter, set[Extent]]]:
        """The parameters that passes have used since the last :meth:`forget_prefixes`, with their extents."""
        for module in self.modules():
            if isinstance(module, SlicedModule):
                for name, extents in module.used.items():
                    yield getattr(module, name), extents

    def forget_prefixes(self) -> None:
        """Starts a new step."""
        for module in self.modules():
            if isinstance(module, SlicedModule):
                module.used.clear()


def widest_layers(stacks: Iterable[tuple[str, Stack]]) -> dict[tuple[str, str], Layer]:
    """(block, layer name) -> the layer with weights at its greatest input and output channels.

    Raises:
        ValueError: two layers share a name but not a shape (kernel, kind, bias), or lie in one stack.
    """
    widest: dict[tuple[str, str], Layer] = {}
    # Stacks of one template are made of the same objects; kept, so that no other layer gets the id of a seen one.
    seen: dict[tuple[str, int], Layer] = {}
    for block, stack in stacks:
        layers = [layer for layer in walk_layers(stack.body) if layer.kind in WITH_WEIGHTS]
        names = [layer.name for layer in layers]
        if len(set(names)) != len(names):
            raise ValueError(f"{block}: layer names must be unique inside a block, got {', '.join(names)}")
        for layer in layers:
            if (block, id(layer)) in seen:
                continue
            seen[block, id(layer)] = layer
            slot = (block, layer.name)
            widest[slot] = _wider(widest[slot], layer, block) if slot in widest else layer
    return widest


def _wider(a: Layer, b: Layer, block: str) -> Layer:
    if (a.kind, a.kernel, a.bias, a.affine) != (b.kind, b.kernel, b.bias, b.affine) or _dense(a, b) or _dense(b, a):
        raise ValueError(f"{block}: two layers named {b.name!r} cannot share weights: {a} and {b}")
    # A weight has as many input channels as one group; a depthwise layer has as many groups as channels.
    per_group = max(a.in_channels // a.groups, b.in_channels // b.groups)
    groups = max(a.groups, b.groups)
    channels = max(a.out_channels, b.out_channels)
    if (per_group * groups, channels, groups) == (a.in_channels, a.out_channels, a.groups):
        return a
    return dataclasses.replace(a, in_channels=per_group * groups, out_channels=channels, groups=groups)


def _dense(a: Layer, b: Layer) -> bool:
    """Whether ``a`` is a full layer where ``b`` is grouped; one channel is both."""
    return a.groups == 1 < b.groups and (a.in_channels, a.out_channels) != (1, 1)


def _sliced(layer: Layer, generator: torch.Generator, initialiser: Initialiser, norm_eps: float) -> SlicedModule:
    if layer.kind == "batch_norm":
        return SlicedBatchNorm(layer, norm_eps)
    kind = SlicedConv2d if layer.kind == "conv" else SlicedLinear
    return kind(layer, generator, initialiser)
