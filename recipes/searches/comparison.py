"""From the pieces that are done to the figures of the main experiment, as plain data and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from searches import text
from searches.compare import best_of, difference, mean_interval, share_below, summary
from searches.experiment import Experiment
from searches.pieces import BEST_RANDOM, RANDOM, Kind, Piece
from searches.text import interval, shown, spread, table
from searches.work import Job
from searches.worklist import read_piece

# Random searches whose results are expected from the networks at hand: how many networks they draw.
DRAWN = (1, 5, 10, 20, 50)
PARTS = ("test_accuracy", "val_accuracy")
_KEPT = (
    "first_entropy_nats",
    "last_entropy_nats",
    "curves",
    "warnings",
    "steps",
    "sampled",
    "images",
    "seconds",
    "cpu_seconds",
)
Contents = Mapping[int, Mapping[str, Any]]


def collect(job: Job) -> dict[str, Any]:
    """All figures of a results folder; what is not done yet is left out."""
    main = job.experiment.main
    found, random = done(job, "short", main), done(job, "short", RANDOM)
    target = job.target(job.make_space(main))
    groups: dict[str, Contents] = {main: found, "random": random}
    return {
        "recipe": f"{job.experiment.name}_cifar",
        **job.to_json(),
        "target": {"cost": target.cost, "value": target.value, "low": target.low, "high": target.high},
        "networks": {name: rows(group, target.cost) for name, group in groups.items()},
        "short": {part: compared(main, found, random, part) for part in PARTS},
        "matched": {part: against_matched(job, found, random, part) for part in PARTS} if job.size.matched else None,
        "costs": {
            name: summary([c["costs"][target.cost] for c in group.values()])
            for name, group in ((main, found), ("random", random))
        },
        "random_search": _random_search(list(random.values())),
        "long": _long(job),
        "searches": {str(n): searched(c, target.cost, target.value) for n, c in done(job, "search", main).items()},
        "times": {kind: _times(job, kind) for kind in ("search", "short", "long")},
    }


def done(job: Job, kind: Kind, network: str) -> dict[int, dict[str, Any]]:
    """The finished pieces of one kind and network in the plan, by number."""
    pieces = {p.number: read_piece(job.results, p) for p in job.plan if p.kind == kind and p.network == network}
    return {number: content for number, content in pieces.items() if content is not None}


def rows(contents: Contents, cost: str) -> dict[str, dict[str, Any]]:
    """What is known of every network, by number."""
    return {
        str(number): {**{part: c[part] for part in PARTS}, "cost": c["costs"][cost], **c["costs"]}
        for number, c in contents.items()
    }


def compared(main: str, found: Contents, random: Contents, part: str) -> dict[str, Any]:
    """Both groups by one accuracy: summaries, the difference of their means, where each answer stands."""
    ours, theirs = ([c[part] for c in group.values() if c[part] is not None] for group in (found, random))
    places = [share_below(value, theirs) for value in ours] if theirs else []
    return {
        main: summary(ours),
        "random": summary(theirs),
        "difference": difference(ours, theirs),
        "random_networks_below": places,
    }


def against_matched(job: Job, found: Contents, random: Contents, part: str) -> dict[str, Any]:
    """Every answer against the random networks of its own cost: accuracy minus their mean."""
    peers: dict[int, list[float]] = {number: [] for number in found}
    for number, content in random.items():
        answer = job.match(Piece("short", RANDOM, number)).number
        if answer in peers:
            peers[answer].append(content[part])
    differences = {n: found[n][part] - statistics.fmean(values) for n, values in peers.items() if values}
    return {
        "differences": {str(n): value for n, value in differences.items()},
        **mean_interval([*differences.values()]),
    }


def searched(content: Mapping[str, Any], cost: str, target: float) -> dict[str, Any]:
    """What a search came to: the cost of its answer, of its most probable network and of its last samples."""
    choice = content["choice"]
    own = choice["own"]
    return {
        "answer": choice["costs"][cost],
        "argmax": choice["costs"][cost] if own is None else own["costs"][cost],
        "samples": content["curves"]["cost_ratio"][-1] * target,
        **{key: content.get(key) for key in _KEPT},
    }


def _random_search(networks: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Test accuracy that random search would reach with N networks, the best chosen by validation pictures."""
    if not networks or networks[0]["val_accuracy"] is None or networks[0]["test_accuracy"] is None:
        return {}
    chosen, judged = ([c[part] for c in networks] for part in ("val_accuracy", "test_accuracy"))
    return {str(n): best_of(chosen, judged, n) for n in DRAWN if n <= len(networks)}


def _long(job: Job) -> dict[str, Any] | None:
    """The second stage: answers and the best random network, trained for longer on all training pictures."""
    main = job.experiment.main
    found, random = done(job, "long", main), done(job, "long", BEST_RANDOM)
    if not found and not random:
        return None
    accuracy = {name: [c["test_accuracy"] for c in g.values()] for name, g in ((main, found), ("random", random))}
    return {name: summary(values) for name, values in accuracy.items()}


