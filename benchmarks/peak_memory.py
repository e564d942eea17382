"""How much memory does a supernet step take? Peak of forward and backward against the plain child's.

Each figure comes from a fresh process, in two measures: the tensors' memory as torch's profiler reports every
allocation and release (exact, the same in every run), and the growth of the process's largest resident set
(ru_maxrss) from before the pass, which adds scratch memory and what the allocator keeps (median of five processes).
Both count from the network and the batch in place, after a pass over two pictures has started the libraries. In a
first pass the gradient buffers are made, the supernet's as large as its parameters; in later passes they stand.
The momentum, as large again, comes with the first update on either side and is not in these figures.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile

from measure import Figure, ratio_of_bytes, report
from workers import Worker, answer, settings_of_worker
from workload import Scale, Workload

CHILDREN = ("smallest", "random", "largest")


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or Scale(pairs=5)
    wide = Scale(**{**asdict(scale), "space": {**scale.space, "max_width": 2 * scale.space.get("max_width", 1.5)}})
    figures = []
    for which in CHILDREN:
        child = peaks(scale, which, "child")
        supernet = peaks(scale, which, "supernet")
        figures += [
            ratio_of_bytes(f"{which}, tensors, first pass: supernet / child", supernet["first"], child["first"]),
            ratio_of_bytes(f"{which}, tensors, later passes: supernet / child", supernet["later"], child["later"]),
            ratio_of_bytes(
                f"{which}, resident set, first pass: supernet / child", supernet["resident"], child["resident"]
            ),
        ]
    narrow, twice = (peaks(s, "smallest", "supernet") for s in (scale, wide))
    figures.append(
        ratio_of_bytes(
            "smallest, tensors, later passes: in a space twice as wide / in this", twice["later"], narrow["later"]
        )
    )
    report("peak_memory", __doc__.splitlines()[0], figures, scale.settings())
    return figures


def peaks(scale: Scale, which: str, what: str) -> dict[str, float]:
    """Bytes that one pass adds at its peak, in every measure; each number from a fresh process."""
    found = {}
    for measure in ("first", "later", "resident"):
        settings = {"scale": asdict(scale), "which": which, "what": what, "measure": measure}
        times = scale.pairs if measure == "resident" else 1
        found[measure] = float(np.median([_ask_once(settings) for _ in range(times)]))
    return found


def _ask_once(settings: dict[str, Any]) -> int:
    with Worker(__file__, settings) as worker:
        return int(worker.ask())


def run_worker(settings: dict[str, Any]) -> None:
    """Makes one pass per request and answers with the bytes it added at its peak."""
    work = Workload(Scale(**settings["scale"]))
    architecture = work.architecture(settings["which"])
    child = work.child(architecture)
    if settings["what"] == "child":
        del work.supernet

    def one_pass() -> None:
        work.child_pass(child) if settings["what"] == "child" else work.supernet_pass(architecture)

    x, y = work.x, work.y
    work.x, work.y = x[:2], y[:2]
    one_pass()
    work.x, work.y = x, y
    if settings["measure"] != "later":
        for parameter in (child if settings["what"] == "child" else work.supernet).parameters():
            parameter.grad = None
    answer(lambda: (resident_growth if settings["measure"] == "resident" else tensor_growth)(one_pass))


def tensor_growth(work: Callable[[], Any]) -> int:
    """The peak of bytes held by tensors during ``work`` above those held before."""
    return int(tensor_bytes(work).max(initial=0))


def tensor_bytes(work: Callable[[], Any]) -> NDArray[np.int64]:
    """Bytes held by tensors above those held before, after every allocation and release during ``work``.

    What it returns is still held at the end.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = work()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    del result
    return np.cumsum([change for _, change in changes], dtype=np.int64)


def resident_growth(work: Callable[[], Any]) -> int:
    """How much the largest resident set grows during ``work``, in bytes."""
    before = resident_bytes()
    work()
    return resident_bytes() - before


def resident_bytes() -> int:
    """The largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    told = settings_of_worker()
    main() if told is None else run_worker(told)
