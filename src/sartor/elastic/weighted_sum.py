"""A sum of tensors, each times a weight, some of them normalised first: fewer passes over memory than one by one.

A mixture of operations ends in products and sums, and most of its operations in a batch norm that learns nothing. As
PyTorch's own layers, every normalised tensor and every product would be written and read again; here each tensor is
read for its statistics and once more for the sum, and none but the sum is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Weight = float | Tensor


def weighted_sum(
    tensors: Sequence[Tensor], weights: Sequence[Weight], normalised: Sequence[bool] = (), norm_eps: float = 0.0
) -> Tensor:
    """The sum of ``tensors``, which are of one shape, each times its weight: a number, or a scalar that may be learnt.

    Args:
        normalised: which tensors ``[B, C, H, W]`` are first normalised per channel, as a batch norm in training mode
            without scale and shift does; by default none.
        norm_eps: what that batch norm adds to the variance.
    """
    if len(tensors) == 1 and isinstance(weights[0], float | int) and not any(normalised):
        return tensors[0] if weights[0] == 1 else weights[0] * tensors[0]
    # Those to be normalised come first.
    flags = list(normalised) or [False] * len(tensors)
    order = sorted(range(len(tensors)), key=lambda k: not flags[k])
    reference = tensors[0]
    factors = [torch.as_tensor(weights[k], dtype=reference.dtype, device=reference.device) for k in order]
    total: Tensor = _WeightedSum.apply(  # type: ignore[no-untyped-call]
        torch.stack(factors), sum(flags), norm_eps, *[tensors[k] for k in order]
    )
    return total


class _WeightedSum(torch.autograd.Function):
    """sum_k w_k (y_k - mean_k) / deviation_k over the first tensors, per channel, and sum_k w_k y_k over the others."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, count: int, norm_eps: float, *tensors: Tensor) -> Tensor:
        normalised, others = tensors[:count], tensors[count:]
        means, inverses = _statistics(normalised, norm_eps) if count else (weights.new_zeros(0, 1),) * 2
        kept = tensors if ctx.needs_input_grad[0] else normalised
        ctx.save_for_backward(weights, means, inverses, *kept)
        ctx.count, ctx.norm_eps = count, norm_eps
        scales = weights[:count, None] * inverses
        if count:
            shift = -(scales * means).sum(0)
            total = torch.addcmul(_channels(shift), normalised[0], _channels(scales[0]))
            for y, scale in zip(normalised[1:], scales[1:], strict=True):
                total.addcmul_(y, _channels(scale))
        else:
            total = torch.zeros_like(others[0])
        for y, weight in zip(others, _numbers(weights[count:]), strict=True):
            _accumulate(total, y, weight)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weights, means, inverses, *kept = ctx.saved_tensors
        count, learnt, wanted = ctx.count, ctx.needs_input_grad[0], ctx.needs_input_grad[3:]
        found: list[Tensor | None] = []
        of_weights: list[Tensor] = []
        if count and torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            means, inverses = _statistics(kept[:count], ctx.norm_eps)
        if count:
            summed = _channel_sum(gradient)
            # Of the sum over the positions of gradient (y - mean).
            along = torch.stack([_channel_sum(gradient * y) for y in kept[:count]]) - summed * means
            of_weights = [(along * inverses).sum(1)]
            positions = gradient.numel() // gradient.shape[1]
            of_gradient = weights[:count, None] * inverses
            of_y = -of_gradient * inverses**2 * along / positions
            rest = -of_gradient * summed / positions - of_y * means
            for k in range(count):
                change = torch.addcmul(_channels(rest[k]), gradient, _channels(of_gradient[k])) if wanted[k] else None
                found.append(None if change is None else change.addcmul_(kept[k], _channels(of_y[k])))
        for weight, want in zip(_numbers(weights[count:]), wanted[count:], strict=True):
            found.append(gradient * weight if want else None)
        if not learnt:
            return None, None, None, *found
        of_weights += [_inner_product(gradient, y).view(1) for y in kept[count:]]
        return torch.cat(of_weights), None, None, *found


def _statistics(tensors: Sequence[Tensor], norm_eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / deviation of every channel ``[tensors, C]``."""
    positions = tensors[0].numel() // tensors[0].shape[1]
    means = torch.stack([_channel_sum(y) for y in tensors]) / positions
    differences = (y - _channels(mean) for y, mean in zip(tensors, means, strict=True))
    squares = torch.stack([_channel_sum(d * d) for d in differences])
    return means, torch.rsqrt(squares / positions + norm_eps)


def _numbers(weights: Tensor) -> list[Any]:
    """Numbers on a CPU; elsewhere they stay where they are, as nobody should wait for them."""
    constant = weights.device.type == "cpu" and not (torch.is_grad_enabled() and weights.requires_grad)
    return weights.tolist() if constant else list(weights)


def _accumulate(total: Tensor, y: Tensor, weight: Any) -> None:
    if isinstance(weight, Tensor):
        total.addcmul_(y, weight)
    else:
        total.add_(y, alpha=weight)


def _channel_sum(y: Tensor) -> Tensor:
    """``[C]`` from ``[B, C, H, W]``; over the rows of a matrix where memory holds one, which is the fast way."""
    if y.is_contiguous(memory_format=torch.channels_last):
        return y.permute(0, 2, 3, 1).reshape(-1, y.shape[1]).sum(0)
    return y.sum((0, 2, 3))


def _inner_product(a: Tensor, b: Tensor) -> Tensor:
    """The sum of products; in one pass where both lie in memory alike."""
    if a.stride() == b.stride() and a.dim() == 4 and a.is_contiguous(memory_format=torch.channels_last):
        return torch.dot(a.permute(0, 2, 3, 1).reshape(-1), b.permute(0, 2, 3, 1).reshape(-1))
    return (a * b).sum()


def _channels(vector: Tensor) -> Tensor:
    return vector.view(-1, 1, 1)
