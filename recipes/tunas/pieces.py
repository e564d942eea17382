"""What there is to do: searches, and networks trained alone, each a piece of work with a file of its own.

A search is one of the ``VARIANTS`` (sizes.py) from one seed; the whole search is repeated, never one answer trained
several times. Networks are trained at two lengths: ``short`` (the paper: 90 epochs, judged on validation pictures) and
``long`` (360 epochs, judged on test pictures).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sartor.errors import RequestError

Kind = Literal["search", "short", "long"]

RANDOM = "random"  # network number i of the random baseline
BEST_RANDOM = "best_random"  # the one that validation pictures prefer
MAIN = "tunas"  # the search as it should be


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


def needs(piece: Piece, plan: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces whose results a piece starts from: its search, or all random networks of the plan."""
    if piece.kind == "search" or piece.network == RANDOM:
        return ()
    if piece.network == BEST_RANDOM:
        return tuple(p for p in plan if p.kind == "short" and p.network == RANDOM)
    return (Piece("search", piece.network, piece.number),)


def comparison(seeds: Sequence[int], randoms: int, long: bool) -> list[Piece]:
    """The main experiment: searches, their answers trained alone, random networks trained the same way.

    In the order of their importance: a killed run leaves whole searches first. ``long`` adds the paper's second stage,
    the answers and the best random network trained for longer.

    Raises:
        RequestError: fewer than two seeds or random networks, of which there would be no spread.
    """
    if len(set(seeds)) < 2 or randoms < 2 or min(seeds) < 0:
        raise RequestError(
            f"seeds {list(seeds)} and {randoms} random networks: give at least two seeds, none below 0, and at least "
            "two networks; a difference between single networks says nothing about the search"
        )
    chosen = list(dict.fromkeys(seeds))
    pieces = [Piece("search", MAIN, seed) for seed in chosen]
    pieces += _mixed([Piece("short", MAIN, s) for s in chosen], [Piece("short", RANDOM, i) for i in range(randoms)])
    if long:
        pieces += [Piece("long", MAIN, seed) for seed in chosen] + [Piece("long", BEST_RANDOM)]
    return pieces


def ablations(variants: Iterable[str], seeds: Sequence[int]) -> list[Piece]:
    """Every variant of the search from every seed, and the short training of what it found; seed after seed.

    Raises:
        RequestError: no seed, or one below 0.
    """
    if not seeds or min(seeds) < 0:
        raise RequestError(f"seeds {list(seeds)}: give at least one, and none below 0")
    names = list(dict.fromkeys(variants))
    return [
        piece
        for seed in dict.fromkeys(seeds)
        for name in names
        for piece in (Piece("search", name, seed), Piece("short", name, seed))
    ]


def _mixed(few: Sequence[Piece], many: Sequence[Piece]) -> list[Piece]:
    """Both lists in one, the few as early as the many: nothing is learnt from one side alone."""
    return [p for pair in zip(few, many, strict=False) for p in pair] + list(many[len(few) :])
