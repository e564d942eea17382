"""What do the allocator setting and channels_last gain? A training step of plain children with and without each.

Four fresh processes (setting off or on, memory format plain or channels last) take turns step by step, so that all
four see the same machine. A step is forward and backward; user and system time of the process both count, because
mapped and unmapped memory costs the latter.
"""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import sartor.spaces
from measure import Figure, ratio, report
from sartor.runtime import keep_freed_memory
from workers import Worker, answer, settings_of_worker
from workload import SEED, Scale, batch

CONFIGURATIONS = [(kept, last) for kept in (False, True) for last in (False, True)]
WARM_UP = 2


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or Scale(pairs=30)
    figures = [figure for which in ("smallest", "largest") for figure in gains(scale, which)]
    report("allocator", __doc__.splitlines()[0], figures, {**scale.settings(), "allocator_and_format": "varied"})
    return figures


def gains(scale: Scale, which: str) -> list[Figure]:
    """Every comparison for one child."""
    seconds, system = rounds(scale, which)
    neither, last, kept, both = range(4)
    comparisons = {
        "setting alone: off / on": (neither, kept),
        "channels_last alone: plain / last": (neither, last),
        "setting, given channels_last: off / on": (last, both),
        "channels_last, given setting: plain / last": (kept, both),
        "both: neither / both": (neither, both),
    }
    # Of the totals: the system counts its time in ticks, too coarse for a single step.
    shares = system.sum(axis=0) / seconds.sum(axis=0)
    return [
        ratio(f"{which} child, {name}", seconds[:, [a, b]], system_share=shares[[a, b]].round(3).tolist())
        for name, (a, b) in comparisons.items()
    ]


def rounds(scale: Scale, which: str) -> tuple[np.ndarray, np.ndarray]:
    """CPU seconds and of these the system's, ``[rounds, 4]``; every round starts with another process."""
    seconds = np.empty((WARM_UP + scale.pairs, 4, 2))
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(__file__, {"scale": asdict(scale), "which": which, "kept": k, "last": c}))
            for k, c in CONFIGURATIONS
        ]
        for i in range(len(seconds)):
            for j in range(4):
                side = (i + j) % 4
                seconds[i, side] = workers[side].ask()
    return seconds[WARM_UP:, :, 0], seconds[WARM_UP:, :, 1]


def run_worker(settings: dict[str, Any]) -> None:
    """Builds the child as told and times one step per request."""
    torch.set_num_threads(1)
    if settings["kept"]:
        keep_freed_memory()
    scale = Scale(**settings["scale"])
    space = sartor.spaces.create(
        "mobilenet_v1", num_classes=scale.num_classes, image_size=scale.image_size, **scale.space
    )
    memory_format = torch.channels_last if settings["last"] else torch.contiguous_format
    child = getattr(space, settings["which"]).build(seed=SEED).train().to(memory_format=memory_format)
    x, y = batch(scale, memory_format)

    def step() -> tuple[float, float]:
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_stime, time.process_time()
        child.zero_grad()
        F.cross_entropy(child(x), y).backward()  # type: ignore[no-untyped-call]
        return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_stime - before

    answer(step)


if __name__ == "__main__":
    told = settings_of_worker()
    main() if told is None else run_worker(told)
