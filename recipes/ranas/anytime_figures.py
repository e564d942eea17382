"""From any-time trainings to figures: curves per exit, areas under them, differences, batches on a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pictures import write_picture
from ranas.figures import PARTS, areas_of, done, search_table, searched, time_table, times
from ranas.pieces import Piece
from ranas.work import Job
from searches import text
from searches.compare import difference, summary
from searches.text import interval, shown, spread, table

# The trainings, the most important first, as people read them.
GROUPS = {
    "cifar10": "CIFAR-10: cells found",
    "cifar10_msdnet": "CIFAR-10: MSDNet",
    "cifar10_random": "CIFAR-10: random cells",
    "cifar100_transferred": "CIFAR-100: cells found on CIFAR-10",
    "cifar100": "CIFAR-100: cells found on CIFAR-100",
    "cifar100_msdnet": "CIFAR-100: MSDNet",
    "cifar100_random": "CIFAR-100: random cells",
}
# Which is compared with which, and which sign the paper has.
QUESTIONS = (
    ("cifar10", "cifar10_msdnet", "above from 70 MMACs on"),
    ("cifar10", "cifar10_random", "-"),
    ("cifar10_random", "cifar10_msdnet", "-"),
    ("cifar100_transferred", "cifar100_msdnet", "above from 62 MMACs on"),
    ("cifar100", "cifar100_msdnet", "above from 62 MMACs on"),
    ("cifar100", "cifar100_transferred", "-"),
    ("cifar100", "cifar100_random", "-"),
)
# Areas over the size's range, and of the ensemble from no MACs at all: until its first exit a network guesses.
AREAS = (*PARTS, "from_zero")
_WITHIN = 3.0  # percent, of a realised mean cost from the planned one


def collect(job: Job, plan: Sequence[Piece]) -> dict[str, Any]:
    """All figures of a results folder; what is not done yet is left out."""
    groups = {name: group_of(job, done(job, plan, "train", name)) for name in GROUPS}
    return {
        "recipe": "ranas_anytime",
        **job.to_json(),
        "searches": {name: searched(done(job, plan, "search", name)) for name in job.study.searches},
        "groups": groups,
        "questions": [
            {"ours": a, "theirs": b, "paper": paper, **compared(groups[a], groups[b])} for a, b, paper in QUESTIONS
        ],
        "times": times(job, plan),
    }


def group_of(job: Job, networks: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Networks trained alike: each one, and means per exit and of areas."""
    low, high = job.size.area or (0.0, 0.0)
    rows = {str(n): {**network_of(c), "areas": areas_of(c, low, high)} for n, c in networks.items()}
    every = list(rows.values())
    exits = min((len(r["exits"]) for r in every), default=0)
    return {
        "networks": rows,
        "exits": [exit_of([r["exits"][k] for r in every]) for k in range(exits)],
        "areas": {part: summary([r["areas"][part] for r in every]) for part in AREAS},
        "last": {part: summary([r["exits"][-1][column] for r in every]) for part, column in PARTS.items()},
        "macs": summary([r["macs"] for r in every]),
        "params": summary([r["params"] for r in every]),
    }


def network_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a trained network."""
    kept = ("exits", "batches", "architecture", "macs", "params", "seconds", "cpu_seconds", "images")
    return {key: content[key] for key in kept}


def exit_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One exit of all networks of a group."""
    costs = ("macs", "anytime_macs", "lazy_macs", "anytime_params")
    return {key: summary([row[key] for row in rows]) for key in (*costs, *PARTS.values())}


