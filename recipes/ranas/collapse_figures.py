"""From searches between skips and convolutions to figures: the skips of the normal cells, and what these are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pictures import curves, write_picture
from ranas.figures import done, search_table, searched, time_table, times
from ranas.pieces import Piece
from ranas.work import Job
from searches import text
from searches.compare import difference, summary
from searches.text import interval, shown, spread, table

PLAIN = "plain"


def collect(job: Job, plan: Sequence[Piece]) -> dict[str, Any]:
    """All figures of a results folder; what is not done yet is left out."""
    kept = 2 * job.size.space["nodes"]
    groups = {name: _group(job, plan, name) for name in job.study.searches}
    accuracies = {name: group["accuracies"] for name, group in groups.items()}
    return {
        "recipe": "ranas_collapse",
        **job.to_json(),
        "kept_edges": kept,
        "searches": {name: searched(done(job, plan, "search", name)) for name in job.study.searches},
        "groups": groups,
        "against_plain": {
            name: difference(list(values.values()), list(accuracies[PLAIN].values()))
            for name, values in accuracies.items()
            if name != PLAIN
        },
        "times": times(job, plan),
    }


def _group(job: Job, plan: Sequence[Piece], name: str) -> dict[str, Any]:
    found, trained = done(job, plan, "search", name), done(job, plan, "train", name)
    accuracies = {str(n): _accuracy(c) for n, c in trained.items()}
    return {
        "skips": {str(n): skips_of(c["choice"]["architecture"]) for n, c in found.items()},
        "reduction_skips": {str(n): skips_of(c["choice"]["architecture"], "reduction_") for n, c in found.items()},
        "accuracies": accuracies,
        "accuracy": summary(list(accuracies.values())),
    }


def skips_of(architecture: Mapping[str, str], cell: str = "normal_") -> int:
    """Edges of a cell that are skips."""
    return sum(value == "skip_connect" for name, value in architecture.items() if name.startswith(cell))


def _accuracy(content: Mapping[str, Any]) -> float:
    """Test accuracy of the last exit."""
    row = content["exits"][-1] if "exits" in content else content
    return float(row["test_accuracy"])


# ---------------------------------------------------------------------- Markdown


def document(found: Mapping[str, Any]) -> str:
    """Everything, section by section."""
    size, kept = found["size"], found["kept_edges"]
    head = (
        f"Size `{size['name']}`: pictures of {size['image_size']} pixels; a normal cell keeps {kept} edges. Accuracies "
        "are those of the trained cells' last exit on the test pictures, in percent."
    )
    sections = {
        "Skips": _skips(found),
        "The searches": search_table(found["searches"]),
        "Time per piece (s)": time_table(found["times"]),
    }
    return text.document(head, sections)


def _skips(found: Mapping[str, Any]) -> str:
    header = [
        "search",
        "skips of the normal cell",
        "of the reduction cell",
        "skip weight, last",
        "accuracy",
        "minus plain",
    ]
    lines = []
    for name, group in found["groups"].items():
        shares = [s["curves"]["skip_share"][-1] for s in found["searches"][name].values()]
        gap = found["against_plain"].get(name)
        lines.append(
            [
                name,
                _listed(group["skips"]),
                _listed(group["reduction_skips"]),
                ", ".join(shown(share) for share in shares) or "-",
                spread(group["accuracy"]),
                "-" if gap is None else interval(gap),
            ]
        )
    return f"One figure per seed.\n\n{table(header, lines)}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(map(str, counts.values())) or "-"


def draw(found: Mapping[str, Any], folder: Path, prefix: str) -> None:
    """The weight of skips on the edges of the normal cell over every search."""
    values = [
        {"progress": (i + 1) / len(shares), "share": share, "search": name, "seed": f"{name} {seed}"}
        for name, group in found["searches"].items()
        for seed, s in group.items()
        for shares in [s["curves"]["skip_share"]]
        for i, share in enumerate(shares)
    ]
    if values:
        axes = ("progress", "Share of the search"), ("share", "Mean weight of skips in the normal cell")
        picture = curves(values, *axes, "search", list(found["searches"]), title="Skips against separable convolutions")
        picture["encoding"]["detail"] = {"field": "seed"}
        write_picture(picture, folder / f"{prefix}skips.png")
