"""Which strides suit which pictures: a space's layout, settled once."""

from __future__ import annotations

from typing import Literal

Layout = Literal["auto", "small", "cifar", "imagenet"]


def settled(layout: Layout, image_size: int) -> Layout:
    """``auto`` is ``small`` below 16 pixels, ``cifar`` up to 64 and ``imagenet`` above; other layouts are themselves.

    A space keeps the answer among its options, so that the same space at another size has the same strides.
    """
    if layout != "auto":
        return layout
    return "small" if image_size < 16 else "cifar" if image_size <= 64 else "imagenet"
