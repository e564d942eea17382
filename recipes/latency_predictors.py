"""Three latency predictors side by side at equal measuring time, on this machine.

    python recipes/latency_predictors.py --out FOLDER [--space mobilenet_v1] [--option image_size=32] [--minutes 5]
    python recipes/latency_predictors.py --out FOLDER --publish      # writes recipes/results/latency_predictors.*

Two profiles of ``--minutes`` each, as ``sartor profile`` makes them: one of blocks (``table``), one of whole networks,
biased so that every block is shown equally often (``pairwise``; ``linear`` is fitted to the same networks). Both also
measure the same networks of all sizes for the correction, and the same 107 others, which judge. Then each predictor is
built again from the beginning of its samples, as far as an eighth, a quarter, half and all of the time goes: what
judges is always everything that was measured of the judging networks in both profiles. Started again, it goes on.

The measuring time of a predictor is what its own blocks or networks and those of its correction took, opening them
included; the networks that judge are not counted.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sartor import environment, spaces
from sartor.cli.describe import space_options
from sartor.profiling import runner, runtimes
from sartor.profiling.build import build_document
from sartor.profiling.estimates import Visits, noise, visits_of
from sartor.profiling.plan import Plan, Settings
from sartor.profiling.session import profile, timings_path
from sartor.progress import Progress
from sartor.space import SearchSpace
from sartor.storage import to_json, write_atomically

SHARES = (0.125, 0.25, 0.5, 1.0)
RESULTS = Path(__file__).parent / "results"
JUDGES = ("held_out", "uniform_width")

Groups = Sequence[Mapping[str, Any]]


def main() -> None:
    """Measures, where that is not done yet, and compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="mobilenet_v1")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--publish", action="store_true", help="write the results into recipes/results")
    parser.add_argument("--measured", action="store_true", help="only use what is measured already")
    given = parser.parse_args()
    space = spaces.create(given.space, **space_options(given.space, given.option))
    plans = {p: Plan(space, Settings(p, given.minutes)) for p in ("table", "pairwise")}
    timings = {p: _measured(plan, given.out / f"{p}.json", given) for p, plan in plans.items()}
    plans["linear"] = _same_networks(space, plans["pairwise"], given.minutes)
    timings["linear"] = timings["pairwise"]
    result = compare(plans, timings)
    text = words(result)
    print(text)
    name = f"latency_predictors_{space.name}_{space.image_size}"
    folder = RESULTS if given.publish else given.out
    write_atomically(folder / f"{name}.json", to_json(result).encode())
    write_atomically(folder / f"{name}.md", text.encode())


def _measured(plan: Plan, out: Path, given: argparse.Namespace) -> tuple[Mapping[str, Any], Groups]:
    """The header and the groups of a profile, measured first where they are not there."""
    if not given.measured:
        runtime = runtimes.create(given.runtime)
        profile(plan, runtime, out, progress=Progress(lines=True))
    header, groups = runner.read_timings(timings_path(out))
    if header is None or header["plan"] != plan.digest:
        raise SystemExit(f"{timings_path(out)} holds timings of another plan; give --out another folder")
    return header, groups


def _same_networks(space: SearchSpace, plan: Plan, minutes: float) -> Plan:
    """A plan for the linear model on the networks of another plan."""
    linear = Plan(space, Settings("linear", minutes))
    linear.rows = plan.rows
    return linear


def compare(plans: Mapping[str, Plan], timings: Mapping[str, tuple[Mapping[str, Any], Groups]]) -> dict[str, Any]:
    """Per predictor and share of the time: seconds, what was measured, and the errors."""
    judges = _pooled([groups for _, groups in timings.values()], JUDGES)
    header = timings["table"][0]
    facts = {
        "device": {"name": "this machine", **header["machine"]},
        "runtime": header["runtime"],
        "threads": header["threads"],
        "dtype": "float32",
        "batch": 1,
        "date": header["date"],
        "repeats": plans["table"].settings.repeats,
        "clock": header["clock"],
    }
    curves: dict[str, Any] = {}
    for name, plan in plans.items():
        groups = timings[name][1]
        own = [(job, visit) for group in groups for job, visit in group["visits"].items() if not _judges(job)]
        total = sum(visit["seconds"] for _, visit in own)
        curves[name] = [_point(plan, own, share * total, judges, facts) for share in SHARES]
    networks = [job for job in judges if _judges(job)]
    return {
        **facts,
        "space": plans["table"].facts(),
        "environment": environment.describe(gpu=False),
        "noise": noise(judges, networks, header["clock"]),
        "visits_of_judges": int(np.median([len(v) for v in judges.values()])),
        "curves": curves,
    }


def _point(
    plan: Plan, own: Sequence[tuple[str, Any]], seconds: float, judges: Visits, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """A predictor from its first samples."""
    kept, spent = [], 0.0
    for job, visit in own:
        if spent >= seconds and kept:
            break
        spent += visit["seconds"]
        kept.append({"visits": {job: visit}})
    document = build_document(plan, visits_of(kept), facts, {**visits_of(kept), **judges})
    errors = {key: value for key, value in document["errors"].items() if key != "points"}
    thread_seconds = sum(sum(v["ns"]) for group in kept for v in group["visits"].values()) / 1e9
    return {"seconds": spent, "timed_seconds": thread_seconds, **errors}


def _pooled(all_groups: Sequence[Groups], kinds: Sequence[str]) -> dict[str, Any]:
    """All visits to the networks that judge, from every profile (each counted once)."""
    unique = {id(groups): groups for groups in all_groups}
    pooled = visits_of([group for groups in unique.values() for group in groups])
    return {job: visits for job, visits in pooled.items() if job.split(" ")[0] in kinds}


def _judges(job: str) -> bool:
    return job.split(" ")[0] in JUDGES


def words(result: Mapping[str, Any]) -> str:
    """The comparison as a table."""
    noise_found, runtime = result["noise"], result["runtime"]
    lines = [
        f"# Latency predictors: {result['space']['name']}, {runtime['name']} {runtime['version']}, one thread",
        "",
        f"{result['device']['cpu']}, {result['date']}. Noise: the judging networks, measured twice, differ by "
        f"{_percent(noise_found['network_median'])} (median) and {_percent(noise_found['network_p99'])} (99th "
        f"percentile), {result['visits_of_judges']} visits each; no error below that can be told.",
        "",
        "| predictor | measuring (s) | measured | correction | median | 99th percentile | worst | rank corr. |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, points in result["curves"].items():
        for point in points:
            entries = point["entries"]
            counts = [f"{entries[key]:,} {words}" for key, words in _COUNTS.items() if key in entries]
            for kind, label in (("raw", "no"), ("corrected", "yes")):
                if kind in point:
                    e = point[kind]
                    lines.append(
                        f"| {name} | {point['seconds']:.0f} | {', '.join(counts)} | {label} "
                        f"| {_percent(e['median'])} | "
                        f"{_percent(e['p99'])} | {_percent(e['worst'])} | {e['spearman']:.3f} |"
                    )
    return "\n".join(lines) + "\n"


_COUNTS = {"networks": "networks", "measured": "keys", "interpolated": "interpolated"}


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
