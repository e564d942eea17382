"""A runtime, a timer and a clock whose answers follow from the blocks, so that profiles are exact and quick."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from sartor.blueprint import Blueprint
from sartor.costs.keys import Piece, network_pieces
from sartor.profiling.runtimes import Runtime

CALL_NS = 4_000


def block_ns(piece: Piece) -> int:
    """What a block takes here."""
    return 1_000 + sum(layer.macs for layer in piece.layers) // 4 + 3 * piece.params


class FakeRuntime(Runtime):
    """Calls are the nanoseconds they would take."""

    name = "fake"

    def __init__(self, threads: int = 1, batch: int = 1, factor: float = 1.0) -> None:
        super().__init__(threads, batch)
        self.factor = factor
        self.opened: list[Any] = []

    @property
    def version(self) -> str:
        return "1.0"

    def open_empty(self) -> Any:
        return CALL_NS

    def open_piece(self, piece: Piece) -> Any:
        self.opened.append(piece.key)
        return CALL_NS + block_ns(piece)

    def open_network(self, blueprint: Blueprint) -> Any:
        return CALL_NS + round(self.factor * sum(map(block_ns, network_pieces(blueprint))))

    def open_shipped(self, network: Any) -> Any:
        return self.open_network(network.blueprint)


class FakeClock:
    """Seconds that pass with every look at them."""

    def __init__(self, step: float = 0.1) -> None:
        self.seconds, self.step = 0.0, step

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


class FakeTimer:
    """Samples of a call with some noise upwards; which, depends on the call and on how often it was asked."""

    def __init__(self, noise: float = 0.0, stop_after: int | None = None) -> None:
        self.noise, self.stop_after, self.asked = noise, stop_after, 0

    def __call__(self, calls: Sequence[Any]) -> list[list[int]]:
        self.asked += 1
        if self.stop_after is not None and self.asked > self.stop_after:
            raise KeyboardInterrupt
        return [[self._sample(ns, i) for i in range(4)] for ns in calls]

    def _sample(self, ns: int, repeat: int) -> int:
        drawn = zlib.crc32(f"{ns} {self.asked} {repeat}".encode()) / 2**32
        return round(ns * (1 + self.noise * drawn))
