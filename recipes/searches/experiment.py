"""What a method's experiment is made of: its sizes, the searches that are compared, and the questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from searches.pieces import BEST_RANDOM, RANDOM, Piece
from searches.sizes import Size
from searches.variants import Question, Variant

_MAIN = Variant(share=1.0)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One method's searches. ``name``: of its results and of its search as it should be; ``title``: for people."""

    name: str
    title: str
    sizes: Mapping[str, Size]
    variants: Mapping[str, Variant]
    questions: tuple[Question, ...]

    @property
    def main(self) -> str:
        """The name of the search as it should be."""
        return self.name

    @property
    def ablations(self) -> tuple[str, ...]:
        """The searches that are compared with each other."""
        return tuple(name for name in self.variants if name != self.main)

    @property
    def with_main(self) -> bool:
        """Whether the search as it should be is one of those that are compared."""
        return self.main in self.variants

    def variant(self, network: str) -> Variant:
        """How a search differs; the main one, of whose space random networks are, need not be listed."""
        return self.variants.get(network, _MAIN)

    def needs(self, piece: Piece, plan: Sequence[Piece]) -> tuple[Piece, ...]:
        """The pieces whose results a piece starts from: its search, or all random networks of the plan."""
        if piece.kind == "search" or piece.network == RANDOM:
            return ()
        if piece.network == BEST_RANDOM:
            return tuple(p for p in plan if p.kind == "short" and p.network == RANDOM)
        return (Piece("search", self.variant(piece.network).derived or piece.network, piece.number),)

    def compared(self, variants: Sequence[str], seeds: Sequence[int]) -> list[Piece]:
        """Every variant from every seed: its search, and the short training of what it found; seed after seed."""
        found: dict[Piece, None] = {}
        for seed in dict.fromkeys(seeds):
            for name in variants:
                short = Piece("short", name, seed)
                found.update(dict.fromkeys([*self.needs(short, ()), short]))
        return list(found)
