"""Latency tables in two public formats: that of ProxylessNAS and that of Once-for-all.

Both name operations by shape, such as
``expanded_conv-input:56x56x24-output:28x28x40-expand:6-kernel:3-stride:2-idskip:0`` (ProxylessNAS: ``expand`` is a
ratio) or ``...-expand:144-kernel:3-stride:2-idskip:0-se:1-hs:0`` (Once-for-all: the expanded channels, squeeze-excite,
hard swish), with ``[mean ms, spread, count]``; Once-for-all has one such table per
picture size. A block of ours takes what its operations take. ``Logits`` includes the pooling where its input is not
pooled yet. ReLU and ReLU6 are not told apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sartor.costs.factors import FactorCost
from sartor.costs.keys import Piece, network_pieces
from sartor.costs.tables import MissingEntryError, check_size, summed_cost
from sartor.errors import RequestError
from sartor.layers import Gate, Layer, Node, Residual

if TYPE_CHECKING:
    from sartor.blueprint import Blueprint
    from sartor.space import SearchSpace

_INPUT = re.compile(r"^(?P<kind>\w+)-input:(?P<h>\d+)x(?P<w>\d+)x(?P<c>\d+)-output:(?P<out>[\dx]+)(?P<rest>.*)$")
_NS_PER_MS = 1_000_000


@dataclass(frozen=True)
class ImportedTable:
    """A published table of one device at one picture size.

    Args:
        name: of the device.
        image_size: side of the pictures.
        ns: operation -> whole nanoseconds; see :func:`_operations` for how operations are written.
        by_channels: whether bottlenecks are told by expanded channels (Once-for-all) rather than by ratio.
    """

    name: str
    image_size: int
    ns: Mapping[str, int]
    by_channels: bool

    def price(self, piece: Piece) -> int:
        """Nanoseconds of one block; zero where it does nothing.

        Raises:
            MissingEntryError: one of its operations is not in the table; it is named.
        """
        return sum(self._price(operation) for operation in _operations(piece, self.by_channels))

    def cost(self, space: SearchSpace) -> FactorCost:
        """The latency of a space's networks as a sum of factors in whole nanoseconds.

        Raises:
            RequestError: another picture size, or blocks whose operations are not in the table.
        """
        check_size(self.name, self.image_size, space.image_size)
        return summed_cost(space, self.price, 0, self.name)

    def network_ns(self, blueprint: Blueprint) -> int:
        """Nanoseconds of one network.

        Raises:
            RequestError: as :meth:`cost`.
        """
        check_size(self.name, self.image_size, blueprint.image_size)
        return sum(map(self.price, network_pieces(blueprint)))

    def _price(self, operation: str) -> int:
        if operation == "pool of logits":
            return 0
        if operation not in self.ns:
            raise MissingEntryError(f"there is no entry for {operation!r}")
        return self.ns[operation]


def is_published(data: Any) -> bool:
    """Whether a JSON document looks like one of the two formats."""
    if not isinstance(data, dict) or not data:
        return False
    first = next(iter(data.values()))
    tables = list(data.values()) if isinstance(first, dict) else [data]
    return all(isinstance(t, dict) and t and all(_INPUT.match(name) for name in list(t)[:3]) for t in tables)


def published_tables(data: Mapping[str, Any], source: object) -> list[ImportedTable]:
    """The tables in a document of one of the two formats, one per picture size.

    Raises:
        RequestError: an entry is no list that begins with a latency in milliseconds, or a name cannot be read.
    """
    by_size = all(isinstance(value, dict) for value in data.values())
    found = []
    for size, table in data.items() if by_size else [("", data)]:
        names = list(table)
        by_channels = any("-hs:" in name for name in names)
        ns = {_canonical(name, source): _nanoseconds(name, table[name], source) for name in names}
        side = max(int(match["h"]) for name in names if (match := _INPUT.match(name)))
        if size and int(size) != side:
            raise RequestError(f"{source}: the table for {size} pixels begins at {side}")
        found.append(ImportedTable("note10_ofa" if by_channels else "pixel1_proxyless", side, ns, by_channels))
    return found


def pick_table(tables: Sequence[ImportedTable], image_size: int) -> ImportedTable:
    """The table of a picture size.

    Raises:
        RequestError: there is none; names those that there are.
    """
    for table in tables:
        if table.image_size == image_size:
            return table
    sizes = ", ".join(str(t.image_size) for t in tables)
    raise RequestError(
        f"device {tables[0].name!r} has latencies at {sizes} pixels, not at {image_size}. Set deploy_image_size to one "
        "of these"
    )


def _canonical(name: str, source: object) -> str:
    """The name of an operation without what Sartor's blocks cannot tell: the number behind ``Conv``."""
    match = _INPUT.match(name)
    if match is None:
        raise RequestError(f"{source}: {name!r} is no operation of a ProxylessNAS or Once-for-all table")
    if match["kind"].startswith("Conv"):
        return name.replace(match["kind"], "Conv", 1)
    if match["kind"] == "Logits" and int(match["h"]) > 1:
        return f"Logits-input:pooled-{match['c']}-output:{match['out']}"
    return name


