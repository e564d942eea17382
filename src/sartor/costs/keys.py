"""What a block's latency depends on, written as a key: all that a runtime sees of it, and no names.

Blocks of equal keys are the same computation, wherever they stand; latency tables hold one entry per key. A key reads
``64x16: dw3/2 bn relu conv1-128 bn relu``: 64 channels of side 16 enter a depthwise convolution of kernel 3 and stride
2. Dropouts are left out, for they do nothing when a network predicts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sartor.blueprint import Join
from sartor.errors import RequestError
from sartor.layers import Gate, Layer, Node, Parallel, Residual, SplitAttention, walk_layers
from sartor.stack import Stack

if TYPE_CHECKING:
    from sartor.blueprint import Blueprint
    from sartor.space import SearchSpace

# Blocks that join others depend on which of these are there; a table over more cells than this is refused.
_MAX_CELLS = 1_000_000


@dataclass(frozen=True)
class Piece:
    """A block by itself: a stack, and of how many inputs it makes its one."""

    stack: Stack
    join: Join = "single"
    inputs: int = 1

    @property
    def key(self) -> str | None:
        """What the block's latency depends on; None where it does nothing, which takes no time."""
        body = _body_key(self.stack.body)
        joins = self.join != "single" and self.inputs > 1
        if not body and not joins:
            return None
        start = f"{self.join}{self.inputs} " if joins else ""
        return f"{start}{self.stack.in_channels}x{self.stack.in_side}: {body}".rstrip()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in order of execution."""
        return tuple(walk_layers(self.stack.body))

    @property
    def border_elements(self) -> int:
        """Elements that enter and leave the block for one picture."""
        stack = self.stack
        return stack.in_channels * stack.in_side**2 + stack.out_channels * stack.out_side**2

    @property
    def params(self) -> int:
        """Weights that the block reads."""
        return sum(layer.params for layer in self.layers)


def space_pieces(space: SearchSpace) -> dict[str, Piece]:
    """Key -> block, for every really different block of a space's networks, in order of execution.

    Raises:
        RequestError: a block joins more inputs that may be absent than a table can hold.
    """
    found: dict[str, Piece] = {}
    for position in range(len(space.templates)):
        for piece in template_pieces(space, position)[1]:
            if piece is not None and (key := piece.key) is not None:
                found.setdefault(key, piece)
    return found


def network_pieces(blueprint: Blueprint) -> list[Piece]:
    """The blocks of one network that take time, in order of execution."""
    pieces = [Piece(block.stack, block.join, len(block.inputs)) for block in blueprint.blocks]
    return [piece for piece in pieces if piece.key is not None]


def template_pieces(space: SearchSpace, position: int) -> tuple[tuple[int, ...], list[Piece | None]]:
    """The decisions that a template's block depends on, ascending, and its block for every combination of options.

    None where the network has no such part. A block that joins others depends on the decisions of those that may be
    absent, too.
    """
    template = space.templates[position]
    if template.join == "single":
        scope, stacks = space.template_cells(template)
        return scope, [None if stack is None else Piece(stack) for stack in stacks]
    by_name = {t.name: t for t in space.templates}
    parts = [by_name[name] for name in space.inputs(position) if name in by_name]
    unsure = [t for t in parts if any(stack is None for stack in space.template_cells(t)[1])]
    sure = len(space.inputs(position)) - len(unsure)
    scope = tuple(sorted({space.index[n] for t in (template, *unsure) for n in t.scope}))
    if math.prod(space.sizes[d] for d in scope) > _MAX_CELLS:
        raise RequestError(
            f"the latency of {template.name} in {space.name} depends on {len(scope)} decisions at once, more than a "
            "table can hold; budget in macs or params"
        )
    cells: list[Piece | None] = []
    for choice in itertools.product(*[space.decisions[d].options for d in scope]):
        values = dict(zip([space.decisions[d].name for d in scope], choice, strict=True))
        stack = space.stack(template, values)
        present = sure + sum(space.stack(t, values) is not None for t in unsure)
        cells.append(None if stack is None or present == 0 else Piece(stack, template.join, present))
    return scope, cells


def key_indices(space: SearchSpace, position: int, known: dict[str, int]) -> tuple[tuple[int, ...], NDArray[np.int64]]:
    """A template's scope and, for every combination of its options, the number of its key; -1 where it takes no time.

    New keys get the next number in ``known``.
    """
    scope, pieces = template_pieces(space, position)
    keys = [None if piece is None else piece.key for piece in pieces]
    numbers = [-1 if key is None else known.setdefault(key, len(known)) for key in keys]
    return scope, np.asarray(numbers, dtype=np.int64).reshape([space.sizes[d] for d in scope])


@dataclass(frozen=True)
class Shape:
    """A key taken apart: its structure, in which all else is the same, and the numbers that only make it larger.

    ``fields`` are the sides and channels that enter, the channels that leave, the kernels, and the widths in between.
    Of two blocks of one structure, that with no smaller number is no less work.
    """

    structure: str
    in_side: int
    in_channels: int
    out_channels: int
    kernels: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def fields(self) -> tuple[tuple[int, ...], ...]:
        """The numbers as five groups."""
        return (self.in_side,), (self.in_channels,), (self.out_channels,), self.kernels, self.widths

    @property
    def numbers(self) -> tuple[int, ...]:
        """All numbers."""
        return tuple(itertools.chain.from_iterable(self.fields))


def shape_of(piece: Piece) -> Shape:
    """A block's structure and numbers."""
    stack = piece.stack
    layers = [layer for layer in piece.layers if layer.kind in ("conv", "linear", "pool")]
    widths = tuple(layer.out_channels for layer in layers if layer.kind != "pool" and not layer.depthwise)
    kernels = tuple(layer.kernel for layer in layers if layer.kind != "linear")
    structure = f"{piece.join}{piece.inputs} {_body_key(stack.body, numbers=False)}"
    # The last width is that which leaves, unless what follows changes the channels in another way.
    inner = widths[:-1] if widths and widths[-1] == stack.out_channels else widths
    return Shape(structure, stack.in_side, stack.in_channels, stack.out_channels, kernels, inner)


