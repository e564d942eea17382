"""Block keys: equal keys are equal work, and the space of the paper has as many as its facts say."""

from __future__ import annotations

import numpy as np
import pytest

from sartor import spaces
from sartor.costs.keys import Piece, network_pieces, shape_of, space_pieces, template_pieces
from sartor.costs.pairwise import monotone_orders
from sartor.stack import Stack
from sartor.testing.examples import small_space


def test_the_space_of_the_paper() -> None:
    """1,612 parameters over 2,396 cells, and 3,198 orders between neighbours (AOWS, with the order in the key)."""
    space = spaces.create("mobilenet_v1")
    pieces = space_pieces(space)
    assert len(pieces) == 1612
    assert sum(len(space.template_cells(t)[1]) for t in space.templates) == 2396
    assert len(monotone_orders(pieces)) == 3198


@pytest.mark.parametrize("name", ["mobilenet_v1", "proxylessnas", "nas_bench_macro", "two_exits", "ruled"])
def test_networks_hold_blocks_of_their_space(name: str) -> None:
    """Every block of every network has a key that its space lists, with the same layers."""
    space = small_space(name)
    pieces = space_pieces(space)
    for row in space.sample(5, np.random.default_rng(0)):
        for piece in network_pieces(space.architecture(row).blueprint):
            assert piece.key is not None
            known = pieces[piece.key]
            assert sum(layer.macs for layer in known.layers) == sum(layer.macs for layer in piece.layers)
            assert known.params == piece.params
            assert known.border_elements == piece.border_elements


def test_orders_relate_work() -> None:
    """Of two ordered blocks the first has no more MACs, and both are one structure."""
    pieces = list(space_pieces(spaces.create("mobilenetv3_like", image_size=32, depth=2, multiplier=0.125)).items())
    pairs = monotone_orders(dict(pieces))
    assert len(pairs) > len(pieces)
    for smaller, larger in pairs:
        first, second = pieces[smaller][1], pieces[larger][1]
        assert shape_of(first).structure == shape_of(second).structure
        assert sum(layer.macs for layer in first.layers) <= sum(layer.macs for layer in second.layers)


def _block(width: int = 8, kernel: int = 3, stride: int = 1, function: str = "relu", names: str = "") -> str | None:
    stack = Stack(6, 12).conv(f"a{names}", width, kernel=kernel, stride=stride).batch_norm().activation(function)
    return Piece(stack).key


def test_keys_tell_what_matters_and_nothing_else() -> None:
    """Widths, kernels, strides, functions and sides change a key; names and dropouts do not."""
    assert _block() == "6x12: conv3-8 bn relu" == _block(names="other")
    keys = {_block(), _block(width=9), _block(kernel=5), _block(stride=2), _block(function="hard_swish")}
    assert len(keys) == 5
    start = Stack(6, 12)
    assert Piece(start.dropout()).key is None
    assert Piece(start).key is None
    assert Piece(start.conv("a", 8, kernel=3).batch_norm().activation().dropout()).key == _block()
    plain = start.conv("a", 6, kernel=3)
    assert Piece(start.residual(plain)).key == "6x12: residual(conv3-6)"
    assert Piece(start.conv("a", 6, kernel=3, bias=True)).key == "6x12: conv3+b-6"
    assert Piece(start.conv("a", 6, groups=2, dilation=2, kernel=3)).key == "6x12: conv3 by2 in2-6"
    assert Piece(start.pool("max", stride=2)).key == "6x12: max3/2"
    assert Piece(start, "sum", 3).key == "sum3 6x12:"
    assert Piece(start, "sum", 1).key is None


def test_joins_count_their_inputs() -> None:
    """A block that joins others has a key per number of inputs, and depends on the decisions that leave inputs away."""
    space = small_space("two_exits")
    position = [t.name for t in space.templates].index("sum")
    scope, pieces = template_pieces(space, position)
    assert {piece.key for piece in pieces if piece is not None} == {"sum3 6x4:", "sum3 12x4:"}
    assert [space.decisions[d].name for d in scope] == ["merged"]