def _nanoseconds(name: str, value: Any, source: object) -> int:
    ms = value[0] if isinstance(value, list) and value else value
    if isinstance(ms, bool) or not isinstance(ms, int | float) or not math.isfinite(ms) or ms < 0:
        raise RequestError(f"{source}: {name!r} needs [milliseconds, spread, count], got {value!r}")
    return round(ms * _NS_PER_MS)


def _operations(piece: Piece, by_channels: bool) -> Iterator[str]:
    """The operations of a block, as a table names them."""
    if piece.key is None:
        return
    if piece.join != "single":
        raise MissingEntryError(f"there is no entry for blocks that join others: {piece.key!r}")
    body: Sequence[Node] = piece.stack.body
    skip = len(body) == 1 and isinstance(body[0], Residual)
    if skip:
        assert isinstance(body[0], Residual)
        body = body[0].body
    nodes = [node for node in body if not _is_free(node)]
    if any(isinstance(node, Layer) and node.depthwise for node in nodes):
        yield _bottleneck(piece, nodes, skip, by_channels)
        return
    if skip or not all(isinstance(node, Layer) for node in nodes):
        raise MissingEntryError(f"there is no entry for {piece.key!r}")
    for layer in nodes:
        assert isinstance(layer, Layer)
        yield _plain(layer, piece, by_channels)


def _plain(layer: Layer, piece: Piece, by_channels: bool) -> str:
    entering, leaving = _shape(layer.in_side, layer.in_channels), _shape(layer.out_side, layer.out_channels)
    if layer.kind == "conv" and layer.groups == 1 and layer.kernel == (3 if layer.stride > 1 else 1):
        return f"Conv-input:{entering}-output:{leaving}"
    if layer.kind == "global_pool":
        return f"AvgPool2D-input:{entering}-output:{leaving}" if by_channels else "pool of logits"
    if layer.kind == "linear":
        if by_channels:
            return f"Logits-input:{entering}-output:{layer.out_channels}"
        return f"Logits-input:pooled-{layer.in_channels}-output:{layer.out_channels}"
    raise MissingEntryError(f"there is no entry for {piece.key!r}")


def _bottleneck(piece: Piece, nodes: Sequence[Node], skip: bool, by_channels: bool) -> str:
    """The name of an inverted bottleneck, or of a separable convolution, which is one of expansion 1."""
    gates = [node for node in nodes if isinstance(node, Gate)]
    layers = [node for node in nodes if isinstance(node, Layer)]
    expand, depthwise = (layers[0], layers[1]) if len(layers) == 3 else (None, layers[0])
    plain = all(n.kind == "conv" and (n is depthwise or n.kernel == n.groups == 1) for n in layers)
    if len(layers) not in (2, 3) or not depthwise.depthwise or not plain or len(gates) > 1:
        raise MissingEntryError(f"there is no entry for {piece.key!r}")
    hidden, channels = depthwise.in_channels, piece.stack.in_channels
    ratio = hidden / channels if expand is not None else 1
    expansion = str(hidden) if by_channels else f"{ratio:g}"
    start = f"expanded_conv-input:{_shape(piece.stack.in_side, channels)}"
    end = f"output:{_shape(piece.stack.out_side, piece.stack.out_channels)}"
    name = f"{start}-{end}-expand:{expansion}-kernel:{depthwise.kernel}-stride:{depthwise.stride}-idskip:{int(skip)}"
    hard = any(layer.function == "hard_swish" for layer in piece.layers)
    if by_channels:
        return f"{name}-se:{len(gates)}-hs:{int(hard)}"
    if gates or hard:
        raise MissingEntryError(f"there is no entry for {piece.key!r}")
    return name


def _is_free(node: Node) -> bool:
    return isinstance(node, Layer) and node.kind in ("batch_norm", "activation", "dropout")


def _shape(side: int, channels: int) -> str:
    return f"{side}x{side}x{channels}"
