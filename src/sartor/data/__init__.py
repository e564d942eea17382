"""Pictures and their labels: sources, index sets, augmentation, batches.

What needs torch is imported when first asked for, so that worker processes and the command line start fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sartor.data.images import ImageArray, ImageSet, Pictures, RaggedImages
from sartor.data.load import load
from sartor.data.normalise import Normalisation
from sartor.data.sources import SOURCES, register_source
from sartor.data.splits import IndexSets, make_index_sets

if TYPE_CHECKING:
    from sartor.data.augment import Augmentation
    from sartor.data.batches import BatchStream, ordered_batches
    from sartor.data.pixels import PixelStore

__all__ = [
    "SOURCES",
    "Augmentation",
    "BatchStream",
    "ImageArray",
    "ImageSet",
    "IndexSets",
    "Normalisation",
    "Pictures",
    "PixelStore",
    "RaggedImages",
    "load",
    "make_index_sets",
    "ordered_batches",
    "register_source",
]

_WITH_TORCH = {
    "Augmentation": "sartor.data.augment",
    "BatchStream": "sartor.data.batches",
    "PixelStore": "sartor.data.pixels",
    "ordered_batches": "sartor.data.batches",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WITH_TORCH[name]), name)
