"""What a macro table says: rows of blocks with their ranges, scaled and laid out for a size of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sartor.spaces.layouts import Layout, settled

EXPANSIONS = (0.75, 1.5, 2.25, 3.0, 3.75, 4.5)


@dataclass(frozen=True)
class Row:
    """A row of the table: ``blocks`` repeated blocks, the first of which has the stride.

    ``channels`` is the searched range (smallest, largest, step), both ends included.
    """

    channels: tuple[int, int, int]
    blocks: int
    stride: int
    expansions: tuple[float, ...] = EXPANSIONS


@dataclass(frozen=True)
class Macro:
    """A macro table: the rows between stem and head, and the channels of those two.

    ``tail`` is the width before the ``pool`` head.
    """

    rows: tuple[Row, ...]
    stem: int = 16
    stem_stride: int = 2
    head: int = 1984
    tail: int = 224

    def scaled(self, multiplier: float) -> Macro:
        """The table with scaled channels outside of the rows (those follow from :func:`channel_options`)."""
        stem, head, tail = (scaled(c, multiplier) for c in (self.stem, self.head, self.tail))
        return replace(self, stem=stem, head=head, tail=tail)

    def shortened(self, depth: int | None) -> Macro:
        """The table with at most ``depth`` blocks per row (None: all)."""
        if depth is None:
            return self
        return replace(self, rows=tuple(replace(row, blocks=min(row.blocks, depth)) for row in self.rows))

    def laid_out(self, layout: Layout, image_size: int) -> Macro:
        """The table with the strides of a layout, see :func:`lay_out`."""
        stem, *strides = lay_out([self.stem_stride, *[row.stride for row in self.rows]], layout, image_size)
        rows = [replace(row, stride=stride) for row, stride in zip(self.rows, strides, strict=True)]
        return replace(self, rows=tuple(rows), stem_stride=stem)


def lay_out(strides: Sequence[int], layout: Layout, image_size: int) -> list[int]:
    """The strides of a network for ImageNet (its stem's first), changed for a layout.

    ``imagenet`` changes nothing: five reductions. ``cifar`` (ours) leaves out the stem's, so that 32 pixels end in a
    2 x 2 map as in the other spaces; ``small`` (ours) the next and the last one too.
    """
    reducing = [i for i, stride in enumerate(strides) if stride > 1]
    left_out = {"imagenet": [], "cifar": reducing[:1], "small": [*reducing[:2], *reducing[-1:]]}
    flat = left_out[settled(layout, image_size)]
    return [1 if i in flat else stride for i, stride in enumerate(strides)]


def channel_options(row: Row, multiplier: float = 1.0, at_most: int | None = None) -> tuple[int, ...]:
    """The searched output channels of a row, scaled; options that fall together are one.

    ``at_most`` so many are kept, evenly spread from the smallest to the largest (2 or more).
    """
    low, high, step = row.channels
    found = sorted({scaled(c, multiplier) for c in range(low, high + 1, step)})
    if at_most is None or len(found) <= at_most:
        return tuple(found)
    return tuple(found[i * (len(found) - 1) // (at_most - 1)] for i in range(at_most))


def scaled(channels: int, multiplier: float) -> int:
    """Channels times the multiplier, rounded half up, at least 1."""
    return max(1, int(channels * multiplier + 0.5))
