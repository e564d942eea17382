"""The ProxylessNAS-Enlarged space of TuNAS: the same with searched filters (arXiv 2008.06120).

| block   | base filters | choices                              |
|---------|--------------|--------------------------------------|
| 0, 1, 2 | 16           | 8 16 24 32                           |
| 3       | 32           | 16 24 32 40 48 64                    |
| 4       | 64           | 32 40 48 64 80 96 128                |
| 5       | 128          | 64 80 96 128 160 192 256             |
| 6       | 256          | 128 160 192 256 320 384 512          |
| 7       | 512          | 256 320 384 512 640 768 1024         |
| 8 head  | 1024         | 512 640 768 1024 1280 1536 2048      |

Choices are 1/2, 5/8, 3/4, 1, 5/4, 3/2 and 2 times the base, rounded to multiples of 8. All layers of a block have
the filters of the block, which is how residual layers come to agree. Layers and strides are those of ``proxylessnas``.
"""

from __future__ import annotations

from sartor.space import SearchSpace
from sartor.spaces.layouts import Layout, settled
from sartor.spaces.tunas import proxylessnas
from sartor.spaces.tunas.body import NORM_EPS, check_size, ends, filter_decisions, strides_of
from sartor.spaces.tunas.networks import PROXYLESSNAS_NETWORKS, known_networks

BASE_FILTERS = (16, 16, 16, 32, 64, 128, 256, 512, 1024)


def proxylessnas_enlarged(
    *,
    num_classes: int = 1000,
    image_size: int = 224,
    in_channels: int = 3,
    layout: Layout = "auto",
    multiplier: float = 1.0,
    depth: int = 4,
    collapsed: bool = True,
) -> SearchSpace:
    """The space with searched filters; MobileNetV2, MnasNet-B1 and ProxylessNAS-Mobile are points of it.

    Args:
        layout: the strides; ``auto`` is ``small`` below 16 pixels, ``cifar`` up to 64 and ``imagenet`` above.
        multiplier: scales the base filters, rounded to multiples of 8, for networks much smaller than the paper's
            (ours).
        depth: layers of a searched block, the optional ones included; the paper has 4.
        collapsed: whether the choices of a layer share their weights; otherwise each pair of kernel and expansion
            has its own.
    """
    check_size("proxylessnas_enlarged", depth, multiplier)
    strides = strides_of("proxylessnas_enlarged", proxylessnas.STRIDES, layout, image_size)
    filters = filter_decisions(BASE_FILTERS, multiplier)
    blocks = proxylessnas.searched_blocks(strides, image_size, depth, collapsed)
    decisions = [filters["filters0"], filters["filters1"], proxylessnas.kernel_of_block1()]
    for block in blocks:
        decisions += [filters[f"filters{block.number}"], *block.decisions()]
    decisions.append(filters["filters8"])
    smallest, largest = ends(decisions)
    return SearchSpace(
        "proxylessnas_enlarged",
        decisions,
        proxylessnas.templates(blocks, strides, image_size, in_channels, num_classes),
        image_size=image_size,
        in_channels=in_channels,
        norm_eps=NORM_EPS,
        options={
            "num_classes": num_classes,
            "image_size": image_size,
            "in_channels": in_channels,
            "layout": settled(layout, image_size),
            "multiplier": multiplier,
            "depth": depth,
            "collapsed": collapsed,
        },
        references=known_networks(PROXYLESSNAS_NETWORKS, decisions),
        smallest=smallest,
        largest=largest,
    )
