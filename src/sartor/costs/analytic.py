"""Costs that follow from the blueprint alone: MACs, parameters and peak activation memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sartor.blueprint import BYTES_PER_ELEMENT, PICTURES, Block, Stack, block_peak_elements, walk_layers
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError

if TYPE_CHECKING:
    from sartor.space import SearchSpace

ANALYTIC_COSTS = ("macs", "params", "peak_memory_bytes")


def analytic_cost(
    space: SearchSpace, name: str, *, exit: int | None = None, lazy: bool = False, dtype: str = "float32"
) -> FactorCost:
    """The cost ``name`` of a space as integer factors over the scopes of its templates.

    Args:
        exit: count up to this exit, 0-based (default: the last).
        lazy: count only the blocks that this exit reads.
        dtype: of the activations, for ``peak_memory_bytes``.

    Raises:
        RequestError: the name, the exit or the dtype is unknown.
    """
    if name not in ANALYTIC_COSTS:
        raise RequestError(f"unknown cost {name!r}; a space knows {', '.join(ANALYTIC_COSTS)}")
    if exit is not None and not 0 <= exit < space.exits:
        raise RequestError(f"exit {exit} does not exist; {space.name} has exits 0 to {space.exits - 1}")
    positions = list(_needed(space, space.exits - 1 if exit is None else exit, lazy))
    if name == "peak_memory_bytes":
        if dtype not in BYTES_PER_ELEMENT:
            raise RequestError(f"unknown dtype {dtype!r}; known are {', '.join(BYTES_PER_ELEMENT)}")
        factors = [_memory_factor(space, positions, i, BYTES_PER_ELEMENT[dtype]) for i in range(len(positions))]
        return FactorCost(space.sizes, factors, 0, "max", name)
    return FactorCost(space.sizes, [_sum_factor(space, p, name) for p in positions], 0, "sum", name)


def _needed(space: SearchSpace, exit: int, lazy: bool) -> Iterator[int]:
    """Positions of the templates that run up to ``exit``."""
    by_name = {t.name: i for i, t in enumerate(space.templates)}
    running = [i for i, t in enumerate(space.templates) if t.stage <= exit]
    if lazy:
        outputs = [i for i in running if space.templates[i].is_exit] or [len(space.templates) - 1]
        todo, seen = [outputs[-1]], set()
        while todo:
            position = todo.pop()
            if position not in seen:
                seen.add(position)
                todo += [by_name[n] for n in space.inputs(position) if n != PICTURES]
        running = sorted(seen)
    yield from running


def _sum_factor(space: SearchSpace, position: int, name: str) -> Factor:
    scope, stacks = space.template_cells(space.templates[position])
    values = [sum(getattr(layer, name) for layer in walk_layers(stack.body)) for stack in stacks]
    return Factor(scope, _table(values, scope, space))


def _memory_factor(space: SearchSpace, positions: list[int], index: int, bytes_per_element: int) -> Factor:
    """Live bytes while one template runs: its own tensors and those that wait for later templates.

    The scope grows by the decisions that the sizes of the waiting tensors depend on; a chain has none.
    """
    template = space.templates[positions[index]]
    own_inputs = space.inputs(positions[index])
    last_reader = {name: i for i, p in enumerate(positions) for name in space.inputs(p)}
    last_reader |= {space.templates[p].name: len(positions) for p in positions if space.templates[p].is_exit}
    pictures = space.in_channels * space.image_size**2
    pictures_wait = PICTURES not in own_inputs and last_reader.get(PICTURES, -1) > index
    earlier = [space.templates[p] for p in positions[:index]]
    waiting = [t for t in earlier if t.name not in own_inputs and last_reader.get(t.name, -1) > index]
    kept = frozenset(name for name in own_inputs if last_reader[name] > index)
    # A join of several inputs needs their sizes.
    joined = [t for t in earlier if t.name in own_inputs] if template.join != "single" else []
    scope = sorted({space.index[n] for t in (template, *waiting, *joined) for n in t.scope})
    values = []
    for choice in itertools.product(*[space.decisions[d].options for d in scope]):
        named = dict(zip([space.decisions[d].name for d in scope], choice, strict=True))
        stack = space.stack(template, named)
        size = {t.name: _elements(space.stack(t, named)) for t in (*waiting, *joined)}
        block = Block(template.name, own_inputs, stack, template.join)
        live = block_peak_elements(block, kept, {PICTURES: pictures, **size})
        live += sum(size[t.name] for t in waiting) + (pictures if pictures_wait else 0)
        values.append(live * bytes_per_element)
    return Factor(tuple(scope), _table(values, tuple(scope), space))


def _elements(stack: Stack) -> int:
    return stack.out_channels * stack.out_side**2


def _table(values: list[int], scope: tuple[int, ...], space: SearchSpace) -> NDArray[np.int64]:
    shape = [space.sizes[d] for d in scope]
    assert math.prod(shape) == len(values)
    return np.asarray(values, dtype=np.int64).reshape(shape)
