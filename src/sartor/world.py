"""Several processes that train one network: each takes its slice of every batch, gradients are averaged.

Start them with torch's launcher, ``python -m torch.distributed.run --nproc-per-node 4 -m sartor run job.yaml``. Which
architectures a step runs follows from the seed, so that the processes agree without a word. Batch norms see the
slice of their own process. On one machine; restarts after a crash need ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


def launched() -> bool:
    """Whether the launcher has started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join() -> None:
    """Joins the other processes, if there are any."""
    if launched() and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")


def leave() -> None:
    """Leaves the other processes, if there are any."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """The number of this process on its machine, which is that of its accelerator."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def wait() -> None:
    """Waits until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def average_(tensors: Sequence[Tensor]) -> None:
    """Replaces tensors (gradients in use, views allowed) by their means over the processes, in one exchange."""
    if size() == 1 or not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    flat /= size()
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The means of numbers over the processes; NaN stays NaN."""
    if size() == 1:
        return values
    tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    dist.all_reduce(tensor)
    means: NDArray[np.float64] = tensor.numpy() / size()
    return means
