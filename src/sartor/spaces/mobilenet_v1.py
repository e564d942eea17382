"""MobileNetV1 with a searched width at every layer (Wang & Blaschko, multi-platform slimmable networks).

| variable   | 1    | 2  | 3   | 4   | 5   | 6   | 7   | 8-12 | 13   | 14   |
|------------|------|----|-----|-----|-----|-----|-----|------|------|------|
| kind       | stem | separable blocks: depthwise 3x3, pointwise 1x1, each with batch norm and ReLU |
| base width | 32   | 64 | 128 | 128 | 256 | 256 | 512 | 512  | 1024 | 1024 |
| stride, imagenet layout | 2 | 1 | 2 | 1 | 2 | 1 | 2 | 1 | 2 | 1 |
| stride, cifar layout    | 1 | 1 | 2 | 1 | 2 | 1 | 2 | 1 | 2 | 1 |
| stride, small layout    | 1 | 1 | 2 | 1 | 1 | 1 | 2 | 1 | 1 | 1 |

A separable block has one width: its depthwise part has the width of the block before it. The paper's search uses
fourteen levels from 0.2 to 1.5; its uniform baselines (0.25 ... 1.0) follow another rounding and mostly lie off
that grid, which is why templates take values and not indices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.spaces.layouts import Layout, settled
from sartor.stack import Stack

BASE_WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDES = {
    "imagenet": (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
    "cifar": (1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
    # Ours: at 8 pixels the four strides of cifar leave a single position for half of the layers.
    "small": (1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1),
}
NAMES = tuple(f"width{i}" for i in range(1, 15))


def mobilenet_v1(
    *,
    num_classes: int = 100,
    image_size: int = 32,
    in_channels: int = 3,
    layout: Layout = "auto",
    min_width: float = 0.2,
    max_width: float = 1.5,
    levels: int = 14,
    multiplier: float = 1.0,
    divisor: int = 8,
    widths: Sequence[Sequence[int]] | None = None,
) -> SearchSpace:
    """The space of MobileNetV1 widths.

    Args:
        layout: the strides; ``auto`` is ``small`` below 16 pixels, ``cifar`` up to 64 and ``imagenet`` above.
        min_width, max_width, levels: the searched fractions of each base width, evenly spaced.
        multiplier: scales all base widths, for networks much smaller than the paper's.
        divisor: channels are multiples of it.
        widths: explicit channel options per layer (14 lists) in place of the grid.
    """
    strides = _strides(layout, image_size)
    base = tuple(_at_least_divisor(b * multiplier, divisor) for b in BASE_WIDTHS)
    options = _explicit(widths) if widths is not None else _grids(base, min_width, max_width, levels, divisor)
    decisions = [Decision(n, o, "width") for n, o in zip(NAMES, options, strict=True)]

    def uniform(width: float) -> dict[str, Any]:
        return dict(zip(NAMES, (make_divisible(b * width, divisor) for b in base), strict=True))

    return SearchSpace(
        "mobilenet_v1",
        decisions,
        templates(strides, image_size, in_channels, num_classes),
        image_size=image_size,
        in_channels=in_channels,
        options={
            "num_classes": num_classes,
            "image_size": image_size,
            "in_channels": in_channels,
            "layout": settled(layout, image_size),
            "min_width": min_width,
            "max_width": max_width,
            "levels": levels,
            "multiplier": multiplier,
            "divisor": divisor,
            "widths": None if widths is None else [list(w) for w in widths],
        },
        references={f"mobilenet_v1_{w:g}x": uniform(w) for w in UNIFORM_WIDTHS},
        uniform=uniform,
    )


UNIFORM_WIDTHS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)  # the platforms of the paper's Table 1


def templates(strides: Sequence[int], image_size: int, in_channels: int, num_classes: int) -> list[Template]:
    """Stem, thirteen separable blocks and the classifier."""
    side = image_size
    rows = [Template("stem", NAMES[:1], _stem(in_channels, side, strides[0]))]
    side = -(-side // strides[0])
    for i in range(1, 14):
        rows.append(Template(f"block{i}", NAMES[i - 1 : i + 1], _separable(side, strides[i])))
        side = -(-side // strides[i])
    rows.append(Template("classifier", NAMES[-1:], _classifier(side, num_classes)))
    return rows


def _stem(in_channels: int, side: int, stride: int) -> Any:
    def resolve(width: int) -> Stack:
        return Stack(in_channels, side).conv("conv", width, kernel=3, stride=stride).batch_norm().activation()

    return resolve


def _separable(side: int, stride: int) -> Any:
    def resolve(width_in: int, width: int) -> Stack:
        depthwise = Stack(width_in, side).depthwise("depthwise", kernel=3, stride=stride).batch_norm().activation()
        return depthwise.conv("pointwise", width).batch_norm().activation()

    return resolve


def _classifier(side: int, num_classes: int) -> Any:
    def resolve(width: int) -> Stack:
        return Stack(width, side).global_pool().dropout().linear("linear", num_classes)

    return resolve


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Rounds half up to a multiple of ``divisor``, then one step up if that lost more than a tenth.

    The rounding of the slimmable networks; it reproduces the seven MACs of the paper's Table 1.
    """
    rounded = max(1, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def round_half_even(channels: float, divisor: int = 8) -> int:
    """Rounds half to even, at least one divisor: the rounding of the AOWS search grid."""
    return max(1, round(channels / divisor)) * divisor


def _at_least_divisor(channels: float, divisor: int) -> int:
    return max(divisor, round(channels))


def _grids(base: Sequence[int], min_width: float, max_width: float, levels: int, divisor: int) -> list[tuple[int, ...]]:
    if levels < 1 or not 0 < min_width <= max_width:
        raise RequestError(
            f"mobilenet_v1: min_width {min_width}, max_width {max_width}, levels {levels}: "
            "needs 0 < min_width <= max_width and at least one level"
        )
    step = (max_width - min_width) / max(1, levels - 1)
    # The fractions are rounded to nine digits, because 0.2 + 3 * 0.1 must be the 0.5 that the paper means.
    fractions = [round(min_width + i * step, 9) for i in range(levels)]
    return [tuple(sorted({round_half_even(b * f, divisor) for f in fractions})) for b in base]


def _explicit(widths: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    if len(widths) != len(BASE_WIDTHS) or any(not w or min(w) < 1 for w in widths):
        raise RequestError(
            f"mobilenet_v1: widths needs {len(BASE_WIDTHS)} non-empty lists of channels, got {len(widths)}"
        )
    return [tuple(sorted(set(w))) for w in widths]


def _strides(layout: Layout, image_size: int) -> tuple[int, ...]:
    if image_size < 8:
        raise RequestError(f"mobilenet_v1: image_size {image_size} is too small, at least 8 is needed")
    layout = settled(layout, image_size)
    if layout not in STRIDES:
        raise RequestError(f"mobilenet_v1: unknown layout {layout!r}; known are auto, {', '.join(STRIDES)}")
    return STRIDES[layout]
