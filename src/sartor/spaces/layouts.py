"""Which strides suit which pictures: a space's layout, settled once, and the same space for other pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sartor.errors import RequestError

if TYPE_CHECKING:
    from sartor.space import SearchSpace

Layout = Literal["auto", "small", "cifar", "imagenet"]


def settled(layout: Layout, image_size: int) -> Layout:
    """``auto`` is ``small`` below 16 pixels, ``cifar`` up to 64 and ``imagenet`` above; other layouts are themselves.

    A space keeps the answer among its options, so that the same space at another size has the same strides.
    """
    if layout != "auto":
        return layout
    return "small" if image_size < 16 else "cifar" if image_size <= 64 else "imagenet"


def resized(space: SearchSpace, image_size: int) -> SearchSpace:
    """The same space for pictures of another size: the same decisions, widths and strides.

    Raises:
        RequestError: the space is made for one size alone.
    """
    from sartor import spaces

    if image_size == space.image_size:
        return space
    if space.name not in spaces.names() or "image_size" not in space.options:
        raise RequestError(
            f"deploy_image_size: space {space.name!r} is for pictures of {space.image_size}x{space.image_size} alone; "
            "leave it out"
        )
    return spaces.create(space.name, **{**space.options, "image_size": image_size})
