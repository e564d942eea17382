"""The ProxylessNAS space of TuNAS: kernel, expansion and depth, filters fixed (arXiv 2008.06120).

| block   | layers                                   | filters | stride: imagenet | cifar | small |
|---------|------------------------------------------|---------|------------------|-------|-------|
| 0 stem  | 3x3 conv, batch norm, ReLU               | 32      | 2                | 1     | 1     |
| 1       | separable conv, kernel 3, 5 or 7         | 16      | 1                | 1     | 1     |
| 2       | bottleneck, three optional residual ones | 32      | 2                | 2     | 1     |
| 3       | the same                                 | 40      | 2                | 2     | 2     |
| 4       | the same                                 | 80      | 2                | 2     | 1     |
| 5       | the same                                 | 96      | 1                | 1     | 1     |
| 6       | the same                                 | 192     | 2                | 2     | 2     |
| 7       | bottleneck                               | 320     | 1                | 1     | 1     |
| 8 head  | 1x1 conv, batch norm, ReLU, average pool | 1280    | 1                | 1     | 1     |
|         | dropout, linear                          | classes |                  |       |       |

Every bottleneck has kernel 3, 5 or 7 and expansion 3 or 6, with ReLU. The layouts ``cifar`` and ``small`` are ours.

``filters: published`` has 24 in block 2, as ProxylessNAS itself and its latency tables have, where TuNAS has 32. The
others are the variants of Table 8. Their numbers are inferred, the paper states the rule alone:
``doubled_per_block`` takes the base filters of the enlarged space, which the official code doubles from block 3 on;
``doubled_per_stride`` starts at 16 and doubles with every halving of the resolution after the stem's, so that blocks
of stride 1, the head included, keep the number before them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.spaces.layouts import Layout, settled
from sartor.spaces.tunas.blocks import pooled_head, round8, separable, stem
from sartor.spaces.tunas.body import (
    KERNELS,
    NORM_EPS,
    SearchedBlock,
    check_size,
    classifier,
    ends,
    settle,
    strides_of,
)
from sartor.spaces.tunas.networks import PROXYLESSNAS_NETWORKS, known_networks
from sartor.stack import Stack

FILTERS = {
    "proxylessnas": (32, 16, 32, 40, 80, 96, 192, 320, 1280),
    "published": (32, 16, 24, 40, 80, 96, 192, 320, 1280),
    "doubled_per_stride": (16, 16, 32, 64, 128, 128, 256, 256, 256),
    "doubled_per_block": (16, 16, 16, 32, 64, 128, 256, 512, 1024),
}
STRIDES = {
    "imagenet": (2, 1, 2, 2, 2, 1, 2, 1),
    "cifar": (1, 1, 2, 2, 2, 1, 2, 1),
    "small": (1, 1, 1, 2, 1, 1, 2, 1),
}
EXPANSIONS = (3, 6)

Filters = Literal["proxylessnas", "published", "doubled_per_stride", "doubled_per_block"]


def proxylessnas(
    *,
    num_classes: int = 1000,
    image_size: int = 224,
    in_channels: int = 3,
    layout: Layout = "auto",
    filters: Filters = "proxylessnas",
    multiplier: float = 1.0,
    depth: int = 4,
    collapsed: bool = True,
) -> SearchSpace:
    """The space with fixed filters.

    Args:
        layout: the strides; ``auto`` is ``small`` below 16 pixels, ``cifar`` up to 64 and ``imagenet`` above.
        filters: the output filters of the blocks, see above.
        multiplier: scales them, rounded to multiples of 8, for networks much smaller than the paper's (ours).
        depth: layers of a searched block, the optional ones included; the paper has 4.
        collapsed: whether the choices of a layer share their weights; otherwise each pair of kernel and expansion
            has its own.
    """
    check_size("proxylessnas", depth, multiplier)
    strides = strides_of("proxylessnas", STRIDES, layout, image_size)
    if filters not in FILTERS:
        raise RequestError(f"proxylessnas: unknown filters {filters!r}; known are {', '.join(FILTERS)}")
    fixed = {f"filters{b}": round8(width * multiplier) for b, width in enumerate(FILTERS[filters])}
    blocks = searched_blocks(strides, image_size, depth, collapsed)
    decisions = [kernel_of_block1(), *[d for block in blocks for d in block.decisions()]]
    smallest, largest = ends(decisions)
    return SearchSpace(
        "proxylessnas",
        decisions,
        settle(templates(blocks, strides, image_size, in_channels, num_classes), fixed),
        image_size=image_size,
        in_channels=in_channels,
        norm_eps=NORM_EPS,
        options={
            "num_classes": num_classes,
            "image_size": image_size,
            "in_channels": in_channels,
            "layout": settled(layout, image_size),
            "filters": filters,
            "multiplier": multiplier,
            "depth": depth,
            "collapsed": collapsed,
        },
        references=known_networks(PROXYLESSNAS_NETWORKS, decisions, fixed),
        smallest=smallest,
        largest=largest,
    )


def kernel_of_block1() -> Decision:
    """The kernel of the separable convolution: a choice among three complete layers."""
    return Decision("block1_kernel1", KERNELS)


def searched_blocks(strides: Sequence[int], image_size: int, depth: int, collapsed: bool) -> list[SearchedBlock]:
    """Blocks 2 to 7; the last one is a single bottleneck."""
    side = image_size
    for stride in strides[:2]:
        side = -(-side // stride)
    blocks = []
    for number in range(2, 8):
        layers = depth if number < 7 else 1
        block = SearchedBlock(number, layers, side, strides[number], EXPANSIONS, collapsed=collapsed)
        blocks.append(block)
        side = block.out_side
    return blocks


def templates(
    blocks: Sequence[SearchedBlock], strides: Sequence[int], image_size: int, in_channels: int, num_classes: int
) -> list[Template]:
    """Stem, separable convolution, searched blocks, head and classifier, over all filters and choices."""
    stem_side = -(-image_size // strides[0])

    def first(width: int) -> Stack:
        return stem(in_channels, image_size, width, stride=strides[0], function="relu", name="conv")

    def block1(width_in: int, width: int, kernel: int) -> Stack:
        return separable(Stack(width_in, stem_side), width, kernel, stride=strides[1], shared=False)

    def head(width_in: int, width: int) -> Stack:
        return pooled_head(Stack(width_in, blocks[-1].out_side), width, "relu")

    return [
        Template("stem", ("filters0",), first),
        Template("block1_layer1", ("filters0", "filters1", "block1_kernel1"), block1),
        *[template for block in blocks for template in block.templates()],
        Template("head", ("filters7", "filters8"), head),
        Template("classifier", ("filters8",), classifier(num_classes)),
    ]
