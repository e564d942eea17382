"""How much activation memory a network needs: which tensors live while each layer runs, at batch 1.

Elementwise layers overwrite their input unless it is still needed, as runtimes do; shortcuts, waiting branches and
exits count for as long as somebody will read them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from sartor.layers import Gate, Layer, Node, Parallel, Residual, SplitAttention, walk_layers

if TYPE_CHECKING:
    from sartor.blueprint import Block

BYTES_PER_ELEMENT = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
PICTURES = "pictures"  # the name of the network's input

# The wiring of a network: name, inputs and whether it is an exit, in order of execution.
Wiring = Sequence[tuple[str, tuple[str, ...], bool]]


def peak_elements(blocks: Sequence[Block], pictures: int) -> int:
    """The largest number of live elements while ``blocks`` run in order, for one picture of ``pictures`` elements.

    A tensor lives from the layer that makes it to its last reader; logits live to the end. Elementwise layers
    overwrite their input unless it is still needed.
    """
    wiring = [(block.name, block.inputs, block.is_exit) for block in blocks]
    empty = {block.name for block in blocks if block.is_empty}
    size = {PICTURES: pictures} | {block.name: block.out_elements for block in blocks}
    peak = 0
    for index, block in enumerate(blocks):
        inputs, waiting, kept = live_tensors(wiring, index, empty)
        own = block_peak_elements(dataclasses.replace(block, inputs=inputs), kept, size)
        peak = max(peak, own + sum(size[name] for name in waiting))
    return peak


def live_tensors(wiring: Wiring, index: int, empty: Set[str]) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
    """The inputs of a block, the tensors that wait while it runs, and which inputs are needed after it.

    A tensor has the name of the block that made it; the ``empty`` blocks hand on their input.
    """
    maker = makers(wiring, empty)
    last_reader = {maker[n]: i for i, (_, inputs, _) in enumerate(wiring) for n in inputs}
    last_reader |= {maker[name]: len(wiring) for name, _, is_exit in wiring if is_exit}
    earlier = {PICTURES, *[maker[name] for name, _, _ in wiring[:index]]}
    alive = frozenset(name for name in earlier if last_reader.get(name, -1) > index)
    own = tuple(maker[name] for name in wiring[index][1])
    return own, alive.difference(own), alive.intersection(own)


def makers(wiring: Wiring, empty: Set[str]) -> dict[str, str]:
    """Block -> the block that made its output: itself, unless it is empty."""
    maker = {PICTURES: PICTURES}
    for name, inputs, _ in wiring:
        maker[name] = maker[inputs[0]] if name in empty else name
    return maker


def block_peak_elements(block: Block, kept: frozenset[str] = frozenset(), size: dict[str, int] | None = None) -> int:
    """The largest number of live elements inside one block; ``kept`` inputs are needed after it."""
    entering = block.stack.in_channels * block.stack.in_side**2
    if block.join == "single":
        peak, _ = _body_peak(block.stack.body, 0, bool(kept))
        return max(peak, entering)
    sizes = size or {}
    inputs = sum(sizes[name] for name in set(block.inputs))
    if block.join == "concat":  # the inputs and their copy side by side
        joined = inputs + entering
    else:  # a sum is written over one input that nobody else needs
        joined = inputs + (entering if kept.issuperset(block.inputs) else 0)
    held = sum(sizes[name] for name in kept)
    peak, _ = _body_peak(block.stack.body, held, False)
    return max(joined, peak)


def _body_peak(body: Sequence[Node], held: int, kept: bool) -> tuple[int, bool]:
    """The peak of a body while ``held`` other elements wait; ``kept`` says that its input must survive it.

    Returns the peak and whether the output still is the kept input itself.
    """
    peak = 0
    for node in body:
        if isinstance(node, Layer):
            overwrite = node.in_place and not kept
            peak = max(peak, held + node.in_elements + (0 if overwrite else node.out_elements))
            if kept:
                held, kept = held + node.in_elements, False
            continue
        if isinstance(node, SplitAttention):
            inner, entering = _attention_peak(node, held, kept)
            peak, held, kept = max(peak, inner), held + (entering if kept else 0), False
            continue
        if isinstance(node, Parallel):
            inner, entering = _parallel_peak(node, held, kept)
            peak, held, kept = max(peak, inner), held + (entering if kept else 0), False
            continue
        entering = next(walk_layers(node.body)).in_elements
        inner, _ = _body_peak(node.body, held, True)
        # The sum is written over the body's output, the product over the gate's input.
        joined = held + entering + _out_elements(node.body)
        if kept:
            joined += entering if isinstance(node, Gate) else 0
            held, kept = held + entering, False
        peak = max(peak, inner, joined)
    return peak, kept


def _attention_peak(node: SplitAttention, held: int, kept: bool) -> tuple[int, int]:
    """The peak of a split attention and the elements of its input, which the last branch reads last.

    The branches wait side by side while the gate reads their sum; the softmax over the branches writes beside its
    input, and the products and their sum are written over the branches.
    """
    peak, entering, outputs = _branches_peak(node.branches, held, kept)
    held += outputs + (entering if kept else 0)
    gate, _ = _body_peak(node.gate, held, False)
    return max(peak, gate, held + 2 * _out_elements(node.gate)), entering


def _parallel_peak(node: Parallel, held: int, kept: bool) -> tuple[int, int]:
    """The peak of branches whose outputs wait side by side to be copied into one, and the elements of their input."""
    peak, entering, outputs = _branches_peak(node.branches, held, kept)
    return max(peak, held + 2 * outputs + (entering if kept else 0)), entering


def _branches_peak(branches: Sequence[Sequence[Node]], held: int, kept: bool) -> tuple[int, int, int]:
    """The peak of branches that run one after the other, the elements of their input, and those of all outputs."""
    entering = next(walk_layers(branches[0])).in_elements
    peak = outputs = 0
    for i, body in enumerate(branches):
        inner, _ = _body_peak(body, held + outputs, kept or i < len(branches) - 1)
        peak, outputs = max(peak, inner), outputs + _out_elements(body)
    return peak, entering, outputs


def _out_elements(body: Sequence[Node]) -> int:
    """Elements that a body hands on; a gate hands on its input, not the factors that its last layer makes."""
    last = body[-1]
    if isinstance(last, SplitAttention):
        return _out_elements(last.branches[0])
    if isinstance(last, Parallel):
        return sum(map(_out_elements, last.branches))
    if isinstance(last, Layer):
        return last.out_elements
    if isinstance(last, Residual):
        return _out_elements(last.body)
    return next(walk_layers(last.body)).in_elements
