"""Batches without state: batch number ``step`` is a function of the seed and the step, so a resumed run sees the same.

Shapes: B pictures, C channels, S side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor.data.augment import Augmentation, Draws, cut_out
from sartor.data.images import ImageArray, Indices
from sartor.data.normalise import Normalisation
from sartor.data.pixels import PixelStore
from sartor.errors import RequestError

Batch = tuple[Tensor, Tensor]

# Separate streams of random numbers from one seed.
_ORDER, _AUGMENT = 0, 1


class BatchStream:
    """Training batches: shuffled per epoch, augmented, normalised.

    The order of an epoch depends on (seed, epoch) and the augmentation on (seed, step) only. The last pictures of an
    epoch that do not fill a batch are left out; a set smaller than one batch is one batch.

    Args:
        images: the pictures, or a ``PixelStore`` of them to share it between streams.
        labels: int64 ``[n]``, one per picture of ``images``.
        indices: the rows of ``images`` that this stream draws from.
        batch_size: pictures per step, over all ranks.
        augmentation: what happens to a picture.
        normalisation: mean and standard deviation from the training pictures.
        seed: of order and augmentation.
        device: where batches are wanted (that of the store if one is given).
        dtype: of the pictures in a batch.
        rank, world_size: this process and how many there are: each gets its slice of every batch, and the slices
            together are the batch of a single process.
        prefetch: how many batches a background thread makes in advance; the batches stay the same.
        workers: processes that cut crops out of larger pictures (``RaggedImages``), and do a policy's operations.

    Raises:
        RequestError: no pictures, a batch size below 1, or fewer pictures per batch than ranks.
    """

    def __init__(
        self,
        images: ImageArray | PixelStore,
        labels: Indices,
        indices: Indices,
        batch_size: int,
        augmentation: Augmentation,
        normalisation: Normalisation,
        seed: int,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 0,
        workers: int = 0,
    ) -> None:
        _check(batch_size, len(indices), rank, world_size)
        self._owns_store = not isinstance(images, PixelStore)
        self.store = images if isinstance(images, PixelStore) else PixelStore(images, device, workers)
        self.store.prepare(augmentation)
        self.batch_size = min(batch_size, len(indices))
        self.steps_per_epoch = len(indices) // self.batch_size
        self.augmentation, self.seed, self.dtype = augmentation, seed, dtype
        self._indices = np.asarray(indices, dtype=np.int64)
        self._labels = np.asarray(labels, dtype=np.int64)
        self._normalise = _Normaliser(normalisation, self.store, dtype)
        self._slice = (self.batch_size * rank // world_size, self.batch_size * (rank + 1) // world_size)
        self._order: tuple[int, Indices] = (-1, self._indices)
        self._ahead = _Prefetcher(self._make, prefetch) if prefetch else None

    def batch(self, step: int) -> Batch:
        """Batch ``step`` (from 0): pictures ``[B, C, S, S]`` (channels last in memory) and labels int64 ``[B]``."""
        return self._make(step) if self._ahead is None else self._ahead.get(step)

    def rows(self, step: int) -> Indices:
        """The rows of ``images`` in batch ``step``, over all ranks."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._epoch_order(epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    def close(self) -> None:
        """Ends the background thread and the worker processes, if any."""
        if self._ahead is not None:
            self._ahead.close()
        if self._owns_store:
            self.store.close()

    def __enter__(self) -> BatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, step: int) -> Batch:
        if step < 0:
            raise ValueError(f"steps count from 0, got {step}")
        low, high = self._slice
        rows = self.rows(step)[low:high]
        rng = np.random.default_rng([self.seed, _AUGMENT, step])
        draws = Draws.sample(self.augmentation, self.batch_size, self.store.side, rng).rows(low, high)
        x = self._normalise(self.store.augmented(rows, self.augmentation, draws))
        if self.augmentation.cutout:
            cut_out(x.permute(0, 2, 3, 1), self.augmentation.cutout, torch.from_numpy(draws.holes).to(x.device))
        return x, torch.from_numpy(self._labels[rows]).to(x.device, non_blocking=True)

    def _epoch_order(self, epoch: int) -> Indices:
        known, order = self._order
        if known != epoch:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(self._indices)
            # One assignment of a pair: a thread that reads meanwhile sees the old or the new one, never a mixture.
            self._order = (epoch, order)
        return order


