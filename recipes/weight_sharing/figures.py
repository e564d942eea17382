"""From accuracies to figures: correlations of every supernet, their ceiling, and what MACs alone would tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pictures import write_picture
from sartor.compare.correlation import (
    correlation_draws,
    noise_ceiling,
    partial_spearman,
    percentile_interval,
    rank_correlation,
    scatter_chart,
    spearman,
)
from sartor.report import theme
from sartor.seeds import numpy_generator
from searches import text
from searches.compare import summary
from searches.text import shown, spread, table
from searches.worklist import read_piece
from weight_sharing.pieces import AGAIN, ALONE, Piece
from weight_sharing.sizes import SHARINGS, UNIFORM
from weight_sharing.work import Job

Found = dict[str, Any]
KINDS = ("spearman", "kendall")
COSTS = ("macs", "params")
_DRAWS = 1_000


def collect(job: Job, plan: Sequence[Piece]) -> Found:
    """All figures of a results folder; what is not done yet is left out."""
    alone = {n: c for n, c in _done(job, plan, ALONE).items() if c["test_accuracy"] is not None}
    again = {n: c["test_accuracy"] for n, c in _done(job, plan, AGAIN).items() if n in alone}
    numbers = sorted(alone)
    accuracies = [alone[n]["test_accuracy"] for n in numbers]
    shared = {name: _done(job, plan, name) for name in SHARINGS}
    enough = len(numbers) > 1
    return {
        "recipe": "weight_sharing",
        **job.to_json(),
        "networks": [
            {
                "number": n,
                **{key: alone[n][key] for key in ("architecture", *COSTS, "test_accuracy")},
                "again": again.get(n),
                "shared": {name: {str(s): c["accuracies"][n] for s, c in f.items()} for name, f in shared.items()},
            }
            for n in numbers
        ],
        "alone": summary(accuracies),
        "ceiling": _ceiling(alone, again) if enough and len(again) > 1 else None,
        "sharings": {name: _sharing(f, alone, numbers) for name, f in shared.items() if f and enough},
        "costs": {
            cost: rank_correlation([alone[n][cost] for n in numbers], accuracies, _generator()).to_dict()
            for cost in COSTS
            if enough
        },
        "against_uniform": _against_uniform(shared, numbers, accuracies) if enough else {},
        "times": _times(job, plan),
    }


def _done(job: Job, plan: Sequence[Piece], name: str) -> dict[int, Found]:
    pieces = {p.number: read_piece(job.results, p) for p in plan if p.name == name}
    return {number: content for number, content in pieces.items() if content is not None}


def _generator() -> np.random.Generator:
    """The same for every correlation, so that all draw the same architectures and can be subtracted."""
    return numpy_generator(0, "bootstrap")


def _ceiling(alone: Mapping[int, Found], again: Mapping[int, float]) -> Found:
    pairs = [(alone[n]["test_accuracy"], accuracy) for n, accuracy in again.items()]
    return noise_ceiling([c["test_accuracy"] for c in alone.values()], pairs, _generator()).to_dict()


def _sharing(found: Mapping[int, Found], alone: Mapping[int, Found], numbers: Sequence[int]) -> Found:
    """Every supernet of one kind, their mean with an interval over architectures, and how well two of them agree."""
    accuracies, macs = ([alone[n][key] for n in numbers] for key in ("test_accuracy", "macs"))
    columns = {seed: [content["accuracies"][n] for n in numbers] for seed, content in found.items()}
    draws = _mean_draws(columns.values(), accuracies)
    single = {seed: rank_correlation(column, accuracies, _generator()) for seed, column in columns.items()}
    first, *others = columns.values()
    return {
        "seeds": {str(seed): correlation.to_dict() for seed, correlation in single.items()},
        **{kind: float(np.mean([getattr(c, kind) for c in single.values()])) for kind in KINDS},
        **{f"{kind}_interval": list(percentile_interval(draws[:, i])) for i, kind in enumerate(KINDS)},
        **_given_macs(list(columns.values()), accuracies, macs),
        "between_seeds": spearman(first, others[0]) if others else None,
        "accuracy": summary([float(np.mean(column)) for column in columns.values()]),
        **{key: summary([c[key] for c in found.values()]) for key in ("images", "steps", "cpu_seconds")},
    }


def _given_macs(columns: Sequence[Sequence[float]], accuracies: Sequence[float], macs: Sequence[int]) -> Found:
    """What supernets say beyond the MACs: mean partial correlation, with an interval over architectures."""
    data = np.array([accuracies, macs, *columns], dtype=np.float64)  # [2 + supernets, networks]

    def mean(values: NDArray[np.float64]) -> float:
        return float(np.mean([partial_spearman(column, values[0], values[1]) for column in values[2:]]))

    drawn = [mean(data[:, rows]) for rows in _generator().integers(data.shape[1], size=(_DRAWS, data.shape[1]))]
    return {"given_macs": _number(mean(data)), "given_macs_interval": [_number(v) for v in percentile_interval(drawn)]}


def _number(value: float) -> float | None:
    """For JSON, which has no NaN."""
    return None if np.isnan(value) else value


def _mean_draws(columns: Any, accuracies: Sequence[float]) -> NDArray[np.float64]:
    """Bootstrap draws of architectures, ``[draws, 2]``: the mean correlation of some supernets."""
    return np.asarray(np.mean([correlation_draws(column, accuracies, _generator()) for column in columns], axis=0))


def _against_uniform(
    shared: Mapping[str, Mapping[int, Found]], numbers: Sequence[int], accuracies: Sequence[float]
) -> Found:
    """Mean correlations less those of uniform single paths, over the same draws of architectures."""
    draws, means = {}, {}
    for name, found in shared.items():
        if found:
            columns = [[content["accuracies"][n] for n in numbers] for content in found.values()]
            draws[name] = _mean_draws(columns, accuracies)
            both = [rank_correlation(column, accuracies, _generator(), draws=1) for column in columns]
            means[name] = [float(np.mean([getattr(c, kind) for c in both])) for kind in KINDS]
    if UNIFORM not in draws:
        return {}
    return {
        name: {
            kind: {
                "difference": means[name][i] - means[UNIFORM][i],
                "interval": list(percentile_interval(draws[name][:, i] - draws[UNIFORM][:, i])),
            }
            for i, kind in enumerate(KINDS)
        }
        for name in draws
        if name != UNIFORM
    }


def _times(job: Job, plan: Sequence[Piece]) -> Found:
    """Seconds per piece, of the wall clock and of the process; of supernets without judging."""
    found = {}
    for kind, shared in (("alone", False), ("supernet", True)):
        contents = [c for p in plan if p.shared == shared and (c := read_piece(job.results, p)) is not None]
        found[kind] = {key: summary([c[key] for c in contents]) for key in ("seconds", "cpu_seconds")}
    return found


# ---------------------------------------------------------------------- Markdown


def document(found: Found) -> str:
    """Everything, section by section."""
    size = found["size"]
    head = (
        f"Size `{size['name']}`: {len(found['networks'])} networks drawn uniformly from those of at most "
        f"{size['platform_macs'] / 1e6:g} M MACs, {size['test']:,} test pictures; each supernet costs "
        f"{size['passes']:,} pictures that teach. "
        "Intervals are 95 % bootstrap percentiles over the networks."
    )
    sections = {
        "Accuracy in the supernet against accuracy alone": _correlations(found),
        "The ceiling": _ceiling_text(found),
        "Less uniform single paths": _differences(found),
        "Supernets": _supernets(found),
        "Networks": _networks(found),
        "Time per piece (s)": _time_table(found),
    }
    return text.document(head, {title: body for title, body in sections.items() if body})


def with_interval(group: Mapping[str, Any], kind: str) -> str:
    """``0.71 (0.52 to 0.84)``."""
    low, high = group[f"{kind}_interval"]
    return f"{shown(group[kind])} ({shown(low)} to {shown(high)})"


def _correlations(found: Found) -> str:
    rows = [
        [
            SHARINGS[name].title,
            with_interval(group, "spearman"),
            with_interval(group, "kendall"),
            with_interval(group, "given_macs"),
            ", ".join(shown(s["spearman"]) for s in group["seeds"].values()),
            shown(group["between_seeds"]),
        ]
        for name, group in found["sharings"].items()
    ]
    rows += [
        [f"no supernet: {cost} alone", *(with_interval(group, kind) for kind in KINDS), "-", "-", "-"]
        for cost, group in found["costs"].items()
    ]
    if found["ceiling"] is not None:
        rows.append(["ceiling", *(with_interval(found["ceiling"], kind) for kind in KINDS), "-", "-", "-"])
    header = [
        "ranked by",
        "Spearman",
        "Kendall (tau-b)",
        "Spearman, MACs held fixed",
        "Spearman by seed",
        "Spearman between two seeds",
    ]
    return table(header, rows)


def _ceiling_text(found: Found) -> str:
    ceiling, alone = found["ceiling"], found["alone"]
    if ceiling is None:
        return ""
    repeats = ceiling["repeats"]
    return (
        f"Alone, networks reach {spread(alone)} % ({shown(alone['lowest'])} to {shown(alone['highest'])}). "
        f"{repeats['count']} of them trained twice: one training scatters by {ceiling['noise_points']:.2f} points "
        f"around its network's mean, so that {ceiling['reliability']:.0%} of the variance belongs to the networks. "
        f"First and second trainings correlate by {with_interval(repeats, 'spearman')} (Spearman) and "
        f"{with_interval(repeats, 'kendall')} (Kendall). Somebody who knew every network's mean would reach "
        f"{with_interval(ceiling, 'spearman')} and {with_interval(ceiling, 'kendall')}."
    )


def _differences(found: Found) -> str:
    rows = []
    for name, group in found["against_uniform"].items():
        cells = [f"{g['difference']:+.2f} ({g['interval'][0]:+.2f} to {g['interval'][1]:+.2f})" for g in group.values()]
        rows.append([SHARINGS[name].title, *cells])
    return table(["supernet", "Spearman", "Kendall"], rows) if rows else ""


def _supernets(found: Found) -> str:
    rows = [
        [
            SHARINGS[name].title,
            str(group["accuracy"]["count"]),
            spread(group["accuracy"]),
            f"{group['steps']['mean']:,.0f}",
            f"{group['images']['mean']:,.0f}",
            spread(group["cpu_seconds"], 0),
        ]
        for name, group in found["sharings"].items()
    ]
    header = ["supernet", "seeds", "mean accuracy of the networks (%)", "steps", "pictures seen", "processor (s)"]
    return table(header, rows)


def _networks(found: Found) -> str:
    names = list(found["sharings"])
    rows = []
    for network in sorted(found["networks"], key=lambda n: -n["test_accuracy"]):
        shared = [network["shared"][name] for name in names]
        rows.append(
            [
                "-".join(map(str, network["architecture"].values())),
                f"{network['macs'] / 1e6:.2f}",
                shown(network["test_accuracy"]),
                shown(network["again"]),
                *(shown(float(np.mean(list(values.values())))) for values in shared),
            ]
        )
    return table(["network", "M MACs", "alone", "again", *(SHARINGS[name].title for name in names)], rows)


def _time_table(found: Found) -> str:
    lines = [
        [kind, *(f"{spread(t[key], 0)}, at most {shown(t[key]['highest'], 0)}" for key in ("seconds", "cpu_seconds"))]
        for kind, t in found["times"].items()
    ]
    return table(["", "wall clock", "processor"], lines)


# ---------------------------------------------------------------------- picture


def draw(found: Found, folder: Path, prefix: str) -> None:
    """Every network in the first supernet of each kind against itself alone."""
    series = {}
    for name, group in found["sharings"].items():
        seed = next(iter(group["seeds"]))
        title = f"{SHARINGS[name].title}: Spearman {shown(group['seeds'][seed]['spearman'])}"
        series[title] = [(n["test_accuracy"], n["shared"][name][seed]) for n in found["networks"]]
    if series:
        ceiling = found["ceiling"]
        subtitle = "one supernet each" + (f"; ceiling {shown(ceiling['spearman'])}" if ceiling else "")
        chart = scatter_chart(series, "Accuracy in the supernet against accuracy alone", subtitle)
        write_picture(theme.resolve(chart, theme.LIGHT), folder / f"{prefix}scatter.png")
