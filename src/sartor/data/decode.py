"""Picture files to arrays: decoding, resizing, cropping. Imports numpy and pillow only, so workers start fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sartor.errors import RequestError

Pixels = NDArray[np.uint8]

# File endings that are read as pictures; everything else in a class folder is left alone.
PICTURE_ENDINGS = frozenset(
    [".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"]
)
_GREY_MODES = ("1", "L", "LA", "La")
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def resize_side(image_size: int) -> int:
    """The shorter side to which a larger picture is resized before a centre crop of ``image_size``.

    256 for 224, the usual ratio for ImageNet.
    """
    return round(image_size * 256 / 224)


def read_header(path: Path) -> tuple[int, int, int]:
    """Height, width and channels (1 or 3) of a picture file, without decoding its pixels.

    Raises:
        RequestError: the file is no picture, or one with more than 8 bits per value; names the file.
    """
    try:
        with Image.open(path) as image:
            return _header(image, path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _corrupt(path, error) from error


def decode(path: Path, channels: int, shorter_side: int | None = None) -> Pixels:
    """The picture as uint8 ``[height, width, channels]``, its shorter side resized if ``shorter_side`` is given.

    The camera's orientation tag is obeyed; transparency is dropped; of an animation the first frame is taken.

    Raises:
        RequestError: the file is corrupt or no picture; names the file.
    """
    try:
        with Image.open(path) as image:
            if _header(image, path)[2] > channels:
                raise RequestError(
                    f"picture {path}: it is in colour, while the pictures looked at first are grey; make all of them "
                    "grey or all of them RGB"
                )
            return _decode(image, channels, shorter_side)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _corrupt(path, error) from error


def decode_square(path: Path, channels: int, image_size: int, shorter_side: int | None = None) -> Pixels:
    """The picture as an evaluation sees it: uint8 ``[image_size, image_size, channels]``.

    ``shorter_side`` is ``image_size`` for data sets of small pictures (the default), ``resize_side(image_size)``
    for larger ones.
    """
    return centre_crop(decode(path, channels, shorter_side or image_size), image_size)


def decode_many(
    paths: Sequence[str], channels: int, shorter_side: int, square: bool
) -> tuple[NDArray[np.int64], bytes]:
    """A worker's job: pictures one after the other as bytes, and a record of each (see ``sartor.data.cache``)."""
    records, contents = [], []
    for path in paths:
        pixels = decode(Path(path), channels, shorter_side)
        if square:
            pixels = centre_crop(pixels, shorter_side)
        records.append(np.concatenate([pixels.shape[:2], picture_sums(pixels).ravel()]))
        contents.append(pixels.tobytes())
    return np.stack(records).astype(np.int64), b"".join(contents)


def picture_sums(pixels: Pixels) -> NDArray[np.int64]:
    """Sum and sum of squares over all but the last axis: int64 ``[2, channels]``."""
    values = pixels.reshape(-1, pixels.shape[-1])
    counts = np.stack([np.bincount(values[:, c], minlength=256) for c in range(values.shape[1])], axis=1)
    levels = np.arange(256)
    return np.stack([levels @ counts, (levels**2) @ counts])


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """``[h, w, channels]`` resampled to ``[height, width, channels]`` without aliasing.

    Whole ratios average boxes of pixels; others use pillow's area-aware bilinear filter.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    return _as_pixels(_resample(image, width, height))


def resize_shorter_side(pixels: Pixels, side: int) -> Pixels:
    """The picture with its shorter side resized to ``side``, its proportions kept."""
    height, width = pixels.shape[:2]
    return resize(pixels, *_scaled(height, width, side))


def centre_crop(pixels: Pixels, size: int) -> Pixels:
    """The middle ``[size, size, channels]`` of a picture that is at least that large, as a view."""
    top, left = (pixels.shape[0] - size) // 2, (pixels.shape[1] - size) // 2
    return pixels[top : top + size, left : left + size]


def to_squares(images: Pixels, size: int) -> Pixels:
    """All pictures ``[n, h, w, channels]`` as ``[n, size, size, channels]``: shorter side resized, centre cropped."""
    if images.shape[1:3] == (size, size):
        return images
    out = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for row, picture in enumerate(images):
        out[row] = centre_crop(resize_shorter_side(picture, size), size)
    return out


def _header(image: Image.Image, path: Path) -> tuple[int, int, int]:
    if image.mode in _DEEP_MODES:
        raise RequestError(
            f"picture {path}: it has more than 8 bits per value (mode {image.mode}); convert it to 8 bits first"
        )
    channels = 1 if image.mode in _GREY_MODES else 3
    turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.width, image.height, channels) if turned else (image.height, image.width, channels)


def _decode(image: Image.Image, channels: int, shorter_side: int | None) -> Pixels:
    mode = "L" if channels == 1 else "RGB"
    if shorter_side is not None and image.format == "JPEG":
        # The JPEG decoder can halve while decoding; twice the wanted side leaves the quality to our filter.
        image.draft(mode, _swap(_scaled(image.height, image.width, 2 * shorter_side)))
    picture = ImageOps.exif_transpose(image).convert(mode)
    if shorter_side is not None:
        height, width = _scaled(picture.height, picture.width, shorter_side)
        if (height, width) != (picture.height, picture.width):
            picture = _resample(picture, width, height)
    return _as_pixels(picture)


def _scaled(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width after the shorter one becomes ``side``."""
    if height <= width:
        return side, max(side, round(width * side / height))
    return max(side, round(height * side / width)), side


def _swap(size: tuple[int, int]) -> tuple[int, int]:
    return size[1], size[0]


def _resample(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.width % width == 0 and image.height % height == 0:
        # One exact mean per box; pillow's box filter works in two passes and rounds twice.
        return image.reduce((image.width // width, image.height // height))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _as_pixels(image: Image.Image) -> Pixels:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _corrupt(path: Path, error: Exception) -> RequestError:
    if isinstance(error, FileNotFoundError):
        return RequestError(f"picture {path}: there is no such file")
    if isinstance(error, PermissionError):
        return RequestError(f"picture {path}: no permission to read it")
    what = "it is no picture" if isinstance(error, UnidentifiedImageError) else f"it cannot be decoded ({error})"
    return RequestError(f"picture {path}: {what}; replace or remove the file")
