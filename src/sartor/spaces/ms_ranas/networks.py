"""Known networks of DARTS cells."""

from __future__ import annotations

from typing import Any

from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.spaces.ms_ranas.genotypes import GENOTYPES, read_genotype

# What the network of Liu et al. (2019) on CIFAR has where "R" has something else (quark0/darts, train.py).
DARTS: dict[str, Any] = {
    "scales": 1,
    "layers": 20,
    "channels": 36,
    "stem_multiplier": 3,
    "generator": "extra_layer",
    "head": "pool",
    "exits": "last",
    "auxiliary": True,
}


def darts_network(name: str, *, num_classes: int = 10, image_size: int = 32, **options: Any) -> Blueprint:
    """The network of DARTS with published cells (``darts_v2``); its auxiliary head serves training alone."""
    genotype = GENOTYPES[name]
    shape = {"num_classes": num_classes, "image_size": image_size, "nodes": genotype.nodes}
    space = spaces.create("ms_ranas", **{**DARTS, **shape, **options})
    return space.blueprint(read_genotype(space, genotype).values, name)
