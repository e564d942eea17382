"""Sliced layers against plain torch layers that hold the sliced weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sartor.elastic.bank import WeightBank, widest_layers
from sartor.elastic.layers import SlicedBatchNorm, SlicedConv2d, SlicedLinear, SlicedModule
from sartor.layers import Layer
from sartor.network import build_layer
from sartor.stack import Stack

TOLERANCE = 1e-12

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


def conv(width_in: int, width: int, **options: int) -> Layer:
    """One convolution on 6 x 6 positions."""
    layer = Stack(width_in, 6).conv("conv", width, bias=True, **options).body[0]  # type: ignore[arg-type]
    assert isinstance(layer, Layer)
    return layer


CASES = {
    "both sides": (conv(8, 10, kernel=3), conv(5, 7, kernel=3)),
    "output only": (conv(8, 10, stride=2), conv(8, 3, stride=2)),
    "everything": (conv(8, 10, kernel=3), conv(8, 10, kernel=3)),
    "depthwise": (conv(8, 8, kernel=5, groups=8), conv(3, 3, kernel=5, groups=3)),
    "one channel of a depthwise": (conv(8, 8, kernel=3, groups=8), conv(1, 1, kernel=3)),
    "groups": (conv(8, 12, kernel=3, groups=4), conv(4, 8, kernel=3, groups=4)),
    "dilated": (conv(8, 10, kernel=3, dilation=2), conv(2, 10, kernel=3, dilation=2)),
    "dilated as strided": (
        conv(8, 8, kernel=5, groups=8, dilation=2, stride=2),
        conv(3, 3, kernel=5, groups=3, dilation=2, stride=2),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("direct", [True, False])
def test_sliced_convolutions(case: str, direct: bool) -> None:
    """Output and gradients are those of a plain convolution with the corner of the weights; the rest gets zeros."""
    widest, layer = CASES[case]
    sliced = SlicedConv2d(widest, torch.Generator().manual_seed(0)).double()
    check(sliced, layer, torch.randn(2, layer.in_channels, 6, 6, dtype=torch.float64), direct)


@pytest.mark.parametrize("side", range(1, 10))
@pytest.mark.parametrize("factor", [2, 3])
def test_dilated_as_strided_on_any_side(factor: int, side: int) -> None:
    """A convolution as dilated as strided is a dense one on every second (third) position, at the border too."""
    layer = Stack(4, side).conv("conv", 6, kernel=3, dilation=factor, stride=factor).body[0]
    assert isinstance(layer, Layer)
    sliced = SlicedConv2d(layer, torch.Generator().manual_seed(0)).double()
    x = torch.randn(2, 4, side, side, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(x, sliced.weight, None, factor, factor, factor)
    torch.testing.assert_close(sliced(x, layer), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("direct", [True, False])
def test_sliced_linear(direct: bool) -> None:
    """The same for linear layers, on pooled features with and without their two empty axes."""
    widest, layer = (Layer("linear", "linear", n, m, 1, 1, bias=True) for n, m in ((8, 5), (3, 5)))
    sliced = SlicedLinear(widest, torch.Generator().manual_seed(0)).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    check(sliced, layer, x, direct)
    assert torch.equal(sliced(x[:, :, None, None], layer), sliced(x, layer))


@pytest.mark.parametrize("direct", [True, False])
def test_sliced_batch_norm(direct: bool) -> None:
    """The same for batch norms on the statistics of the batch, and on given ones."""
    widest, layer = (Layer("norm", "batch_norm", n, n, 6, 6) for n in (8, 3))
    sliced = SlicedBatchNorm(widest).double()
    assert sliced.weight is not None
    nn.init.normal_(sliced.weight)
    x = torch.randn(4, 3, 6, 6, dtype=torch.float64)
    plain = check(sliced, layer, x, direct)
    assert isinstance(plain, nn.BatchNorm2d)
    assert plain.running_mean is not None
    assert plain.running_var is not None
    found = sliced(x, layer, (plain.running_mean, plain.running_var))
    torch.testing.assert_close(found, plain.eval()(x), rtol=0, atol=TOLERANCE)


def check(sliced: SlicedModule, layer: Layer, x: Tensor, direct: bool) -> nn.Module:
    """Compares outputs and gradients with the plain layer, which it returns."""
    sliced.direct_gradients = direct
    plain = build_layer(layer).double().train()
    with torch.no_grad():
        for name, own in plain.named_parameters():
            own.copy_(getattr(sliced, name)[tuple(slice(0, n) for n in own.shape)])
    ours, own_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = sliced(ours, layer), plain(own_x)
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)
    for y in (found, expected):
        (y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, own_x.grad, rtol=0, atol=1e-10)
    for name, own in plain.named_parameters():
        full = getattr(sliced, name).grad
        embedded = torch.zeros_like(full)
        assert own.grad is not None
        embedded[tuple(slice(0, n) for n in own.shape)] = own.grad
        torch.testing.assert_close(full, embedded, rtol=0, atol=1e-10)
    return plain


def test_prefixes_share_the_gradient_of_their_parameter() -> None:
    """A recorded prefix is a leaf whose gradient is a view into the parameter's own."""
    widest, layer = CASES["both sides"]
    sliced = SlicedConv2d(widest, torch.Generator().manual_seed(0))
    leaf = sliced.prefix("weight", layer.out_channels, layer.in_channels)
    assert leaf.is_leaf
    assert leaf.grad is not None
    assert sliced.weight.grad is not None
    assert leaf.grad.untyped_storage().data_ptr() == sliced.weight.grad.untyped_storage().data_ptr()
    assert leaf.untyped_storage().data_ptr() == sliced.weight.untyped_storage().data_ptr()
    assert sliced.used == {"weight": {(7, 5)}}


