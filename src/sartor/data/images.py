"""What a data set is: labelled 8-bit pictures, checked once, then trusted everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RaggedImages:
    """Pictures of different sizes in one flat array, usually a memory map built by ``sartor.data.cache``.

    Attributes:
        pixels: uint8 ``[bytes]``, the pictures one after the other, each ``[height, width, channels]``.
        offsets: int64 ``[n]``, where each picture starts in ``pixels``.
        shapes: int64 ``[n, 2]``, height and width of each picture.
        channels: 1 (grey) or 3 (RGB).
        image_size: the side of the square crop that a network sees, at most any picture's shorter side.
        sums: int64 ``[n, 2, channels]``, sum and sum of squares of each picture's values, so that the
            normalisation of any subset needs no second pass over the pixels.
        file: where ``pixels`` is mapped from, so that worker processes can map it themselves.
    """

    pixels: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    shapes: NDArray[np.int64]
    channels: int
    image_size: int
    sums: NDArray[np.int64]
    file: Path | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Picture ``row`` as a view ``[height, width, channels]``."""
        height, width = (int(v) for v in self.shapes[row])
        start = int(self.offsets[row])
        stop = start + height * width * self.channels
        return self.pixels[start:stop].reshape(height, width, self.channels)

    def take(self, indices: Indices) -> RaggedImages:
        """The pictures at ``indices``, sharing the pixels."""
        return replace(self, offsets=self.offsets[indices], shapes=self.shapes[indices], sums=self.sums[indices])


ImageArray = NDArray[np.uint8] | RaggedImages


def take_images(images: ImageArray, indices: Indices) -> ImageArray:
    """The pictures at ``indices``: a copy of an array, or a view into ragged pictures."""
    return images.take(indices) if isinstance(images, RaggedImages) else images[indices]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled pictures.

    Attributes:
        images: uint8 ``[n, side, side, channels]`` (an array or a memory map), values 0 to 255, channels 3 (RGB)
            or 1 (grey); or ``RaggedImages`` for larger pictures of different sizes.
        labels: int64 ``[n]``, from 0 to ``num_classes - 1``.
        class_names: one name per class.
        name: the data set's short name, used in messages and reports.
        origin: where the pictures come from and under which licence, in one sentence.
        flippable: False where a mirrored picture belongs to another class or to none (digits, letters).
        allow_empty_classes: True only for test sets that need not show every class.

    Raises:
        RequestError: images or labels that are not as above, or a class without a picture.
    """

    images: ImageArray
    labels: Indices
    class_names: tuple[str, ...]
    name: str
    origin: str
    flippable: bool = True
    allow_empty_classes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        check_images(self.images, self.name)
        labels = check_labels(
            self.labels, len(self.images), self.class_names, self.name, allow_empty=self.allow_empty_classes
        )
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """1 for grey pictures, 3 for RGB."""
        return self.images.channels if isinstance(self.images, RaggedImages) else int(self.images.shape[3])

    @property
    def image_size(self) -> int:
        """The side in pixels of the square that a network sees."""
        return self.images.image_size if isinstance(self.images, RaggedImages) else int(self.images.shape[1])

    def take(self, indices: Indices) -> ImageSet:
        """The pictures at ``indices``, in that order; classes that become empty are allowed here."""
        images = take_images(self.images, indices)
        return replace(self, images=images, labels=self.labels[indices], allow_empty_classes=True)


@dataclass(frozen=True, eq=False)
class Pictures:
    """A data set as it is loaded: pictures that steer, and pictures that judge (or none)."""

    train: ImageSet
    test: ImageSet | None

    def __post_init__(self) -> None:
        if self.test is None:
            return
        for what in ("class_names", "channels", "image_size"):
            ours, theirs = getattr(self.train, what), getattr(self.test, what)
            if ours != theirs:
                raise RequestError(
                    f"data {self.train.name!r}: the training pictures have {what} {_short(ours)}, the test pictures "
                    f"{_short(theirs)}; both must agree"
                )


def check_images(images: Any, where: str) -> None:
    """Raises RequestError unless ``images`` is uint8 ``[n, side, side, 1 or 3]`` or ``RaggedImages``, not empty."""
    if len(images) == 0:
        raise RequestError(f"data {where!r}: there are no pictures")
    if isinstance(images, RaggedImages):
        return
    check_pixels(images, where)
    if images.shape[1] != images.shape[2]:
        raise RequestError(
            f"data {where!r}: the pictures are {images.shape[1]} pixels high and {images.shape[2]} wide; networks "
            "take squares. Set image_size to resize and crop them"
        )


def check_pixels(images: Any, where: str) -> None:
    """Raises RequestError unless ``images`` is uint8 ``[n, height, width, 1 or 3]``."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        kind = getattr(images, "dtype", type(images).__name__)
        raise RequestError(
            f"data {where!r}: pictures must be unsigned 8-bit integers (0 to 255), got {kind}. Convert them first, "
            "for example (255 * x).round().astype('uint8') for values from 0 to 1"
        )
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        hint = ""
        if images.ndim == 4 and images.shape[1] in (1, 3):
            hint = " (channels come last: images.transpose(0, 2, 3, 1))"
        raise RequestError(
            f"data {where!r}: pictures must have the shape [n, height, width, 1 or 3], got {list(images.shape)}{hint}"
        )


def check_labels(
    labels: Any, count: int, class_names: Sequence[str], where: str, *, allow_empty: bool = False
) -> Indices:
    """``labels`` as int64 ``[count]``.

    Raises:
        RequestError: not integers, not one per picture, outside ``0..len(class_names) - 1``, or a class without
            pictures (unless ``allow_empty``); the message names the first row or the classes concerned.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise RequestError(
            f"data {where!r}: labels must be whole numbers of the shape [n], got {array.dtype} {list(array.shape)}"
        )
    if len(array) != count:
        raise RequestError(f"data {where!r}: {count} pictures came with {len(array)} labels; there must be one each")
    bad = np.flatnonzero((array < 0) | (array >= len(class_names)))
    if len(bad):
        raise RequestError(
            f"data {where!r}, row {bad[0]}: label {array[bad[0]]} does not fit, allowed are 0 to "
            f"{len(class_names) - 1} ({len(class_names)} classes); {len(bad)} rows are wrong"
        )
    empty = np.flatnonzero(np.bincount(array.astype(np.int64), minlength=len(class_names)) == 0)
    if len(empty) and not allow_empty:
        names = ", ".join(repr(class_names[c]) for c in empty[:5]) + (", ..." if len(empty) > 5 else "")
        raise RequestError(
            f"data {where!r}: {len(empty)} of {len(class_names)} classes have no picture ({names}); add pictures or "
            "leave these classes out"
        )
    return array.astype(np.int64)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
