"""Counts by the conventions of others, each under a name of its own, so that published figures are met to the digit.

``macs`` and ``params`` are ours (see :mod:`sartor.layers`). A count of this file is asked for like a cost,
``space.cost("fbnet_zoo_macs")``, or of one network, ``blueprint.count("fbnet_zoo_macs")``; it serves to compare, and
platforms state their budgets in our own counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sartor.errors import RequestError
from sartor.layers import Layer


def fbnet_zoo_macs(layer: Layer) -> int:
    """As the model zoo of FBNetV2 counts: ours, and one per input element of a global pooling."""
    return layer.macs + (layer.in_elements if layer.kind == "global_pool" else 0)


def fbnet_zoo_params(layer: Layer) -> int:
    """As the model zoo of FBNetV2 counts: the weights of convolutions and linear layers, no biases, no batch norms."""
    if layer.kind == "batch_norm":
        return 0
    return layer.params - (layer.out_channels if layer.bias else 0)


def msdnet_port_ops(layer: Layer) -> int:
    """As the PyTorch port of MSDNet counts: ours, and one per element that a ReLU or a pooling reads or a bias adds."""
    if layer.kind in ("activation", "global_pool"):
        return layer.in_elements
    if layer.kind == "pool":
        return layer.kernel**2 * layer.out_elements if layer.function == "avg" else 0
    return layer.macs + (layer.out_channels if layer.kind == "linear" else 0)


# Adding a convention is one function and one line here.
CONVENTIONS: dict[str, Callable[[Layer], int]] = {
    "fbnet_zoo_macs": fbnet_zoo_macs,
    "fbnet_zoo_params": fbnet_zoo_params,
    "msdnet_port_ops": msdnet_port_ops,
}


def count(layers: Iterable[Layer], name: str) -> int:
    """The sum of a count over layers.

    Raises:
        RequestError: no convention has that name.
    """
    if name not in CONVENTIONS:
        raise RequestError(f"unknown count {name!r}; known are {', '.join(CONVENTIONS)}")
    return sum(map(CONVENTIONS[name], layers))
