"""A network as a table of its blocks: what the run writes into ``result.json`` so that people can read it.

Decisions alone do not tell what a network looks like: some of its layers are fixed, others are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sartor.layers import Gate, Layer, Node, Parallel, SplitAttention
from sartor.report.schema import Decision, NetworkBlock

if TYPE_CHECKING:
    from sartor.blueprint import Block
    from sartor.space import SearchSpace


def describe_decisions(space: SearchSpace) -> list[Decision]:
    """The decisions of a space in network order, each with the first block that it shapes."""
    home: dict[str, str] = {}
    for template in space.templates:
        for name in template.scope:
            home.setdefault(name, template.name)
    return [
        {
            "name": d.name,
            "kind": d.kind,
            "options": list(d.options),
            "when": None if d.when is None else [d.when[0], list(d.when[1])],
            "block": home.get(d.name),
        }
        for d in space.decisions
    ]


def describe_network(space: SearchSpace, values: Mapping[str, Any]) -> list[NetworkBlock]:
    """One entry per block in order of execution; the values need not be in the grid."""
    expansions = {t.name: _chosen_expansion(t.scope, values) for t in space.templates}
    return [_describe(block, expansions[block.name]) for block in space.blueprint(values).blocks]


def _describe(block: Block, expansion: float | None) -> NetworkBlock:
    described: NetworkBlock = {
        "name": block.name,
        "operation": None,
        "channels": block.stack.out_channels,
        "side": block.stack.out_side,
    }
    if block.is_empty:
        return described
    path = list(_path(block.stack.body))
    functions = [layer.function for layer in path if layer.kind == "activation"]
    described["operation"] = _operation(path)
    described["kernel"] = max((layer.kernel for layer in path if layer.kind in ("conv", "pool")), default=None)
    described["expansion"] = expansion if expansion is not None and _has_depthwise(path) else _expansion(path)
    described["attention"] = _attention(block.stack.body) or (0 if _has_depthwise(path) else None)
    described["activation"] = functions[0] if functions else None
    described["macs"] = sum(layer.macs for layer in block.layers)
    return described


def _chosen_expansion(scope: Sequence[str], values: Mapping[str, Any]) -> float | None:
    """The expansion as it was chosen: spaces disagree on whether it multiplies the input or the output channels."""
    found = [values[name] for name in scope if "expansion" in name]
    return found[-1] if found else None


def _path(body: Sequence[Node]) -> Iterator[Layer]:
    """The layers that the features pass through, of parallel branches the first; not those that only weigh them."""
    for node in body:
        if isinstance(node, Layer):
            yield node
        elif isinstance(node, SplitAttention | Parallel):
            yield from _path(node.branches[0])
        elif not isinstance(node, Gate):
            yield from _path(node.body)


def _attention(body: Sequence[Node]) -> int:
    """1 for a squeeze-excite, the number of branches for a split attention, 0 for neither."""
    found = 0
    for node in body:
        if isinstance(node, SplitAttention):
            found = max(found, len(node.branches))
        elif isinstance(node, Parallel):
            found = max(found, *[_attention(branch) for branch in node.branches])
        elif isinstance(node, Gate):
            found = max(found, 1)
        elif not isinstance(node, Layer):
            found = max(found, _attention(node.body))
    return found


def _has_depthwise(path: Sequence[Layer]) -> bool:
    return any(layer.depthwise for layer in path)


def _operation(path: Sequence[Layer]) -> str:
    """The kind of a block by its layers with weights; of several kinds the one that says most."""
    if _has_depthwise(path):
        first = next(layer for layer in path if layer.kind == "conv")
        return "separable" if first.depthwise else "bottleneck"
    kinds = {layer.kind for layer in path}
    return next((kind for kind in ("conv", "linear", "pool", "global_pool") if kind in kinds), "other")


def _expansion(path: Sequence[Layer]) -> float | None:
    """Width between the pointwise convolutions of a bottleneck over that of its input."""
    convolutions = [layer for layer in path if layer.kind == "conv"]
    inner = [layer.in_channels for layer in convolutions[1:] if layer.depthwise]
    return round(inner[0] / convolutions[0].in_channels, 2) if inner else None
