"""Folders of picture files by class: ``train/CLASS/*`` and ``test/CLASS/*`` (or ``val/``), or ``CLASS/*`` alone.

Two modes, decided from the headers of a few files of every class:

- *small*: these files are all squares of one size of at most 64 pixels. They become one array, resized to
  ``image_size`` if it is given.
- *large*: everything else; ``image_size`` must be given. Pictures keep their proportions, the shorter side resized to
  8/7 of ``image_size`` (256 for 224), for random resized crops in training and centre crops in evaluation.

Either way the files are decoded once, into a memory-mapped cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sartor.data.cache import CachePlan, cached_pictures
from sartor.data.decode import PICTURE_ENDINGS, read_header, resize_side
from sartor.data.images import ImageArray, Indices
from sartor.data.sources.listing import Listing, LoadOptions, Split
from sartor.errors import RequestError

SMALL_SIDE = 64
_TEST_NAMES = ("test", "val", "valid", "validation")


@dataclass(frozen=True)
class _Kind:
    """What the looked-at headers have in common: channels, and the side of small squares (None: large pictures)."""

    channels: int
    side: int | None


def listing(path: Path | None, options: LoadOptions) -> Listing:
    """The picture files under ``path`` by class; nothing is decoded yet."""
    if path is None or not path.is_dir():
        raise RequestError(f"data 'folder': needs the path of a folder of pictures by class, got {path}")
    has_train = (path / "train").is_dir()
    train_root = path / "train" if has_train else path
    test_root = next((path / n for n in _TEST_NAMES if (path / n).is_dir()), None) if has_train else None
    names = _class_names(train_root)
    files = [_pictures(train_root / name) for name in names]
    _refuse_empty(names, files, train_root)
    kind = _look(files)
    train = _split(files, path, kind, options)
    test = None if test_root is None else _split(_test_files(test_root, names), path, kind, options)
    origin = f"folder {path.name}" + ("" if test_root is None else f" (test pictures from {test_root.name}/)")
    return Listing(path.name, origin, names, train, test)


def _class_names(root: Path) -> tuple[str, ...]:
    names = tuple(sorted(f.name for f in root.iterdir() if f.is_dir() and not f.name.startswith(".")))
    if len(names) < 2:
        raise RequestError(
            f"data {root}: expected one folder of pictures per class and at least two classes, found "
            f"{len(names)} folders"
        )
    return names


def _pictures(folder: Path) -> list[Path]:
    """Picture files under ``folder``, sorted by their path, so that every machine numbers them alike."""
    found = (f for f in folder.rglob("*") if f.suffix.lower() in PICTURE_ENDINGS and not f.name.startswith("."))
    return sorted(found, key=lambda f: f.relative_to(folder).as_posix())


def _refuse_empty(names: Sequence[str], files: Sequence[list[Path]], root: Path) -> None:
    empty = [name for name, found in zip(names, files, strict=True) if not found]
    if empty:
        shown = ", ".join(repr(name) for name in empty[:5]) + (", ..." if len(empty) > 5 else "")
        raise RequestError(
            f"data {root}: {len(empty)} of {len(names)} class folders hold no picture ({shown}); add pictures "
            f"({', '.join(sorted(PICTURE_ENDINGS))}) or remove the folders"
        )


def _test_files(root: Path, names: Sequence[str]) -> list[list[Path]]:
    unknown = set(_class_names(root)) - set(names)
    if unknown:
        raise RequestError(
            f"data {root}: the classes {', '.join(sorted(unknown)[:5])} are not among the training classes; the "
            "folders must have the same names"
        )
    return [_pictures(root / name) if (root / name).is_dir() else [] for name in names]


def _look(files: Sequence[list[Path]]) -> _Kind:
    """Reads the headers of the first, middle and last file of every class."""
    some = [f for found in files for f in {found[0], found[len(found) // 2], found[-1]}]
    headers = {read_header(f) for f in sorted(some)}
    channels = max(channels for _, _, channels in headers)
    sizes = {(height, width) for height, width, _ in headers}
    height, width = sizes.pop()
    small = not sizes and height == width <= SMALL_SIDE
    return _Kind(channels, height if small else None)


def _split(files: Sequence[list[Path]], root: Path, kind: _Kind, options: LoadOptions) -> Split:
    every = [f for found in files for f in found]
    labels = np.repeat(np.arange(len(files)), [len(found) for found in files])

    def read(indices: Indices, image_size: int | None) -> ImageArray:
        if kind.side is None and image_size is None:
            raise RequestError(
                f"data {root}: the pictures are larger than {SMALL_SIDE} pixels or of different sizes; set image_size "
                "to the side of the squares that the network should see, for example 224"
            )
        size = image_size or kind.side or 0
        side = size if kind.side is not None else resize_side(size)
        plan = CachePlan(root, tuple(every[i] for i in indices), kind.channels, side, size, kind.side is not None)
        return cached_pictures(plan, options)

    return Split(labels, len(every), read)
