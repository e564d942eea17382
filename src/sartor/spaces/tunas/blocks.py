"""The layers of the TuNAS spaces as stacks: inverted bottlenecks, separable convolutions, heads and classifier.

Layers of one block that share a name share weights. A *collapsed* bottleneck has one expanding and one projecting
convolution and one squeeze-excite for all its choices, and a depthwise convolution with its own batch norm per kernel
size; the widths of these layers are prefixes. An uncollapsed one has its own layers for every pair of kernel and
expansion.
"""

from __future__ import annotations

from sartor.stack import Stack


def round8(channels: float) -> int:
    """The nearest multiple of 8, halves up, at least 8."""
    return max(8, int(channels / 8 + 0.5) * 8)


def squeezed_width(expanded: int) -> int:
    """The hidden width of a squeeze-excite: a quarter, rounded to a multiple of 8 as MobileNetV3 does.

    One step up where rounding lost more than a tenth.
    """
    quarter = expanded / 4
    rounded = round8(quarter)
    return rounded + 8 if rounded < 0.9 * quarter else rounded


def bottleneck(
    stack: Stack,
    width: int,
    kernel: int,
    expansion: float,
    *,
    squeeze: bool = False,
    stride: int = 1,
    function: str = "relu",
    collapsed: bool = True,
) -> Stack:
    """An inverted bottleneck: expand, depthwise, squeeze-excite where asked for, project without activation.

    The expanded width is ``round8(channels * expansion)``; at expansion 1 the expanding convolution is still there.
    """
    suffix = "" if collapsed else "_" + f"k{kernel}e{expansion:g}".replace(".", "_")
    hidden = round8(stack.out_channels * expansion)
    expanded = stack.conv(f"expand{suffix}", hidden).batch_norm().activation(function)
    depthwise = expanded.depthwise(f"depthwise{suffix or f'_k{kernel}'}", kernel=kernel, stride=stride)
    moved = depthwise.batch_norm().activation(function)
    if squeeze:
        moved = moved.gate(squeeze_excite(hidden, moved.out_side, suffix))
    return moved.conv(f"project{suffix}", width).batch_norm()


def squeeze_excite(channels: int, side: int, suffix: str = "") -> Stack:
    """The factors of a squeeze-excite: pool, 1x1 with bias, ReLU, 1x1 with bias, sigmoid."""
    squeezed = Stack(channels, side).global_pool().conv(f"se_reduce{suffix}", squeezed_width(channels), bias=True)
    return squeezed.activation("relu").conv(f"se_expand{suffix}", channels, bias=True).activation("sigmoid")


def separable(stack: Stack, width: int, kernel: int, *, stride: int = 1, shared: bool) -> Stack:
    """Depthwise with ReLU, then pointwise without activation; ``shared``: one pointwise for all kernel sizes."""
    moved = stack.depthwise(f"depthwise_k{kernel}", kernel=kernel, stride=stride).batch_norm().activation("relu")
    return moved.conv("pointwise" if shared else f"pointwise_k{kernel}", width).batch_norm()


def stem(in_channels: int, side: int, width: int, *, kernel: int = 3, stride: int, function: str, name: str) -> Stack:
    """The first convolution, batch norm and activation."""
    return Stack(in_channels, side).conv(name, width, kernel=kernel, stride=stride).batch_norm().activation(function)


def pooled_head(stack: Stack, width: int, function: str) -> Stack:
    """A 1x1 convolution, batch norm, activation and the mean over all positions."""
    return stack.conv("conv", width).batch_norm().activation(function).global_pool()
