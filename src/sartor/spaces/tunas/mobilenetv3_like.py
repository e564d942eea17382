"""The MobileNetV3-Like space of TuNAS: all that and squeeze-excite, expansion 1 to 6 (arXiv 2008.06120).

| block  | layers                                       | act.   | base | stride: imagenet | cifar | small |
|--------|----------------------------------------------|--------|------|------------------|-------|-------|
| 0 stem | conv, kernel 3 or 5, batch norm; an optional | hswish | 16   | 2                | 1     | 1     |
|        | residual separable conv, kernel 3, 5 or 7    | ReLU   |      | 1                | 1     | 1     |
| 1      | bottleneck, three optional residual ones     | ReLU   | 16   | 2                | 2     | 1     |
| 2      | the same                                     | ReLU   | 32   | 2                | 2     | 2     |
| 3      | the same                                     | hswish | 64   | 2                | 2     | 1     |
| 4      | the same                                     | hswish | 128  | 1                | 1     | 1     |
| 5      | the same                                     | hswish | 256  | 2                | 2     | 2     |
| 6 head | 1x1 conv, batch norm, average pool           | hswish | 512  | 1                | 1     | 1     |
| 7 head | 1x1 conv with bias, no batch norm            | hswish | 1024 | 1                | 1     | 1     |
|        | dropout, linear                              |        |      |                  |       |       |

Every bottleneck has kernel 3, 5 or 7, expansion 1 to 6, and squeeze-excite or not (a quarter of the expanded width,
plain sigmoid). Filters are 1/2, 5/8, 3/4, 1, 5/4, 3/2 and 2 times the base, rounded to multiples of 8. The choice of
the stem's kernel is between two complete convolutions. The layouts ``cifar`` and ``small`` are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.spaces.layouts import Layout, settled
from sartor.spaces.tunas.blocks import pooled_head, separable, stem
from sartor.spaces.tunas.body import (
    KERNELS,
    LAYER_OR_SKIP,
    NORM_EPS,
    SearchedBlock,
    check_size,
    classifier,
    ends,
    filter_decisions,
    strides_of,
)
from sartor.spaces.tunas.networks import MOBILENETV3_NETWORKS, known_networks
from sartor.stack import Stack

BASE_FILTERS = (16, 16, 32, 64, 128, 256, 512, 1024)
STRIDES = {
    "imagenet": (2, 2, 2, 2, 1, 2),
    "cifar": (1, 2, 2, 2, 1, 2),
    "small": (1, 1, 2, 1, 1, 2),
}
STEM_KERNELS = (3, 5)
EXPANSIONS = (1, 2, 3, 4, 5, 6)
_RELU_BLOCKS = (1, 2)

Activation = Literal["hard_swish", "relu"]


def mobilenetv3_like(
    *,
    num_classes: int = 1000,
    image_size: int = 224,
    in_channels: int = 3,
    layout: Layout = "auto",
    activation: Activation = "hard_swish",
    multiplier: float = 1.0,
    depth: int = 4,
    collapsed: bool = True,
) -> SearchSpace:
    """The largest space of the paper.

    Args:
        layout: the strides; ``auto`` is ``small`` below 16 pixels, ``cifar`` up to 64 and ``imagenet`` above.
        activation: ``relu`` uses ReLU everywhere, as an option of the official builder does.
        multiplier: scales the base filters, rounded to multiples of 8, for networks much smaller than the paper's
            (ours).
        depth: layers of a searched block, the optional ones included; the paper has 4.
        collapsed: whether the choices of a layer share their weights; otherwise each pair of kernel and expansion
            has its own.
    """
    check_size("mobilenetv3_like", depth, multiplier)
    if activation not in ("hard_swish", "relu"):
        raise RequestError(f"mobilenetv3_like: unknown activation {activation!r}; known are hard_swish, relu")
    strides = strides_of("mobilenetv3_like", STRIDES, layout, image_size)
    filters = filter_decisions(BASE_FILTERS, multiplier)
    blocks = searched_blocks(strides, image_size, depth, activation, collapsed)
    decisions = [filters["filters0"], *stem_decisions()]
    for block in blocks:
        decisions += [filters[f"filters{block.number}"], *block.decisions()]
    decisions += [filters["filters6"], filters["filters7"]]
    smallest, largest = ends(decisions)
    return SearchSpace(
        "mobilenetv3_like",
        decisions,
        templates(blocks, strides[0], image_size, in_channels, num_classes, activation),
        image_size=image_size,
        in_channels=in_channels,
        norm_eps=NORM_EPS,
        options={
            "num_classes": num_classes,
            "image_size": image_size,
            "in_channels": in_channels,
            "layout": settled(layout, image_size),
            "activation": activation,
            "multiplier": multiplier,
            "depth": depth,
            "collapsed": collapsed,
        },
        references=known_networks(MOBILENETV3_NETWORKS[activation], decisions),
        smallest=smallest,
        largest=largest,
    )


def stem_decisions() -> list[Decision]:
    """The kernel of the stem, and whether a separable convolution follows it, with which kernel."""
    return [
        Decision("stem_kernel", STEM_KERNELS),
        Decision("stem_layer", LAYER_OR_SKIP),
        Decision("stem_separable_kernel", KERNELS, when=("stem_layer", ("layer",))),
    ]


def searched_blocks(
    strides: Sequence[int], image_size: int, depth: int, activation: str, collapsed: bool
) -> list[SearchedBlock]:
    """Blocks 1 to 5."""
    side = -(-image_size // strides[0])
    blocks = []
    for number in range(1, 6):
        function = "relu" if number in _RELU_BLOCKS else activation
        block = SearchedBlock(number, depth, side, strides[number], EXPANSIONS, function, True, collapsed)
        blocks.append(block)
        side = block.out_side
    return blocks


def templates(
    blocks: Sequence[SearchedBlock],
    stem_stride: int,
    image_size: int,
    in_channels: int,
    num_classes: int,
    activation: str,
) -> list[Template]:
    """Stem, searched blocks, the two heads and the classifier, over all filters and choices."""

    def first(width: int, kernel: int) -> Stack:
        name = f"conv_k{kernel}"
        return stem(in_channels, image_size, width, kernel=kernel, stride=stem_stride, function=activation, name=name)

    def stem_separable(width: int, layer: str, kernel: int) -> Stack:
        start = Stack(width, blocks[0].side)
        return start if layer == "skip" else start.residual(separable(start, width, kernel, shared=True))

    def head1(width_in: int, width: int) -> Stack:
        return pooled_head(Stack(width_in, blocks[-1].out_side), width, activation)

    def head2(width_in: int, width: int) -> Stack:
        return Stack(width_in, 1).conv("conv", width, bias=True).activation(activation)

    return [
        Template("stem", ("filters0", "stem_kernel"), first),
        Template("stem_separable", ("filters0", "stem_layer", "stem_separable_kernel"), stem_separable),
        *[template for block in blocks for template in block.templates()],
        Template("head1", ("filters5", "filters6"), head1),
        Template("head2", ("filters6", "filters7"), head2),
        Template("classifier", ("filters7",), classifier(num_classes)),
    ]
