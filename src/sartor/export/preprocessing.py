"""From raw pictures to the network's input: one way of doing it, in numpy and pillow, for everyone.

Shape legend: n pictures, H x W raw pixels, C channels of the card, S the card's image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sartor.errors import RequestError
from sartor.export.card import ModelCard

Uint8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]
PictureFile: TypeAlias = str | Path
Pictures: TypeAlias = Uint8 | Sequence[PictureFile]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# ITU-R 601 luma in 16-bit fixed point: the same integers as pillow's conversion to mode "L".
_LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)


def preprocess(pictures: Pictures, card: ModelCard) -> Float32:
    """Raw pictures as the normalised network input ``[n, C, S, S]``: ``(pixel / 255 - mean) / std``.

    Args:
        pictures: an array ``[n, H, W, 1 or 3]`` or ``[n, H, W]`` of uint8 (colours in the order RGB), or a
            sequence of picture files.
        card: says colours, size and normalisation. A picture of exactly S x S pixels is taken as it is, any
            other is resized and cropped (``fit_size``).

    Raises:
        RequestError: a file is missing or no readable picture, or the array has another type or shape.
    """
    raw = _from_array(pictures, card) if isinstance(pictures, np.ndarray) else _from_files(pictures, card)
    scaled = raw.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)  # [n, C, S, S]
    mean = np.asarray(card.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(card.std, dtype=np.float32)[:, None, None]
    return np.ascontiguousarray((scaled - mean) / std)


def load_picture(path: PictureFile, card: ModelCard) -> Uint8:
    """One picture file as uint8 ``[S, S, C]``: turned upright (EXIF), in the card's colours and size."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            pixels = _to_colours(upright, card)
    except FileNotFoundError as error:
        raise RequestError(f"The picture {path} does not exist. Check the path.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow reports damage as OSError, SyntaxError or ValueError, depending on the format.
        raise RequestError(
            f"{path} cannot be read as a picture ({error}). Replace the file, or leave it out."
        ) from error
    return fit_size(pixels, card)


def fit_size(pixels: Uint8, card: ModelCard) -> Uint8:
    """One picture ``[H, W, C]`` as ``[S, S, C]``: shorter side to ``card.shorter_side``, then the centre."""
    if pixels.shape[:2] == (card.image_size, card.image_size):
        return pixels
    height, width = pixels.shape[:2]
    # In integers: the shorter side is exact, the longer one rounded down.
    new_height = card.shorter_side * height // min(height, width)
    new_width = card.shorter_side * width // min(height, width)
    image = Image.fromarray(pixels[:, :, 0] if card.channels == 1 else pixels)
    resized = image.resize((new_width, new_height), _RESAMPLING[card.interpolation])
    top = round((new_height - card.image_size) / 2)
    left = round((new_width - card.image_size) / 2)
    cropped = resized.crop((left, top, left + card.image_size, top + card.image_size))
    return np.asarray(cropped, dtype=np.uint8).reshape(card.image_size, card.image_size, card.channels)


def _from_files(paths: Sequence[PictureFile], card: ModelCard) -> Uint8:
    if isinstance(paths, (str, Path)):
        raise RequestError(f"Pictures must be a list of files, got the single path {paths}.")
    if not paths:
        return np.zeros((0, card.image_size, card.image_size, card.channels), dtype=np.uint8)
    return np.stack([load_picture(path, card) for path in paths])


def _from_array(pictures: Uint8, card: ModelCard) -> Uint8:
    """An array of raw pictures in the card's colours and size, ``[n, S, S, C]``."""
    if pictures.dtype != np.uint8:
        raise RequestError(
            f"Raw pictures must be uint8 (0..255), got {pictures.dtype}. Pass them unnormalised."
        )
    batch = pictures[..., None] if pictures.ndim == 3 else pictures
    if batch.ndim != 4 or batch.shape[3] not in (1, 3) or 0 in batch.shape[1:3]:
        raise RequestError(
            "Raw pictures must have the shape [n, H, W, channels] with 1 or 3 channels, got "
            f"{list(pictures.shape)}."
        )
    if card.channels == 1 and batch.shape[3] == 3:
        batch = ((batch.astype(np.uint32) @ _LUMA + 0x8000) >> 16).astype(np.uint8)[..., None]
    elif card.channels == 3 and batch.shape[3] == 1:
        batch = batch.repeat(3, axis=3)
    if batch.shape[1:3] == (card.image_size, card.image_size) or len(batch) == 0:
        return batch.reshape(len(batch), card.image_size, card.image_size, card.channels)
    return np.stack([fit_size(picture, card) for picture in batch])


def _to_colours(image: Image.Image, card: ModelCard) -> Uint8:
    """The pixels of an opened picture in the card's colours, ``[H, W, C]``."""
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey to 255 instead of scaling it.
        deep = np.clip(np.asarray(image, dtype=np.float64), 0, 65535)
        image = Image.fromarray(np.round(deep / 257).astype(np.uint8))
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")
    pixels = np.asarray(image.convert("L" if card.channels == 1 else "RGB"), dtype=np.uint8)
    return pixels.reshape(pixels.shape[0], pixels.shape[1], card.channels)
