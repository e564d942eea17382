"""Pictures as numpy arrays: one ``.npz`` file, or a folder of ``.npy`` files. Nothing is ever unpickled.

Keys (names of the arrays in the ``.npz``, or of the files without ``.npy``):

- ``x_train``, ``y_train`` and optionally ``x_test``, ``y_test``; or ``images``, ``labels``;
- optionally ``class_names`` (an array of text); without it classes are called "0", "1", ...

Pictures are uint8 ``[n, height, width, 1 or 3]`` or grey ``[n, height, width]``; labels are whole numbers ``[n]``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.sources.listing import Listing, LoadOptions, Split, array_split
from sartor.errors import RequestError

_PAIRS = (("x_train", "y_train"), ("images", "labels"))
_KNOWN = ("x_train", "y_train", "x_test", "y_test", "images", "labels", "class_names")
_Fetch = Callable[[str], NDArray[Any]]


def listing(path: Path | None, options: LoadOptions) -> Listing:
    """The arrays at ``path``: an ``.npz`` file, or a folder of ``.npy`` files (memory-mapped)."""
    if path is None or not path.exists():
        raise RequestError(f"data 'arrays': needs the path of an .npz file or a folder of .npy files, got {path}")
    names, fetch = _open_folder(path) if path.is_dir() else _open_npz(path)
    train_keys = next((pair for pair in _PAIRS if set(pair) <= names), None)
    if train_keys is None:
        raise RequestError(
            f"data {path}: expected the arrays x_train and y_train, or images and labels; found "
            f"{', '.join(sorted(names)) or 'none'}"
        )
    train = _split(fetch, train_keys, path)
    test = _split(fetch, ("x_test", "y_test"), path) if {"x_test", "y_test"} <= names else None
    if ("x_test" in names) != ("y_test" in names):
        raise RequestError(f"data {path}: x_test and y_test belong together, only one of them is there")
    class_names = _class_names(fetch, path) if "class_names" in names else _count_classes(train)
    return Listing(path.stem, f"arrays in {path.name}", class_names, train, test)


def _open_npz(path: Path) -> tuple[set[str], _Fetch]:
    if path.suffix != ".npz":
        raise RequestError(
            f"data {path}: expected an .npz file or a folder of .npy files; for single .npy files put "
            "x_train.npy and y_train.npy into one folder and give the folder"
        )
    try:
        stored = np.load(path, allow_pickle=False)
        names = set(stored.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(f"data {path}: the file is no readable .npz archive ({error})") from error
    return names, lambda key: _guard(lambda: stored[key], path, key)


def _open_folder(path: Path) -> tuple[set[str], _Fetch]:
    files = {file.stem: file for file in path.glob("*.npy") if file.stem in _KNOWN}
    return set(files), lambda key: _guard(
        lambda: np.load(files[key], mmap_mode="r" if key.startswith(("x", "i")) else None, allow_pickle=False),
        path,
        key,
    )


def _guard(read: Callable[[], Any], path: Path, key: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = read()
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RequestError(
            f"data {path}, array {key!r}: it cannot be read ({error}); plain numeric or text arrays are allowed, "
            "pickled objects are not"
        ) from error
    return array


def _split(fetch: _Fetch, keys: tuple[str, str], path: Path) -> Split:
    images, labels = fetch(keys[0]), fetch(keys[1])
    if images.ndim == 3:
        images = images[..., None]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return array_split(images, labels, f"{path.name}:{keys[0]}")


def _class_names(fetch: _Fetch, path: Path) -> tuple[str, ...]:
    names = fetch("class_names")
    if names.ndim != 1 or names.dtype.kind != "U":
        raise RequestError(f"data {path}: class_names must be text of the shape [classes], got {names.dtype}")
    return tuple(str(name) for name in names)


def _count_classes(train: Split) -> tuple[str, ...]:
    integers = np.issubdtype(train.labels.dtype, np.integer) and train.labels.size
    return tuple(str(c) for c in range(int(train.labels.max()) + 1 if integers else 1))
