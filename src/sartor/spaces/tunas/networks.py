"""Known networks as choices of the TuNAS spaces, written like the tables of the official model archive.

One word per layer: ``5e3`` is kernel 5, expansion 3; a trailing ``s`` adds squeeze-excite. A dash, or no word at all,
skips the layer. The expansion is relative to the channels that enter the layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.decisions import Decision

_SKIP = "-"
_WORD = re.compile(r"(?P<kernel>\d)e(?P<expansion>\d(?:\.\d)?)(?P<se>s?)")


@dataclass(frozen=True)
class Network:
    """A network in the block structure of a space.

    ``first`` holds the choices outside the searched blocks; ``body`` one line per searched block, the number of the
    first of them being ``start``.
    """

    filters: tuple[int, ...]
    first: Mapping[str, Any]
    body: tuple[str, ...]
    start: int
    squeeze: bool = False

    @cached_property
    def values(self) -> dict[str, Any]:
        """Decision name -> value, only what the network needs: a layer that is missing has no entry."""
        found: dict[str, Any] = {f"filters{b}": width for b, width in enumerate(self.filters)} | dict(self.first)
        for number, line in enumerate(self.body, self.start):
            for layer, word in enumerate(line.split(), 1):
                if word == _SKIP:
                    continue
                match = _WORD.fullmatch(word)
                assert match is not None, word
                expansion = float(match["expansion"])
                if layer > 1:
                    found[f"block{number}_layer{layer}"] = "layer"
                found[f"block{number}_kernel{layer}"] = int(match["kernel"])
                found[f"block{number}_expansion{layer}"] = int(expansion) if expansion.is_integer() else expansion
                if self.squeeze:
                    found[f"block{number}_se{layer}"] = bool(match["se"])
        return found


def known_networks(
    networks: Mapping[str, Network], decisions: Sequence[Decision], fixed: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Name -> a value for every decision, for the networks that these decisions and ``fixed`` values can spell.

    Values may lie off the grid. Optional layers that a network lacks are skipped, their choices at the first option.
    """
    start = {d.name: "skip" if "skip" in d.options else d.options[0] for d in decisions}
    found = {}
    for name, network in networks.items():
        others = {key: value for key, value in network.values.items() if key not in start}
        if all(key in (fixed or {}) and (fixed or {})[key] == value for key, value in others.items()):
            found[name] = start | {key: value for key, value in network.values.items() if key in start}
    return found


def network_blueprint(name: str, *, num_classes: int = 1000, image_size: int = 224) -> Blueprint:
    """The layers of a known network, resolved by the templates of the space whose structure it has."""
    options: dict[str, Any] = {"num_classes": num_classes, "image_size": image_size}
    if name in PROXYLESSNAS_NETWORKS:
        networks, space = PROXYLESSNAS_NETWORKS, spaces.create("proxylessnas_enlarged", **options)
    else:
        activation = next(a for a, known in MOBILENETV3_NETWORKS.items() if name in known)
        networks = MOBILENETV3_NETWORKS[activation]
        space = spaces.create("mobilenetv3_like", activation=activation, **options)
    return space.blueprint(known_networks(networks, space.decisions)[name], name)


def _proxylessnas(filters: tuple[int, ...], *body: str) -> Network:
    return Network(filters, {"block1_kernel1": 3}, body, start=2)


def _mobilenetv3(filters: tuple[int, ...], first: Mapping[str, Any], *body: str) -> Network:
    return Network(filters, {"stem_kernel": 3, **first}, body, start=1, squeeze=True)


PROXYLESSNAS_NETWORKS = {
    "mobilenet_v2": _proxylessnas(
        (32, 16, 24, 32, 64, 96, 160, 320, 1280),
        "3e6 3e6",
        "3e6 3e6 3e6",
        "3e6 3e6 3e6 3e6",
        "3e6 3e6 3e6",
        "3e6 3e6 3e6",
        "3e6",
    ),
    "mnasnet_b1": _proxylessnas(
        (32, 16, 24, 40, 80, 96, 192, 320, 1280),
        "3e3 3e3 3e3",
        "5e3 5e3 5e3",
        "5e6 5e6 5e6",
        "3e6 3e6",
        "5e6 5e6 5e6 5e6",
        "3e6",
    ),
    "proxylessnas_mobile": _proxylessnas(
        (32, 16, 32, 40, 80, 96, 192, 320, 1280),
        "5e3 3e3",
        "7e3 3e3 5e3 5e3",
        "7e6 5e3 5e3 5e3",
        "5e6 5e3 5e3 5e3",
        "7e6 7e6 7e3 7e3",
        "7e6",
    ),
}

_SEPARABLE = {"stem_layer": "layer", "stem_separable_kernel": 3}
_NO_SEPARABLE = {"stem_layer": "skip"}

# By the activation outside the first two blocks.
MOBILENETV3_NETWORKS = {
    "hard_swish": {
        # Off the grid: 112 and 960 filters, and expanded widths of 200 and 184 from 80 filters.
        "mobilenet_v3_large": _mobilenetv3(
            (16, 24, 40, 80, 112, 160, 960, 1280),
            _SEPARABLE,
            "3e4 3e3",
            "5e3s 5e3s 5e3s",
            "3e6 3e2.5 3e2.3 3e2.3",
            "3e6s 3e6s",
            "5e6s 5e6s 5e6s",
        ),
        # The best of the released rows: 56.58 ms, 75.41 % after 360 epochs.
        "tunas_mobilenetv3_like": _mobilenetv3(
            (16, 24, 40, 80, 128, 192, 1024, 2048),
            _NO_SEPARABLE,
            "5e4s",
            "7e5s 3e3s 3e2 3e3",
            "7e6s 3e3 3e2 5e2s",
            "5e6s - 3e2s 3e1s",
            "5e6s 7e2s 7e2s 7e2s",
        ),
    },
    # Chu et al., "Discovering multi-hardware mobile models via architecture search" (arXiv 2008.08178).
    "relu": {
        "mobilenet_multi_avg": _mobilenetv3(
            (32, 32, 64, 128, 160, 192, 960, 1280),
            _NO_SEPARABLE,
            "3e3 3e2",
            "5e5 3e3 3e2 3e3",
            "5e6 3e3 3e3 3e3",
            "3e6 3e4",
            "3e6 5e4 5e4 5e4",
        ),
        "mobilenet_multi_max": _mobilenetv3(
            (32, 32, 64, 128, 128, 160, 960, 1280),
            _NO_SEPARABLE,
            "3e3",
            "5e6 3e2 3e2",
            "5e6 3e4 3e3 3e3",
            "3e6 3e3",
            "3e6 5e4 3e5 5e4",
        ),
    },
}
