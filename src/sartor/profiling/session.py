"""A profile from start to end: plan, measure, build, judge, write; after an interruption the same call goes on.

Beside the table ``T.json`` lie all samples, ``T.timings.jsonl``, from which it can be made again, and a scatter plot of
predicted against measured latencies, ``T.svg``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.environment import now
from sartor.errors import RequestError
from sartor.profiling import runner
from sartor.profiling.build import build_document
from sartor.profiling.estimates import visits_of
from sartor.profiling.plan import FIRST_ROUND, Plan
from sartor.profiling.runner import MeasuringError, Schedule, Timer, Timings
from sartor.profiling.scatter import scatter_svg
from sartor.progress import Progress
from sartor.storage import storage_errors, to_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sartor.profiling.runner import Call
    from sartor.profiling.runtimes import Runtime

Document = dict[str, Any]


def profile(
    plan: Plan,
    runtime: Runtime,
    out: Path,
    *,
    progress: Progress | None = None,
    timer: Callable[[Sequence[Call]], list[list[int]]] | None = None,
    clock: Callable[[], float] | None = None,
) -> Document:
    """Measures a plan on this machine and writes the table to ``out``; returns its content.

    Args:
        plan: what to measure.
        runtime: in what.
        out: the table; its neighbours are named after it.
        progress: shows how far it is.
        timer: times calls, by default by the runtime's clock.
        clock: seconds, by default those on the wall.

    Raises:
        RequestError: the path cannot be written, or holds timings of another plan, runtime or machine.
    """
    header = {
        "plan": plan.digest,
        "runtime": {"name": runtime.name, "version": runtime.version},
        "threads": runtime.threads,
        "clock": runtime.clock,
        "machine": runner.machine(),
        "date": now(),
    }
    settings = plan.settings
    path = timings_path(out)
    with storage_errors(path):
        timings = open_timings(path, header)
        seconds = 60.0 * settings.minutes
        with (progress or Progress()).task("measuring (seconds)", seconds, min(timings.seconds, seconds)) as advance:
            runner.measure(
                lambda job: plan.open(job, runtime),
                timings,
                timer or Timer(runtime.clock, settings.repeats),
                schedule(plan),
                advance=advance,
                **({} if clock is None else {"now": clock}),
            )
    return finish(plan, timings.header, timings.groups, out)


def schedule(plan: Plan) -> Schedule:
    """The order and the time of a plan's jobs."""
    settings = plan.settings
    share = FIRST_ROUND[settings.predictor]
    return Schedule(plan.jobs, 60.0 * settings.minutes, settings.seed, plan.essential, share, plan.again)


def finish(plan: Plan, header: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], out: Path) -> Document:
    """Builds the table from timings, and writes it and its plot."""
    machine = header["machine"]
    facts = {
        "device": {"name": out.stem, **machine},
        "runtime": header["runtime"],
        "threads": header["threads"],
        "dtype": "float32",
        "batch": plan.batch,
        "date": header["date"],
        "repeats": plan.settings.repeats,
        "clock": header["clock"],
    }
    document = build_document(plan, visits_of(groups), facts)
    points = document["errors"].get("points", {})
    title = f"{plan.space.name} at {plan.space.image_size} pixels, {header['runtime']['name']}: {document['kind']}"
    write_atomically(out, to_json(document).encode())
    write_atomically(out.with_suffix(".svg"), scatter_svg(points, title).encode())
    return document


def timings_path(out: Path) -> Path:
    """Where the samples of a table are."""
    return out.with_name(out.stem + ".timings.jsonl")


def check_out(out: Path) -> None:
    """Refuses a path that is no place for a table.

    Raises:
        RequestError: it does not end in .json, or is a folder.
    """
    if out.suffix != ".json" or out.is_dir():
        raise RequestError(f"--out {out}: a latency table is a file whose name ends in .json")


def open_timings(path: Path, header: dict[str, Any]) -> Timings:
    """The samples of a measurement, new or to go on with.

    Raises:
        RequestError: the file holds those of another plan, runtime or machine.
    """
    try:
        return Timings(path, header)
    except MeasuringError as error:
        raise RequestError(str(error)) from None
