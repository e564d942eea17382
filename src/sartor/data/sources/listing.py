"""What a source of pictures provides: labels at once, pixels on demand.

The labels come first so that a subset can be chosen before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.decode import to_squares
from sartor.data.images import ImageArray, Indices, check_pixels

# progress(done, total) is called now and then while pictures are decoded.
Progress = Callable[[int, int], None]
Read = Callable[[Indices, int | None], ImageArray]


@dataclass(frozen=True)
class LoadOptions:
    """What a loader may use: a folder for decoded pictures, worker processes, and a progress callback."""

    cache: Path | None = None
    workers: int = 0
    progress: Progress | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Labels (not yet checked), the number of pictures, and ``read(indices, image_size)`` for their pixels."""

    labels: NDArray[Any]
    count: int
    read: Read


@dataclass(frozen=True, eq=False)
class Listing:
    """A whole data set before a subset is chosen. ``test`` is None where the source has none of its own."""

    name: str
    origin: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None
    flippable: bool = True


Loader = Callable[[Path | None, LoadOptions], Listing]


def array_split(images: NDArray[np.uint8], labels: NDArray[Any], where: str) -> Split:
    """A split whose pixels are already in an array (or memory map) ``[n, height, width, channels]``."""
    check_pixels(images, where)

    def read(indices: Indices, image_size: int | None) -> ImageArray:
        whole = len(indices) == len(images) and np.array_equal(indices, np.arange(len(images)))
        chosen = images if whole else images[indices]
        return chosen if image_size is None else to_squares(chosen, image_size)

    return Split(labels, len(images), read)
