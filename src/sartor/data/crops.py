"""Boxes of pictures resized to squares, one picture at a time. Imports numpy and pillow only, so workers start fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sartor.data.autoaugment import Changes
from sartor.data.operations import change

Pixels = NDArray[np.uint8]


def crop_resize(
    pictures: Sequence[Pixels], boxes: NDArray[Any], flips: NDArray[Any], size: int, changes: Changes | None = None
) -> Pixels:
    """The boxes (top, left, height, width) ``[B, 4]`` of the pictures as uint8 ``[B, size, size, channels]``.

    Resized without aliasing (bilinear over the area), mirrored where ``flips``; a box of the right size is copied.
    ``changes`` of a policy come last.
    """
    out = np.empty((len(pictures), size, size, pictures[0].shape[2]), np.uint8)
    for row, (pixels, (top, left, height, width), flip) in enumerate(
        zip(pictures, boxes.tolist(), flips.tolist(), strict=True)
    ):
        part = pixels[top : top + height, left : left + width]
        if (height, width) != (size, size):
            part = _resized(part, size)
        out[row] = part[:, ::-1] if flip else part
    return out if changes is None else change(out, changes.operations, changes.magnitudes)


def crop_mapped(
    file: Path,
    offsets: NDArray[np.int64],
    shapes: NDArray[np.int64],
    channels: int,
    boxes: NDArray[Any],
    flips: NDArray[Any],
    size: int,
    changes: Changes | None = None,
) -> Pixels:
    """``crop_resize`` of pictures that lie in a file one after the other; the file is mapped, not read."""
    pixels = np.memmap(file, dtype=np.uint8, mode="r")
    pictures = [
        pixels[start : start + height * width * channels].reshape(height, width, channels)
        for start, (height, width) in zip(offsets.tolist(), shapes.tolist(), strict=True)
    ]
    return crop_resize(pictures, boxes, flips, size, changes)


def _resized(part: Pixels, size: int) -> Pixels:
    image = Image.fromarray(part[:, :, 0] if part.shape[2] == 1 else np.ascontiguousarray(part))
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
