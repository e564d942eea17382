"""Costs as small tables over few decisions, joined by a sum or by a maximum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Reduction = Literal["sum", "max"]

# Rows of a chunk stay in the second-level cache while every factor is looked up.
_CHUNK_ROWS = 16384


@dataclass(frozen=True, eq=False)
class Factor:
    """A table over a few decisions.

    ``scope`` holds decision indices in ascending order; ``table`` has one axis per decision of the scope,
    of that decision's number of options.
    """

    scope: tuple[int, ...]
    table: NDArray[Any]

    def __post_init__(self) -> None:
        if list(self.scope) != sorted(set(self.scope)):
            raise ValueError(f"a factor's scope must be ascending without repeats, got {self.scope}")
        if self.table.ndim != len(self.scope):
            raise ValueError(f"a factor over {len(self.scope)} decisions got a table with {self.table.ndim} axes")

    def expanded(self, scope: Sequence[int], sizes: Sequence[int]) -> NDArray[Any]:
        """The table as a broadcastable view over a larger ``scope`` (axes of length 1 where it is constant)."""
        return self.table.reshape([sizes[d] if d in self.scope else 1 for d in scope])


class FactorCost:
    """A cost of architectures: a constant and factors, joined by ``reduction``.

    Args:
        sizes: the number of options of every decision of the space.
        factors: the tables; equal scopes are merged, scopes inside others are absorbed.
        constant: what every architecture pays.
        reduction: ``"sum"`` (MACs, parameters, latencies) or ``"max"`` (peak memory).
        name: the cost's name with its unit, such as ``"macs"`` or ``"peak_memory_bytes"``.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        factors: Iterable[Factor],
        constant: float = 0,
        reduction: Reduction = "sum",
        name: str = "cost",
    ) -> None:
        self.sizes = tuple(sizes)
        self.reduction: Reduction = reduction
        self.name = name
        self.constant, self.factors = _merge(self.sizes, factors, constant, reduction)

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The cost of every row of ``rows`` (integers ``[n, D]``) as an array ``[n]``."""
        rows = np.atleast_2d(np.asarray(rows))
        if rows.shape[1] != len(self.sizes):
            raise ValueError(f"rows have {rows.shape[1]} decisions, the space has {len(self.sizes)}")
        # Without this check a wrong option reads a neighbouring cell of the table.
        if rows.size and (rows.min() < 0 or (rows.max(axis=0) >= self.sizes).any()):
            raise ValueError(f"rows hold options that do not exist; decisions have {self.sizes} options")
        dtype = np.result_type(*[f.table.dtype for f in self.factors], np.asarray(self.constant).dtype)
        out = np.full(len(rows), self.constant, dtype=dtype)
        join: Any = np.add if self.reduction == "sum" else np.maximum
        for low in range(0, len(rows), _CHUNK_ROWS):
            columns = np.ascontiguousarray(rows[low : low + _CHUNK_ROWS].T).astype(np.intp)
            part = out[low : low + _CHUNK_ROWS]
            for factor in self.factors:
                cell = columns[factor.scope[0]]
                for d in factor.scope[1:]:
                    cell = cell * self.sizes[d] + columns[d]
                join(part, factor.table.reshape(-1).take(cell), out=part)
        return out

    def expectation(self, marginal: Callable[[tuple[int, ...]], Any]) -> Any:
        """The exact mean under a distribution, given its marginal over each factor's scope.

        ``marginal(scope)`` returns probabilities shaped like the factor's table, as a numpy array or as a
        torch tensor (then the result is differentiable). Only a sum has such an expectation.
        """
        if self.reduction != "sum":
            raise ValueError(f"{self.name} is a maximum, and a maximum has no additive expectation")
        total: Any = self.constant
        for factor in self.factors:
            probability = marginal(factor.scope)
            table = factor.table if isinstance(probability, np.ndarray) else probability.new_tensor(factor.table)
            total = total + (probability * table).sum()
        return total

    def scaled(self, scale: float) -> FactorCost:
        """The same cost in another unit, in floating point."""
        factors = [Factor(f.scope, f.table * scale) for f in self.factors]
        return FactorCost(self.sizes, factors, self.constant * scale, self.reduction, self.name)


def _merge(
    sizes: tuple[int, ...], factors: Iterable[Factor], constant: float, reduction: Reduction
) -> tuple[Any, tuple[Factor, ...]]:
    """Adds up factors of equal scope and absorbs each scope that lies inside another one."""
    join: Any = np.add if reduction == "sum" else np.maximum
    tables: dict[tuple[int, ...], NDArray[Any]] = {}
    for factor in factors:
        expected = tuple(sizes[d] for d in factor.scope)
        if factor.table.shape != expected:
            raise ValueError(f"factor over decisions {factor.scope} needs shape {expected}, got {factor.table.shape}")
        if not factor.scope:
            constant = join(constant, factor.table.item())
        elif factor.scope in tables:
            tables[factor.scope] = join(tables[factor.scope], factor.table)
        else:
            tables[factor.scope] = factor.table
    for scope in sorted(tables, key=len):
        host = next((s for s in tables if len(s) > len(scope) and set(scope) < set(s)), None)
        if host is not None:
            inner = Factor(scope, tables.pop(scope)).expanded(host, sizes)
            tables[host] = join(tables[host], inner)
    merged = tuple(Factor(s, np.ascontiguousarray(t)) for s, t in sorted(tables.items()))
    return constant, merged
