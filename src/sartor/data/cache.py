"""Picture files decoded and resized once, into one memory-mapped file that later runs open in no time.

A cache is a folder named after the pictures' fingerprint (names, sizes, times of change, and the resizing):

- ``pixels.bin``: uint8, the pictures one after the other, each ``[height, width, channels]``;
- ``index.bin``: one record of int64 per picture: height, width, sum of each channel, sum of squares of each channel.

While it is built it is called ``*.partial``. Pixels reach the disk before the records that point to them, so a build
that was interrupted at any moment goes on after the last complete record.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from sartor.data.decode import decode_many
from sartor.data.images import ImageArray, RaggedImages
from sartor.data.sources.listing import LoadOptions
from sartor.data.workers import WorkerPool
from sartor.errors import RequestError

FORMAT_VERSION = 1

# Pictures per job of a worker: large enough to hide the pipe, small enough for smooth progress.
_JOB_PICTURES = 32
Decoded = tuple[NDArray[np.int64], bytes]


@dataclass(frozen=True)
class CachePlan:
    """What a cache holds: ``files`` under ``root``, their shorter side resized to ``side``.

    ``square``: cropped to squares of that side (an array); otherwise proportions are kept (``RaggedImages``), and
    ``image_size`` is the side of the crops that a network sees.
    """

    root: Path
    files: tuple[Path, ...]
    channels: int
    side: int
    image_size: int
    square: bool

    @property
    def record(self) -> int:
        """int64 values per picture in ``index.bin``."""
        return 2 + 2 * self.channels

    def fingerprint(self) -> str:
        """A hash of everything that decides the cache's content, from file names, sizes and times of change."""
        digest = hashlib.sha256(f"{FORMAT_VERSION};{self.channels};{self.side};{self.square};".encode())
        for file in self.files:
            try:
                status = file.stat()
            except OSError as error:
                raise RequestError(f"picture {file}: it cannot be read ({error})") from error
            name = file.relative_to(self.root).as_posix()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return digest.hexdigest()[:24]


def default_cache_folder() -> Path:
    """Where decoded pictures are kept: ``$SARTOR_CACHE``, or ``sartor`` in the user's cache folder."""
    if own := os.environ.get("SARTOR_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "sartor"


def cached_pictures(plan: CachePlan, options: LoadOptions) -> ImageArray:
    """The pictures of a plan, memory-mapped; decoded first if that has not been done before.

    Raises:
        RequestError: a corrupt picture (named), or a cache folder that is full or cannot be written to.
    """
    base = options.cache or default_cache_folder()
    folder = base / f"{plan.root.name}-{plan.fingerprint()}"
    if not folder.is_dir():
        try:
            base.mkdir(parents=True, exist_ok=True)
            # Another process may want the same pictures: it waits here, and then finds them.
            with FileLock(base / f"{folder.name}.lock"):
                if not folder.is_dir():
                    _build(plan, folder, options)
        except OSError as error:
            raise RequestError(
                f"picture cache {folder}: it cannot be written ({error}); make room or choose another folder "
                "(cache, or the environment variable SARTOR_CACHE). Started again, the work goes on where it stopped"
            ) from error
    return _open(plan, folder)


def _build(plan: CachePlan, folder: Path, options: LoadOptions) -> None:
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(exist_ok=True)
    done = _resume(plan, partial)
    with ExitStack() as stack:
        pixels = stack.enter_context((partial / "pixels.bin").open("ab"))
        index = stack.enter_context((partial / "index.bin").open("ab"))
        for records, content in _decoded(plan, done, options.workers, stack, partial):
            pixels.write(content)
            pixels.flush()
            os.fsync(pixels.fileno())
            index.write(records.tobytes())
            index.flush()
            done += len(records)
            if options.progress is not None:
                options.progress(done, len(plan.files))
        os.fsync(index.fileno())
    partial.rename(folder)


def _decoded(plan: CachePlan, done: int, workers: int, stack: ExitStack, partial: Path) -> Iterator[Decoded]:
    """Decoded pictures from number ``done`` on, job by job, by worker processes if there are any."""
    files = [str(file) for file in plan.files[done:]]
    jobs = [
        (files[low : low + _JOB_PICTURES], plan.channels, plan.side, plan.square)
        for low in range(0, len(files), _JOB_PICTURES)
    ]
    try:
        if workers and len(jobs) > 1:
            pool = WorkerPool(min(workers, len(jobs)))
            stack.callback(pool.close)
            yield from pool.map(decode_many, jobs)
        else:
            yield from (decode_many(*job) for job in jobs)
    except RequestError:
        # A corrupt picture: with it replaced the fingerprint is another one, so what was decoded is of no use.
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _resume(plan: CachePlan, partial: Path) -> int:
    """Cuts a partial cache back to its last complete picture and returns how many there are."""
    index, pixels = partial / "index.bin", partial / "pixels.bin"
    index.touch()
    pixels.touch()
    width = plan.record * 8
    records = np.frombuffer(index.read_bytes()[: index.stat().st_size // width * width], np.int64)
    ends = _ends(records.reshape(-1, plan.record), plan.channels)
    done = int(np.searchsorted(ends, pixels.stat().st_size, side="right"))
    os.truncate(index, done * width)
    os.truncate(pixels, int(ends[done - 1]) if done else 0)
    return done


def _open(plan: CachePlan, folder: Path) -> ImageArray:
    records = np.fromfile(folder / "index.bin", np.int64).reshape(-1, plan.record)
    ends = _ends(records, plan.channels)
    file = folder / "pixels.bin"
    if len(records) != len(plan.files) or file.stat().st_size != ends[-1]:
        raise RequestError(f"picture cache {folder}: it is damaged; remove this folder and start again")
    pixels = np.memmap(file, dtype=np.uint8, mode="r")
    if plan.square:
        return pixels.reshape(-1, plan.image_size, plan.image_size, plan.channels)
    sums = records[:, 2:].reshape(-1, 2, plan.channels)
    starts = np.concatenate([[0], ends[:-1]])
    return RaggedImages(pixels, starts, records[:, :2], plan.channels, plan.image_size, sums, file)


def _ends(records: NDArray[np.int64], channels: int) -> NDArray[np.int64]:
    """Where each picture ends in ``pixels.bin``."""
    ends: NDArray[np.int64] = np.cumsum(records[:, 0] * records[:, 1] * channels)
    return ends
