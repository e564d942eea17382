"""What there is to do for Tables 2 and 3, and what needs what.

Much is shared. The search of OWS does not depend on the weights: one per seed. AOWS samples platforms by weight: one
search per (row, seed). Slim-U and OWS-U are one network per seed, weighted once for every row. In row U sampling by
weight is uniform sampling, so that -U and -W are the same network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sartor.errors import RequestError
from sartor.platforms import TARGET_WIDTHS, WEIGHTINGS

ROWS = tuple(WEIGHTINGS)
System = Literal["Slim", "OWS", "AOWS"]
SYSTEMS: tuple[System, ...] = ("Slim", "OWS", "AOWS")
COLUMNS = tuple(f"{system}-{sampling}" for system in SYSTEMS for sampling in "UW")
UNIFORM = "U"  # the row whose weights sample the middle platforms uniformly
PLATFORMS = tuple(f"p{i}" for i in range(1, len(TARGET_WIDTHS) + 1))  # #1 to #7 of Table 1


@dataclass(frozen=True)
class Piece:
    """One search, one retraining of a slimmable network, or one network trained alone.

    ``search_row`` are the weights by which an AOWS search draws platforms; ``sampling`` the weights by which a
    retraining draws middle platforms; ``platform`` the one of a network trained alone.
    """

    kind: Literal["search", "train", "alone"]
    system: System
    seed: int
    search_row: str | None = None
    sampling: str | None = None
    platform: str | None = None

    @property
    def name(self) -> str:
        """Names the piece's files: ``search-aows-RS``, ``train-ows-U``, ``alone-slim-p3``, without the seed."""
        parts = (self.kind, self.system.lower(), self.search_row, self.sampling, self.platform)
        return "-".join(part for part in parts if part is not None)

    @property
    def file(self) -> str:
        """The name with the seed."""
        return f"{self.name}-seed{self.seed}"

    @property
    def needs(self) -> tuple[Piece, ...]:
        """The pieces whose results this one starts from: the search that found its widths."""
        if self.kind == "search" or self.system == "Slim":
            return ()
        return (Piece("search", self.system, self.seed, self.search_row),)


def retraining(row: str, column: str, seed: int) -> Piece:
    """The slimmable network behind a cell of Table 2."""
    system = SYSTEMS[COLUMNS.index(column) // 2]
    sampling = row if column.endswith("W") else UNIFORM
    search_row = row if system == "AOWS" else None
    return Piece("train", system, seed, search_row, sampling)


def standalone(system: System, seed: int) -> tuple[Piece, ...]:
    """The seven networks behind a column of Table 3 (Slim: the original configurations)."""
    return tuple(Piece("alone", system, seed, platform=platform) for platform in PLATFORMS)


def plan(rows: Sequence[str], seeds: Sequence[int], table3_seeds: Sequence[int] = ()) -> list[Piece]:
    """All pieces, each once, in the order of their importance: seed after seed, searches first, Table 3 last.

    Raises:
        RequestError: an unknown row, or no row or seed at all.
    """
    unknown = [row for row in rows if row not in ROWS]
    if unknown or not rows or not seeds or min([*seeds, *table3_seeds]) < 0:
        raise RequestError(
            f"rows {list(rows)}, seeds {list(seeds)} and {list(table3_seeds)}: give at least one row of "
            f"{list(ROWS)} and one seed, and none below 0"
        )
    found: dict[Piece, None] = {}
    for seed in dict.fromkeys([*seeds, *table3_seeds]):
        if seed in seeds:
            cells = [retraining(row, column, seed) for column in COLUMNS for row in rows]
            found.update(dict.fromkeys(_with_needs(cells)))
        if seed in table3_seeds:
            alone = [*standalone("Slim", seed), *standalone("OWS", seed)]
            found.update(dict.fromkeys(_with_needs(alone)))
    return list(found)


def _with_needs(pieces: Iterable[Piece]) -> list[Piece]:
    """What the pieces need, then the pieces."""
    listed = list(pieces)
    return [*(need for piece in listed for need in piece.needs), *listed]
