"""What a step of shared weights consists of: passes, and the sandwich of them. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

# The teacher that is no pass of the step: a network from outside.
EXTERNAL: Final = "external"


@dataclass(frozen=True)
class Pass:
    """One forward and backward computation.

    Args:
        selection: what runs: an architecture, a row, a mixture, or the name of a switch.
        weight: scales the loss.
        teacher: position of the earlier pass whose soft predictions replace the labels; or ``EXTERNAL``, the runner's
            own teacher.
        dropout: whether features are dropped.
        observe: whether the method wants to know the loss.
        minus: position of an earlier pass; the loss observed is the paired difference to it.
    """

    selection: Any
    weight: float = 1.0
    teacher: int | Literal["external"] | None = None
    dropout: bool = False
    observe: bool = False
    minus: int | None = None


def sandwich(
    largest: Any,
    smallest: Any,
    middle: Sequence[Any],
    *,
    distillation: bool,
    dropout: bool = False,
    observe: bool = False,
) -> list[Pass]:
    """The sandwich rule: the largest network, the smallest, and some in between (US-Nets).

    The largest learns the labels and is the only one to drop features; with ``distillation`` the others learn its
    soft predictions. Observed are the middle ones, as differences to the largest on the same pictures.
    """
    teacher = 0 if distillation else None
    passes = [Pass(largest, dropout=dropout), Pass(smallest, teacher=teacher)]
    minus = 0 if observe else None
    return passes + [Pass(m, teacher=teacher, observe=observe, minus=minus) for m in middle]
