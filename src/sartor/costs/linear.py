"""Linear one-hot latency models: an intercept and, for every part of the network, one coefficient of its choices.

The form of TuNAS (Bender, Liu et al., CVPR 2020, section 3.3): the features of a part are the outer product of the
one-hot choices it depends on, where all settings of a skipped layer are one choice, "skipped". Coefficients are whole
nanoseconds, so that a sum has no rounding.

There are more features than a regression can tell apart, so a single coefficient means nothing, only whole networks
and differences within one part do. A minimum-norm fit can be checked without data: see :meth:`LinearModel.checksums`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError

if TYPE_CHECKING:
    from sartor.space import SearchSpace

FORMAT = "sartor linear latency model"
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class LinearTable:
    """The coefficients of one part of the network.

    Args:
        part: its template, and what in it where a template has several.
        decisions: what it depends on, in network order.
        coefficients: int64, nanoseconds, one per really different combination of these decisions, the last decision
            fastest; combinations that differ in settings of a skipped layer alone are one.
    """

    part: str
    decisions: tuple[str, ...]
    coefficients: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LinearModel:
    """A device's model of one space.

    Args:
        space: the space's name.
        image_size: the side of the pictures it holds for.
        options: the space's options that it holds for; those that change no latency are left out.
        decisions: name -> option values of all decisions, so that a space that has changed since is refused.
        intercept: nanoseconds that every network takes.
        tables: what depends on decisions.
    """

    space: str
    image_size: int
    options: Mapping[str, Any]
    decisions: Mapping[str, tuple[Any, ...]]
    intercept: int
    tables: tuple[LinearTable, ...]

    def cost(self, space: SearchSpace) -> FactorCost:
        """The latency in whole nanoseconds as a sum of factors; the space must be the model's (:meth:`misfit`)."""
        factors = [_factor(space, table) for table in self.tables]
        return FactorCost(space.sizes, factors, self.intercept, "sum", "latency_ns")

    def misfit(self, space: SearchSpace) -> str | None:
        """Why the model says nothing about a space of its name and picture size; None where it holds."""
        for name, value in self.options.items():
            if space.options.get(name) != value:
                return f"{name} is {value} there, {space.options.get(name)} here"
        ours = {d.name: d.options for d in space.decisions}
        for name in [*self.decisions, *ours]:
            known, asked = self.decisions.get(name), ours.get(name)
            if known != asked:
                return f"{name} is {_options(known)} there, {_options(asked)} here"
        return None

    def checksums(self, space: SearchSpace) -> dict[str, float]:
        """Decision -> the spread in nanoseconds of what a minimum-norm solution makes equal.

        A minimum-norm solution is a combination of the samples' features, so what all coefficients of one option add up
        to is the same in every part that depends on the decision, as far as the features can tell the option: decisions
        that are inert in a skipped layer are left out. The entry ``""`` compares the sums of whole parts.
        """
        found: dict[str, float] = {}
        whole = [float(table.coefficients.sum()) for table in self.tables]
        found[""] = max(whole) - min(whole) if whole else 0.0
        for decision in space.decisions:
            tables = [t for t in self.tables if decision.name in t.decisions]
            if decision.when is None and len(tables) > 1:
                sums = np.array([_sums(space, table, decision.name) for table in tables])
                found[decision.name] = float((sums.max(axis=0) - sums.min(axis=0)).max())
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "space": self.space,
            "image_size": self.image_size,
            "options": dict(self.options),
            "decisions": {name: list(options) for name, options in self.decisions.items()},
            "intercept_ns": self.intercept,
            "tables": [
                {"part": t.part, "decisions": list(t.decisions), "ns": t.coefficients.tolist()} for t in self.tables
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LinearModel:
        """The inverse of :meth:`to_dict`."""
        tables = [
            LinearTable(t["part"], tuple(t["decisions"]), np.asarray(t["ns"], dtype=np.int64)) for t in data["tables"]
        ]
        decisions = {name: tuple(options) for name, options in data["decisions"].items()}
        intercept = int(data["intercept_ns"])
        return cls(data["space"], data["image_size"], data["options"], decisions, intercept, tuple(tables))


def read_models(data: Mapping[str, Any]) -> tuple[LinearModel, ...]:
    """The models in a device's file.

    Raises:
        RequestError: it is of another kind, version or unit.
    """
    expected = {"format": FORMAT, "version": FORMAT_VERSION, "unit": "ns"}
    for key, value in expected.items():
        if data.get(key) != value:
            raise RequestError(f"a device file needs {key} {value!r}, this one has {data.get(key)!r}")
    return tuple(LinearModel.from_dict(model) for model in data["models"])


def linear_cost(device: str, models: Sequence[LinearModel], space: SearchSpace) -> FactorCost:
    """The latency of a space on a device, from the model that was made for it.

    Raises:
        RequestError: there is none for this space, picture size or options; says what there is and what to do.
    """
    known = ", ".join(f"{m.space} at {m.image_size}x{m.image_size}" for m in models)
    own = [m for m in models if m.space == space.name]
    if not own:
        raise RequestError(
            f"device {device!r} has no latencies for space {space.name!r}; it has them for {known}. Choose one of "
            "these, or budget in macs, params or peak_memory_bytes"
        )
    sized = [m for m in own if m.image_size == space.image_size]
    if not sized:
        sizes = " or ".join(str(m.image_size) for m in own)
        raise RequestError(
            f"device {device!r} has no latencies for space {space.name!r} at {space.image_size}x{space.image_size} "
            f"pixels; it has them for {known}. Set deploy_image_size: {sizes}: then costs and exported files are for "
            "that size, while search and training keep their own"
        )
    reasons = [model.misfit(space) for model in sized]
    if all(reasons):
        raise RequestError(
            f"device {device!r} has latencies for space {space.name!r} with other options: {reasons[0]}. Leave the "
            "space's options at their defaults, or budget in macs, params or peak_memory_bytes"
        )
    return sized[reasons.index(None)].cost(space)


def combinations(space: SearchSpace, decisions: Sequence[str]) -> tuple[tuple[int, ...], NDArray[np.int64]]:
    """The scope of some decisions, and for each combination of their options the number of its coefficient.

    The array has one axis per decision; combinations that are the same network share a number.
    """
    scope = tuple(space.index[name] for name in decisions)
    parents = {space.decisions[d].when[0] for d in scope if space.decisions[d].when is not None}  # type: ignore[index]
    if list(scope) != sorted(set(scope)) or not parents <= set(decisions):
        raise ValueError(f"decisions must be in network order, with those that they depend on: {', '.join(decisions)}")
    sizes = [space.sizes[d] for d in scope]
    rows = np.zeros((math.prod(sizes), len(space.sizes)), dtype=np.int64)
    rows[:, scope] = list(itertools.product(*[range(n) for n in sizes]))
    canonical = space.canonical(rows)[:, scope]
    cells = np.ravel_multi_index(tuple(canonical.T), sizes) if scope else np.zeros(1, np.int64)
    _, numbers = np.unique(cells, return_inverse=True)
    return scope, numbers.reshape(sizes)


def _factor(space: SearchSpace, table: LinearTable) -> Factor:
    scope, numbers = combinations(space, table.decisions)
    if len(table.coefficients) != numbers.max() + 1:
        raise ValueError(
            f"{table.part} has {len(table.coefficients)} coefficients for {numbers.max() + 1} combinations of choices"
        )
    return Factor(scope, table.coefficients[numbers])


def _sums(space: SearchSpace, table: LinearTable, decision: str) -> NDArray[np.int64]:
    """The sum of all coefficients of every option of a decision that is never inert."""
    scope, numbers = combinations(space, table.decisions)
    axis = scope.index(space.index[decision])
    options = np.indices(numbers.shape)[axis].reshape(-1)
    _, first = np.unique(numbers.reshape(-1), return_index=True)
    sums = np.zeros(numbers.shape[axis], dtype=np.int64)
    np.add.at(sums, options[first], table.coefficients)
    return sums


def _options(options: tuple[Any, ...] | None) -> str:
    return "absent" if options is None else f"{options}"
