"""Every method beside random search by real training, at equal cost: whole searches in a small space of widths.

The job is ``examples/compare_cifar10.yaml`` (5,000 pictures of CIFAR-10 at 16 pixels, widths of a small MobileNetV1,
two budgets), and this is ``sartor compare`` on it; every search costs 48,000 trained pictures, every answer is trained
alone and judged on 10,000 test pictures. Some forty seconds of one core per search and its answers.

    python recipes/compare_training.py --out FOLDER --seeds 3 --processes 2 --publish

FOLDER is the state, so that the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import shared_pictures
from sartor import environment
from sartor.compare.methods import ON_TRAINING
from sartor.compare.page import write_files
from sartor.compare.result import compare_training
from sartor.config import load_job
from sartor.errors import SartorError
from sartor.progress import Progress
from sartor.storage import to_json, write_atomically
from searches.text import table

PUBLISHED = Path(__file__).resolve().parent / "results"
JOB = Path(__file__).resolve().parents[1] / "examples" / "compare_cifar10.yaml"
NAME = "compare_training"
# Of the document; answers and configurations are in FOLDER.
KEPT = ("job", "space", "data", "seeds", "judged_on", "search_budget_images", "platforms", "notes")
KEPT_OF_ROWS = (
    "accuracy_mean",
    "accuracy_deviation",
    "accuracy_ci95",
    "accuracies",
    "difference_to_random",
    "within_budget",
    "platforms",
    "search_cost_images",
    "search_images",
    "training_images",
    "times",
    "not_applicable",
)


def figures_of(document: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    """What is published: every figure of every seed, the hypervolumes, and the machine."""
    rows = {name: {key: row[key] for key in KEPT_OF_ROWS if key in row} for name, row in document["methods"].items()}
    volumes = {kind: front["hypervolume"] for kind, front in document["fronts"].items()}
    kept = {key: document[key] for key in KEPT}
    return {"recipe": NAME, **kept, "methods": rows, "hypervolume": volumes, "environment": dict(machine)}


def markdown(found: Mapping[str, Any]) -> str:
    """The rows as a table, and what should be known."""
    platforms = [platform["name"] for platform in found["platforms"]]
    header = ["method", "accuracy (%)", "minus random search", *platforms, "hypervolume (%)", "pictures", "CPU s"]
    rows = [_row(found, name, platforms) for name in found["methods"]]
    budgets = "; ".join(
        f"{p['name']}: {', '.join(f'{kind} at most {limit:,}' for kind, limit in p['budgets'].items())}"
        for p in found["platforms"]
    )
    head = (
        f"{found['seeds']} whole searches per method in {found['space']}, judged on the {found['judged_on']} pictures; "
        f"means with 95 % intervals, differences paired by seed. {budgets}. CPU s: search + training of its answers."
    )
    notes = [f"- {note}" for note in found["notes"]]
    return "\n".join([head, "", table(header, rows), "", *notes]) + "\n"


def overview_rows(found: Mapping[str, Any], machine: str) -> list[list[str]]:
    """What stands in recipes/README.md: every method minus random search."""
    setting = f"5,000 pictures of CIFAR-10, {found['space']}, {machine}, {found['seeds']} seeds"
    command = f"`python recipes/{NAME}.py --seeds {found['seeds']} --out FOLDER --publish`"
    rows = []
    for name, row in found["methods"].items():
        against = row.get("difference_to_random")
        if name != "random" and against is not None:
            what = f"{name} minus random search at equal cost, by real training (points, 95 % interval)"
            rows.append([what, "-", _interval(against["mean"], against["ci95"], "+"), setting, command])
            setting, command = "same", ""
    return rows


def _row(found: Mapping[str, Any], name: str, platforms: Sequence[str]) -> list[str]:
    row = found["methods"][name]
    if row["not_applicable"]:
        return [name, f"not applicable: {row['not_applicable']}", *[""] * (len(platforms) + 4)]
    against, seconds = row["difference_to_random"], row["times"]
    volume = next(iter(found["hypervolume"].values()))[name]
    return [
        name,
        _interval(row["accuracy_mean"], row["accuracy_ci95"]),
        "" if name == "random" else _interval(against["mean"], against["ci95"], "+"),
        *(f"{row['platforms'][platform]['accuracy_mean']:.2f}" for platform in platforms),
        _interval(volume["mean"], volume["ci95"]),
        f"{_mean(row['search_cost_images']):,.0f}",
        f"{_mean(seconds['search_cpu_seconds']):.0f} + {_mean(seconds['training_cpu_seconds']):.0f}",
    ]


def _interval(mean: float, interval: Sequence[float] | None, sign: str = "") -> str:
    text = f"{mean:{sign}.2f}"
    return text if interval is None else f"{text} ({interval[0]:{sign}.2f} to {interval[1]:{sign}.2f})"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing of the comparison, and writes its figures."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="keeps the pictures and the searches")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--methods", nargs="*", default=list(ON_TRAINING))
    parser.add_argument("--publish", action="store_true", help="write the figures into recipes/results")
    given = parser.parse_args(arguments)
    try:
        pictures = given.out / "cifar10_16.npz"
        if not pictures.exists():
            given.out.mkdir(parents=True, exist_ok=True)
            words = ["cifar10", "--pictures-per-class", "500", "--image-size", "16", "--out", str(pictures)]
            if code := shared_pictures.main(words):
                return code
        job = load_job(JOB, [f"data.path={pictures.resolve()}"])
        folder = given.out / "comparison"
        document = compare_training(
            job, given.methods, given.seeds, folder=folder, processes=given.processes, progress=Progress(lines=True)
        )
        write_files(document, folder)
        found = figures_of(document, environment.describe(threads=job.threads, gpu=False))
        if given.publish:
            write_atomically(PUBLISHED / f"{NAME}.json", (to_json(found) + "\n").encode())
            write_atomically(PUBLISHED / f"{NAME}.md", markdown(found).encode())
        print(markdown(found))
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
