"""Normalisation: mean and standard deviation per channel, from the training pictures only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.decode import picture_sums
from sartor.data.images import ImageArray, Indices, RaggedImages

# Pictures per chunk: a chunk of 32x32 RGB pictures stays in the second-level cache.
_CHUNK_PICTURES = 256
# A channel that never changes is divided by one grey level, not by zero.
_SMALLEST_STD = 1 / 255


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and population standard deviation of values from 0 to 1: ``(x / 255 - mean) / std``."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: ImageArray, indices: Indices | None = None) -> Normalisation:
        """Measured over the pictures at ``indices`` (default: all), exactly, in whole numbers."""
        rows = np.arange(len(images)) if indices is None else np.sort(indices)
        if isinstance(images, RaggedImages):
            sums, squares = images.sums[rows].sum(axis=0)
            count = int(images.shapes[rows].prod(axis=1).sum())
        else:
            sums, squares = _sums(images, rows)
            count = len(rows) * images.shape[1] * images.shape[2]
        mean = sums / (255 * count)
        variance = squares / (255**2 * count) - mean**2
        std = np.sqrt(np.maximum(variance, _SMALLEST_STD**2))
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Normalisation:
        """Reads what ``to_json`` wrote."""
        return cls(tuple(map(float, content["mean"])), tuple(map(float, content["std"])))

    def to_json(self) -> dict[str, list[float]]:
        """Lists of floats, for configuration files and export metadata."""
        return {"mean": list(self.mean), "std": list(self.std)}

    @property
    def scale(self) -> NDArray[np.float32]:
        """Factor ``[channels]`` on values from 0 to 255."""
        return np.array([1 / (255 * std) for std in self.std], np.float32)

    @property
    def shift(self) -> NDArray[np.float32]:
        """Summand ``[channels]`` after ``scale``."""
        return np.array([-mean / std for mean, std in zip(self.mean, self.std, strict=True)], np.float32)


def _sums(images: NDArray[np.uint8], rows: Indices) -> NDArray[np.int64]:
    total = np.zeros((2, images.shape[3]), np.int64)
    for low in range(0, len(rows), _CHUNK_PICTURES):
        total += picture_sums(images[rows[low : low + _CHUNK_PICTURES]])
    return total
