"""From raw pictures to the network's input, as the model card says: numpy and pillow, no torch.

Files are decoded, resized and cropped by ``sartor.data.decode``, which the training data went through as
well. Shape legend: n pictures, H x W raw pixels, C channels of the card, S the card's image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sartor.data.decode import centre_crop, decode_square, resize_shorter_side
from sartor.errors import RequestError
from sartor.export.card import ModelCard

Uint8: TypeAlias = NDArray[np.uint8]
Float32: TypeAlias = NDArray[np.float32]
PictureFile: TypeAlias = str | Path
RawPictures: TypeAlias = Uint8 | Sequence[PictureFile]

# ITU-R 601 luma in 16-bit fixed point: the same integers as pillow's conversion to mode "L".
_LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)


def preprocess(pictures: RawPictures, card: ModelCard) -> Float32:
    """Raw pictures as the normalised network input ``[n, C, S, S]``: ``(pixel / 255 - mean) / std``.

    Args:
        pictures: an array ``[n, H, W, 1 or 3]`` or ``[n, H, W]`` of uint8 (colours in the order RGB), or a
            sequence of picture files.
        card: says colours, size and normalisation. An array of S x S pixels is taken as it is; any other
            array and every file is resized so that its shorter side has ``card.shorter_side`` pixels, and its
            centre is taken.

    Raises:
        RequestError: a file is missing or no readable picture, or the array has another type or shape.
    """
    raw = _from_array(pictures, card) if isinstance(pictures, np.ndarray) else _from_files(pictures, card)
    scaled = raw.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)  # [n, C, S, S]
    mean = np.asarray(card.mean, dtype=np.float32)[:, None, None]
    std = np.asarray(card.std, dtype=np.float32)[:, None, None]
    return np.ascontiguousarray((scaled - mean) / std)


def load_picture(path: PictureFile, card: ModelCard) -> Uint8:
    """One picture file as uint8 ``[S, S, C]``: turned upright, in the card's colours and size."""
    return decode_square(Path(path), card.channels, card.image_size, card.shorter_side)


def _from_files(paths: Sequence[PictureFile], card: ModelCard) -> Uint8:
    if isinstance(paths, (str, Path)):
        raise RequestError(f"Pictures must be a list of files, got the single path {paths}.")
    if not paths:
        return np.zeros((0, card.image_size, card.image_size, card.channels), dtype=np.uint8)
    return np.stack([load_picture(path, card) for path in paths])


def _from_array(pictures: Uint8, card: ModelCard) -> Uint8:
    """An array of raw pictures in the card's colours and size, ``[n, S, S, C]``."""
    if pictures.dtype != np.uint8:
        raise RequestError(f"Raw pictures must be uint8 (0..255), got {pictures.dtype}.")
    batch = pictures[..., None] if pictures.ndim == 3 else pictures
    if batch.ndim != 4 or batch.shape[3] not in (1, 3) or 0 in batch.shape[1:3]:
        raise RequestError(
            f"Raw pictures must have the shape [n, H, W, channels] with 1 or 3 channels, got {list(pictures.shape)}."
        )
    if card.channels == 1 and batch.shape[3] == 3:
        batch = ((batch.astype(np.uint32) @ _LUMA + 0x8000) >> 16).astype(np.uint8)[..., None]
    elif card.channels == 3 and batch.shape[3] == 1:
        batch = batch.repeat(3, axis=3)
    size = card.image_size
    if batch.shape[1:3] == (size, size) or len(batch) == 0:
        return batch.reshape(len(batch), size, size, card.channels)
    return np.stack([centre_crop(resize_shorter_side(picture, card.shorter_side), size) for picture in batch])
