"""What to measure for a predictor: blocks, networks to fit or correct it, and networks that judge it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.costs.keys import Piece, shape_of, space_pieces
from sartor.errors import RequestError
from sartor.profiling.interpolate import covering_order
from sartor.profiling.sampling import biased_rows, spread_rows, uniform_rows, uniform_width_rows
from sartor.seeds import numpy_generator

if TYPE_CHECKING:
    from sartor.profiling.runner import Call
    from sartor.profiling.runtimes import Runtime
    from sartor.space import SearchSpace

Predictor = Literal["table", "pairwise", "linear"]
PREDICTORS: tuple[Predictor, ...] = ("table", "pairwise", "linear")

CALL = "call"  # the job that does nothing
# The first round of a table leaves time for two more; networks that are fitted to are better many than exact.
FIRST_ROUND = {"table": 1 / 3, "pairwise": 0.75, "linear": 0.75}
# Networks a minute at most, so that they need not be drawn in vain.
_NETWORKS_A_MINUTE = 400
_BLOCKS_PER_NETWORK = 2


@dataclass(frozen=True)
class Settings:
    """What is asked of a profile.

    Args:
        predictor: one of ``PREDICTORS``.
        minutes: how long to measure.
        corrections: networks of all sizes that the correction is fitted to.
        held_out: uniform networks that judge the predictor, beside ``uniform_widths`` of equal widths.
        repeats: timed samples of one visit.
        seed: of all samples and orders.
    """

    predictor: Predictor = "table"
    minutes: float = 12.0
    corrections: int = 60
    held_out: int = 100
    uniform_widths: int = 7
    repeats: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.predictor not in PREDICTORS:
            raise RequestError(f"unknown predictor {self.predictor!r}; known are {', '.join(PREDICTORS)}")
        if not 0 < self.minutes < 10_000:
            raise RequestError(f"minutes must be above 0, got {self.minutes}")


class Plan:
    """The jobs of a profile in the order of the first round; a name stands for a block or a network.

    Args:
        space: what is profiled.
        settings: what is asked.
        threads, batch: of the runtime.
    """

    def __init__(self, space: SearchSpace, settings: Settings, threads: int = 1, batch: int = 1) -> None:
        self.space, self.settings, self.threads, self.batch = space, settings, threads, batch
        self.pieces: dict[str, Piece] = space_pieces(space)
        if not self.pieces:
            raise RequestError(f"space {space.name} has no block that takes time")
        self.rows = self._sampled()

    def _sampled(self) -> dict[str, NDArray[np.int64]]:
        """Rows by name: ``held_out``, ``uniform_width``, ``correction`` and ``fit``."""
        space, settings = self.space, self.settings

        def rng(purpose: str) -> np.random.Generator:
            return numpy_generator(settings.seed, f"profile {purpose}")

        even = uniform_width_rows(space, settings.uniform_widths, rng("uniform widths"))
        held_out = uniform_rows(space, settings.held_out, rng("held out"), [even])
        spread = settings.corrections * 2 // 3
        correction = spread_rows(space, spread, rng("correction"), [even, held_out])
        rest = uniform_rows(space, settings.corrections - spread, rng("correction, uniform"), [even, held_out])
        found = {"uniform_width": even, "held_out": held_out, "correction": np.concatenate([correction, rest])}
        if settings.predictor != "table":
            count = max(50, int(settings.minutes * _NETWORKS_A_MINUTE))
            draw = biased_rows if settings.predictor == "pairwise" else uniform_rows
            found["fit"] = draw(space, count, rng("fit"))
        return found

    @cached_property
    def networks(self) -> dict[str, NDArray[np.int64]]:
        """Name -> row of every network."""
        return {f"{group} {i}": row for group, rows in self.rows.items() for i, row in enumerate(rows)}

    @property
    def essential(self) -> int:
        """So many jobs are measured however short the time: a block of each structure, and some networks."""
        structures = len({shape_of(piece).structure for piece in self.pieces.values()})
        return min(len(self.jobs), 16 + structures * (self.settings.predictor == "table"))

    @cached_property
    def jobs(self) -> list[str]:
        """All jobs: the main ones in their order, and after every second one a network that corrects or judges."""
        judges = [name for name in self.networks if not name.startswith("fit ")]
        if self.settings.predictor == "table":
            main, rest = self.blocks, judges
        else:
            main, rest = [name for name in self.networks if name.startswith("fit ")], judges
        ranked = [(float(i), name) for i, name in enumerate(main)]
        # In the order of a shuffle, so that a short profile still has some of each kind.
        order = numpy_generator(self.settings.seed, "profile order").permutation(len(rest))
        ranked += [(_BLOCKS_PER_NETWORK * (i + 1) - 0.5, rest[place]) for i, place in enumerate(order)]
        return [CALL, *[name for _, name in sorted(ranked)]]

    @cached_property
    def blocks(self) -> list[str]:
        """The keys of all blocks in covering order."""
        return covering_order(self.pieces)

    @property
    def again(self) -> set[str] | None:
        """The jobs that the rounds after the first visit; None for all."""
        if self.settings.predictor == "table":
            return None
        return {name for name in self.jobs if not name.startswith("fit ")}

    @cached_property
    def digest(self) -> str:
        """Plans with the same digest measure the same things in the same order."""
        facts = [
            self.space.fingerprint,
            self.jobs,
            {name: rows.tolist() for name, rows in self.rows.items()},
            [self.threads, self.batch, self.settings.repeats, self.settings.seed],
        ]
        return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]

    def open(self, job: str, runtime: Runtime) -> Call:
        """One call of a job in a runtime."""
        if job == CALL:
            return runtime.open_empty()
        if job in self.pieces:
            return runtime.open_piece(self.pieces[job])
        return runtime.open_network(self.space.architecture(self.networks[job]).blueprint)

    def graph(self, job: str) -> bytes:
        """The ONNX file of a job."""
        from sartor.profiling.graphs import call_graph, network_graph, piece_graph

        if job == CALL:
            return call_graph()
        if job in self.pieces:
            return piece_graph(self.pieces[job], self.batch)
        return network_graph(self.space.architecture(self.networks[job]).blueprint, self.batch)

    def facts(self) -> dict[str, Any]:
        """What a table says about the space."""
        return {"name": self.space.name, "options": self.space.options}