def compared(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Differences of areas and of last exits, with intervals."""
    areas = {
        part: [[n["areas"][part] for n in group["networks"].values()] for group in (ours, theirs)] for part in AREAS
    }
    last = {
        part: [[n["exits"][-1][column] for n in group["networks"].values()] for group in (ours, theirs)]
        for part, column in PARTS.items()
    }
    return {
        "areas": {part: difference(*values) for part, values in areas.items()},
        "last": {part: difference(*values) for part, values in last.items()},
    }


def batches_within(network: Mapping[str, Any]) -> int:
    """How many budgets of a network are realised within three percent."""
    return sum(abs(deviation(batch)) <= _WITHIN for batch in network["batches"])


def deviation(batch: Mapping[str, Any]) -> float:
    """How far the realised mean cost of a batch is from the planned one, in percent."""
    return float(100 * (batch["mean_cost"] / batch["planned"] - 1))


# ---------------------------------------------------------------------- Markdown


def document(found: Mapping[str, Any]) -> str:
    """Everything, section by section."""
    size = found["size"]
    low, high = size["area"]
    head = (
        f"Size `{size['name']}`: pictures of {size['image_size']} pixels. Areas are mean test accuracies in percent "
        f"over budgets from {low / 1e6:g} to {high / 1e6:g} any-time MMACs, all equally likely (a step function; every "
        "network has an exit below), and of the ensemble also from 0 (a guess before the first exit). *Ensemble*: the "
        "mean of the softmaxes of all exits so far."
    )
    sections = {
        "Areas under the curves, and last exits": _areas(found),
        "Differences (points, 95 %, Welch)": _questions(found),
        "Exit by exit": _exits(found),
        "Batches on a budget: thresholds from pictures held back, judged on the test pictures": _batches(found),
        "The searches": search_table(found["searches"]),
        "Time per piece (s)": time_table(found["times"]),
    }
    return text.document(head, sections)


def _areas(found: Mapping[str, Any]) -> str:
    header = [
        "",
        "area, single",
        "area, ensemble",
        "area from 0",
        "last exit, single",
        "ensemble",
        "MMACs",
        "thousand params",
        "networks",
    ]
    lines = [
        [
            GROUPS[name],
            *(spread(group["areas"][part]) for part in AREAS),
            *(spread(group["last"][part]) for part in PARTS),
            shown(group["macs"]["mean"] / 1e6, 3),
            shown(group["params"]["mean"] / 1e3, 1),
            str(group["macs"]["count"]),
        ]
        for name, group in found["groups"].items()
        if group["networks"]
    ]
    return table(header, lines)


def _questions(found: Mapping[str, Any]) -> str:
    header = [
        "ours",
        "minus",
        "area, single",
        "area, ensemble",
        "area from 0",
        "last exit, single",
        "ensemble",
        "the paper",
    ]
    lines = [
        [
            GROUPS[q["ours"]],
            GROUPS[q["theirs"]].split(": ")[1],
            *(interval(q["areas"][part]) for part in AREAS),
            *(interval(q["last"][part]) for part in PARTS),
            q["paper"],
        ]
        for q in found["questions"]
        if q["areas"]["single"]["mean"] is not None
    ]
    return table(header, lines)


def _exits(found: Mapping[str, Any]) -> str:
    header = ["", "exit", "any-time MMACs", "all cells", "lazy", "single", "ensemble"]
    lines = [
        [
            GROUPS[name] if k == 0 else "",
            str(k + 1),
            *(shown(exit[cost]["mean"] / 1e6, 3) for cost in ("anytime_macs", "macs", "lazy_macs")),
            *(spread(exit[column]) for column in PARTS.values()),
        ]
        for name, group in found["groups"].items()
        for k, exit in enumerate(group["exits"])
    ]
    return table(header, lines)


def _batches(found: Mapping[str, Any]) -> str:
    lines = [
        [
            f"{GROUPS[name]}, {number}",
            *(shown(batch[cost] / 1e6, 3) for cost in ("planned", "mean_cost")),
            shown(deviation(batch), 2, "+"),
            shown(batch["accuracy"]),
            " ".join(f"{100 * share:.0f}" for share in batch["shares"]),
        ]
        for name, group in found["groups"].items()
        if "msdnet" not in name and "random" not in name
        for number, network in group["networks"].items()
        for batch in network["batches"]
    ]
    if not lines:
        return "No pictures were held back."
    held = found["size"]["selection"]
    counts = [
        f"{GROUPS[name]}, {number}: {batches_within(network)} of {len(network['batches'])}"
        for name, group in found["groups"].items()
        for number, network in group["networks"].items()
        if network["batches"]
    ]
    worst = max(
        abs(deviation(b)) for g in found["groups"].values() for n in g["networks"].values() for b in n["batches"]
    )
    note = (
        f"{held:,} pictures were held back. Within {_WITHIN:g} %: {'; '.join(counts)}. The worst is {worst:.2f} % off."
    )
    header = ["network, seed", "planned MMACs", "realised", "off (%)", "accuracy", "leave at each exit (%)"]
    return f"{note}\n\n{table(header, lines)}"


# ---------------------------------------------------------------------- picture


def draw(found: Mapping[str, Any], folder: Path, prefix: str) -> None:
    """Both data sets' curves, exit by exit: means as lines, every network as points."""
    panels = [panel for data in ("CIFAR-10", "CIFAR-100") if (panel := _panel(found, data))["data"]["values"]]
    if panels:
        look = {"resolve": {"scale": {"color": "independent"}}}
        write_picture({"hconcat": panels, **look}, folder / f"{prefix}curves.png")


def _panel(found: Mapping[str, Any], data: str) -> dict[str, Any]:
    end = (found["size"]["area"] or (0.0, 0.0))[1] / 1e6
    values = [
        {"network": title.split(": ")[1], "macs": macs, "accuracy": accuracy}
        for name, title in GROUPS.items()
        if title.startswith(f"{data}:")
        for macs, accuracy in _curve(found["groups"][name]["exits"], end)
    ]
    points = [
        {
            "network": title.split(": ")[1],
            "macs": exit["anytime_macs"] / 1e6,
            "accuracy": exit[PARTS["ensemble"]],
        }
        for name, title in GROUPS.items()
        if title.startswith(f"{data}:")
        for network in found["groups"][name]["networks"].values()
        for exit in network["exits"]
    ]
    lowest = float(np.floor(min((p["accuracy"] for p in points), default=0.0)))
    encoding = {
        "x": {"field": "macs", "type": "quantitative", "title": "Any-time MACs up to the exit (millions)"},
        "y": {
            "field": "accuracy",
            "type": "quantitative",
            "title": "Test accuracy (%), mean of the exits so far",
            "scale": {"domainMin": lowest, "zero": False},
        },
        "color": {"field": "network", "type": "nominal", "title": None, "legend": {"orient": "bottom", "columns": 1}},
    }
    return {
        "title": data,
        "width": 380,
        "height": 280,
        "data": {"values": values},
        "encoding": encoding,
        "layer": [
            {"mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2}},
            {"mark": {"type": "point", "filled": True, "size": 30, "opacity": 0.7}, "data": {"values": points}},
        ],
    }


def _curve(exits: Sequence[Mapping[str, Any]], end: float) -> list[tuple[float, float]]:
    """Millions of any-time MACs and accuracies of a group's exits; the last exit serves all budgets up to the end."""
    points = [(exit["anytime_macs"]["mean"] / 1e6, exit[PARTS["ensemble"]]["mean"]) for exit in exits]
    return [*points, *((end, accuracy) for macs, accuracy in points[-1:] if macs < end)]
