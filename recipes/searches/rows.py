"""The rows of these experiments in the table of recipes/README.md: the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from searches.experiment import Experiment
from searches.text import interval, shown, spread

Row = list[str]
# What a row is about, and the paper's figure in words.
Published = tuple[str, str]


def comparison_rows(
    found: Mapping[str, Any],
    experiment: Experiment,
    machine: str,
    *,
    searched: Published,
    random: Published,
    difference: Published,
    best: Published,
    target: Published,
) -> list[Row]:
    """Searched networks, random ones, their difference, and how well the searches met their target."""
    size = found["size"]["name"]
    groups = found["short"]["test_accuracy"]
    ours = groups[experiment.main]
    counts = f"{ours['count']} searches, {groups['random']['count']} random networks"
    wanted = found["target"]["value"]
    off = ", ".join(f"{100 * (s['argmax'] / wanted - 1):+.1f}" for s in found["searches"].values())
    figures = {
        searched: spread(ours),
        random: spread(groups["random"]),
        difference: interval(groups["difference"]),
        best: shown(found["random_search"].get("20")),
        target: off,
    }
    first = f"size `{size}`, {machine}, {counts}"
    command = f"`python recipes/{experiment.name}/cifar.py --size {size} ...`"
    return [
        [f"{experiment.title}, {title}", paper, figure, first if i == 0 else "same", command if i == 0 else ""]
        for i, ((title, paper), figure) in enumerate(figures.items())
    ]


def ablation_rows(found: Mapping[str, Any], experiment: Experiment, machine: str) -> list[Row]:
    """One row per question whose two sides were run."""
    size = found["size"]["name"]
    rows: list[Row] = []
    for q in found["questions"]:
        counts = [found["variants"][q[side]]["test_accuracy"]["count"] for side in ("changed", "base")]
        if not all(counts):
            continue
        searches = f"{counts[0]} against {counts[1]} searches"
        setting = f"same, {searches}" if rows else f"size `{size}`, {machine}, {searches}"
        command = "" if rows else f"`python recipes/{experiment.name}/ablations.py --size {size} ...`"
        title = f"{experiment.title}, {q['title']} (points, 95 % interval)"
        rows.append([title, shown(q["paper"], 1, "+"), interval(q["test_accuracy"]), setting, command])
    return rows
