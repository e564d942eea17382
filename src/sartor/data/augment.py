"""Augmentation: what may happen to a training picture, and how it happens to a whole batch at once.

Shapes: B pictures, S side, C channels. Pixels are uint8 ``[B, S, S, C]`` until they are normalised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor.data.autoaugment import (
    POLICIES,
    RANDAUGMENT_STRONGEST,
    Changes,
    PolicyName,
    draw_policy,
    draw_randaugment,
)
from sartor.data.images import ImageSet, RaggedImages
from sartor.errors import RequestError

_RESIZED_CROP_TRIES = 10
_RATIO = (3 / 4, 4 / 3)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may happen to a training picture, declared; ``Augmentation()`` does nothing.

    Attributes:
        pad: pixels of black around the picture before a random crop of its own size (4 at 32x32).
        flip: mirror left to right with probability 1/2.
        cutout: side of a square in every picture, its centre uniform over all pixels, clipped at the border and filled
            with 0 after normalisation, the mean colour; 0 for none (DeVries & Taylor 2017, arXiv:1708.04552).
        resized_crop: smallest and largest share of the area for a random resized crop, such as (0.08, 1.0), with
            aspect ratios from 3/4 to 4/3 (Szegedy et al. 2015, arXiv:1409.4842); replaces ``pad``.
        autoaugment: the policy found for ``cifar10`` or for ``imagenet``, for each picture two operations with their
            probabilities (see :mod:`sartor.data.autoaugment`).
        randaugment: how many operations on each picture, drawn uniformly, and their magnitude from 0 to 30; in place
            of ``autoaugment``.

    Crops and flips come first, then the operations, then the cutout.
    """

    pad: int = 0
    flip: bool = False
    cutout: int = 0
    resized_crop: tuple[float, float] | None = None
    autoaugment: PolicyName | None = None
    randaugment: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.pad < 0 or self.cutout < 0:
            raise RequestError(f"augmentation: pad and cutout must not be negative, got {self.pad} and {self.cutout}")
        self._check_operations()
        if self.resized_crop is None:
            return
        low, high = self.resized_crop
        if not 0 < low <= high <= 1:
            raise RequestError(f"augmentation: resized_crop must be 0 < smallest <= largest <= 1, got {(low, high)}")
        if self.pad:
            raise RequestError("augmentation: resized_crop replaces pad; set pad to 0 or leave resized_crop out")

    def _check_operations(self) -> None:
        if self.autoaugment not in (None, *POLICIES):
            raise RequestError(
                f"augmentation: autoaugment must be one of {', '.join(POLICIES)}, got {self.autoaugment!r}"
            )
        if self.randaugment is None:
            return
        if self.autoaugment is not None:
            raise RequestError("augmentation: autoaugment and randaugment are two policies; leave one out")
        number, magnitude = self.randaugment
        if number < 1 or not 0 <= magnitude <= RANDAUGMENT_STRONGEST:
            raise RequestError(
                "augmentation: randaugment must be a number of operations from 1 on and a magnitude from 0 to "
                f"{RANDAUGMENT_STRONGEST}, got {list(self.randaugment)}"
            )

    @property
    def has_operations(self) -> bool:
        """Whether a policy works on single pictures, which worker processes can do."""
        return self.autoaugment is not None or self.randaugment is not None

    @classmethod
    def standard(cls, pictures: ImageSet) -> Augmentation:
        """The usual choice: pad by an eighth of the side and flip; random resized crop for larger pictures.

        Pictures whose class changes when mirrored (digits) are not flipped.
        """
        if isinstance(pictures.images, RaggedImages):
            return cls(resized_crop=(0.08, 1.0), flip=pictures.flippable)
        return cls(pad=pictures.image_size // 8, flip=pictures.flippable)


@dataclass(frozen=True, eq=False)
class Draws:
    """The random numbers of one batch, drawn for the whole batch so that a slice of it sees the same ones.

    ``shifts`` int64 ``[B, 2]`` from 0 to ``2 * pad``; ``flips`` bool ``[B]``; ``holes`` int64 ``[B, 2]`` centres of
    cutout; ``boxes`` uniform ``[B, tries, 4]`` for ``resized_crop_boxes``; ``changes`` by a policy, if there is one.
    """

    shifts: NDArray[np.int64]
    flips: NDArray[np.bool_]
    holes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    changes: Changes | None = None

    @classmethod
    def sample(cls, augmentation: Augmentation, count: int, side: int, rng: np.random.Generator) -> Draws:
        """Draws for ``count`` pictures; what an augmentation does not use changes nothing that it does use."""
        (policy_rng,) = rng.spawn(1)
        uniform = rng.random((count, 5))
        tries = _RESIZED_CROP_TRIES if augmentation.resized_crop else 0
        return cls(
            (uniform[:, :2] * (2 * augmentation.pad + 1)).astype(np.int64),
            uniform[:, 2] < (0.5 if augmentation.flip else 0.0),
            (uniform[:, 3:] * side).astype(np.int64),
            rng.random((count, tries, 4)),
            _draw_changes(augmentation, count, side, policy_rng),
        )

    def rows(self, low: int, high: int) -> Draws:
        """The draws of pictures ``low`` to ``high - 1``."""
        changes = None if self.changes is None else self.changes.rows(low, high)
        part = slice(low, high)
        return Draws(self.shifts[part], self.flips[part], self.holes[part], self.boxes[part], changes)


def _draw_changes(augmentation: Augmentation, count: int, side: int, rng: np.random.Generator) -> Changes | None:
    if augmentation.autoaugment is not None:
        return draw_policy(POLICIES[augmentation.autoaugment], count, side, rng)
    if augmentation.randaugment is not None:
        return draw_randaugment(*augmentation.randaugment, count, side, rng)
    return None


def crop_and_flip(pixels: Tensor, pad: int, shifts: Tensor, flips: Tensor) -> Tensor:
    """Pads by ``pad`` black pixels, crops ``[S, S]`` at ``shifts``, and mirrors where ``flips``: uint8 in and out.

    Two gathers do it for the whole batch: whole rows first (a memory copy each), then the columns, read backwards
    where the picture is mirrored. The same code runs on every device.
    """
    count, side, _, channels = pixels.shape
    rows = pixels.reshape(count, side, side * channels)
    across = torch.arange(side, device=pixels.device)
    columns = torch.where(flips[:, None], side - 1 - across, across) + shifts[:, 1:]  # [B, S]
    if pad:
        wide = side + 2 * pad
        padded = pixels.new_zeros(count, wide, wide * channels)
        padded[:, pad : pad + side, pad * channels : (pad + side) * channels] = rows
        down = torch.arange(count, device=pixels.device)[:, None] * wide + shifts[:, :1] + across  # [B, S]
        rows = padded.view(count * wide, -1).index_select(0, down.view(-1)).view(count, side, -1)
    values = (columns[:, :, None] * channels + torch.arange(channels, device=pixels.device)).view(count, 1, -1)
    return rows.gather(2, values.expand(-1, side, -1)).view(count, side, side, channels)


def cut_out(x: Tensor, size: int, holes: Tensor) -> Tensor:
    """Sets squares of side ``size`` around ``holes`` to 0, the mean colour, in normalised ``[B, S, S, C]`` in place."""
    count, side, _, channels = x.shape
    across = torch.arange(side, device=x.device)
    start = holes[..., None] - size // 2  # [B, 2, 1]
    inside = (across >= start) & (across < start + size)  # [B, 2, S]
    values = inside[:, 1].repeat_interleave(channels, dim=1)[:, None, :]  # [B, 1, S * C]
    hole = inside[:, 0, :, None].to(x.dtype) * values.to(x.dtype)
    # x - x * hole is exactly 0 or x, and five times as fast as filling by a boolean mask.
    rows = x.view(count, side, side * channels)
    rows.addcmul_(rows, hole, value=-1)
    return x


def resized_crop_boxes(
    shapes: NDArray[np.int64], area: tuple[float, float], uniform: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Boxes (top, left, height, width) ``[B, 4]`` of random resized crops in pictures of ``shapes`` ``[B, 2]``.

    The first of several tries that fits is taken: area uniform, log of the aspect ratio uniform. Where none fits,
    the largest centred box of an allowed ratio. ``uniform`` ``[B, tries, 4]`` holds the random numbers.
    """
    full = shapes.prod(axis=1)[:, None]
    target = full * (area[0] + (area[1] - area[0]) * uniform[..., 0])
    ratio = np.exp(math.log(_RATIO[0]) + (math.log(_RATIO[1]) - math.log(_RATIO[0])) * uniform[..., 1])
    height = np.round(np.sqrt(target / ratio)).astype(np.int64)  # [B, tries]
    width = np.round(np.sqrt(target * ratio)).astype(np.int64)
    fits = (height >= 1) & (width >= 1) & (height <= shapes[:, :1]) & (width <= shapes[:, 1:])
    first, rows = fits.argmax(axis=1), np.arange(len(shapes))
    size = np.stack([height[rows, first], width[rows, first]], axis=1)
    room = shapes - size + 1
    corner = np.floor(room * uniform[rows, first, 2:]).astype(np.int64)
    fallback = _centred(shapes)
    return np.where(fits.any(axis=1)[:, None], np.concatenate([corner, size], axis=1), fallback)


def _centred(shapes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest centred boxes with an aspect ratio (width by height) from 3/4 to 4/3."""
    height = np.minimum(shapes[:, 0], np.round(shapes[:, 1] / _RATIO[0])).astype(np.int64)
    width = np.minimum(shapes[:, 1], np.round(shapes[:, 0] * _RATIO[1])).astype(np.int64)
    size = np.stack([height, width], axis=1)
    return np.concatenate([(shapes - size) // 2, size], axis=1)
