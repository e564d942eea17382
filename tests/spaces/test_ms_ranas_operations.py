"""The operations of an edge against definitions in plain PyTorch, in both forms and strides."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.layers import walk_layers
from sartor.network import build_body
from sartor.spaces.ms_ranas.operations import OPERATIONS, factorized_reduce, operation
from sartor.stack import Stack

CHANNELS, SIDE = 8, 8


class Norms:
    """Batch norms of a network in the order in which a definition asks for them, affine or not."""

    def __init__(self, network: nn.Module) -> None:
        self.left = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.left.pop(0)
        return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=1e-5)


def defined(name: str, x: Tensor, stride: int, network: nn.Module, search: bool) -> Tensor:
    """The operation as reference 1.2 defines it, on the weights of ``network`` in their order."""
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    norm = Norms(network)
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        if name.startswith("max"):
            y = F.max_pool2d(x, 3, stride, 1)
        else:
            y = F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        return norm(y) if search else y
    if name == "skip_connect":
        if stride == 1:
            return x
        x = torch.relu(x)
        halves = [F.conv2d(x, weights[0], stride=2), F.conv2d(x[:, :, 1:, 1:], weights[1], stride=2)]
        return norm(torch.cat(halves, dim=1))
    kernel = int(name[-1])
    if name.startswith("dil"):
        y = F.conv2d(torch.relu(x), weights[0], None, stride, kernel - 1, dilation=2, groups=CHANNELS)
        return norm(F.conv2d(y, weights[1]))
    for part, step in ((0, stride), (1, 1)):
        depthwise, pointwise = weights[2 * part : 2 * part + 2]
        x = F.conv2d(torch.relu(x), depthwise, None, step, kernel // 2, groups=CHANNELS)
        x = norm(F.conv2d(x, pointwise))
    return x


def stack_of(name: str, stride: int, search: bool, **options: Any) -> Stack:
    """What runs on an edge."""
    found = operation(name, channels=CHANNELS, side=SIDE, stride=stride, search=search, **options)
    assert found is not None
    return found


def network_of(stack: Stack) -> nn.Module:
    """Its network in double precision, with norms that are not the identity."""
    generator = torch.Generator().manual_seed(1)
    network = build_body(stack.body).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return network


def features() -> Tensor:
    """What enters an edge."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, CHANNELS, SIDE, SIDE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("search", [False, True], ids=["final", "search"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_equals_its_definition(name: str, stride: int, search: bool) -> None:
    """Output and shape of every operation, and its input left as it was."""
    network, x = network_of(stack_of(name, stride, search)), features()
    kept = x.clone()
    found = network(x)
    torch.testing.assert_close(found, defined(name, kept, stride, network, search), rtol=0, atol=1e-10)
    assert found.shape == (3, CHANNELS, SIDE // stride, SIDE // stride)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("stride", [1, 2])
def test_norms_learn_nothing_in_search(stride: int) -> None:
    """In search no batch norm is affine and pools have one; in the final network all are, and pools have none."""
    for name in OPERATIONS:
        for search in (False, True):
            norms = [n for n in walk_layers(stack_of(name, stride, search).body) if n.kind == "batch_norm"]
            assert not any(norm.affine is search for norm in norms)
            parameter_free = name == "skip_connect" and stride == 1
            expected = {"s": 2, "d": 1, "m": search, "a": search}[name[0]] if name != "skip_connect" else 1
            assert len(norms) == (0 if parameter_free else expected)


def test_none_is_no_operation() -> None:
    """``none`` stands for an absent edge in both forms."""
    for search in (False, True):
        assert operation("none", channels=4, side=8, stride=2, search=search, partial_channels=2) is None


def test_counts_by_hand() -> None:
    """MACs: kernels squared per channel, channels squared per 1x1 convolution, at the output's side."""
    positions, square = (SIDE // 2) ** 2, CHANNELS**2
    per_position = {
        "max_pool_3x3": 0,
        "avg_pool_3x3": 0,
        "skip_connect": square,
        "sep_conv_3x3": 2 * (9 * CHANNELS + square),
        "sep_conv_5x5": 2 * (25 * CHANNELS + square),
        "dil_conv_3x3": 9 * CHANNELS + square,
        "dil_conv_5x5": 25 * CHANNELS + square,
    }
    for name, macs in per_position.items():
        layers = walk_layers(stack_of(name, 2, False).body)
        assert sum(layer.macs for layer in layers) == positions * macs, name


def test_a_reduction_may_change_the_channels() -> None:
    """A factorized reduction halves the side and makes as many channels as asked, odd ones too."""
    stack = factorized_reduce(Stack(6, 10), 7, "reduce", affine=True)
    assert (stack.out_channels, stack.out_side) == (7, 5)
    assert build_body(stack.body)(torch.zeros(2, 6, 10, 10)).shape == (2, 7, 5, 5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_partial_channels(name: str, stride: int) -> None:
    """In search the operation sees a quarter of the channels, the others pass, and all are shuffled (PC-DARTS)."""
    stack, x = stack_of(name, stride, True, partial_channels=4), features()
    network = network_of(stack)
    share = CHANNELS // 4
    own = operation(name, channels=share, side=SIDE, stride=stride, search=True)
    assert own is not None
    alone = network_of(own)
    for copy, weight in zip(alone.parameters(), network.parameters(), strict=True):
        copy.data = weight.data
    rest = x[:, share:] if stride == 1 else F.max_pool2d(x[:, share:], 2, 2)
    joined = torch.cat([alone(x[:, :share]), rest], dim=1)
    expected = joined.reshape(3, 4, share, *joined.shape[2:]).transpose(1, 2).reshape(joined.shape)
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-10)
    assert stack_of(name, stride, False, partial_channels=4) == stack_of(name, stride, False)
