"""The FP-NAS spaces that several tests look at, each made once."""

from __future__ import annotations

from functools import cache
from typing import Any

from sartor import spaces
from sartor.space import SearchSpace

NAMES = ("fbnetv2_f", "fbnetv2_f_fine", "fbnetv2_f_plus", "fpnas_l0", "fpnas_l1", "fpnas_l2")
SIZES = {"fpnas_l0": 224, "fpnas_l1": 240, "fpnas_l2": 256}


@cache
def space_at(name: str, image_size: int) -> SearchSpace:
    """A space at a size of pictures, made once."""
    return spaces.create(name, image_size=image_size)


def space_of(name: str) -> SearchSpace:
    """A space at its own size, those of F at the size of the search for S1."""
    return space_at(name, SIZES.get(name, 128))


def settled(space: SearchSpace, **choices: Any) -> dict[str, Any]:
    """The values of the largest architecture with some choices replaced in every row."""
    assert space.largest is not None
    values = dict(space.largest.values)
    for name in values:
        variable = name.rsplit("_", 1)[1]
        values[name] = choices.get(variable, values[name])
    return values
