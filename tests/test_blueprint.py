"""Stacks and blueprints: integer counts by hand, memory against simulations, JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from sartor.blueprint import Block, Blueprint, Join
from sartor.layers import Layer
from sartor.stack import Stack
from sartor.testing import plain_peak_elements, small_space


def chain(*stacks: Stack, pictures: int = 3) -> Blueprint:
    """Blocks a, b, c, ... one after the other."""
    names = "abcdefgh"[: len(stacks)]
    inputs = ["pictures", *names]
    blocks = [Block(n, (i,), s) for n, i, s in zip(names, inputs, stacks, strict=False)]
    return Blueprint(tuple(blocks), pictures, stacks[0].in_side)


# ---------------------------------------------------------------------- layers


def test_counts_of_layers_by_hand() -> None:
    """MACs are weights times positions; parameters are weights, biases and two vectors per batch norm."""
    stack = Stack(3, 9).conv("conv", 8, kernel=3, stride=2, bias=True).batch_norm().activation()
    stack = stack.depthwise("depthwise", kernel=5).conv("grouped", 16, groups=4).global_pool().linear("linear", 10)
    macs = [layer.macs for layer in chain(stack).layers]
    params = [layer.params for layer in chain(stack).layers]
    assert macs == [3 * 8 * 9 * 25, 0, 0, 8 * 25 * 25, 2 * 16 * 25, 0, 160]
    assert params == [3 * 8 * 9 + 8, 16, 0, 8 * 25, 2 * 16, 0, 170]
    assert (chain(stack).macs, chain(stack).params) == (sum(macs), sum(params))
    assert [layer.depthwise for layer in chain(stack).layers] == [False, False, False, True, False, False, False]


def test_sides_round_up() -> None:
    """A stride divides the side, rounding up, in convolutions and pools alike."""
    assert Stack(3, 7).conv("c", 4, kernel=5, stride=2).out_side == 4
    assert Stack(3, 7).pool("max", stride=4).out_side == 2
    assert Stack(3, 7).conv("c", 4, kernel=3, dilation=3).out_side == 7


def test_stacks_are_values() -> None:
    """Extending a stack leaves it as it was; an empty one hands its input on."""
    start = Stack(4, 8)
    start.conv("conv", 6)
    assert (start.body, start.out_channels, start.out_side) == ((), 4, 8)
    assert start.then(start.conv("conv", 6)) == start.conv("conv", 6)


def test_impossible_stacks_are_refused() -> None:
    """Stacks whose shapes disagree, and layers that the counts would not describe, are refused."""
    start = Stack(4, 8)
    with pytest.raises(ValueError, match="needs pooled features, got side 8"):
        start.linear("linear", 10)
    with pytest.raises(ValueError, match="must keep the number of channels and the side"):
        start.residual(start.conv("conv", 5))
    with pytest.raises(ValueError, match="one value per channel"):
        start.gate(start.conv("conv", 4))
    with pytest.raises(ValueError, match="use 1x1 convolutions"):
        start.gate(start.global_pool().linear("linear", 4))
    with pytest.raises(ValueError, match="5 channels at side 8 cannot follow 4 channels at side 8"):
        start.then(Stack(5, 8))
    for even in (lambda: start.conv("conv", 4, kernel=2), lambda: start.pool("avg", kernel=2, stride=2)):
        with pytest.raises(ValueError, match="kernels are odd"):
            even()


def test_a_graph_survives_json() -> None:
    """Gates, residuals, joins, stages and exits come back equal from JSON."""
    space = small_space("two_exits")
    assert space.largest is not None
    blueprint = space.largest.blueprint
    text = json.dumps(blueprint.to_dict())
    assert "gate" in text
    assert "residual" in text
    assert Blueprint.from_dict(json.loads(text)) == blueprint


# ---------------------------------------------------------------------- memory, in elements


def elements(blueprint: Blueprint) -> int:
    """The counted peak, checked against the simulation of single operations."""
    assert blueprint.peak_memory_bytes == 4 * plain_peak_elements(blueprint)
    return blueprint.peak_memory_bytes // 4


def test_memory_of_a_plain_chain() -> None:
    """Input and output of the largest convolution are alive together; elementwise layers add nothing."""
    stack = Stack(2, 4).conv("one", 8).batch_norm().activation().conv("two", 1)
    assert elements(chain(stack, pictures=2)) == (2 + 8) * 16


def test_memory_of_an_empty_block() -> None:
    """A block without layers holds its input and no more."""
    assert elements(chain(Stack(2, 4), Stack(2, 4).conv("conv", 1), pictures=2)) == 3 * 16


def test_memory_holds_the_shortcut() -> None:
    """While a residual body runs its input waits; the sum is written over the body's output."""
    start = Stack(2, 4)
    body = start.conv("expand", 6).batch_norm().activation().conv("project", 2).batch_norm()
    assert elements(chain(start.residual(body), pictures=2)) == (2 + 6 + 2) * 16


