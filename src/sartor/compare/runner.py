"""All searches of a comparison: one per method and seed, each done once, kept in a folder where one is given."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sartor.compare.store import Store
from sartor.compare.workers import NOT_APPLICABLE, Plain, Question, Workers
from sartor.progress import Progress

HERE = Workers()


@dataclass(frozen=True)
class Found:
    """Method -> its searches by seed; method -> why it has none."""

    searches: dict[str, list[Plain]]
    reasons: dict[str, str]


def run(
    question: Question,
    names: Sequence[str],
    seeds: int,
    workers: Workers = HERE,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Found:
    """Every search of ``names``. What ``folder`` holds of the same question is not done again.

    Raises:
        RequestError: the folder holds another comparison.
    """
    store = Store(folder, question)
    pieces = [(name, seed) for seed in range(seeds) for name in names]
    found = {piece: kept for piece in pieces if (kept := store.read(piece)) is not None}
    missing = [piece for piece in pieces if piece not in found]
    reasons: dict[str, str] = {}
    shown = progress or Progress()
    with (
        shown.task("compare", len(pieces), len(found)) as advance,
        closing(workers.search(question, missing, shown)) as searches,
    ):
        for piece, searched in searches:
            if NOT_APPLICABLE in searched:
                reasons.setdefault(piece[0], searched[NOT_APPLICABLE])
            else:
                found[piece] = searched
                store.write(piece, searched)
            advance(1)
    able = [name for name in names if name not in reasons]
    return Found({name: [found[name, seed] for seed in range(seeds)] for name in able}, reasons)
