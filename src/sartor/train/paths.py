"""What training does to the tensors between the parts of a network: drop path, and gradient equilibrium of exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sartor.blueprint import Blueprint
from sartor.elastic.execution import DropPath, Read
from sartor.layers import Residual
from sartor.network import exit_names


def branch_rates(blueprint: Blueprint, rate: float) -> dict[str, float]:
    """How often each block leaves out its residual branch: linear in its rank, up to ``rate`` for the last one.

    Huang et al., stochastic depth, equation 4.
    """
    names = [b.name for b in blueprint.blocks if any(isinstance(node, Residual) for node in b.stack.body)]
    return {name: rate * (i + 1) / len(names) for i, name in enumerate(names)}


def edge_rates(blueprint: Blueprint, rate: float) -> dict[str, float]:
    """How often the sums of a graph do without each of their inputs: all edges at ``rate`` (NASNet; DARTS).

    An edge is a block with layers that sums of several blocks read, and nothing else does. Identities have no layers
    and are exempt, as in DARTS; a skip of stride 2 has some and is an edge like the others.
    """
    readers = _readers(blueprint)
    sums = {block.name for block in blueprint.blocks if block.join == "sum" and len(block.inputs) > 1}
    inner = [b.name for b in blueprint.blocks if b.stack.body and b.name in readers and not b.is_exit]
    return {name: rate for name in inner if sums.issuperset(readers[name])}


def equilibrium(blueprint: Blueprint) -> dict[tuple[str, str], float]:
    """(reader, source) -> how often the gradient counts that a block hands back to one it reads; 1 where not listed.

    Gradient equilibrium (Li et al. 2019, IMTA, section 3.1; kalviny/IMTA, msdnet_ge.py): at a tensor that the head of
    exit i of K reads (from 0), the head's gradient counts 1 / (K - i) times and that of the path going on
    (K - i - 1) / (K - i) times, so that what lies before is moved by about as much as by one exit. Paths that pass by
    that tensor, on finer scales, stay as they are, as they do there.
    """
    readers = _readers(blueprint)
    inputs = {block.name: block.inputs for block in blueprint.blocks}
    names = exit_names(blueprint.blocks)
    factors: dict[tuple[str, str], float] = {}
    left_behind: set[str] = set()
    for i, name in enumerate(names[:-1]):
        head, left = _head(blueprint, name, readers), len(names) - i
        sources = {source for block in head for source in inputs[block]} - head
        for pair in ((reader, source) for source in sources for reader in set(readers[source]) - left_behind):
            share = (1 if pair[0] in head else left - 1) / left
            factors[pair] = factors.get(pair, 1.0) * share
        left_behind |= head
    return factors


def _head(blueprint: Blueprint, exit_name: str, readers: Mapping[str, Sequence[str]]) -> set[str]:
    """The blocks that work for one exit alone: itself, and what nobody else reads."""
    head = {exit_name}
    for block in reversed(blueprint.blocks):
        if block.name in readers and head.issuperset(readers[block.name]) and not block.is_exit:
            head.add(block.name)
    return head


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` as it is, with a gradient that counts ``factor`` times."""
    if factor == 1.0 or not (x.requires_grad and torch.is_grad_enabled()):
        return x
    same = x.view_as(x)
    same.register_hook(lambda gradient: gradient * factor)  # type: ignore[no-untyped-call]
    return same


def reader(factors: Mapping[tuple[str, str], float], drop: DropPath | None) -> Read | None:
    """What blocks get of one another in a pass: gradients scaled by ``factors``, edges dropped; None: all as it is."""
    if not factors and (drop is None or not drop.edges):
        return None

    def read(block: str, source: str, x: Tensor) -> Tensor:
        kept = x if drop is None else drop.edge(source, x)
        return scale_gradient(kept, factors.get((block, source), 1.0))

    return read


def _readers(blueprint: Blueprint) -> dict[str, list[str]]:
    """Block, or the pictures -> the blocks that read it."""
    readers: dict[str, list[str]] = {}
    for block in blueprint.blocks:
        for source in block.inputs:
            readers.setdefault(source, []).append(block.name)
    return readers
