"""NAS-Bench-Macro: eight layers that are the identity or one of two bottlenecks, 6,561 networks on CIFAR-10.

| layers | channels | stride of the first | options per layer |
|--------|----------|---------------------|-------------------|
| stem   | 32       | 1                   | 3x3 conv, batch norm, ReLU6 |
| 1-2    | 64       | 2                   | identity, kernel 3 expansion 3, kernel 5 expansion 6 |
| 3-5    | 128      | 2                   | the same |
| 6-8    | 256      | 2                   | the same |
| head   | 1280     | 1                   | 1x1 conv, batch norm, ReLU6, average pool, linear |

An identity in the first layer of a stage is a strided 1x1 convolution with batch norm.
"""

from __future__ import annotations

from typing import Any

from sartor.decisions import Decision, Template
from sartor.space import SearchSpace
from sartor.stack import Stack

OPTIONS = ("identity", "k3e3", "k5e6")
STAGES = ((64, 2), (128, 3), (256, 3))  # channels, layers


def nas_bench_macro(*, num_classes: int = 10, image_size: int = 32, in_channels: int = 3) -> SearchSpace:
    """The benchmark's space; the digits of its keys are the option indices."""
    decisions: list[Decision] = []
    templates: list[Template] = []

    def stem() -> Stack:
        return Stack(in_channels, image_size).conv("conv", 32, kernel=3).batch_norm().activation("relu6")

    templates.append(Template("stem", (), stem))
    width, side = 32, image_size
    for channels, depth in STAGES:
        for position in range(depth):
            name = f"layer{len(decisions) + 1}"
            decisions.append(Decision(name, OPTIONS))
            stride = 2 if position == 0 else 1
            templates.append(Template(name, (name,), _layer(width, channels, side, stride)))
            width, side = channels, -(-side // stride)

    def head() -> Stack:
        features = Stack(256, side).conv("conv", 1280).batch_norm().activation("relu6")
        return features.global_pool().dropout().linear("linear", num_classes)

    templates.append(Template("head", (), head))
    options = {"num_classes": num_classes, "image_size": image_size, "in_channels": in_channels}
    return SearchSpace(
        "nas_bench_macro",
        decisions,
        templates,
        image_size=image_size,
        in_channels=in_channels,
        options=options,
        smallest=[0] * len(decisions),
        largest=[2] * len(decisions),
    )


def _layer(width_in: int, width: int, side: int, stride: int) -> Any:
    def resolve(option: str) -> Stack:
        start = Stack(width_in, side)
        if option == "identity":
            return start if stride == 1 else start.conv("shortcut", width, stride=stride).batch_norm()
        kernel, expansion = (3, 3) if option == "k3e3" else (5, 6)
        body = _bottleneck(start, width_in * expansion, width, kernel, stride, option)
        return start.residual(body) if stride == 1 else body

    return resolve


def _bottleneck(stack: Stack, hidden: int, width: int, kernel: int, stride: int, name: str) -> Stack:
    expanded = stack.conv(f"expand_{name}", hidden).batch_norm().activation("relu6")
    moved = expanded.depthwise(f"depthwise_{name}", kernel=kernel, stride=stride).batch_norm().activation("relu6")
    return moved.conv(f"project_{name}", width).batch_norm()