def test_memory_of_an_activation_on_the_shortcut() -> None:
    """An activation that begins a body cannot overwrite the shortcut: it needs a copy."""
    start = Stack(2, 4)
    assert elements(chain(start.residual(start.activation()), pictures=2)) == 2 * 2 * 16
    assert elements(chain(start.activation(), pictures=2)) == 2 * 16


def test_memory_of_a_gate() -> None:
    """A gate holds its input while the factors are made, and writes the product over it."""
    start = Stack(2, 4)
    gate = start.global_pool().conv("squeeze", 5, bias=True).conv("excite", 2, bias=True).activation("sigmoid")
    assert elements(chain(start.gate(gate), pictures=2)) == 2 * 16 + 5 + 2
    # Inside a residual body whose last node it is, the gate hands on its input, not its factors.
    body = start.conv("conv", 2).gate(gate)
    assert elements(chain(start.residual(body), pictures=2)) == 2 * 2 * 16 + 5 + 2
    # A gate on the shortcut itself needs room for the product.
    assert elements(chain(start.residual(start.gate(gate)), pictures=2)) == 2 * 16 + 2 + 2 * 16


def graph(*rows: tuple[str, tuple[str, ...], Stack, Join, bool], pictures: int = 1) -> Blueprint:
    """Blocks (name, inputs, stack, join, exit) on 4 x 4 pictures."""
    return Blueprint(tuple(Block(n, i, s, j, is_exit=e) for n, i, s, j, e in rows), pictures, 4)


def test_memory_counts_what_waits_for_later_blocks() -> None:
    """A branch that waits for a concatenation is alive while the other runs, and the pictures while they are needed."""
    one, wide = Stack(1, 4).conv("conv", 3), Stack(3, 4).conv("conv", 9).conv("back", 3)
    concat = Stack(6, 4).conv("conv", 1)
    rows = [
        ("a", ("pictures",), one, "single", False),
        ("b", ("a",), wide, "single", False),
        ("c", ("a", "b"), concat, "concat", False),
    ]
    assert elements(graph(*rows)) == (3 + 9 + 3) * 16  # type: ignore[arg-type]
    last = ("d", ("pictures", "c"), Stack(1, 4).conv("conv", 1), "sum", False)
    assert elements(graph(*rows, last)) == (1 + 3 + 9 + 3) * 16  # type: ignore[arg-type]


def test_memory_of_joins() -> None:
    """A concatenation copies its inputs; a sum is written over one that nobody needs later, if there is one."""
    one = Stack(1, 4).conv("conv", 4)
    end = Stack(4, 4).conv("conv", 1)
    a, b = ("a", ("pictures",), one, "single", False), ("b", ("pictures",), one, "single", False)
    joined = Stack(8, 4).conv("conv", 1)
    assert elements(graph(a, b, ("c", ("a", "b"), joined, "concat", False))) == 16 * 16  # type: ignore[arg-type]
    total = ("c", ("a", "b"), Stack(4, 4), "sum", False)
    assert elements(graph(a, b, total)) == (1 + 4 + 4) * 16  # type: ignore[arg-type]
    kept = [(n, (i,), end, "single", True) for n, i in (("x", "a"), ("y", "b"), ("z", "c"))]
    assert elements(graph(a, b, total, *kept)) == (4 + 4 + 4 + 1) * 16  # type: ignore[arg-type]