def ordered_batches(
    images: ImageArray | PixelStore,
    labels: Indices,
    indices: Indices,
    batch_size: int,
    normalisation: Normalisation,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    workers: int = 0,
) -> Iterator[Batch]:
    """The pictures at ``indices``, once each and in this order, unaugmented; the last batch may be smaller.

    For evaluation and for calibrating batch statistics (which pictures are used for that is the caller's choice).
    Yields pictures ``[B, C, S, S]`` (channels last in memory) and labels int64 ``[B]``.
    """
    _check(batch_size, len(indices), 0, 1)
    owns = not isinstance(images, PixelStore)
    store = images if isinstance(images, PixelStore) else PixelStore(images, device, workers)
    return _ordered(store, labels, np.asarray(indices, dtype=np.int64), batch_size, normalisation, dtype, owns)


def _ordered(
    store: PixelStore,
    labels: Indices,
    indices: Indices,
    batch_size: int,
    normalisation: Normalisation,
    dtype: torch.dtype,
    owns: bool,
) -> Iterator[Batch]:
    normalise = _Normaliser(normalisation, store, dtype)
    try:
        for low in range(0, len(indices), batch_size):
            rows = indices[low : low + batch_size]
            x = normalise(store.plain(rows))
            yield x, torch.from_numpy(labels[rows]).to(x.device, non_blocking=True)
    finally:
        if owns:
            store.close()


class _Normaliser:
    """uint8 ``[B, S, S, C]`` to normalised floats ``[B, C, S, S]``, channels last in memory, on the store's device."""

    def __init__(self, normalisation: Normalisation, store: PixelStore, dtype: torch.dtype) -> None:
        # Repeated along a row of pixels: one long vector operation is six times as fast as one per pixel.
        self.scale = self._row(normalisation.scale, store)
        self.shift = self._row(normalisation.shift, store)
        self.dtype = dtype

    @staticmethod
    def _row(values: NDArray[np.float32], store: PixelStore) -> Tensor:
        return torch.from_numpy(values).repeat(store.side).to(store.device)

    def __call__(self, pixels: Tensor) -> Tensor:
        count, side, _, channels = pixels.shape
        x = pixels.reshape(count, side, side * channels).to(torch.float32).mul_(self.scale).add_(self.shift)
        return x.view(count, side, side, channels).permute(0, 3, 1, 2).to(self.dtype)


class _Prefetcher:
    """Makes the next batches in one background thread; any step may be asked for, the answer is the same."""

    def __init__(self, make: Callable[[int], Batch], ahead: int) -> None:
        self._make = make
        self._ahead = ahead
        self._futures: dict[int, Future[Batch]] = {}
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sartor-batches")

    def get(self, step: int) -> Batch:
        with self._lock:
            for stale in [s for s in self._futures if not step <= s <= step + self._ahead]:
                self._futures.pop(stale).cancel()
            for wanted in range(step, step + self._ahead + 1):
                if wanted not in self._futures:
                    self._futures[wanted] = self._executor.submit(self._make, wanted)
            future = self._futures.pop(step)
        return future.result()

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _check(batch_size: int, count: int, rank: int, world_size: int) -> None:
    if count < 1:
        raise RequestError("batches: the index set is empty, there is no picture to draw")
    if batch_size < 1:
        raise RequestError(f"batches: batch_size must be at least 1, got {batch_size}")
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be from 0 to {world_size - 1}, got {rank}")
    if min(batch_size, count) < world_size:
        raise RequestError(
            f"batches: {min(batch_size, count)} pictures per step cannot be shared by {world_size} processes; use a "
            "larger batch_size or fewer processes"
        )
