"""Known networks by name, resolved by the templates of the space they belong to."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.errors import RequestError
from sartor.spaces.fpnas.zoo import FBNETV2, fbnetv2
from sartor.spaces.ms_ranas.genotypes import GENOTYPES
from sartor.spaces.ms_ranas.networks import darts_network
from sartor.spaces.msdnet import msdnet


def _mobilenet_v1(match: re.Match[str], num_classes: int, image_size: int) -> Blueprint:
    space = spaces.create("mobilenet_v1", num_classes=num_classes, image_size=image_size)
    assert space.uniform is not None
    return space.blueprint(space.uniform(float(match[1])), match[0])


def _tunas(match: re.Match[str], num_classes: int, image_size: int) -> Blueprint:
    from sartor.spaces.tunas.networks import network_blueprint

    return network_blueprint(match[0], num_classes=num_classes, image_size=image_size)


def _fbnetv2(match: re.Match[str], num_classes: int, image_size: int) -> Blueprint:
    return fbnetv2(match[0], num_classes=num_classes, image_size=image_size)


def _msdnet(match: re.Match[str], num_classes: int, image_size: int) -> Blueprint:
    spans: dict[str, Any] = {"placement": "budgeted", "base": 1, "step": 1} if match[1] else {}
    return msdnet(name=match[0], blocks=int(match[2]), num_classes=num_classes, image_size=image_size, **spans)


def _darts(match: re.Match[str], num_classes: int, image_size: int) -> Blueprint:
    return darts_network(match[0], num_classes=num_classes, image_size=image_size)


_TUNAS = (
    "mobilenet_v2",
    "mnasnet_b1",
    "proxylessnas_mobile",
    "mobilenet_v3_large",
    "tunas_mobilenetv3_like",
    "mobilenet_multi_avg",
    "mobilenet_multi_max",
)

# A pattern of names -> the function that resolves them; a family is one line.
_FAMILIES: dict[str, tuple[str, Callable[[re.Match[str], int, int], Blueprint]]] = {
    r"mobilenet_v1_(\d+(?:\.\d+)?)x": ("mobilenet_v1_<width>x", _mobilenet_v1),
    **{name: (name, _tunas) for name in _TUNAS},
    **{name: (name, _fbnetv2) for name in FBNETV2},
    r"msdnet_cifar_(budgeted_)?([1-9]\d*)": ("msdnet_cifar_<blocks>, msdnet_cifar_budgeted_<blocks>", _msdnet),
    **{name: (name, _darts) for name in GENOTYPES},
}


def is_reference(name: str) -> bool:
    """Whether :func:`reference` knows a network of this name."""
    return any(re.fullmatch(pattern, name) for pattern in _FAMILIES)


def reference_names() -> tuple[str, ...]:
    """The names that :func:`reference` knows, those of a family as one form."""
    return tuple(form for form, _ in _FAMILIES.values())


def reference(name: str, *, num_classes: int = 1000, image_size: int | None = None) -> Blueprint:
    """The blueprint of a known network, such as ``reference("mobilenet_v1_0.375x", num_classes=100, image_size=32)``.

    Pictures have the published size unless one is given: 224, for FBNetV2 128 to 256, 32 for MSDNet and DARTS.

    Raises:
        RequestError: the name is unknown.
    """
    for pattern, (_, resolve) in _FAMILIES.items():
        match = re.fullmatch(pattern, name)
        if match:
            return resolve(match, num_classes, _published_size(name) if image_size is None else image_size)
    raise RequestError(f"unknown reference network {name!r}; known are {', '.join(reference_names())}")


def _published_size(name: str) -> int:
    """The side of the pictures that a network was made for."""
    if name in FBNETV2:
        return FBNETV2[name].image_size
    return 32 if name in GENOTYPES or name.startswith("msdnet_cifar") else 224
