"""Architectures as the official tools write them: option indices joined by colons.

The tools walk the blocks in order; inside a block first the layers, then the filters; inside a layer first its own
choices (kernel, expansion, squeeze-excite), then whether it is there (0) or skipped (1). Nodes with a single choice
are written too, as 0: in the two ProxylessNAS spaces every first layer has one after its expansion, and filters
that are not searched are one. At the paper's depth of 4 that makes 73, 73 and 86 numbers. The strings are those of
the collapsed spaces, whatever the option ``collapsed`` says: sharing weights does not change what is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator

from sartor.errors import RequestError
from sartor.space import Architecture, SearchSpace

_PROXYLESSNAS = ("proxylessnas", "proxylessnas_enlarged")
_SPACES = (*_PROXYLESSNAS, "mobilenetv3_like")


def read_index_string(space: SearchSpace, text: str) -> Architecture:
    """The architecture of an index string such as ``"0:0:1:1:1:3:..."``.

    Raises:
        RequestError: the space has no such strings, or the string does not fit it.
    """
    nodes = _nodes(space)
    words = text.strip().split(":")
    if len(words) != len(nodes):
        raise RequestError(
            f"an index string of this {space.name} space has {len(nodes)} numbers joined by colons, got {len(words)}"
        )
    row = [0] * len(space.decisions)
    for place, (word, node) in enumerate(zip(words, nodes, strict=True), 1):
        options = 1 if node is None else space.sizes[space.index[node]]
        index = int(word) if word.strip().isdecimal() else -1
        if not 0 <= index < options:
            what = "a node with a single choice" if node is None else node
            allowed = "only 0" if options == 1 else f"0 to {options - 1}"
            raise RequestError(f"index string, number {place} ({what}): got {word!r}, allowed is {allowed}")
        if node is not None:
            row[space.index[node]] = index
    return space.architecture(row)


def write_index_string(architecture: Architecture) -> str:
    """The index string of an architecture; :func:`read_index_string` reads it back.

    Raises:
        RequestError: the architecture's space has no such strings.
    """
    space = architecture.space
    nodes = _nodes(space)
    return ":".join("0" if node is None else str(architecture.row[space.index[node]]) for node in nodes)


def _nodes(space: SearchSpace) -> list[str | None]:
    """The decision behind every number, None where there is a single choice."""
    if space.name not in _SPACES:
        raise RequestError(f"index strings belong to the spaces {', '.join(_SPACES)}, not to {space.name}")
    walk = _walk_proxylessnas if space.name in _PROXYLESSNAS else _walk_mobilenetv3
    return [name if name in space.index else None for name in walk(int(space.options["depth"]))]


def _walk_proxylessnas(depth: int) -> Iterator[str]:
    yield "filters0"
    yield from ("block1_kernel1", "filters1")
    for block in range(2, 8):
        for layer in range(1, (depth if block < 7 else 1) + 1):
            yield from _layer(block, layer, "kernel", "expansion")
            yield f"block{block}_layer{layer}"  # a single choice for layer 1
        yield f"filters{block}"
    yield "filters8"


def _walk_mobilenetv3(depth: int) -> Iterator[str]:
    yield from ("stem_kernel", "stem_separable_kernel", "stem_layer", "filters0")
    for block in range(1, 6):
        for layer in range(1, depth + 1):
            yield from _layer(block, layer, "kernel", "expansion", "se")
            if layer > 1:
                yield f"block{block}_layer{layer}"
        yield f"filters{block}"
    yield from ("filters6", "filters7")


def _layer(block: int, layer: int, *kinds: str) -> Iterator[str]:
    for kind in kinds:
        yield f"block{block}_{kind}{layer}"
