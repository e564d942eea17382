"""From the pieces of the ablation to figures: accuracies of every cell of the grid, and the differences in question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranas.figures import areas_of, done, search_table, searched, time_table, times
from ranas.pieces import Piece
from ranas.work import Job
from searches import text
from searches.compare import difference, summary
from searches.text import interval, spread, table

# Changed, base, figure, and what the paper says of it.
QUESTIONS = (
    ("single_cutout", "single_baseline", "4: cutout in search", "+ (considerable)"),
    ("single_exits", "single_baseline", "4: exits in search", "+ (large, with one scale)"),
    ("single_scales", "single_baseline", "4: scales in search", "+ (almost 2 points, with three)"),
    ("anytime_cutout", "anytime_cutout_in_search", "5: cutout in training too", "+"),
    ("anytime_exits", "anytime_cutout", "5: exits in search too", "+"),
    ("anytime_scales_in_training", "anytime_cutout", "5: scales in training", "+ (the largest)"),
    ("anytime_scales", "anytime_scales_in_training", "5: scales in search too", "+"),
    ("anytime_everything", "anytime_scales", "5: exits in search too, with scales", "+ (marginal)"),
    ("anytime_cutout_in_search", "single_cutout", "4 and 5: exits in training (last exit)", "-"),
)
# What networks are judged by; those with one exit have a last exit alone.
PARTS = ("last", "ensemble", "first", "single_area", "ensemble_area")


def collect(job: Job, plan: Sequence[Piece]) -> dict[str, Any]:
    """All figures of a results folder; what is not done yet is left out."""
    low, high = job.size.area or (0.0, 0.0)
    trained = {
        name: {str(n): _judged(c, low, high) for n, c in done(job, plan, "train", name).items()}
        for name in job.study.trainings
    }
    return {
        "recipe": "ranas_ablations",
        **job.to_json(),
        "trainings": {
            name: {"networks": networks, **{part: summary(_values(networks, part)) for part in PARTS}}
            for name, networks in trained.items()
        },
        "questions": [
            {
                "title": title,
                "changed": changed,
                "base": base,
                "paper": paper,
                **{part: difference(_values(trained[changed], part), _values(trained[base], part)) for part in PARTS},
            }
            for changed, base, title, paper in QUESTIONS
        ],
        "searches": {name: searched(done(job, plan, "search", name)) for name in job.study.searches},
        "times": times(job, plan),
    }


def _judged(content: Mapping[str, Any], low: float, high: float) -> dict[str, Any]:
    known = {key: content[key] for key in ("macs", "params", "architecture", "cpu_seconds", "seconds")}
    if "exits" not in content:
        return {**known, "last": content["test_accuracy"]}
    areas = areas_of(content, low, high) if high else {}
    exits = content["exits"]
    return {
        **known,
        "last": exits[-1]["test_accuracy"],
        "ensemble": exits[-1]["test_ensemble_accuracy"],
        "first": exits[0]["test_accuracy"],
        "exits": exits,
        **{f"{part}_area": areas[part] for part in ("single", "ensemble") if areas},
    }


def _values(networks: Mapping[str, Mapping[str, Any]], part: str) -> list[float]:
    return [n[part] for n in networks.values() if part in n]


# ---------------------------------------------------------------------- Markdown


def document(found: Mapping[str, Any]) -> str:
    """Everything, section by section."""
    size = found["size"]
    head = (
        f"Size `{size['name']}`: pictures of {size['image_size']} pixels. Accuracies in percent on the test pictures."
    )
    if size["area"]:
        low, high = size["area"]
        head += f" Areas are means over budgets from {low / 1e6:g} to {high / 1e6:g} any-time MMACs."
    sections = {
        "What is in question (points, 95 %, Welch)": _questions(found),
        "Every training": _trainings(found),
        "The searches": search_table(found["searches"]),
        "Time per piece (s)": time_table(found["times"]),
    }
    return text.document(head, sections)


def _questions(found: Mapping[str, Any]) -> str:
    header = ["figure", "the paper", "last exit", "first exit", "area, single", "area, ensemble"]
    lines = [
        [q["title"], q["paper"], *(interval(q[part]) for part in ("last", "first", "single_area", "ensemble_area"))]
        for q in found["questions"]
    ]
    return table(header, lines)


def _trainings(found: Mapping[str, Any]) -> str:
    header = ["", "last exit", "ensemble", "first exit", "area, single", "area, ensemble", "MMACs", "networks"]
    lines = [
        [
            name,
            *(spread(group[part]) for part in ("last", "ensemble", "first", "single_area", "ensemble_area")),
            ", ".join(f"{n['macs'] / 1e6:.2f}" for n in group["networks"].values()) or "-",
            str(len(group["networks"])),
        ]
        for name, group in found["trainings"].items()
    ]
    return table(header, lines)
