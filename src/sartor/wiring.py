"""Which parts of a network another part needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def ancestors(inputs: Mapping[str, Sequence[str]], outputs: Iterable[str]) -> set[str]:
    """The parts that ``outputs`` depend on, themselves included.

    Args:
        inputs: part -> the parts that it reads, in order of execution; names that are no part (the pictures) are kept.
    """
    needed = set(outputs)
    for name in reversed(list(inputs)):
        if name in needed:
            needed.update(inputs[name])
    return needed
