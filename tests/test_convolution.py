"""Depthwise convolutions with faster gradients: the numbers of PyTorch's own."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor import convolution
from sartor.convolution import convolve

CASES = [
    (kernel, stride, dilation, side)
    for kernel, stride, dilation, side in itertools.product((3, 5, 7), (1, 2), (1, 2, 3), (7, 8, 9))
    if stride == 1 or dilation in (1, stride)
]


def both(kernel: int, stride: int, dilation: int, shape: tuple[int, ...], weights: bool = True) -> list[list[Tensor]]:
    """Output and gradients of our convolution and of PyTorch's, in the same order."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(shape[1], 1, kernel, kernel, generator=generator).requires_grad_(weights)
    geometry = (None, stride, dilation * (kernel - 1) // 2, dilation, shape[1])
    found = []
    for function in (convolve, F.conv2d):
        y = function(x, weight, *geometry)
        gradient = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        found.append([y, *torch.autograd.grad(y, [x, weight] if weights else [x], gradient)])
    return found


@pytest.mark.parametrize(("kernel", "stride", "dilation", "side"), CASES)
def test_output_and_gradients_are_those_of_the_usual_convolution(
    kernel: int, stride: int, dilation: int, side: int
) -> None:
    """For every kernel, stride, dilation and for sides that they divide or not."""
    ours, usual = both(kernel, stride, dilation, (2, 4, side, side + 1))
    for a, b in zip(ours, usual, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_the_faster_way_is_taken_and_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wide kernels that learn and dilated ones; neither narrow ones nor those that are constants."""
    taken = []
    usual = convolution._Depthwise.apply
    monkeypatch.setattr(convolution._Depthwise, "apply", lambda *a: taken.append(a[2:]) or usual(*a))
    for kernel, stride, dilation in ((3, 1, 1), (5, 1, 1), (5, 2, 1), (7, 2, 1), (3, 1, 2)):
        both(kernel, stride, dilation, (2, 4, 8, 8))
    assert taken == [(1, 2, 1), (2, 2, 1), (1, 2, 2)]
    taken.clear()
    both(5, 1, 1, (2, 4, 8, 8), weights=False)
    assert not taken


def test_a_gradient_of_the_gradient_is_right() -> None:
    """Second order falls back on the usual way."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 2, 6, 6, generator=generator, requires_grad=True)
    weight = torch.randn(2, 1, 5, 5, generator=generator, requires_grad=True)
    found = []
    for function in (convolve, F.conv2d):
        y = function(x, weight, None, 1, 2, 1, 2)
        (first,) = torch.autograd.grad((y**2).sum(), [weight], create_graph=True)
        found.append(torch.autograd.grad((first**2).sum(), [x])[0])
    torch.testing.assert_close(*found)


def test_what_is_not_depthwise_is_left_to_pytorch() -> None:
    """Grouped and dense convolutions, and those with a bias."""
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    for weight, bias, groups in (
        (torch.randn(4, 2, 5, 5), None, 2),
        (torch.randn(6, 4, 5, 5), None, 1),
        (torch.randn(4, 1, 5, 5), torch.randn(4), 4),
    ):
        torch.testing.assert_close(
            convolve(x, weight, bias, 1, 2, 1, groups), F.conv2d(x, weight, bias, 1, 2, 1, groups)
        )
