"""How a block runs when several options of its decisions are on at once: the choices become nested branches.

A block is resolved for every combination of the options that are on. What all combinations share runs once; a
choice that decides one stretch of layers alone becomes branches over that stretch, whose outputs are averaged before
the next layer runs. A bottleneck with a choice of kernels, of squeeze-excite and of the whole layer thus runs its
pointwise convolutions once, the mean of the depthwise branches, the mean with and without squeeze-excite, and a
share of the layer (Bender et al., TuNAS, sections 4.1 and 4.3; official code: nested switches).

Weights sum to 1 where choices share layers after their branches. Those of a block whose options share none, such as an
edge of a cell, may be any numbers: the result is the sum of the options' outputs, each times its weight.

Blocks that read the same tensor may begin alike too: all edges of a cell that leave one node pool it, and apply a ReLU
to it. What has no weights runs once for all of them (:class:`Beginnings`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from sartor.elastic.execution import ApplyWeights, Dropout, run_body
from sartor.elastic.weighted_sum import Weight, weighted_sum
from sartor.layers import Layer, Node, Parallel, Residual

Body = tuple[Node, ...]
# A body for every combination of options, in the order of the decisions.
Grid = Mapping[tuple[int, ...], Body]


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


class Beginnings:
    """What branches on one tensor begin with, as far as it has no weights: run for the first that asks, then kept.

    Batch norms without scale and shift are among it, as mixtures always use the statistics of the batch.

    Args:
        readers: how many blocks will ask; what was kept is let go after the last one.
    """

    def __init__(self, readers: int) -> None:
        self.readers = readers
        self._made: dict[Body, Tensor] = {}

    def run(self, block: str, body: Body, x: Tensor, apply: ApplyWeights) -> tuple[Tensor, Body]:
        """The output of the body's beginning, and the rest of the body."""
        length = _weightless(body)
        beginning = body[:length]
        if beginning and beginning not in self._made:
            self._made[beginning] = run_body(block, beginning, x, apply)
        return self._made.get(beginning, x), body[length:]

    def leave(self) -> None:
        """A reader has run."""
        self.readers -= 1
        if not self.readers:
            self._made.clear()


def _ends_in_norm(plan: Plan) -> bool:
    last = plan[-1] if plan else ()
    # After a convolution: what is nothing but weightless layers may be shared, its batch norm too.
    return isinstance(last, tuple) and len(last) > 1 and _is_free_norm(last[-1]) and _weightless(last) < len(last)


def _is_free_norm(node: Node) -> bool:
    return isinstance(node, Layer) and node.kind == "batch_norm" and not node.affine


def _without_last(plan: Plan) -> Plan:
    last = plan[-1]
    assert isinstance(last, tuple)
    return (*plan[:-1], last[:-1])


@cache
def _weightless(body: Body) -> int:
    """How many leading layers are the same for everyone who runs them."""
    free = [_is_free_norm(n) or (isinstance(n, Layer) and n.kind in ("activation", "pool")) for n in body]
    return next((i for i, is_free in enumerate(free) if not is_free), len(body))


def run_plan(
    block: str,
    plan: Plan,
    weights: Mapping[int, Mapping[int, Weight]],
    x: Tensor,
    apply: ApplyWeights,
    dropout: Dropout | None = None,
    *,
    recompute: bool = True,
    beginnings: Beginnings | None = None,
    norm_eps: float | None = None,
) -> Tensor:
    """Runs a plan; ``weights`` holds the weight of every option that is on, by decision.

    With ``recompute`` nothing inside the branches is kept for the backward pass, which runs each of them again: the
    memory of a step with all options on stays that of a single one (TuNAS, appendix C: rematerialisation). Without,
    branches at the start of the plan share their ``beginnings`` with those of other plans on the same tensor. Given
    ``norm_eps``, batch norms without scale and shift at the ends of branches run within the sum.
    """
    run = partial(
        run_plan, block, weights=weights, apply=apply, dropout=dropout, recompute=recompute, norm_eps=norm_eps
    )
    for number, part in enumerate(plan):
        if isinstance(part, Branches):
            if recompute and torch.is_grad_enabled():
                run_branch = partial(_recomputed, run)
            elif beginnings is not None and not number:
                run_branch = partial(_begun, run, beginnings, block, apply)
            else:
                run_branch = run
            x = _run_branches(part, weights[part.decision], x, run_branch, norm_eps)
        elif isinstance(part, Shortcut):
            x = x + run(part.inside, x=x)
        elif isinstance(part, Concatenation):
            x = torch.cat([run(inside, x=x) for inside in part.inside], dim=1)
        else:
            x = run_body(block, part, x, apply, dropout)
    return x


def _run_branches(
    branches: Branches, weights: Mapping[int, Weight], x: Tensor, run: partial[Tensor], norm_eps: float | None
) -> Tensor:
    results, factors, normalised = [], [], []
    # A single option runs as it does without a mixture, to the last bit.
    within = norm_eps is not None and len(branches.options) > 1
    for options, plan in branches.options:
        ends = within and _ends_in_norm(plan)
        results.append(run(_without_last(plan) if ends else plan, x=x))
        factors.append(sum(weights[option] for option in options))
        normalised.append(ends)
    return weighted_sum(results, factors, normalised, norm_eps or 0.0)


def _recomputed(run: partial[Tensor], plan: Plan, x: Tensor) -> Tensor:
    """What a branch gives, of which nothing is kept for the backward pass."""
    if not plan:
        return x
    result: Tensor = checkpoint(
        lambda z: run(plan, x=z), x, use_reentrant=False, preserve_rng_state=False, determinism_check="none"
    )
    return result


def _begun(
    run: partial[Tensor], beginnings: Beginnings, block: str, apply: ApplyWeights, plan: Plan, x: Tensor
) -> Tensor:
    """What a branch gives whose beginning others have run, or will need."""
    if plan and isinstance(plan[0], tuple):
        x, rest = beginnings.run(block, plan[0], x, apply)
        plan = (rest, *plan[1:])
    return run(plan, x=x)


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
