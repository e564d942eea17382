"""How much memory does a supernet step take? Peak of forward and backward against the plain child's.

Each figure comes from a fresh process, in two measures: the tensors' memory as torch's profiler reports every
allocation and release (exact, the same in every run), and the growth of the process's largest resident set
(ru_maxrss) from before the pass, which adds scratch memory and what the allocator keeps. Both count from the network
and the batch in place, after a step on one picture has started the libraries. The supernet's gradient buffers belong
to its parameters and are as large as these; they are made in the pass and so are part of the figure in its first
step, and not in the later ones of a training in which they stay.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict
from typing import Any

from torch.profiler import ProfilerActivity, profile

from measure import Figure, report
from workers import Worker, answer, settings_of_worker
from workload import Scale, Workload

MIB = 2**20
CHILDREN = ("smallest", "random", "largest")


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or Scale(pairs=1)
    wide = Scale(**{**asdict(scale), "space": {**scale.space, "max_width": 2 * scale.space.get("max_width", 1.5)}})
    figures = []
    for which in CHILDREN:
        child = peaks(scale, which, "child")
        supernet = peaks(scale, which, "supernet")
        figures += [
            _ratio(f"{which}, tensors: supernet / child", supernet["tensors"], child["tensors"]),
            _ratio(f"{which}, tensors without gradients: supernet / child", supernet["later"], child["later"]),
            _ratio(f"{which}, resident set: supernet / child", supernet["resident"], child["resident"]),
        ]
    narrow, twice = peaks(scale, "smallest", "supernet"), peaks(wide, "smallest", "supernet")
    figures.append(
        _ratio("smallest, space twice as wide / space", twice["later"], narrow["later"], "tensors without gradients")
    )
    report("peak_memory", __doc__.splitlines()[0], figures, scale.settings())
    return figures


def peaks(scale: Scale, which: str, what: str) -> dict[str, float]:
    """MiB of one pass in a fresh process each for the profiler and for the resident set."""
    found = {}
    for measure in ("tensors", "later", "resident"):
        with Worker(__file__, {"scale": asdict(scale), "which": which, "what": what, "measure": measure}) as worker:
            found[measure] = worker.ask() / MIB
    return found


def _ratio(name: str, first: float, second: float, of: str = "") -> Figure:
    value = first / second
    details = {"first_mib": round(first, 1), "second_mib": round(second, 1)}
    return Figure(name, value, value, value, details={**details, "of": of} if of else details)


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


def tensor_growth(work: Any) -> int:
    """The peak of bytes held by tensors during ``work`` above those held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    kineto = profiler.profiler.kineto_results
    changes = sorted((e.start_ns(), e.nbytes()) for e in kineto.events() if e.name() == "[memory]")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def resident_growth(work: Any) -> int:
    """How much the largest resident set grows during ``work``, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit


if __name__ == "__main__":
    told = settings_of_worker()
    main() if told is None else run_worker(told)