def test_frozen_weights_are_not_used() -> None:
    """A parameter that takes no gradient gets none and is not reported."""
    widest, layer = CASES["both sides"]
    sliced = SlicedConv2d(widest, torch.Generator().manual_seed(0)).requires_grad_(False)
    sliced(torch.randn(1, 5, 6, 6, requires_grad=True), layer).sum().backward()
    assert sliced.weight.grad is None
    assert not sliced.used


def test_banks_hold_the_widest_layers() -> None:
    """Every slot is as wide as its widest use on each side by itself; only layers with weights have slots."""
    stacks = [Stack(n, 6).conv("conv", m, kernel=3).batch_norm().activation() for n, m in ((4, 9), (7, 2))]
    bank = WeightBank([("a", s) for s in stacks])
    assert {k: tuple(v.shape) for k, v in bank.named_parameters()} == {
        "blocks.a.conv.weight": (9, 7, 3, 3),
        "blocks.a.conv_norm.weight": (9,),
        "blocks.a.conv_norm.bias": (9,),
    }
    assert len(list(WeightBank([("a", s) for s in stacks], norms=False).parameters())) == 1


def test_weights_start_from_the_seed() -> None:
    """The same seed gives the same weights, another one others."""
    stack = Stack(3, 6).conv("conv", 4).global_pool().linear("linear", 2)
    first, again, other = (list(WeightBank([("a", stack)], seed=s).parameters()) for s in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "other",
    [
        Stack(4, 6).conv("layer", 4, kernel=5),
        Stack(4, 6).conv("layer", 4, kernel=3, bias=True),
        Stack(4, 6).depthwise("layer", kernel=3),
        Stack(4, 6).batch_norm("layer"),
    ],
)
def test_layers_that_cannot_share_are_refused(other: Stack) -> None:
    """One name for two kernels, biases, groupings or kinds is a mistake in the space."""
    with pytest.raises(ValueError, match="two layers named 'layer' cannot share weights"):
        widest_layers([("a", Stack(4, 6).conv("layer", 4, kernel=3)), ("a", other)])


def test_one_name_twice_in_a_block_is_refused() -> None:
    """Two layers of one stack never share weights by accident, inside residuals either."""
    start = Stack(4, 6)
    with pytest.raises(ValueError, match="layer names must be unique inside a block"):
        widest_layers([("a", start.conv("conv", 4).residual(start.conv("conv", 4)))])
