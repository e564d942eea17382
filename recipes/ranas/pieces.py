"""What there is to do: searches for cells and trainings of networks, each a piece of work with a file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sartor.errors import RequestError

Kind = Literal["search", "train"]

RANDOM = "random"  # cells of random network number i
MSDNET = "msdnet"


@dataclass(frozen=True)
class Piece:
    """One search or one training.

    ``name`` is that of the search or training in its study; ``number`` the seed, and which random network.
    """

    kind: Kind
    name: str
    number: int = 0

    @property
    def file(self) -> str:
        """The name of the piece's files: ``search-cifar10-0``, ``train-cifar10_random-2``."""
        return f"{self.kind}-{self.name}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Search:
    """How one search differs from that of the size.

    ``cutout``: whether its pictures are cut out; ``space`` are further options of the network that is searched,
    ``settings`` of the method replace those of the size.
    """

    data: str = "cifar10"
    cutout: bool = False
    space: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Training:
    """A network that is trained: with the cells of the search of that name, random ones, or an MSDNet.

    ``cutout`` and ``space`` as in :class:`Search`, of the network that is trained.
    """

    cells: str
    data: str = "cifar10"
    cutout: bool = False
    space: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Searches and trainings by name; the earlier a training, the more it matters."""

    searches: Mapping[str, Search]
    trainings: Mapping[str, Training]

    def needs(self, piece: Piece) -> tuple[Piece, ...]:
        """The search whose cells a training has, from the same seed."""
        if piece.kind == "search":
            return ()
        cells = self.trainings[piece.name].cells
        return (Piece("search", cells, piece.number),) if cells in self.searches else ()

    def plan(self, names: Iterable[str], seeds: Sequence[int], randoms: int) -> tuple[Piece, ...]:
        """All pieces of the trainings of these names, in their order.

        Raises:
            RequestError: no seed, or one below 0; fewer than no random networks.
        """
        if not seeds or min(seeds) < 0 or randoms < 0:
            raise RequestError(f"seeds {list(seeds)}, {randoms} random networks: give seeds from 0 on, and 0 or more")
        found: dict[Piece, None] = {}
        for name in names:
            random = self.trainings[name].cells == RANDOM
            pieces = [Piece("train", name, n) for n in (range(randoms) if random else dict.fromkeys(seeds))]
            found |= dict.fromkeys([*(need for piece in pieces for need in self.needs(piece)), *pieces])
        return tuple(found)
