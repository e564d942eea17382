"""Sartor cuts neural networks to measure.

    space = sartor.spaces.create("mobilenet_v1", num_classes=100, image_size=32)
    macs = space.cost("macs")(space.sample(1_000, rng))
    found = sartor.search("aows", space=space, data=data, platforms=platforms, epochs=50, seed=0)

Importing the package is light: torch is loaded when something needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sartor.errors import InfeasibleBudgetError, RequestError, SartorError

if TYPE_CHECKING:
    from sartor import spaces
    from sartor.anytime.predictor import load_anytime
    from sartor.decisions import Decision
    from sartor.elastic import SlimmableNetwork
    from sartor.pipeline.api import search
    from sartor.platforms import Platform
    from sartor.space import Architecture, SearchSpace
    from sartor.spaces.references import reference

__version__ = "0.1.0"

__all__ = [
    "Architecture",
    "Decision",
    "InfeasibleBudgetError",
    "Platform",
    "RequestError",
    "SartorError",
    "SearchSpace",
    "SlimmableNetwork",
    "load_anytime",
    "reference",
    "search",
    "spaces",
]

_LAZY = {
    "Architecture": "sartor.space",
    "Decision": "sartor.decisions",
    "SearchSpace": "sartor.space",
    "Platform": "sartor.platforms",
    "SlimmableNetwork": "sartor.elastic",
    "load_anytime": "sartor.anytime.predictor",
    "reference": "sartor.spaces.references",
    "search": "sartor.pipeline.api",
}


def __getattr__(name: str) -> Any:
    if name == "spaces":
        return importlib.import_module("sartor.spaces")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'sartor' has no attribute {name!r}")