def _times(job: Job, kind: Kind) -> dict[str, Any]:
    """Seconds per piece: of the wall clock, on a machine that others may use too, and of the process."""
    contents = [c for p in job.plan if p.kind == kind and (c := read_piece(job.results, p)) is not None]
    return {key: summary([c[key] for c in contents]) for key in ("seconds", "cpu_seconds")}


def scaled(group: Mapping[str, Any], unit: float) -> dict[str, Any]:
    """A summary in another unit."""
    return {k: None if group[k] is None else group[k] * unit for k in ("mean", "spread")}


# ---------------------------------------------------------------------- Markdown


def document(found: Mapping[str, Any], experiment: Experiment) -> str:
    """Everything, section by section."""
    unit = 1e-6 if found["target"]["cost"] == "macs" else 1.0
    target = found["target"]
    head = f"Size `{found['size']['name']}`, space `{found['space']}`, target {shown(target['value'] * unit, 3)} "
    if found["matched"] is None:
        window = " to ".join(shown(target[end] * unit, 3) for end in ("low", "high"))
        head += f"{_unit(target['cost'])}, random networks from {window}. Accuracies in percent."
    else:
        head += f"{_unit(target['cost'])}, random networks of the answers' costs. Accuracies in percent."
    sections = {
        "Searched against random networks, trained alike": _groups(found, unit, experiment),
        "Random search: test accuracy of the best of N by validation": _best_of(found),
        "The searches": _searches(found, unit),
        "Every network": _networks(found, unit),
        "Time per piece (s)": _time_table(found),
    }
    if found["matched"] is not None:
        sections["Every answer minus the random networks of its own cost (points)"] = _matched(found["matched"])
    if found["long"] is not None:
        sections["Trained for longer, on all training pictures: test accuracy"] = _long_table(found["long"], experiment)
    return text.document(head, sections)


def _unit(cost: str) -> str:
    return "MMACs" if cost == "macs" else "ms"


def _groups(found: Mapping[str, Any], unit: float, experiment: Experiment) -> str:
    lines = []
    for part, title in zip(PARTS, ("test", "validation"), strict=True):
        f = found["short"][part]
        gap = f["difference"]
        resampled = "-" if gap["bootstrap"] is None else "{:+.2f} to {:+.2f}".format(*gap["bootstrap"])
        below = ", ".join(f"{share:.0f}" for share in f["random_networks_below"]) or "-"
        lines.append([title, spread(f[experiment.main]), spread(f["random"]), interval(gap), resampled, below])
    header = [
        "",
        experiment.title,
        "random",
        "difference (95 %, Welch)",
        "the same, bootstrap",
        "random networks below (%)",
    ]
    costs = ", ".join(f"{name} {spread(scaled(g, unit), 3)}" for name, g in found["costs"].items())
    return f"{table(header, lines)}\n\n{_unit(found['target']['cost'])}: {costs}."


def _matched(parts: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for title, f in zip(("test", "validation"), parts.values(), strict=True):
        each = ", ".join(f"{value:+.2f}" for value in f["differences"].values()) or "-"
        mean = "-" if f["mean"] is None else "{:+.2f} ({:+.2f} to {:+.2f})".format(f["mean"], *f["interval"])
        lines.append([title, each, mean])
    return table(["", "each search", "mean (95 %)"], lines)


def _best_of(found: Mapping[str, Any]) -> str:
    chances = found["random_search"]
    return table([f"N = {n}" for n in chances], [[shown(v) for v in chances.values()]]) if chances else "-"


def _searches(found: Mapping[str, Any], unit: float) -> str:
    header = [
        "seed",
        "answer",
        "argmax",
        "mean of the last samples",
        "entropy, first",
        "last",
        "networks drawn",
        "minutes",
    ]
    lines = [
        [
            seed,
            *(shown(None if v is None else v * unit, 3) for v in (s["answer"], s["argmax"], s["samples"])),
            shown(s["first_entropy_nats"]),
            shown(s["last_entropy_nats"]),
            shown(s.get("sampled"), 0),
            shown(s["seconds"] / 60, 1),
        ]
        for seed, s in found["searches"].items()
    ]
    warnings = [f"\n- seed {seed}: {w}" for seed, s in found["searches"].items() for w in s["warnings"]]
    return table(header, lines) + ("\n" if warnings else "") + "".join(warnings)


def _networks(found: Mapping[str, Any], unit: float) -> str:
    lines = [
        [f"{name} {number}", shown(n["cost"] * unit, 3), *(shown(n[part]) for part in PARTS)]
        for name, group in found["networks"].items()
        for number, n in group.items()
    ]
    return table(["network", _unit(found["target"]["cost"]), "test", "validation"], lines)


def _long_table(groups: Mapping[str, Mapping[str, Any]], experiment: Experiment) -> str:
    return table(
        [experiment.title, "best random network"], [[spread(groups[experiment.main]), spread(groups["random"])]]
    )


def _time_table(found: Mapping[str, Any]) -> str:
    lines = [[kind, *(spread(t[key], 0) for key in ("seconds", "cpu_seconds"))] for kind, t in found["times"].items()]
    return table(["", "wall clock", "processor"], lines)
