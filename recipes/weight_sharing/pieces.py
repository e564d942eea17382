"""What there is to do: networks trained alone, some of them again, and supernets in which all of them are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sartor.errors import RequestError
from weight_sharing.sizes import Size

ALONE, AGAIN = "alone", "again"


@dataclass(frozen=True)
class Piece:
    """Network ``number`` trained alone (``ALONE``, a second time ``AGAIN``), or the supernet of a seed by its name."""

    name: str
    number: int = 0

    @property
    def shared(self) -> bool:
        """Whether this is a supernet."""
        return self.name not in (ALONE, AGAIN)

    @property
    def file(self) -> str:
        """The name of the piece's files: ``alone-17``, ``again-3``, ``shared-sandwich-0``."""
        return f"shared-{self.name}-{self.number}" if self.shared else f"{self.name}-{self.number}"


def plan(size: Size, sharings: Sequence[str], seeds: Sequence[int], twice: int | None = None) -> tuple[Piece, ...]:
    """All pieces: networks alone, each second training after its first; then supernets, seed after seed.

    ``twice``: how many networks are trained alone a second time (default: as many as the size says).

    Raises:
        RequestError: no seed, or one below 0; more second trainings than networks.
    """
    if not seeds or min(seeds) < 0:
        raise RequestError(f"seeds {list(seeds)}: give at least one, and none below 0")
    twice = size.twice if twice is None else twice
    if not 0 <= twice <= size.networks:
        raise RequestError(f"--twice {twice}: of {size.networks} networks, 0 to {size.networks} can be trained again")
    alone = [
        Piece(name, number)
        for number in range(size.networks)
        for name in ((ALONE, AGAIN) if number < twice else (ALONE,))
    ]
    shared = [Piece(name, seed) for seed in dict.fromkeys(seeds) for name in dict.fromkeys(sharings)]
    return (*alone, *shared)
