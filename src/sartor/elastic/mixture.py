"""How a block runs when several options of its decisions are on at once: the choices become nested branches.

A block is resolved for every combination of the options that are on. What all combinations share runs once; a
choice that decides one stretch of layers alone becomes branches over that stretch, whose outputs are averaged before
the next layer runs. A bottleneck with a choice of kernels, of squeeze-excite and of the whole layer thus runs its
pointwise convolutions once, the mean of the depthwise branches, the mean with and without squeeze-excite, and a
share of the layer (Bender et al., TuNAS, sections 4.1 and 4.3; official code: nested switches).

Weights sum to 1 where choices share layers after their branches. Those of a block whose options share none, such as an
edge of a cell, may be any numbers: the result is the sum of the options' outputs, each times its weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sartor.elastic.execution import ApplyWeights, Dropout, run_body
from sartor.layers import Layer, Node, Parallel, Residual

Body = tuple[Node, ...]
# A body for every combination of options, in the order of the decisions.
Grid = Mapping[tuple[int, ...], Body]
Weight = float | Tensor


@dataclass(frozen=True)
class Branches:
    """A choice: the options of one decision that are on, and what runs for each; the same for some runs once."""

    decision: int
    options: tuple[tuple[tuple[int, ...], Plan], ...]


@dataclass(frozen=True)
class Shortcut:
    """Adds the input to what runs inside."""

    inside: Plan


@dataclass(frozen=True)
class Concatenation:
    """Concatenates what runs inside, each part on the same input."""

    inside: tuple[Plan, ...]


Part = Body | Branches | Shortcut | Concatenation
Plan = tuple[Part, ...]


def weighted_plan(decision: int, bodies: Mapping[int, Body]) -> Plan:
    """A plan for the options of one decision that weighs them, even where they all run the same."""
    plan = make_plan([decision], {(option,): body for option, body in bodies.items()})
    return plan if _weighs(plan) else (Branches(decision, ((tuple(bodies), plan),)),)


def _weighs(plan: Plan) -> bool:
    return any(
        isinstance(part, Branches | Concatenation) or (isinstance(part, Shortcut) and _weighs(part.inside))
        for part in plan
    )


def make_plan(decisions: Sequence[int], grid: Grid) -> Plan:
    """How to run all bodies of ``grid`` at once, sharing what they share; ``decisions`` name its axes."""
    bodies = list(grid.values())
    head = _common(bodies)
    tail = _common([body[head:][::-1] for body in bodies])
    # A norm or an activation belongs to the convolution before it, on whose side of the average it stays.
    while tail and isinstance(first := bodies[0][len(bodies[0]) - tail], Layer) and first.in_place:
        tail -= 1
    middle = {key: body[head : len(body) - tail] for key, body in grid.items()}
    parts: list[Part] = []
    if head:
        parts.append(bodies[0][:head])
    if any(middle.values()):
        parts.extend(_middle(decisions, middle))
    if tail:
        parts.append(bodies[0][len(bodies[0]) - tail :])
    return tuple(parts)


def _middle(decisions: Sequence[int], grid: Grid) -> Plan:
    """A plan for bodies that share neither their first nor their last layer."""
    for axis in range(len(decisions)):
        if len(slices := _slices(grid, axis)) == 1 or _all_equal(list(slices.values())):
            return make_plan(_without(decisions, axis), next(iter(slices.values())))
    inner = [body[0].body for body in grid.values() if len(body) == 1 and isinstance(body[0], Residual)]
    if len(inner) == len(grid):
        return (Shortcut(make_plan(decisions, dict(zip(grid, inner, strict=True)))),)
    split = [body[0].branches for body in grid.values() if len(body) == 1 and isinstance(body[0], Parallel)]
    if len(decisions) == 1 and len(split) == len(grid) and len({len(branches) for branches in split}) == 1:
        options = [option for (option,) in grid]
        columns = [dict(zip(options, bodies, strict=True)) for bodies in zip(*split, strict=True)]
        return (Concatenation(tuple(weighted_plan(decisions[0], column) for column in columns)),)
    for axis in range(len(decisions)):
        slices = _slices(grid, axis)
        own = {option: next(iter(rows.values()))[: _common(list(rows.values()))] for option, rows in slices.items()}
        rest = [{key: body[len(own[o]) :] for key, body in rows.items()} for o, rows in slices.items()]
        if _all_equal(rest):
            plans: dict[int, Plan] = {option: (body,) if body else () for option, body in own.items()}
            return (_branches(decisions[axis], plans), *make_plan(_without(decisions, axis), rest[0]))
    # No choice stands for a stretch of its own: the first one (a parent comes before its children) parts the rest.
    rest_of = _without(decisions, 0)
    return (_branches(decisions[0], {option: make_plan(rest_of, rows) for option, rows in _slices(grid, 0).items()}),)


def _branches(decision: int, plans: Mapping[int, Plan]) -> Branches:
    options: dict[Plan, list[int]] = {}
    for option, plan in plans.items():
        options.setdefault(plan, []).append(option)
    return Branches(decision, tuple((tuple(same), plan) for plan, same in options.items()))


def run_plan(
    block: str,
    plan: Plan,
    weights: Mapping[int, Mapping[int, Weight]],
    x: Tensor,
    apply: ApplyWeights,
    dropout: Dropout | None = None,
    *,
    recompute: bool = True,
) -> Tensor:
    """Runs a plan; ``weights`` holds the weight of every option that is on, by decision.

    With ``recompute`` nothing inside the branches is kept for the backward pass, which runs each of them again: the
    memory of a step with all options on stays that of a single one (TuNAS, appendix C: rematerialisation).
    """
    for part in plan:
        run = partial(run_plan, block, weights=weights, apply=apply, dropout=dropout, recompute=recompute)
        if isinstance(part, Branches):
            x = _run_branches(part, weights[part.decision], x, run, recompute and torch.is_grad_enabled())
        elif isinstance(part, Shortcut):
            x = x + run(part.inside, x=x)
        elif isinstance(part, Concatenation):
            x = torch.cat([run(inside, x=x) for inside in part.inside], dim=1)
        else:
            x = run_body(block, part, x, apply, dropout)
    return x


def _run_branches(
    branches: Branches, weights: Mapping[int, Weight], x: Tensor, run: partial[Tensor], recompute: bool
) -> Tensor:
    total: Tensor | None = None
    for options, plan in branches.options:
        if plan and recompute:
            y = checkpoint(
                lambda z, plan=plan: run(plan, x=z),
                x,
                use_reentrant=False,
                preserve_rng_state=False,
                determinism_check="none",
            )
        else:
            y = run(plan, x=x)
        weight = sum(weights[option] for option in options)
        y = y if isinstance(weight, float) and weight == 1.0 else weight * y
        total = y if total is None else total + y
    assert total is not None
    return total


def _slices(grid: Grid, axis: int) -> dict[int, dict[tuple[int, ...], Body]]:
    """The grid by the option of one axis, which is taken out of the keys."""
    slices: dict[int, dict[tuple[int, ...], Body]] = {}
    for key, body in grid.items():
        slices.setdefault(key[axis], {})[key[:axis] + key[axis + 1 :]] = body
    return slices


def _without(decisions: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*decisions[:axis], *decisions[axis + 1 :])


def _all_equal(items: Sequence[object]) -> bool:
    return all(item == items[0] for item in items[1:])


def _common(bodies: Sequence[Body]) -> int:
    """How many leading nodes all bodies share."""
    count = 0
    for nodes in zip(*bodies, strict=False):
        if any(node != nodes[0] for node in nodes):
            break
        count += 1
    return count