def _body_key(body: Sequence[Node], numbers: bool = True) -> str:
    return " ".join(filter(None, (_node_key(node, numbers) for node in body)))


def _node_key(node: Node, numbers: bool) -> str:
    if isinstance(node, Layer):
        return " ".join(_layer_words(node, numbers))
    if isinstance(node, Residual):
        return f"residual({_body_key(node.body, numbers)})"
    if isinstance(node, Gate):
        return f"gate({_body_key(node.body, numbers)})"
    branches = " | ".join(_body_key(branch, numbers) for branch in node.branches)
    if isinstance(node, SplitAttention):
        return f"attention({branches} ; {_body_key(node.gate, numbers)})"
    assert isinstance(node, Parallel)
    return f"parallel({branches})"


def _layer_words(layer: Layer, numbers: bool) -> Iterator[str]:
    """The word of one layer; without ``numbers``, what stays the same between larger and smaller ones."""
    kernel = str(layer.kernel) if numbers else ""
    window = "".join(
        [
            f"/{layer.stride}" if layer.stride > 1 else "",
            f" by{layer.dilation}" if layer.dilation > 1 else "",
            "" if layer.padded else " open",
        ]
    )
    if layer.kind == "conv":
        bias = "+b" if layer.bias else ""
        if layer.depthwise:
            yield f"dw{kernel}{window}{bias}"
        else:
            groups = f" in{layer.groups}" if layer.groups > 1 else ""
            yield f"conv{kernel}{window}{groups}{bias}" + (f"-{layer.out_channels}" if numbers else "")
    elif layer.kind == "linear":
        yield "linear" + (f"-{layer.out_channels}" if numbers else "")
    elif layer.kind == "pool":
        yield f"{layer.function}{kernel}{window}"
    elif layer.kind == "activation":
        yield layer.function
    elif layer.kind == "channels":
        yield f"channels{layer.start}-{layer.start + layer.out_channels}"
    elif layer.kind != "dropout":
        words = {"batch_norm": "bn", "global_pool": "mean", "shift": "shift", "shuffle": f"shuffle{layer.groups}"}
        yield words[layer.kind]
