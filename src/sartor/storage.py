"""Files that are whole or absent: atomic writes, and one clear paragraph where the disk refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sartor.errors import StorageError

PARTIAL = ".partial"  # what a file is called until it is whole

_REASONS = {
    errno.ENOSPC: "there is no space left on the disk. Free some space",
    errno.EDQUOT: "the disk quota is used up. Free some space",
    errno.EFBIG: "the file system allows no file of this size. Use another disk",
    errno.EROFS: "the file system is read-only. Choose a folder on another one",
    errno.EACCES: "there is no permission to do so. Change the permissions, or choose another folder",
    errno.EPERM: "the system does not permit it. Change the permissions, or choose another folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Choose another path",
    errno.EISDIR: "this is a folder where a file is needed. Move it away, or choose another path",
    errno.ENAMETOOLONG: "the name is too long for this file system. Choose a shorter one",
}


def storage_problem(error: OSError, path: Path | str | None = None) -> StorageError | None:
    """The request error that says why the disk refused ``path``, or None for any other failure."""
    if error.errno not in _REASONS:
        return None
    where = path if path is not None else error.filename or "a file"
    return StorageError(
        f"{where}: cannot be read or written, {_REASONS[error.errno]}, then start the same command again. "
        "What was written before is intact."
    )


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turns a refusal of the disk (no space, no permission, read-only) into a request error that names ``path``."""
    try:
        yield
    except OSError as error:
        problem = storage_problem(error, path)
        if problem is None:
            raise
        raise problem from error


def write_atomically(path: Path, content: bytes) -> None:
    """Writes ``content`` so that after any interruption the file is either the old one or the new one, on disk.

    Raises:
        RequestError: no space, no permission, or a read-only file system; the old file is untouched.
    """
    partial = path.with_name(path.name + PARTIAL)
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON text of plain data, numpy arrays, numpy numbers and paths; numbers that are not finite become null."""
    return json.dumps(_plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # numpy and torch, without importing either
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} is not plain data and cannot be written as JSON: {value!r}")


def _sync_folder(folder: Path) -> None:
    """Makes a rename survive a power failure, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
