"""Winners measured again: exported networks timed on the machine that their latency budget is about, if that is here.

"Here" is a machine with the same processor, system and architecture as the device's file names, with its runtime
installed; both descriptions are recorded. What was measured elsewhere is not measured here, and the report says so.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sartor.config import Job
from sartor.errors import RequestError
from sartor.pipeline import training
from sartor.pipeline.answers import Answer
from sartor.pipeline.attempt import Attempt, Payload
from sartor.pipeline.promises import LatencyPromise
from sartor.profiling.networks import Bench, Measured, Shipped, same_machine
from sartor.storage import storage_errors

if TYPE_CHECKING:
    from sartor.profiling.runtimes import Runtime

# Networks that are measured together: what opens their runtime.
_Way = tuple[str, int, int, int]


def measure_winners(
    attempt: Attempt, promises: Mapping[str, LatencyPromise], job: Job, bench: Bench
) -> dict[str, Payload]:
    """Per platform of an attempt that has a promise: what its exported network takes, or why that was not measured.

    Raises:
        RequestError: timings of something else are in the way.
    """
    rows: dict[str, Payload] = {}
    ways: dict[_Way, list[str]] = {}
    for name in (name for name in attempt.names if name in promises):
        promise = promises[name]
        reason = _why_not(attempt, name, promise, job, bench)
        rows[name] = _row(promise, bench, reason=reason)
        if reason is None:
            way = (promise.runtime["name"], promise.threads, promise.batch, promise.repeats)
            ways.setdefault(way, []).append(name)
    for way, names in ways.items():
        try:
            runtime = bench.runtime(*way[:3])
        except RequestError as error:
            for name in names:
                rows[name] = _row(promises[name], bench, reason=f"not measured here: {error}")
            continue
        for name, found in _measured(attempt, runtime, way, names, job, bench).items():
            rows[name] = _row(promises[name], bench, **found)
    return rows


def _measured(
    attempt: Attempt, runtime: Runtime, way: _Way, names: Sequence[str], job: Job, bench: Bench
) -> dict[str, Payload]:
    timings = attempt.file(f"measure/{way[0]}-threads{way[1]}-batch{way[2]}.timings.jsonl")
    with _own_threads(), storage_errors(timings):
        found = bench.measure(
            {name: _shipped(attempt, name) for name in names},
            runtime,
            timings,
            seconds=job.measure.seconds,
            repeats=way[3],
            progress=attempt.folder.progress,
        )
    return {name: _plain(one) for name, one in found.items()}


def _plain(measured: Measured) -> Payload:
    found = measured.to_dict()
    # The promise has the runtime of the device's file; its version may be another one.
    return {"measured_ms": found.pop("ms"), "runtime_here": found.pop("runtime"), **found}


def _row(promise: LatencyPromise, bench: Bench, reason: str | None = None, **found: Any) -> Payload:
    """Plain data of a platform; ``missed`` is None where nothing was measured."""
    measured = found.get("measured_ms")
    return {
        "measured_ms": None,
        "noise": None,
        **found,
        "here": dict(bench.machine),
        "reason": reason,
        "missed": None if measured is None else bool(measured > promise.budget_ms),
    }


def _why_not(attempt: Attempt, name: str, promise: LatencyPromise, job: Job, bench: Bench) -> str | None:
    """Why a winner is not measured here, in a sentence; None where it can be."""
    if not job.measure.winners:
        return "not measured: measure.winners is false"
    if not job.export.onnx:
        return "not measured: no file was exported (export.onnx is false)"
    if not promise.machine or not promise.runtime.get("name"):
        return f"not measured here: nothing is known of the machine behind {promise.device}"
    if not same_machine(promise.machine, bench.machine):
        runtime = f"{promise.runtime['name']} {promise.runtime.get('version', '')}".strip()
        return (
            f"not measured here: measured on {_machine(promise.machine)}, this is {_machine(bench.machine)}; copy "
            f"{attempt.prefix}platforms/{name}.onnx there: {runtime}, {promise.threads} thread(s), batch "
            f"{promise.batch}"
        )
    return None


def _machine(description: Mapping[str, Any]) -> str:
    parts = [str(description[part]) for part in ("cpu", "system", "architecture") if description.get(part)]
    return f"{parts[0]} ({', '.join(parts[1:])})" if len(parts) > 1 else "".join(parts) or "an unknown machine"


def _shipped(attempt: Attempt, name: str) -> Shipped:
    choice = attempt.choices[name]
    blueprint = Answer.of(choice).shipped(attempt.setting.deploy_space, name)

    @functools.cache
    def load() -> nn.Module:
        # Statistics are those of the size of the training, which changes no time.
        return training.load_weights(blueprint.build(), attempt.file(f"platforms/{name}.safetensors"))

    return Shipped(attempt.file(f"platforms/{name}.onnx"), blueprint, load)


@contextlib.contextmanager
def _own_threads() -> Iterator[None]:
    """Gives torch its threads back: a runtime may have set them to the device's."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
