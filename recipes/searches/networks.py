"""Networks that are trained alone beside those found: random ones in a window around the target, the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from searches.sizes import Target

_SEED = 0  # random networks are the same whatever was searched
_DRAWS = 4096
_TRIES = 250


def random_network(space: SearchSpace, target: Target, number: int) -> dict[str, Any]:
    """Random network number ``number``: uniform over every decision, drawn anew until its cost is in the window.

    This is the policy before it has learnt anything (zero logits), as in the paper's section 3 and official code. Every
    number has a generator of its own, so that more networks leave those before them as they are.

    Raises:
        RequestError: the window is so narrow or so far out that a million draws miss it.
    """
    rng = numpy_generator(_SEED, "random network", number)
    budget = budgets_of(space, target.platform())[0]
    for _ in range(_TRIES):
        rows = space.sample(_DRAWS, rng)
        costs = np.array([budget.in_unit(float(cost)) for cost in budget.cost(rows)])
        inside = np.flatnonzero((costs >= target.low) & (costs <= target.high))
        if len(inside):
            return space.architecture(rows[inside[0]]).values
    raise RequestError(
        f"space {space.name}: none of {_DRAWS * _TRIES:,} random networks has {target.cost} from {target.low:g} to "
        f"{target.high:g}; widen the window or move the target"
    )


def costs_of(space: SearchSpace, target: Target, values: Mapping[str, Any]) -> dict[str, float]:
    """A network's MACs and parameters, and what its target counts."""
    row = space.encode(values)
    analytic = {kind: int(space.cost(kind)(row[None])[0]) for kind in ("macs", "params")}
    return {**analytic, **{b.name: b.cost_of(row) for b in budgets_of(space, target.platform())}}


def best(networks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The trained network that the validation pictures prefer; the first of equals."""
    return max(networks, key=lambda content: content["val_accuracy"])
