"""From the sum of a network's blocks to what the network takes, fitted to whole networks.

Blocks measured one by one find their weights in the nearest cache, and a runtime may convert what enters and leaves
them; in a network neither is so. Both grow with numbers that every block has, so the correction stays a sum over
blocks:

    latency = constant + sum over blocks of (scale * measured + ns_per_block + ns_per_weight * weights
                                             + ns_per_element * elements that enter and leave)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.keys import Piece

# How strongly the coefficients are held at those of the plain sum; in units of one network's squared relative error.
_RIDGE = 1e-3


@dataclass(frozen=True)
class Correction:
    """The coefficients; ``networks`` is how many were measured to fit them."""

    constant: int
    scale: float
    ns_per_block: float
    ns_per_weight: float
    ns_per_element: float
    networks: int

    def ns(self, measured: int, piece: Piece) -> int:
        """Corrected whole nanoseconds of one block, at least 1."""
        added = self.ns_per_block + self.ns_per_weight * piece.params + self.ns_per_element * piece.border_elements
        return max(1, round(self.scale * measured + added))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Correction:
        """The inverse of :meth:`to_dict`."""
        return cls(**data)


def fit_correction(
    networks: Sequence[Sequence[tuple[int, Piece]]], call_ns: int, measured_ns: Sequence[float]
) -> Correction:
    """The coefficients with the least squared *relative* error over ``networks``.

    Args:
        networks: per network, the measured nanoseconds of every block, and the block.
        call_ns: what a call takes.
        measured_ns: what the networks take.

    A slight pull towards the plain sum keeps directions that the networks cannot tell apart from growing. The constant
    is not below zero.
    """
    target = np.asarray(measured_ns, dtype=np.float64)
    sums = np.array([_sums(network) for network in networks], dtype=np.float64).reshape(-1, 4)
    columns = np.column_stack([np.ones(len(target)), sums])
    start = np.array([call_ns, 1.0, 0.0, 0.0, 0.0])
    found = _relative_fit(columns, target, start)
    if found[0] < 0:
        found = np.array([0.0, *_relative_fit(columns[:, 1:], target, start[1:])])
    constant, scale, block, weight, element = map(float, found)
    return Correction(round(constant), scale, block, weight, element, len(target))


def _sums(network: Sequence[tuple[int, Piece]]) -> tuple[int, int, int, int]:
    """What the coefficients multiply, added up over a network's blocks."""
    return (
        sum(ns for ns, _ in network),
        len(network),
        sum(piece.params for _, piece in network),
        sum(piece.border_elements for _, piece in network),
    )


def _relative_fit(
    columns: NDArray[np.float64], target: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least squares of the relative error, pulled towards ``start``."""
    relative = columns / target[:, None]
    size = np.sqrt((relative**2).mean(axis=0))
    size[size == 0] = 1.0
    scaled = relative / size
    missing = 1.0 - relative @ start
    gram = scaled.T @ scaled + _RIDGE * np.eye(len(start))
    step: NDArray[np.float64] = start + np.linalg.solve(gram, scaled.T @ missing) / size
    return step
