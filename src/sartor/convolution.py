"""Convolutions by the way that is fastest, above all the gradients of depthwise ones on a CPU.

The convolution is PyTorch's own. On CPUs its gradient with respect to a depthwise kernel wider than three columns, and
both gradients of a dilated one, take a generic way that is three to twenty times as slow as the one for kernels of up
to three columns. The same numbers come from the fast way:

* a kernel's gradient is that of its columns, three at a time, on the input shifted accordingly;
* a convolution of dilation d and stride 1 is a dense one on each of the d x d grids of every d-th row and column.

``benchmarks/depthwise_gradients.py`` measures both.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_FAST_COLUMNS = 3
_KERNEL_ALONE = [False, True, False]
_gradients = torch.ops.aten.convolution_backward


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int, groups: int
) -> Tensor:
    """``torch.nn.functional.conv2d`` by the fastest way to the same numbers (equal up to rounding)."""
    keeps_side = 2 * padding == dilation * (weight.shape[2] - 1)  # at stride 1
    if stride == dilation > 1 and keeps_side:
        # All that it reads lies on every second row and column (of a stride of 2): there it is a dense convolution,
        # for which runtimes have kernels that are up to ten times as fast.
        x, padding, stride, dilation = x[:, :, ::stride, ::stride], padding // dilation, 1, 1
    depthwise = groups == x.shape[1] == weight.shape[0] > 1 and bias is None and keeps_side
    if depthwise and _are_gradients_slow(weight, stride, dilation) and _recording(x, weight):
        convolved: Tensor = _Depthwise.apply(x, weight, stride, padding, dilation)  # type: ignore[no-untyped-call]
        return convolved
    return F.conv2d(x, weight, bias, stride, padding, dilation, groups)


def _are_gradients_slow(weight: Tensor, stride: int, dilation: int) -> bool:
    if dilation > 1:
        return stride == 1
    # With strides the fast way ends at five rows. The gradient of the input alone is never slow.
    return weight.requires_grad and weight.shape[3] > _FAST_COLUMNS and (stride == 1 or weight.shape[2] <= 5)


def _recording(x: Tensor, weight: Tensor) -> bool:
    """Whether gradients will be asked for, in the precision and at the place where the fast way is the faster one."""
    return (
        torch.is_grad_enabled()
        and (x.requires_grad or weight.requires_grad)
        and x.device.type == "cpu"
        and x.dtype is weight.dtype is torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return F.conv2d(x, weight, None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # a gradient of this gradient will be asked for
            of_input, of_weight = _usual(gradient, x, weight, stride, padding, dilation, wanted)
        elif dilation > 1:
            gradient_grids = _grids(gradient, dilation)
            # The gradient of the input alone does not depend on what the input was.
            grids = _grids(x, dilation) if wanted[1] else torch.empty_like(gradient_grids)
            of_input, of_weight = _dense_gradients(gradient_grids, grids, weight, 1, padding // dilation, wanted)
            of_input = None if of_input is None else _whole(of_input, dilation, x.shape)
        else:
            of_input, of_weight = _dense_gradients(gradient, x, weight, stride, padding, wanted)
        return of_input, of_weight, None, None, None


Gradients = tuple[Tensor | None, Tensor | None]
Wanted = tuple[bool, bool]


def _usual(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int, wanted: Wanted
) -> Gradients:
    sizes = [stride] * 2, [padding] * 2, [dilation] * 2
    found = _gradients(gradient, x, weight, None, *sizes, False, [0, 0], len(weight), [*wanted, False])
    return found[0], found[1]


def _dense_gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, wanted: Wanted
) -> Gradients:
    """Gradients of a convolution without dilation, that of a wide kernel by its columns."""
    if weight.shape[3] <= _FAST_COLUMNS or not wanted[1]:
        return _usual(gradient, x, weight, stride, padding, 1, wanted)
    of_input = None
    if wanted[0]:
        of_input, _ = _usual(gradient, x, weight, stride, padding, 1, (True, False))
    return of_input, _kernel_gradient(gradient, x, weight, stride, padding)


def _kernel_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient of a depthwise kernel, some columns at a time, each time with the input that these columns meet."""
    channels, _, height, width = weight.shape
    columns = weight.new_empty(channels, 1, height, _FAST_COLUMNS)
    found = torch.empty_like(weight)
    reach = (gradient.shape[3] - 1) * stride + _FAST_COLUMNS
    # The last columns may be some of those before once more: less work than shifting by what is no whole stretch.
    for first in (*range(0, width - _FAST_COLUMNS, _FAST_COLUMNS), width - _FAST_COLUMNS):
        met = _columns(x, first - padding, reach)
        _, part, _ = _gradients(
            gradient, met, columns, None, [stride] * 2, [padding, 0], [1, 1], False, [0, 0], channels, _KERNEL_ALONE
        )
        found[..., first : first + _FAST_COLUMNS] = part
    return found


def _columns(x: Tensor, first: int, count: int) -> Tensor:
    """So many columns of ``x`` from the given one on; those that it does not have are zero."""
    batch, channels, height, width = x.shape
    found = torch.empty(
        (batch, channels, height, count), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )
    begin, end = max(0, -first), min(count, width - first)
    found[..., :begin] = 0  # not the whole, as a padding does
    found[..., begin:end] = x[..., begin + first : end + first]
    found[..., end:] = 0
    return found


def _grids(x: Tensor, dilation: int) -> Tensor:
    """``[B, C, H, W]`` as ``[d * d * B, C, H / d, W / d]``: a picture per grid, sides padded to multiples of d."""
    if x.shape[2] % dilation or x.shape[3] % dilation:
        x = F.pad(x, (0, -x.shape[3] % dilation, 0, -x.shape[2] % dilation))
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch, height // dilation, dilation, width // dilation, dilation, channels)
    grids = rows.permute(2, 4, 0, 1, 3, 5).reshape(-1, height // dilation, width // dilation, channels)
    return grids.permute(0, 3, 1, 2)


def _whole(grids: Tensor, dilation: int, shape: torch.Size) -> Tensor:
    """The inverse of :func:`_grids`."""
    _, channels, height, width = grids.shape
    rows = grids.permute(0, 2, 3, 1).reshape(dilation, dilation, shape[0], height, width, channels)
    whole = rows.permute(2, 3, 0, 4, 1, 5).reshape(shape[0], height * dilation, width * dilation, channels)
    return whole.permute(0, 3, 1, 2)[:, :, : shape[2], : shape[3]]
