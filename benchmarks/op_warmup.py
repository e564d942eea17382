"""What does the op warm-up of TuNAS cost? A step with every operation on against a step of a single branch.

Both with the largest filters and expansions; the single branch has the largest kernels and, where there is a choice,
squeeze-excite, and keeps all layers. *Peak* and *saved* are exact, from torch's profiler: the most that tensors hold
above what stood before the step (weights and gradient buffers stand), and what they hold between forward and backward
computation. Recomputation runs every branch again in the backward computation in place of keeping what is inside it.
CPU time of one thread in interleaved pairs, channels last, the allocator setting on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch.nn.functional as F

from measure import Figure, pairs, ratio, ratio_of_bytes, report
from peak_memory import tensor_bytes
from sartor.elastic import Supernet
from sartor.space import SearchSpace
from workload import PROXYLESSNAS, Scale, Workload

GOAL = 1.15
MOBILENETV3_LIKE = replace(PROXYLESSNAS, name="mobilenetv3_like", batch_size=16)


def main(scales: Sequence[Scale] | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scales = scales or [replace(scale, pairs=8) for scale in (PROXYLESSNAS, MOBILENETV3_LIKE)]
    figures = [figure for scale in scales for figure in compare(scale)]
    report("op_warmup", __doc__.splitlines()[0], figures, {s.name: s.settings() for s in scales})
    return figures


def compare(scale: Scale) -> list[Figure]:
    """Memory and time for one space."""
    work = Workload(scale)
    every, single = everything_on(work.space), list(work.architecture("largest").row)
    for selection in (every, single):  # gradient buffers are made
        step(work, selection)
    one = memory(work, single)
    figures = []
    for recompute in (True, False):
        with recomputation(work.supernet, recompute):
            all_on = memory(work, every)
            seconds = pairs(lambda: step(work, every), lambda: step(work, single), scale.pairs, warm_up=1)
        how = f"{scale.name}, {'with' if recompute else 'without'} recomputation"
        goal = GOAL if recompute else None
        figures += [
            ratio_of_bytes(f"{how}, peak: all operations / one", all_on["peak"], one["peak"], goal=goal),
            ratio_of_bytes(f"{how}, saved: all operations / one", all_on["saved"], one["saved"], goal=goal),
            ratio(f"{how}, time: all operations / one", seconds),
        ]
    return figures


def everything_on(space: SearchSpace) -> list[Any]:
    """The selection of a step in which every decision is replaced by its warm-up."""
    sizes = [len(d.options) for d in space.decisions]
    kinds = [d.kind for d in space.decisions]
    return [n - 1 if kind == "width" else np.full(n, 1 / n) for n, kind in zip(sizes, kinds, strict=True)]


def forward(work: Workload, selection: Sequence[Any]) -> Any:
    """The loss, with all that its backward computation needs."""
    return F.cross_entropy(work.supernet(work.x, selection), work.y)


def step(work: Workload, selection: Sequence[Any]) -> None:
    """Forward and backward computation."""
    forward(work, selection).backward()


def memory(work: Workload, selection: Sequence[Any]) -> dict[str, int]:
    """Bytes at the peak of a step, and between its two halves."""
    saved = tensor_bytes(lambda: forward(work, selection))
    return {"peak": int(tensor_bytes(lambda: step(work, selection)).max()), "saved": int(saved[-1])}


@contextmanager
def recomputation(supernet: Supernet, recompute: bool) -> Iterator[None]:
    """Sets it for a while."""
    before, supernet.recompute_branches = supernet.recompute_branches, recompute
    try:
        yield
    finally:
        supernet.recompute_branches = before


if __name__ == "__main__":
    main()
