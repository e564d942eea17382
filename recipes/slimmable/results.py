"""From the pieces that are done to the figures of the paper, as plain data."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.platforms import TARGET_WIDTHS, WEIGHTINGS, weighted_accuracy
from searches.worklist import read_piece
from slimmable import paper
from slimmable.pieces import COLUMNS, PLATFORMS, Piece, System, retraining, standalone
from slimmable.sizes import SIZES, original_blueprints

Values = dict[int, float]  # by seed
ALONE: tuple[System, ...] = ("Slim", "OWS")  # the columns of Table 3


@dataclass(frozen=True)
class Done:
    """The pieces of a results folder that are done."""

    folder: Path
    size: str
    rows: Sequence[str]
    seeds: Sequence[int]

    def accuracies(self, pieces: Iterable[Piece]) -> dict[str, float] | None:
        """Accuracy by platform over some pieces; None unless all seven platforms are there."""
        found: dict[str, float] = {}
        for piece in pieces:
            found |= (read_piece(self.folder, piece) or {}).get("accuracies", {})
        return found if len(found) == len(PLATFORMS) else None


def collect(folder: Path, size: str, rows: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """All figures of a results folder; what is not done yet is left out."""
    done = Done(folder, size, rows, seeds)
    cells = {row: {column: _cell(done, row, column) for column in COLUMNS} for row in rows}
    alone = {s: _weighted(done, {seed: standalone(s, seed) for seed in seeds}, "U") for s in ALONE}
    return {
        "recipe": "table2",
        "size": size,
        "setting": SIZES[size].to_json(),
        "rows": list(rows),
        "seeds": list(seeds),
        "platforms": _platforms(size),
        "table2": {r: {c: summary(v, paper.TABLE2[r][c]) for c, v in cells[r].items()} for r in rows},
        "gains": {r: {c: _gain(r, c, v, cells[r]["Slim-U"]) for c, v in cells[r].items()} for r in rows},
        "table3": {s: summary(values, paper.TABLE3[s]) for s, values in alone.items()},
        "table3_gain": _table3_gain(alone),
        "accuracies": _all_accuracies(done),
        "searches": _searches(done),
        "costs": _costs(done),
    }


def summary(values: Mapping[int, float], published: float | None = None) -> dict[str, Any]:
    """Mean and spread over seeds (standard deviation of a sample; None for a single one)."""
    known = list(values.values())
    return {
        "values": {str(seed): value for seed, value in values.items()},
        "mean": statistics.fmean(known) if known else None,
        "spread": statistics.stdev(known) if len(known) > 1 else None,
        "paper": published,
    }


def _cell(done: Done, row: str, column: str) -> Values:
    return _weighted(done, {seed: (retraining(row, column, seed),) for seed in done.seeds}, row)


def _weighted(done: Done, pieces: Mapping[int, Sequence[Piece]], row: str) -> Values:
    """Accuracy weighted by the importance of the platforms, by seed."""
    found: Values = {}
    for seed, group in pieces.items():
        accuracies = done.accuracies(group)
        if accuracies is not None:
            found[seed] = weighted_accuracy([accuracies[p] for p in PLATFORMS], WEIGHTINGS[row])
    return found


def _gain(row: str, column: str, values: Values, base: Values) -> dict[str, Any]:
    """The difference to Slim-U, seed by seed: networks of one seed saw the same batches."""
    published = paper.TABLE2[row][column] - paper.TABLE2[row]["Slim-U"]
    return summary({seed: values[seed] - base[seed] for seed in values if seed in base}, published)


def _table3_gain(alone: Mapping[System, Values]) -> dict[str, Any]:
    both = {seed: alone["OWS"][seed] - alone["Slim"][seed] for seed in alone["OWS"] if seed in alone["Slim"]}
    return summary(both, paper.TABLE3["OWS"] - paper.TABLE3["Slim"])


def _platforms(size: str) -> list[dict[str, Any]]:
    networks = original_blueprints(SIZES[size].make_space())
    return [
        {"name": name, "width": width, "macs": networks[name].macs, "params": networks[name].params}
        for name, width in zip(PLATFORMS, TARGET_WIDTHS, strict=True)
    ]


def _all_accuracies(done: Done) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy by platform, seed and network."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for seed in done.seeds:
        groups: dict[str, tuple[Piece, ...]] = {
            p.name: (p,) for p in (retraining(r, c, seed) for r in done.rows for c in COLUMNS)
        }
        groups |= {"alone-slim": standalone("Slim", seed), "alone-ows": standalone("OWS", seed)}
        for name, pieces in groups.items():
            accuracies = done.accuracies(pieces)
            if accuracies is not None:
                found.setdefault(name, {})[str(seed)] = accuracies
    return found


# ---------------------------------------------------------------------- widths


def _searches(done: Done) -> dict[str, dict[str, Any]]:
    """By search and seed: widths and MACs of every platform, widths shared by neighbours, what was sampled."""
    space = SIZES[done.size].make_space()
    names = [decision.name for decision in space.decisions]
    assert space.uniform is not None
    original = [[space.uniform(width)[n] for n in names] for width in TARGET_WIDTHS]
    uniform = {"widths": dict(zip(PLATFORMS, original, strict=True)), "shared": shared_widths(original)}
    found: dict[str, dict[str, Any]] = {"original": {"": uniform}}
    for piece in _search_pieces(done):
        content = read_piece(done.folder, piece)
        if content is not None:
            choices = content["choices"]
            widths = [[choices[p]["architecture"][n] for n in names] for p in PLATFORMS]
            found.setdefault(piece.name, {})[str(piece.seed)] = {
                "widths": dict(zip(PLATFORMS, widths, strict=True)),
                "macs": {p: choices[p]["costs"]["macs"] for p in PLATFORMS},
                "shared": shared_widths(widths),
                "sampled_macs": content["sampled_macs"],
            }
    return found


def shared_widths(widths: Sequence[Sequence[int]]) -> list[int]:
    """In how many layers each platform and the next one have the same width."""
    return [sum(a == b for a, b in zip(one, other, strict=True)) for one, other in itertools.pairwise(widths)]


def _search_pieces(done: Done) -> list[Piece]:
    needs = (retraining(r, c, seed).needs for seed in done.seeds for c in COLUMNS for r in done.rows)
    return list(dict.fromkeys(itertools.chain.from_iterable(needs)))


# ---------------------------------------------------------------------- costs


def _costs(done: Done) -> dict[str, dict[str, float | None]]:
    """Mean pictures and seconds: a search, one shared network, and the seven networks trained alone."""
    searches = _search_pieces(done)
    shared = [retraining("U", column, seed) for seed in done.seeds for column in ("Slim-U", "OWS-U")]
    groups: dict[str, list[tuple[Piece, ...]]] = {
        "search with OWS": [(p,) for p in searches if p.system == "OWS"],
        "search with AOWS": [(p,) for p in searches if p.system == "AOWS"],
        "one shared network": [(p,) for p in shared],
        "seven networks alone": [standalone(s, seed) for seed in done.seeds for s in ALONE],
    }
    return {name: _mean_cost(done, pieces) for name, pieces in groups.items()}


def _mean_cost(done: Done, groups: Sequence[Sequence[Piece]]) -> dict[str, float | None]:
    contents = [[read_piece(done.folder, piece) for piece in group] for group in groups]
    whole = [[c for c in group if c is not None] for group in contents if all(c is not None for c in group)]
    keys = ("images", "seconds", "cpu_seconds")
    return {k: statistics.fmean([sum(c[k] for c in group) for group in whole]) if whole else None for k in keys}
