"""CIFAR-10 and CIFAR-100 as they are published: the "python" and the "binary" version, as .tar.gz or unpacked.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
Pictures are stored as planes of red, green and blue, row by row: 3,072 bytes each.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.sources.listing import Listing, LoadOptions, Split, array_split
from sartor.data.unpickle import safe_unpickle
from sartor.errors import RequestError

_BYTES = 3072
_Part = tuple[NDArray[np.uint8], NDArray[np.int64]]
_Fetch = Callable[[str], bytes]

_TEN = tuple(f"data_batch_{k}" for k in range(1, 6))
# Name of a data set -> its files (without .bin), the number of classes, and the key or byte that holds the class.
_FILES = {
    "cifar10": {"train": _TEN, "test": ("test_batch",), "meta": "batches.meta", "names": "batches.meta.txt"},
    "cifar100": {"train": ("train",), "test": ("test",), "meta": "meta", "names": "fine_label_names.txt"},
}
_CLASSES = {"cifar10": 10, "cifar100": 100}
_LABEL_KEY = {"cifar10": b"labels", "cifar100": b"fine_labels"}
_NAMES_KEY = {"cifar10": b"label_names", "cifar100": b"fine_label_names"}
# Bytes before the pixels of a binary record; the last of them is the (fine) class.
_LABEL_BYTES = {"cifar10": 1, "cifar100": 2}


def listing_cifar10(path: Path | None, options: LoadOptions) -> Listing:
    """CIFAR-10: 10 classes."""
    return _listing("cifar10", path)


def listing_cifar100(path: Path | None, options: LoadOptions) -> Listing:
    """CIFAR-100 with its 100 fine classes."""
    return _listing("cifar100", path)


def _listing(name: str, path: Path | None) -> Listing:
    files, fetch = _open(path, name)
    needed = (*_FILES[name]["train"], *_FILES[name]["test"])
    if all(file in files for file in needed):
        names = _names_python(name, files, fetch)
        read, ending = _read_python, ""
    elif all(f"{file}.bin" in files for file in needed):
        names = _names_binary(name, files, fetch)
        read, ending = _read_binary, ".bin"
    else:
        raise RequestError(
            f"data {name!r}: {path} must hold the files {', '.join(needed)} (python version) or the same with .bin "
            f"(binary version), found {', '.join(sorted(files)[:12]) or 'none'}"
        )
    train = _join([read(name, file, fetch(file + ending)) for file in _FILES[name]["train"]], name)
    test = _join([read(name, file, fetch(file + ending)) for file in _FILES[name]["test"]], f"{name} (test)")
    origin = (
        f"{name.upper().replace('CIFAR', 'CIFAR-')}, A. Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html"
    )
    return Listing(name, origin, names, train, test)


def _open(path: Path | None, name: str) -> tuple[set[str], _Fetch]:
    """The file names at ``path`` without folders, and a function that reads one; nothing is written to disk."""
    if path is None or not path.exists():
        raise RequestError(f"data {name!r}: needs the path of the published archive or its folder, got {path}")
    if path.is_dir():
        found = {file.name: file for file in sorted(path.rglob("*")) if file.is_file()}
        return set(found), lambda file: _read_file(found[file], name)
    contents = _read_archive(path, name)
    return set(contents), contents.__getitem__


def _read_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"data {name!r}: {path} cannot be read ({error})") from error


def _read_archive(path: Path, name: str) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:
                    contents[Path(member.name).name] = stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RequestError(f"data {name!r}: {path} is no readable .tar.gz archive ({error})") from error
    return contents


def _read_python(name: str, file: str, content: bytes) -> _Part:
    where = f"data {name!r}, file {file}"
    batch = safe_unpickle(content, where)
    pixels = batch.get(b"data") if isinstance(batch, dict) else None
    labels = batch.get(_LABEL_KEY[name]) if isinstance(batch, dict) else None
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list):
        raise RequestError(f"{where}: expected a dict with data and {_LABEL_KEY[name].decode()}")
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _BYTES:
        raise RequestError(f"{where}: expected pixels uint8 [n, {_BYTES}], got {pixels.dtype} {list(pixels.shape)}")
    if len(labels) != len(pixels) or not all(type(label) is int for label in labels):
        raise RequestError(f"{where}: {len(pixels)} pictures need as many whole numbers as labels, got {len(labels)}")
    return np.asarray(pixels), np.array(labels, np.int64)


def _read_binary(name: str, file: str, content: bytes) -> _Part:
    record = _BYTES + _LABEL_BYTES[name]
    if not content or len(content) % record:
        raise RequestError(
            f"data {name!r}, file {file}.bin: its {len(content)} bytes are not whole records of {record}; the file "
            "is cut off or of another data set"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, _LABEL_BYTES[name] :], records[:, _LABEL_BYTES[name] - 1].astype(np.int64)


def _join(parts: list[_Part], where: str) -> Split:
    planes = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([labels for _, labels in parts])
    return array_split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels, where)


def _names_python(name: str, files: set[str], fetch: _Fetch) -> tuple[str, ...]:
    meta = str(_FILES[name]["meta"])
    if meta not in files:
        return _numbers(name)
    content: Any = safe_unpickle(fetch(meta), f"data {name!r}, file {meta}")
    names = content.get(_NAMES_KEY[name]) if isinstance(content, dict) else None
    if not isinstance(names, list) or len(names) != _CLASSES[name]:
        raise RequestError(f"data {name!r}, file {meta}: expected {_CLASSES[name]} class names")
    return tuple(n.decode("utf-8") if isinstance(n, bytes) else str(n) for n in names)


def _names_binary(name: str, files: set[str], fetch: _Fetch) -> tuple[str, ...]:
    meta = str(_FILES[name]["names"])
    if meta not in files:
        return _numbers(name)
    names = fetch(meta).decode("utf-8").split()
    if len(names) != _CLASSES[name]:
        raise RequestError(f"data {name!r}, file {meta}: expected {_CLASSES[name]} class names, got {len(names)}")
    return tuple(names)


def _numbers(name: str) -> tuple[str, ...]:
    return tuple(str(c) for c in range(_CLASSES[name]))
