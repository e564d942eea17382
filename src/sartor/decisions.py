"""The words of a space: decisions, the rules between them, and the templates that give them a meaning."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sartor.blueprint import Join
from sartor.costs.factors import Factor
from sartor.stack import Stack

MAX_RULE_CELLS = 1_000_000


@dataclass(frozen=True)
class Decision:
    """One categorical choice.

    ``kind`` is ``"width"`` (ascending options, a prefix of channels, never mixed) or ``"op"`` (may be mixed).
    With ``when = (parent, options)`` the decision matters only while the decision ``parent`` takes one of those
    option values; otherwise it is inert.
    """

    name: str
    options: tuple[Any, ...]
    kind: Literal["width", "op"] = "op"
    when: tuple[str, tuple[Any, ...]] | None = None

    def __post_init__(self) -> None:
        if not self.options or len(set(self.options)) != len(self.options):
            raise ValueError(f"decision {self.name!r} needs distinct options, got {self.options}")
        if self.kind == "width" and list(self.options) != sorted(self.options):
            raise ValueError(f"decision {self.name!r} is a width: its options must ascend, got {self.options}")


@dataclass(frozen=True)
class Rule:
    """A condition on a few decisions; ``allowed`` takes their option values in the order of ``scope``."""

    scope: tuple[str, ...]
    allowed: Callable[..., bool]


@dataclass(frozen=True)
class Template:
    """How a part of the network follows from a few decisions.

    ``resolve`` takes the option values of ``scope`` and returns a stack, which may be empty; or None, where the network
    has no such part and its readers do without it (a cell's edge without operation). ``search`` is what a supernet
    runs in its place, where that differs (DARTS: batch norms that learn nothing). ``inputs`` names templates (none:
    the template before it, or the pictures); ``stage`` is the first exit that needs this part.
    """

    name: str
    scope: tuple[str, ...]
    resolve: Callable[..., Stack | None]
    inputs: tuple[str, ...] = ()
    join: Join = "single"
    stage: int = 0
    is_exit: bool = False
    search: Callable[..., Stack | None] | None = None


def tabulate_rule(rule: Rule, decisions: Sequence[Decision]) -> Factor:
    """A rule as a boolean factor over the decisions that it reads.

    Raises:
        ValueError: the rule reads a decision that can be inert, or has more than 1,000,000 cells.
    """
    index = {d.name: i for i, d in enumerate(decisions)}
    conditional = [n for n in rule.scope if decisions[index[n]].when is not None]
    if conditional:
        raise ValueError(f"a rule may not read decisions that can be inert: {', '.join(conditional)}")
    names = sorted(rule.scope, key=index.__getitem__)
    order = [names.index(n) for n in rule.scope]
    options = [decisions[index[n]].options for n in names]
    shape = [len(o) for o in options]
    if math.prod(shape) > MAX_RULE_CELLS:
        raise ValueError(f"the rule over {', '.join(names)} has more than {MAX_RULE_CELLS:,} cells")
    allowed = [bool(rule.allowed(*[values[i] for i in order])) for values in itertools.product(*options)]
    return Factor(tuple(index[n] for n in names), np.asarray(allowed).reshape(shape))
