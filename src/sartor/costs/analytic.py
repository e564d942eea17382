"""Costs that follow from the blueprint alone: MACs, parameters and peak activation memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sartor.blueprint import Block
from sartor.costs.conventions import CONVENTIONS
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.layers import walk_layers
from sartor.memory import BYTES_PER_ELEMENT, PICTURES, Wiring, block_peak_elements, live_tensors, makers

if TYPE_CHECKING:
    from sartor.decisions import Template
    from sartor.space import SearchSpace

ANALYTIC_COSTS = ("macs", "params", "peak_memory_bytes")


def analytic_cost(
    space: SearchSpace, name: str, *, exit: int | None = None, lazy: bool = False, dtype: str = "float32"
) -> FactorCost:
    """The cost ``name`` of a space as integer factors over the scopes of its templates.

    Args:
        name: one of ``ANALYTIC_COSTS``, or a count by the convention of others (:mod:`sartor.costs.conventions`).
        exit: count up to this exit, 0-based (default: the last).
        lazy: count only the blocks that this exit reads.
        dtype: of the activations, for ``peak_memory_bytes``.

    Raises:
        RequestError: the name, the exit or the dtype is unknown.
    """
    if name not in (*ANALYTIC_COSTS, *CONVENTIONS):
        raise RequestError(f"unknown cost {name!r}; a space knows {', '.join((*ANALYTIC_COSTS, *CONVENTIONS))}")
    if exit is not None and not 0 <= exit < space.exits:
        raise RequestError(f"exit {exit} does not exist; {space.name} has exits 0 to {space.exits - 1}")
    positions = list(_needed(space, space.exits - 1 if exit is None else exit, lazy))
    if name == "peak_memory_bytes":
        if dtype not in BYTES_PER_ELEMENT:
            raise RequestError(f"unknown dtype {dtype!r}; known are {', '.join(BYTES_PER_ELEMENT)}")
        if space.has_absent_parts:
            raise RequestError(
                f"the peak memory of {space.name} depends on whole cells at once, so it can be no budget there; "
                f"budget in {' or '.join(space.cost_names)}, and read it off a found network"
            )
        factors = _memory_factors(space, positions, BYTES_PER_ELEMENT[dtype])
        return FactorCost(space.sizes, factors, 0, "max", name)
    return FactorCost(space.sizes, [_sum_factor(space, p, name) for p in positions], 0, "sum", name)


def _needed(space: SearchSpace, exit: int, lazy: bool) -> Sequence[int]:
    """Positions of the templates that run up to ``exit``."""
    if lazy:
        return space.read_by_exits(exit, exit)
    return tuple(i for i, t in enumerate(space.templates) if t.stage <= exit)


def _sum_factor(space: SearchSpace, position: int, name: str) -> Factor:
    scope, stacks = space.template_cells(space.templates[position])
    count = CONVENTIONS.get(name, attrgetter(name))
    values = [0 if stack is None else sum(map(count, walk_layers(stack.body))) for stack in stacks]
    return Factor(scope, _table(values, scope, space))


def _memory_factors(space: SearchSpace, positions: list[int], bytes_per_element: int) -> list[Factor]:
    templates = [space.templates[p] for p in positions]
    wiring = [(t.name, space.inputs(p), t.is_exit) for t, p in zip(templates, positions, strict=True)]
    # Templates that hand on their input for some options.
    skippable = {
        t.name for t in templates if t.join == "single" and not all(s and s.body for s in space.template_cells(t)[1])
    }
    return [_memory_factor(space, templates, wiring, skippable, i, bytes_per_element) for i in range(len(positions))]


def _memory_factor(
    space: SearchSpace,
    templates: list[Template],
    wiring: Wiring,
    skippable: set[str],
    index: int,
    bytes_per_element: int,
) -> Factor:
    """Live bytes while one template runs: its own tensors and those that wait for later templates.

    The scope grows by the decisions that the sizes of the waiting tensors depend on, and by those which tell
    whether two of them are one tensor; a chain has none.
    """
    template = templates[index]
    own, waiting, _ = live_tensors(wiring, index, frozenset())
    sized = {*waiting, *(own if template.join != "single" else ())} - {PICTURES}
    decisive = _decisive(wiring, skippable, {*own, *waiting})
    needed = [template, *[t for t in templates if t.name in sized | decisive]]
    scope = tuple(sorted({space.index[n] for t in needed for n in t.scope}))
    wires = cache(lambda empty: (live_tensors(wiring, index, empty), makers(wiring, empty)))
    values = []
    for choice in itertools.product(*[space.decisions[d].options for d in scope]):
        named = dict(zip([space.decisions[d].name for d in scope], choice, strict=True))
        stacks = {t.name: stack for t in needed if (stack := space.stack(t, named)) is not None}
        (inputs, others, kept), maker = wires(frozenset(name for name in decisive if not stacks[name].body))
        size = {maker[n]: stacks[n].out_channels * stacks[n].out_side ** 2 for n in sized}
        size[PICTURES] = space.in_channels * space.image_size**2
        block = Block(template.name, inputs, stacks[template.name], template.join)
        live = block_peak_elements(block, kept, size) + sum(size[n] for n in others)
        values.append(live * bytes_per_element)
    return Factor(scope, _table(values, scope, space))


def _decisive(wiring: Wiring, skippable: set[str], names: set[str]) -> set[str]:
    """The templates whose emptiness tells whether two of the tensors ``names`` are one."""
    source = {name: inputs[0] for name, inputs, _ in wiring}
    paths = {}
    for name in names:
        paths[name] = [name]
        while paths[name][-1] in skippable:
            paths[name].append(source[paths[name][-1]])
    decisive: set[str] = set()
    for path, other in itertools.permutations(paths.values(), 2):
        meeting = next((i for i, n in enumerate(path) if n in other), 0)
        decisive.update(path[:meeting])
    return decisive


def _table(values: list[int], scope: tuple[int, ...], space: SearchSpace) -> NDArray[np.int64]:
    shape = [space.sizes[d] for d in scope]
    assert math.prod(shape) == len(values)
    return np.asarray(values, dtype=np.int64).reshape(shape)
