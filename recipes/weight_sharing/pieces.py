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


def plan(size: Size, sharings: Sequence[str], seeds: Sequence[int]) -> tuple[Piece, ...]:
    """All pieces: networks alone, each second training after its first; then supernets, seed after seed.

    Raises:
        RequestError: no seed, or one below 0.
    """
    if not seeds or min(seeds) < 0:
        raise RequestError(f"seeds {list(seeds)}: give at least one, and none below 0")
    alone = [
        Piece(name, number)
        for number in range(size.networks)
        for name in ((ALONE, AGAIN) if number < size.twice else (ALONE,))
    ]
    shared = [Piece(name, seed) for seed in dict.fromkeys(seeds) for name in dict.fromkeys(sharings)]
    return (*alone, *shared)
