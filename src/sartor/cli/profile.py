"""``sartor profile``: the latency table of this machine, or of one that a bundle travels to."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sartor import spaces
from sartor.cli.describe import space_options
from sartor.errors import RequestError
from sartor.profiling import bundle, runtimes, session
from sartor.profiling.plan import PREDICTORS, Plan, Settings
from sartor.progress import Progress


def measure_here(
    name: str,
    options: Sequence[str],
    out: Path,
    settings: Settings,
    runtime: str,
    threads: int,
    batch: int,
    p: Progress,
) -> dict[str, Any]:
    """Measures a space on this machine and writes its table to ``out``.

    Raises:
        RequestError: the space, an option, the runtime or the path is wrong.
    """
    session.check_out(out)
    opened = runtimes.create(runtime, threads, batch)
    plan = Plan(spaces.create(name, **space_options(name, options)), settings, threads, batch)
    return session.profile(plan, opened, out, progress=p)


def make_bundle(
    name: str, options: Sequence[str], folder: Path, settings: Settings, threads: int, batch: int, p: Progress
) -> dict[str, Any]:
    """Writes the folder that measures a space on another device."""
    plan = Plan(spaces.create(name, **space_options(name, options)), settings, threads, batch)
    return bundle.write_bundle(plan, folder, p)


def collect(name: str | None, folder: Path, out: Path) -> dict[str, Any]:
    """Makes the table of the device a bundle was run on."""
    session.check_out(out)
    return bundle.collect_bundle(folder, out, name)


def settings_of(predictor: str, minutes: float, held_out: int, corrections: int, seed: int) -> Settings:
    """The settings of a profile, checked.

    Raises:
        RequestError: one of them is impossible.
    """
    if predictor not in PREDICTORS:
        close = difflib.get_close_matches(predictor, PREDICTORS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise RequestError(f"--predictor {predictor}: known are {', '.join(PREDICTORS)}{hint}")
    return Settings(predictor, minutes, corrections, held_out, seed=seed)


def summary(document: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """What a person or a program wants to know of a new table; the entries stay in the file."""
    kept = (
        *("kind", "device", "runtime", "threads", "dtype", "batch", "image_size", "date", "repeats", "space"),
        *("noise", "correction"),
    )
    errors = {key: value for key, value in document["errors"].items() if key != "points"}
    return {"table": str(out), **{key: document[key] for key in kept}, "errors": errors}


def print_summary(found: Mapping[str, Any]) -> None:
    """A summary in plain words."""
    errors, noise, entries = found["errors"], found["noise"], found["errors"]["entries"]
    counts = ", ".join(f"{value:,} {key}" for key, value in entries.items() if isinstance(value, int))
    runtime = found["runtime"]
    print(f"{found['table']}: {found['kind']} for {found['space']['name']} at {found['image_size']} pixels ({counts})")
    print(
        f"  {runtime['name']} {runtime['version']}, {found['threads']} thread(s), batch {found['batch']}, "
        f"{found['dtype']}; clock: {noise['clock']}"
    )
    for kind, words in (("raw", "plain"), ("corrected", "corrected by other networks")):
        if errors.get(kind):
            print(f"  {words}: {_errors(errors[kind])}")
    if not errors.get("raw"):
        print("  no whole network was measured to judge it; give it more minutes")
    if noise["network_median"] is not None:
        print(
            f"  noise: the same networks measured twice differ by {noise['network_median']:.1%} "
            f"(median) and {noise['network_p99']:.1%} (99th percentile)"
        )
    if noise["noisy"]:
        print("  The machine is NOISY: close other programs and measure again, or give it more minutes.")


def _errors(report: Mapping[str, Any]) -> str:
    spearman = report["spearman"]
    ranks = "" if spearman is None else f", rank correlation {spearman:.3f}"
    return (
        f"off {report['median']:.1%} (median), {report['p99']:.1%} (99th percentile), {report['worst']:.1%} (worst) "
        f"over {report['networks']} other networks{ranks}; 90 % of them stay below {report['margin_90']:.1%} more"
    )