def test_memory_keeps_results_to_the_end() -> None:
    """The output of an exit stays alive while later blocks run, whether they read it or not."""
    grow = Stack(1, 4).conv("conv", 5)
    shrink = Stack(5, 4).conv("conv", 1)
    rows = [
        ("a", ("pictures",), grow, "single", True),
        ("b", ("a",), shrink, "single", False),
        ("c", ("b",), grow, "single", True),
    ]
    assert elements(graph(*rows)) == (5 + 1 + 5) * 16  # type: ignore[arg-type]


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("seed", range(100))
def test_memory_of_random_graphs(seed: int, empty: bool) -> None:
    """On random graphs with residuals, gates, joins, exits and empty blocks the count equals the simulation."""
    elements(random_graph(np.random.default_rng(seed), empty))


def random_graph(rng: np.random.Generator, empty: bool) -> Blueprint:
    """Up to eight blocks at side 2 that read random earlier tensors; every one but the last is read or an exit."""
    channels = {"pictures": int(rng.integers(1, 6))}
    blocks: list[Block] = []
    for i in range(int(rng.integers(2, 9))):
        names = list(channels)
        chosen = [str(n) for n in rng.choice(names, size=min(len(names), int(rng.integers(1, 4))), replace=False)]
        join: Join = "single" if len(chosen) == 1 else "concat"
        same = [n for n in names if channels[n] == channels[chosen[0]]]
        if len(same) > 1 and rng.random() < 0.5:
            chosen, join = same[:3], "sum"
        entering = sum(channels[n] for n in chosen) if join == "concat" else channels[chosen[0]]
        stack = random_stack(rng, Stack(entering, 2), depth=2)
        if not stack.body and not (empty and join == "single"):
            stack = stack.conv("conv", int(rng.integers(1, 6)))
        blocks.append(Block(f"block{i}", tuple(chosen), stack, join, is_exit=bool(rng.random() < 0.2)))
        channels[f"block{i}"] = stack.out_channels
    kept = [dataclasses.replace(blocks[-1], is_exit=True)]
    for block in reversed(blocks[:-1]):
        if block.is_exit or any(block.name in b.inputs for b in kept):
            kept.insert(0, block)
    return Blueprint(tuple(kept), channels["pictures"], 2)


def random_stack(rng: np.random.Generator, start: Stack, depth: int) -> Stack:
    """A few random layers, residuals and gates."""
    stack = start
    for i in range(int(rng.integers(0, 4))):
        kind = rng.choice(["conv", "norm", "activation", "residual", "gate"])
        here = Stack(stack.out_channels, stack.out_side)
        if kind == "conv":
            stack = stack.conv(f"conv{depth}{i}", int(rng.integers(1, 6)))
        elif kind == "norm":
            stack = stack.batch_norm(f"norm{depth}{i}")
        elif kind == "activation":
            stack = stack.activation()
        elif depth and kind == "residual":
            body = random_stack(rng, here, depth - 1)
            if body.out_channels != here.out_channels or not body.body:
                body = body.conv("back", here.out_channels)
            stack = stack.residual(body)
        elif depth:
            stack = stack.gate(here.global_pool().conv("hidden", 3).conv("out", here.out_channels))
    return stack


def test_memory_counts_bytes() -> None:
    """The cost of a space counts in the dtype asked for."""
    space = small_space("mobilenet_v1")
    rows = space.sample(5, np.random.default_rng(0))
    float32 = space.cost("peak_memory_bytes")(rows)
    for dtype, size in (("float16", 2), ("bfloat16", 2), ("int8", 1)):
        assert (space.cost("peak_memory_bytes", dtype=dtype)(rows) * 4 == float32 * size).all()


def test_layer_names_key_the_weights() -> None:
    """Activations are numbered, batch norms are named after the layer before them."""
    stack = Stack(3, 4).conv("one", 3).batch_norm().activation().conv("two", 3).batch_norm().activation("swish")
    names = [n.name for n in stack.body if isinstance(n, Layer)]
    assert names == ["one", "one_norm", "relu0", "two", "two_norm", "swish1"]
    assert Stack(3, 4).batch_norm().body[0] == Layer("input_norm", "batch_norm", 3, 3, 4, 4)
