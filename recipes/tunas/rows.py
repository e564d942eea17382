"""The rows of these experiments in the table of recipes/README.md: the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from searches.text import figure, interval, shown, spread
from tunas import paper

Row = list[str]


def comparison_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """Searched networks, random ones, their difference, and how well the searches met their target."""
    space, size = found["space"], found["size"]["name"]
    groups = found["short"]["test_accuracy"]
    searched, random = paper.SEARCHED[space][0], paper.RANDOM_1[space]
    counts = f"{groups['tunas']['count']} searches, {groups['random']['count']} random networks"
    command = f"`python recipes/tunas/cifar.py --size {size} ...`"
    target = found["target"]["value"]
    off = [100 * (s["argmax"] / target - 1) for s in found["searches"].values()]
    best = found["random_search"].get("20")
    rows = [
        [f"TuNAS, Table 5, searched (`{space}`, %)", figure(searched), spread(groups["tunas"])],
        ["TuNAS, Table 1, one random network of the same cost (%)", figure(random), spread(groups["random"])],
        [
            "TuNAS, searched minus random (points, 95 % interval)",
            f"{searched[0] - random[0]:+.1f}",
            interval(groups["difference"]),
        ],
        [
            "TuNAS, Table 5, best of 20 random networks by validation (%)",
            figure(paper.RANDOM_20[space][0]),
            shown(best),
        ],
        [
            "TuNAS, cost of the most probable networks, from the target (%)",
            "0.0 ± 0.5",
            ", ".join(f"{value:+.1f}" for value in off),
        ],
    ]
    first = f"size `{size}`, {machine}, {counts}"
    return [[*row, first if i == 0 else "same", command if i == 0 else ""] for i, row in enumerate(rows)]


def ablation_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """One row per question."""
    size = found["size"]["name"]
    rows = []
    for i, q in enumerate(found["questions"]):
        counts = [found["variants"][q[side]]["test_accuracy"]["count"] for side in ("changed", "base")]
        searches = f"{counts[0]} against {counts[1]} searches"
        setting = f"size `{size}`, {machine}, {searches}" if i == 0 else f"same, {searches}"
        command = f"`python recipes/tunas/ablations.py --size {size} ...`" if i == 0 else ""
        title = f"TuNAS, {q['title']} (points, 95 % interval)"
        rows.append([title, shown(q["paper"], 1, "+"), interval(q["test_accuracy"]), setting, command])
    kinds = {"growing rate": "enlarged", "kept at its start": "enlarged_low_rate"}
    gaps = [f"{kind} {spread(found['variants'][v]['argmax_from_samples_percent'], 1)}" for kind, v in kinds.items()]
    title = "TuNAS, Section 4.2: cost of the most probable network from that of the last samples (% of the target)"
    return [*rows, [title, '"several milliseconds"', "; ".join(gaps), "same", ""]]
