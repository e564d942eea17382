"""Layers that hold weights for the widest choice and compute with a prefix of them.

A prefix is a slice of the first output and input channels. While gradients are recorded, a pass works on a *leaf*
that shares storage with the parameter's prefix and whose gradient is a view into the parameter's gradient: the
backward pass then adds in place, and a small child costs a small computation. Slicing through autograd would
build a gradient of full size for every layer of every pass.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.blueprint import NORM_EPS
from sartor.convolution import convolve
from sartor.initialisers import Initialiser, initialise
from sartor.layers import Layer
from sartor.network import padding

Extent = tuple[int, ...]

# A leaf's gradient is a strided view on purpose: it is the parameter's own gradient.
warnings.filterwarnings("ignore", message="grad and param do not obey the gradient layout contract")


class SlicedModule(nn.Module):
    """Hands out prefixes of its parameters and remembers which ones a step has used.

    ``direct_gradients`` (default) accumulates gradients straight into the parameters' ``grad``; switched off, the
    prefix is an ordinary autograd slice, as ``torch.autograd.grad`` with respect to the parameters needs it.
    """

    direct_gradients = True

    def __init__(self) -> None:
        super().__init__()
        self.used: dict[str, set[Extent]] = {}

    def prefix(self, name: str, *extent: int) -> Tensor:
        """The leading part of parameter ``name``, ``extent`` long along the first axes."""
        parameter = self._parameters[name]  # far cheaper than an attribute of a module, which is searched for
        assert parameter is not None
        recording = parameter.requires_grad and torch.is_grad_enabled()
        if recording:
            self.used.setdefault(name, set()).add(extent)
        if parameter.shape[: len(extent)] == extent:
            return parameter
        slices = tuple([slice(n) for n in extent])
        if not (recording and self.direct_gradients):
            return parameter[slices]
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        leaf = parameter.detach()[slices].requires_grad_()
        leaf.grad = parameter.grad[slices]
        return leaf


class SlicedConv2d(SlicedModule):
    """A convolution whose input and output channels are prefixes; depthwise ones have one prefix."""

    def __init__(self, widest: Layer, generator: torch.Generator, initialiser: Initialiser = "he_fan_out") -> None:
        super().__init__()
        in_channels = widest.in_channels // widest.groups
        self.weight = nn.Parameter(torch.empty(widest.out_channels, in_channels, widest.kernel, widest.kernel))
        self.bias = nn.Parameter(torch.empty(widest.out_channels)) if widest.bias else None
        initialise(self.weight, self.bias, widest.groups, generator, initialiser)

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        weight = self.prefix("weight", layer.out_channels, layer.in_channels // layer.groups)
        bias = None if self.bias is None else self.prefix("bias", layer.out_channels)
        return convolve(x, weight, bias, layer.stride, padding(layer), layer.dilation, layer.groups)


class SlicedLinear(SlicedModule):
    """A linear layer whose input and output features are prefixes."""

    def __init__(self, widest: Layer, generator: torch.Generator, initialiser: Initialiser = "he_fan_out") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(widest.out_channels, widest.in_channels))
        self.bias = nn.Parameter(torch.empty(widest.out_channels))
        initialise(self.weight, self.bias, 1, generator, initialiser)

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        weight = self.prefix("weight", layer.out_channels, layer.in_channels)
        return F.linear(x.flatten(1), weight, self.prefix("bias", layer.out_channels))


class SlicedBatchNorm(SlicedModule):
    """A batch norm with shared affine vectors, if any; its statistics come with the call.

    ``statistics`` is None for those of the batch, or the mean and the variance ``[channels]`` to use.
    """

    def __init__(self, widest: Layer, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(widest.out_channels)) if widest.affine else None
        self.bias = nn.Parameter(torch.zeros(widest.out_channels)) if widest.affine else None
        self.eps = eps

    def forward(self, x: Tensor, layer: Layer, statistics: tuple[Tensor, Tensor] | None = None) -> Tensor:
        weight = None if self.weight is None else self.prefix("weight", layer.out_channels)
        bias = None if self.bias is None else self.prefix("bias", layer.out_channels)
        if statistics is None:
            return F.batch_norm(x, None, None, weight, bias, training=True, eps=self.eps)
        return F.batch_norm(x, statistics[0], statistics[1], weight, bias, training=False, eps=self.eps)
