"""What there is to do: searches, and networks trained alone, each a piece of work with a file of its own.

A search is one variant from one seed; the whole search is repeated, never one answer trained several times. Networks
are trained at two lengths: ``short`` and ``long`` (TuNAS: 90 epochs, judged on validation pictures, and 360 epochs,
judged on test pictures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sartor.errors import RequestError

Kind = Literal["search", "short", "long"]

RANDOM = "random"  # network number i of the random baseline
BEST_RANDOM = "best_random"  # the one that validation pictures prefer


@dataclass(frozen=True)
class Piece:
    """One search, or one training of one network.

    ``network`` names a variant of the search, a random network (``RANDOM``) or the best of them (``BEST_RANDOM``);
    ``number`` is the seed of the search, or which random network.
    """

    kind: Kind
    network: str
    number: int = 0

    @property
    def file(self) -> str:
        """The name of the piece's files: ``search-tunas-0``, ``short-random-17``, ``long-best_random-0``."""
        return f"{self.kind}-{self.network}-{self.number}"


def comparison(main: str, seeds: Sequence[int], randoms: int, long: bool) -> list[Piece]:
    """The main experiment: searches, their answers trained alone, random networks trained the same way.

    In the order of their importance: a killed run leaves whole searches first. ``long`` adds the second stage, the
    answers and the best random network trained for longer. Without random networks there is nothing to compare, and
    one search is enough.

    Raises:
        RequestError: fewer than two seeds or random networks, of which there would be no spread.
    """
    least = 2 if randoms else 1
    if len(set(seeds)) < least or randoms < 0 or randoms == 1 or min(seeds) < 0:
        raise RequestError(
            f"seeds {list(seeds)} and {randoms} random networks: give at least two seeds, none below 0, and at least "
            "two networks; a difference between single networks says nothing about the search"
        )
    chosen = list(dict.fromkeys(seeds))
    pieces = [Piece("search", main, seed) for seed in chosen]
    pieces += _mixed([Piece("short", main, s) for s in chosen], [Piece("short", RANDOM, i) for i in range(randoms)])
    if long:
        best = [Piece("long", BEST_RANDOM)] if randoms else []
        pieces += [Piece("long", main, seed) for seed in chosen] + best
    return pieces


def _mixed(few: Sequence[Piece], many: Sequence[Piece]) -> list[Piece]:
    """Both lists in one, the few as early as the many: nothing is learnt from one side alone."""
    shared = min(len(few), len(many))
    pairs = [p for pair in zip(few, many, strict=False) for p in pair]
    return [*pairs, *few[shared:], *many[shared:]]
