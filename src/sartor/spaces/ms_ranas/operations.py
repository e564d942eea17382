"""The operations of a DARTS cell as stacks (Liu et al. 2019; quark0/darts, operations.py).

| name           | what it is                                                                                   |
|----------------|----------------------------------------------------------------------------------------------|
| none           | no edge                                                                                      |
| max_pool_3x3   | max pooling; in search a batch norm after it                                                 |
| avg_pool_3x3   | average pooling, padding left out of the mean; in search a batch norm after it               |
| skip_connect   | the input as it is; at stride 2 a factorized reduction                                       |
| sep_conv_3x3   | twice: ReLU, depthwise 3x3, 1x1, batch norm; the first depthwise one has the stride          |
| sep_conv_5x5   | the same with 5x5                                                                            |
| dil_conv_3x3   | ReLU, depthwise 3x3 of dilation 2 with the stride, 1x1, batch norm                           |
| dil_conv_5x5   | the same with 5x5                                                                            |

In search no batch norm learns a scale or a shift, so that what the operations give is of comparable size.
"""

from __future__ import annotations

from functools import cache

from sartor.stack import Stack

NONE = "none"
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


@cache  # a network has hundreds of edges and few shapes
def operation(
    name: str, *, channels: int, side: int, stride: int, search: bool = False, partial_channels: int = 1
) -> Stack | None:
    """What runs on an edge; None for ``none``.

    Args:
        channels, side: of the input; a stride of 2 halves the side, which is even.
        search: the form that a supernet runs.
        partial_channels: K of PC-DARTS (Xu et al. 2020): in search the operation sees the first 1/K of the channels.
            The others pass by it, at stride 2 through a 2x2 max pooling, and the channels of both are shuffled. With
            the option ``none`` the edge is absent in search too, where theirs lets the other channels pass.
    """
    if name == NONE:
        return None
    start = Stack(channels, side)
    if not search or partial_channels == 1:
        return _whole(name, start, stride, search)
    share = channels // partial_channels
    rest = start.channels(share, channels)
    if stride == 2:
        rest = rest.pool("max", kernel=2, stride=2, padded=False)
    worked = _whole(name, start.channels(0, share), stride, search)
    return start.parallel([worked, rest]).shuffle(partial_channels)


def _whole(name: str, start: Stack, stride: int, search: bool) -> Stack:
    if name == "skip_connect":
        if stride == 1:
            return start
        return factorized_reduce(start, start.out_channels, "skip", affine=not search)
    kind, kernel = name[:3], int(name[-1])
    if kind == "sep":
        return _separable(start, kernel, stride, affine=not search)
    if kind == "dil":
        return _dilated(start, kernel, stride, affine=not search)
    pooled = start.pool("max" if kind == "max" else "avg", kernel=kernel, stride=stride)
    return pooled.batch_norm(f"{kind}_pool_norm", affine=False) if search else pooled


def _separable(start: Stack, kernel: int, stride: int, affine: bool) -> Stack:
    channels, stack = start.out_channels, start
    for part, step in ((1, stride), (2, 1)):
        moved = stack.activation().depthwise(f"sep{kernel}_depthwise{part}", kernel=kernel, stride=step)
        stack = moved.conv(f"sep{kernel}_pointwise{part}", channels).batch_norm(affine=affine)
    return stack


def _dilated(start: Stack, kernel: int, stride: int, affine: bool) -> Stack:
    moved = start.activation().depthwise(f"dil{kernel}_depthwise", kernel=kernel, stride=stride, dilation=2)
    return moved.conv(f"dil{kernel}_pointwise", start.out_channels).batch_norm(affine=affine)


def factorized_reduce(start: Stack, channels: int, name: str, *, affine: bool) -> Stack:
    """Half the side, no position lost: ReLU, two 1x1 convolutions of stride 2, the second one shifted by a pixel.

    The side is even, or the two halves would differ in size; each makes half of the channels.
    """
    active = start.activation()
    first = Stack(active.out_channels, active.out_side)
    halves = [
        first.conv(f"{name}_half0", channels // 2, stride=2),
        first.shift().conv(f"{name}_half1", channels - channels // 2, stride=2),
    ]
    return active.parallel(halves).batch_norm(f"{name}_norm", affine=affine)


def relu_conv_norm(start: Stack, channels: int, name: str, *, kernel: int = 1, stride: int = 1, affine: bool) -> Stack:
    """ReLU, convolution, batch norm."""
    return start.activation().conv(name, channels, kernel=kernel, stride=stride).batch_norm(affine=affine)
