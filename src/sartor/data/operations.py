"""Operations of augmentation policies on single pictures. Imports numpy and pillow only, so workers start fast.

Their ranges are those of AutoAugment (Cubuk et al. 2019, arXiv:1805.09501, Table 6), read as torchvision reads them:
a level from 0 to 1 is a share of the range, and what can go two ways goes either. The authors' code of the policies
differs: it enhances by 0.1 + 1.8 * level, one way only, and its posterize keeps fewer bits than the paper says.
Pixels are not interpolated (nearest neighbour), and what comes in from outside is black. Where pillow builds its
tables in Python, numpy builds the same ones here, several times as fast on small pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

Picture = Image.Image
Pixels = NDArray[np.uint8]

# Up to this many values numpy looks them up faster than pillow, which has to read the tables first.
_FEW_VALUES = 20_000
_VALUES = np.arange(256)
# Where the table of each of three channels begins.
_FIRST = np.array([0, 256, 512], np.int16)
# The largest translation: 150 pixels of the 331 that the ImageNet policy was found on.
_TRANSLATION = 150 / 331


@dataclass(frozen=True)
class Operation:
    """What may be done to a picture.

    Attributes:
        apply: picture and magnitude -> picture.
        magnitude: level from 0 (weakest) to 1 (strongest) and side of the picture in pixels -> magnitude.
        two_ways: whether minus a magnitude is as good as the magnitude.
    """

    apply: Callable[[Picture, float], Picture]
    magnitude: Callable[[float, int], float] = lambda level, side: 0.0
    two_ways: bool = False


def _moved(picture: Picture, a: float, b: float, c: float, d: float, e: float, f: float) -> Picture:
    """The picture whose pixel (x, y) was at (a x + b y + c, d x + e y + f)."""
    return picture.transform(picture.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.NEAREST)


def _shear_x(picture: Picture, slope: float) -> Picture:
    return _moved(picture, 1, slope, 0, 0, 1, 0)


def _shear_y(picture: Picture, slope: float) -> Picture:
    return _moved(picture, 1, 0, 0, slope, 1, 0)


def _translate_x(picture: Picture, pixels: float) -> Picture:
    return _moved(picture, 1, 0, -int(pixels), 0, 1, 0)


def _translate_y(picture: Picture, pixels: float) -> Picture:
    return _moved(picture, 1, 0, 0, 0, 1, -int(pixels))


def _rotate(picture: Picture, degrees: float) -> Picture:
    return picture.rotate(degrees, Image.Resampling.NEAREST)


def _brightness(picture: Picture, more: float) -> Picture:
    return ImageEnhance.Brightness(picture).enhance(1 + more)


def _color(picture: Picture, more: float) -> Picture:
    return ImageEnhance.Color(picture).enhance(1 + more)


def _contrast(picture: Picture, more: float) -> Picture:
    mean = int(np.asarray(picture.convert("L")).mean() + 0.5)
    grey = Image.new(picture.mode, picture.size, (mean,) * len(picture.getbands()))
    return Image.blend(grey, picture, 1 + more)


def _sharpness(picture: Picture, more: float) -> Picture:
    return ImageEnhance.Sharpness(picture).enhance(1 + more)


def _posterize(picture: Picture, bits: float) -> Picture:
    return Image.fromarray(np.asarray(picture) & np.uint8(256 - 2 ** (8 - int(bits))))


def _solarize(picture: Picture, threshold: float) -> Picture:
    """Inverts the values from ``threshold`` on."""
    pixels = np.asarray(picture)
    return Image.fromarray(pixels ^ (pixels >= threshold) * np.uint8(255))


def _invert(picture: Picture, _: float) -> Picture:
    return Image.fromarray(255 - np.asarray(picture))


def _autocontrast(picture: Picture, _: float) -> Picture:
    """Stretches each channel to all values from 0 to 255; one that has a single value stays as it is."""
    low, high = np.array(picture.getextrema(), dtype=np.float64).reshape(-1, 2, 1).swapaxes(0, 1)  # [C, 1]
    flat = high == low
    scale = 255.0 / np.where(flat, 255.0, high - low)
    return _looked_up(picture, (_VALUES * scale - np.where(flat, 0.0, low * scale)).clip(0, 255))


def _equalize(picture: Picture, _: float) -> Picture:
    """Spreads the values of each channel evenly: each becomes the share of 255 that lies below it, in whole steps.

    The elements of the largest value are left out of the count, as pillow does it.
    """
    counts = np.array(picture.histogram()).reshape(-1, 256)
    largest = 255 - (counts[:, ::-1] > 0).argmax(axis=1)
    some = picture.width * picture.height - counts[np.arange(len(counts)), largest]
    step = some[:, None] // 255
    below = counts.cumsum(axis=1) - counts
    return _looked_up(picture, np.where(step > 0, (step // 2 + below) // np.maximum(step, 1), _VALUES).clip(0, 255))


def _looked_up(picture: Picture, tables: NDArray[Any]) -> Picture:
    """The picture with each value replaced by that of its channel's table ``[C, 256]``, cut to a whole number."""
    table, pixels = tables.astype(np.uint8).ravel(), np.asarray(picture)
    if pixels.size > _FEW_VALUES:
        return picture.point(table.tolist())
    return Image.fromarray(table.take(pixels + _FIRST if len(tables) > 1 else pixels))


def _linear(largest: float) -> Callable[[float, int], float]:
    return lambda level, side: largest * level


def _pixels(level: float, side: int) -> float:
    # Rounded, so that a whole number of pixels does not become one less when it is cut off.
    return round(_TRANSLATION * side * level, 6)


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(lambda picture, _: picture),
    "shear_x": Operation(_shear_x, _linear(0.3), two_ways=True),
    "shear_y": Operation(_shear_y, _linear(0.3), two_ways=True),
    "translate_x": Operation(_translate_x, _pixels, two_ways=True),
    "translate_y": Operation(_translate_y, _pixels, two_ways=True),
    "rotate": Operation(_rotate, _linear(30.0), two_ways=True),
    "brightness": Operation(_brightness, _linear(0.9), two_ways=True),
    "color": Operation(_color, _linear(0.9), two_ways=True),
    "contrast": Operation(_contrast, _linear(0.9), two_ways=True),
    "sharpness": Operation(_sharpness, _linear(0.9), two_ways=True),
    "posterize": Operation(_posterize, lambda level, side: 8 - round(4 * level)),
    "solarize": Operation(_solarize, lambda level, side: round(255 * (1 - level), 6)),
    "autocontrast": Operation(_autocontrast),
    "equalize": Operation(_equalize),
    "invert": Operation(_invert),
}

NAMES = tuple(OPERATIONS)
_APPLY = tuple(operation.apply for operation in OPERATIONS.values())
_IDENTITY = NAMES.index("identity")


def change(pixels: Pixels, operations: NDArray[np.int64], magnitudes: NDArray[np.float64]) -> Pixels:
    """Pictures uint8 ``[B, S, S, C]`` after their operations, numbers in ``NAMES`` ``[B, K]``, one after another."""
    out = np.array(pixels)
    for row in np.flatnonzero((operations != _IDENTITY).any(axis=1)).tolist():
        picture = Image.fromarray(out[row, :, :, 0] if out.shape[3] == 1 else out[row])
        for operation, magnitude in zip(operations[row].tolist(), magnitudes[row].tolist(), strict=True):
            picture = _APPLY[operation](picture, magnitude)
        out[row] = np.asarray(picture).reshape(out.shape[1:])
    return out
