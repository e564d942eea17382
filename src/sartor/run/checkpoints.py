"""Checkpoints: tensors and plain data, whole or absent, and never unpickled into anything else."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sartor.errors import RequestError
from sartor.storage import storage_errors, write_atomically


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes ``content`` atomically.

    Raises:
        TypeError: it holds something that could not be read back; found now, not after a kill.
    """
    import torch

    buffer = io.BytesIO()  # torch.save to a file hides the disk's reason in a RuntimeError
    torch.save(dict(content), buffer)
    buffer.seek(0)
    try:
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TypeError(f"{path.name} would hold something that is not plain data or a tensor: {error}") from error
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What was written, on the CPU, or None if there is none.

    Raises:
        RequestError: the file is damaged; the message says what to do.
    """
    import torch

    with storage_errors(path):
        if not path.exists():
            return None
        try:
            content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:
            raise RequestError(
                f"{path}: the checkpoint is damaged. Delete it and start the same command again: what it held is "
                "computed anew"
            ) from error
    return content
