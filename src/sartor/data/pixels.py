"""Where pixels live, and how rows of them become uint8 batches: on the device where they fit, else on the host."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor.data.augment import Augmentation, Draws, crop_and_flip, resized_crop_boxes
from sartor.data.autoaugment import Changes
from sartor.data.crops import crop_mapped, crop_resize
from sartor.data.images import ImageArray, Indices, RaggedImages
from sartor.data.operations import change
from sartor.data.workers import WorkerPool

# Pixels are kept on an accelerator when they take at most this share of its free memory; the rest is for training.
DEVICE_MEMORY_SHARE = 0.25


class PixelStore:
    """The pixels of a data set on one device, shared by every stream that reads from it.

    An array is kept as one uint8 tensor: on the CPU it is the array itself (a memory map stays one); on an
    accelerator it is copied there if it takes at most a quarter of the free memory, and otherwise stays on the
    host, from where each batch is cut as uint8 and then moved. ``RaggedImages`` always stay on the host.

    Args:
        images: the pictures.
        device: where batches are wanted.
        workers: processes that cut crops out of ``RaggedImages``, and that do the operations of policies such as
            AutoAugment; for arrays they start when the first such policy is announced.
    """

    def __init__(self, images: ImageArray, device: str | torch.device = "cpu", workers: int = 0) -> None:
        self.device = torch.device(device)
        self.images = images
        self.workers = workers
        self.pool: WorkerPool | None = None
        self.pixels: Tensor | None = None
        if isinstance(images, RaggedImages):
            if workers and images.file is None:
                raise ValueError("worker processes need pictures that are mapped from a file")
            self.pool = WorkerPool(workers) if workers else None
            return
        self.pixels = _as_tensor(images)
        if self.device.type != "cpu" and fits_on_device(images.nbytes, self.device):
            self.pixels = self.pixels.to(self.device)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def side(self) -> int:
        """The side of the squares that batches hold."""
        return self.images.image_size if isinstance(self.images, RaggedImages) else int(self.images.shape[1])

    def prepare(self, augmentation: Augmentation) -> None:
        """Starts the worker processes, if there are to be any, where an augmentation has work for them."""
        if self.pool is None and self.workers and augmentation.has_operations:
            self.pool = WorkerPool(self.workers)

    def plain(self, rows: Indices) -> Tensor:
        """Pictures ``rows`` as an evaluation sees them (centre crop): uint8 ``[B, S, S, C]`` on the device."""
        if isinstance(self.images, RaggedImages):
            return self._crop(rows, centre_boxes(self.images, rows), np.zeros(len(rows), np.bool_))
        return self._gather(rows).to(self.device, non_blocking=True)

    def augmented(self, rows: Indices, augmentation: Augmentation, draws: Draws) -> Tensor:
        """Pictures ``rows`` as ``draws`` say, all but the cutout: uint8 ``[B, S, S, C]`` on the device."""
        if augmentation.resized_crop is not None:
            shapes = self._shapes(rows)
            boxes = resized_crop_boxes(shapes, augmentation.resized_crop, draws.boxes)
            return self._crop(rows, boxes, draws.flips, draws.changes)
        if isinstance(self.images, RaggedImages):
            pixels = self.plain(rows)
        else:
            pixels = self._gather(rows)
        if augmentation.pad or augmentation.flip:
            shifts = torch.from_numpy(draws.shifts).to(pixels.device)
            flips = torch.from_numpy(draws.flips).to(pixels.device)
            pixels = crop_and_flip(pixels, augmentation.pad, shifts, flips)
        if draws.changes is not None:
            pixels = torch.from_numpy(self._change(pixels.cpu().numpy(), draws.changes))
        return pixels.to(self.device, non_blocking=True)

    def close(self) -> None:
        """Ends the worker processes, if any."""
        if self.pool is not None:
            self.pool.close()

    def _gather(self, rows: Indices) -> Tensor:
        assert self.pixels is not None  # ragged pictures never come here
        return self.pixels.index_select(0, torch.from_numpy(rows).to(self.pixels.device))

    def _shapes(self, rows: Indices) -> NDArray[np.int64]:
        if isinstance(self.images, RaggedImages):
            return self.images.shapes[rows]
        return np.full((len(rows), 2), self.side, np.int64)

    def _crop(
        self, rows: Indices, boxes: NDArray[np.int64], flips: NDArray[np.bool_], changes: Changes | None = None
    ) -> Tensor:
        if self.pool is None or not isinstance(self.images, RaggedImages):
            pixels = crop_resize([self.images[row] for row in rows], boxes, flips, self.side, changes)
        else:
            pixels = _crop_in_workers(self.pool, self.images, rows, boxes, flips, changes)
        return torch.from_numpy(pixels).to(self.device, non_blocking=True)

    def _change(self, pixels: NDArray[np.uint8], changes: Changes) -> NDArray[np.uint8]:
        if self.pool is None:
            return change(pixels, changes.operations, changes.magnitudes)
        futures = []
        for low, high in _shares(len(pixels), self.pool.count):
            part = changes.rows(low, high)
            futures.append(self.pool.submit(change, pixels[low:high], part.operations, part.magnitudes))
        return np.concatenate([future.result() for future in futures])


def _crop_in_workers(
    pool: WorkerPool,
    images: RaggedImages,
    rows: Indices,
    boxes: NDArray[np.int64],
    flips: NDArray[np.bool_],
    changes: Changes | None,
) -> NDArray[np.uint8]:
    """``crop_resize`` of mapped pictures, each worker a share of the batch."""
    futures = []
    for low, high in _shares(len(rows), pool.count):
        part, chosen = slice(low, high), rows[low:high]
        where = (images.file, images.offsets[chosen], images.shapes[chosen], images.channels)
        theirs = None if changes is None else changes.rows(low, high)
        futures.append(pool.submit(crop_mapped, *where, boxes[part], flips[part], images.image_size, theirs))
    return np.concatenate([future.result() for future in futures])


def _shares(count: int, workers: int) -> list[tuple[int, int]]:
    """From where to where each worker's part of ``count`` pictures goes; none is empty."""
    shares = min(workers, count)
    return [(count * i // shares, count * (i + 1) // shares) for i in range(shares)]


def centre_boxes(images: RaggedImages, rows: Indices) -> NDArray[np.int64]:
    """Boxes (top, left, height, width) ``[B, 4]`` of the centre crops."""
    corner = (images.shapes[rows] - images.image_size) // 2
    return np.concatenate([corner, np.full_like(corner, images.image_size)], axis=1)


def fits_on_device(nbytes: int, device: torch.device) -> bool:
    """Whether pixels of ``nbytes`` take at most ``DEVICE_MEMORY_SHARE`` of the memory free on ``device``."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return nbytes <= DEVICE_MEMORY_SHARE * free


def _as_tensor(images: NDArray[Any]) -> Tensor:
    if not images.flags.c_contiguous:
        images = np.ascontiguousarray(images)
    with warnings.catch_warnings():
        # A read-only memory map is what we want: nothing here ever writes to the pixels.
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(images)
