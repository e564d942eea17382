"""Weighted sums with normalisation inside, against PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.elastic.weighted_sum import weighted_sum

EPS = 1e-3


def plainly(tensors: list[Tensor], weights: list[Tensor], normalised: tuple[bool, ...]) -> Tensor:
    """The same by batch norms, products and sums."""
    total = torch.zeros_like(tensors[0])
    for y, weight, norm in zip(tensors, weights, normalised, strict=True):
        total = total + weight * (F.batch_norm(y, None, None, None, None, True, eps=EPS) if norm else y)
    return total


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("normalised", [(True, False, True), (False,) * 3, (True,) * 3])
def test_result_and_gradients_are_those_of_separate_layers(
    layout: torch.memory_format, normalised: tuple[bool, ...]
) -> None:
    """Of every tensor, far from zero on average too, and of every weight."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, 6, 5, 3)
    tensors = [
        (torch.randn(shape, generator=generator, dtype=torch.float64) + 3 * k)
        .contiguous(memory_format=layout)
        .requires_grad_()
        for k in range(3)
    ]
    weights = torch.rand(3, generator=generator, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn(shape, generator=generator, dtype=torch.float64)
    found = []
    for total in (
        weighted_sum(tensors, list(weights), normalised, EPS),
        plainly(tensors, list(weights), normalised),
    ):
        found.append([total, *torch.autograd.grad(total, [weights, *tensors], gradient)])
    for ours, usual in zip(*found, strict=True):
        torch.testing.assert_close(ours, usual)


def test_gradients_of_gradients_are_right() -> None:
    """What normalises depends on the tensors, too."""
    generator = torch.Generator().manual_seed(2)
    tensors = [torch.randn(2, 2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    weights = torch.rand(2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(
        lambda w, *ys: weighted_sum(ys, list(w), [True, False], EPS), (weights, *tensors), atol=1e-4
    )


def test_constant_weights_and_constant_tensors_get_no_gradient() -> None:
    """Numbers as weights; what learns nothing costs nothing."""
    a, b = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4)
    total = weighted_sum([a, b], [0.25, 0.75], [True, True], EPS)
    torch.testing.assert_close(total, plainly([a, b], [torch.tensor(0.25), torch.tensor(0.75)], (True, True)))
    total.sum().backward()
    assert a.grad is not None and b.grad is None


def test_a_single_tensor_of_weight_one_is_itself() -> None:
    """Nothing is computed where nothing is to do."""
    a = torch.randn(2, 3, 4, 4)
    assert weighted_sum([a], [1.0]) is a
