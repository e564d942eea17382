"""Mixtures of options, and the tensors that activations may overwrite."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sartor import spaces
from sartor.blueprint import Block, Join
from sartor.decisions import Decision, Template
from sartor.elastic.bank import WeightBank
from sartor.elastic.execution import Dropout, run_blocks, run_body
from sartor.elastic.mixture import make_plan, run_plan
from sartor.elastic.supernet import Supernet
from sartor.layers import Layer, Node
from sartor.network import GraphNetwork, build, build_body
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing import counted_macs, small_space

START = Stack(4, 6)


def bottleneck(kernel: int, name: str = "") -> Stack:
    """Options that share the expansion (head) and the projection (tail) unless ``name`` keeps them apart."""
    expanded = START.conv(f"expand{name}", 8).batch_norm().activation()
    moved = expanded.depthwise(f"depthwise{kernel}", kernel=kernel).batch_norm().activation()
    return moved.conv(f"project{name}", 4).batch_norm()


class Layers:
    """A bank, and what was run on it."""

    def __init__(self, *stacks: Stack) -> None:
        self.bank = WeightBank([("block", s) for s in stacks], seed=0).double()
        self.ran: list[str] = []

    def __call__(self, block: str, layer: Layer, x: Tensor) -> Tensor:
        self.ran.append(layer.name)
        y: Tensor = self.bank.layer(block, layer.name)(x, layer)
        return y

    def mixture(self, weights: list[float], *stacks: Stack) -> Tensor:
        plan = make_plan([0], {(i,): s.body for i, s in enumerate(stacks)})
        return run_plan("block", plan, {0: dict(enumerate(weights))}, pictures(), self, recompute=False)

    def alone(self, body: tuple[Node, ...], x: Tensor) -> Tensor:
        return run_body("block", body, x, self)


def pictures() -> Tensor:
    """Two random inputs of a block."""
    return torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def close(a: Tensor, b: Tensor) -> None:
    """Equal within rounding."""
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_even_mixture_is_the_average() -> None:
    """1/n of options that share nothing is the average of their outputs, computed one by one."""
    options = [bottleneck(3, "a"), bottleneck(5, "b"), START, START.activation("relu6"), START.pool("max")]
    layers = Layers(*options)
    outputs = [layers.alone(s.body, pictures()) for s in options]
    close(layers.mixture([0.2] * 5, *options), sum(outputs, torch.zeros(())) / 5)


def test_half_a_skippable_layer() -> None:
    """Half a residual layer and half nothing is x + 0.5 f(x)."""
    layer = START.residual(bottleneck(3))
    layers = Layers(layer)
    close(
        layers.mixture([0.5, 0.5], layer, START),
        pictures() + 0.5 * layers.alone(bottleneck(3).body, pictures()),
    )


def test_shared_layers_run_once() -> None:
    """Options that share head and tail run them once; each keeps the norm and the activation of its own layer."""
    options = [START.residual(bottleneck(k)) for k in (3, 5)]
    layers = Layers(*options)
    mixed = layers.mixture([0.3, 0.7], *options)
    assert [n for n in layers.ran if not n.endswith("_norm")] == ["expand", "depthwise3", "depthwise5", "project"]
    bodies = [bottleneck(k).body for k in (3, 5)]
    head = layers.alone(bodies[0][:3], pictures())
    middle = [layers.alone(body[3:6], head) for body in bodies]
    tail = layers.alone(bodies[0][6:], 0.3 * middle[0] + 0.7 * middle[1])
    close(mixed, pictures() + tail)


@pytest.mark.parametrize("function", ["relu", "relu6", "hard_swish", "hard_sigmoid", "swish", "sigmoid"])
def test_activations_spare_what_others_need(function: str) -> None:
    """An activation at the head of a body changes neither its input, nor the shortcut, nor another branch."""
    first = START.activation(function)  # type: ignore[arg-type]
    layers = Layers(START.conv("conv", 4))
    for body in (first.body, START.residual(first).body, START.residual(START.dropout().then(first)).body):
        for run in (lambda b, x: run_body("block", b, x, layers), lambda b, x: build_body(b)(x)):
            check_untouched(run, body)
    x = pictures()
    close(layers.mixture([0.5, 0.5], first, START), 0.5 * x + 0.5 * layers.alone(first.body, x))


def check_untouched(run: Callable[[tuple[Node, ...], Tensor], Tensor], body: tuple[Node, ...]) -> None:
    """Runs a body and checks its input, and that a residual adds the input as it came."""
    x = pictures()
    y = run(body, x)
    assert torch.equal(x, pictures())
    if not isinstance(body[0], Layer):
        plain = run(body[0].body, pictures())
        close(y, pictures() + plain)


def test_dropout_is_seeded_and_keeps_the_mean() -> None:
    """Dropout follows its own generator, zeroes the stated share and scales the rest."""
    x = torch.ones(100, 100)
    first, again = (Dropout(0.6, torch.Generator().manual_seed(3))(x) for _ in range(2))
    assert torch.equal(first, again)
    assert (first == 0).float().mean().item() == pytest.approx(0.6, abs=0.02)
    assert first.unique().tolist() == pytest.approx([0.0, 2.5])


# ---------------------------------------------------------------------- graphs


def conv_block(name: str, inputs: tuple[str, ...], *, is_exit: bool = False) -> Block:
    """A 1x1 convolution from 4 to 4 channels."""
    return Block(name, inputs, START.conv("conv", 4), is_exit=is_exit)


@pytest.mark.parametrize("exits", [(), ("b",), ("a", "c"), ("a", "b", "c")])
def test_results_are_the_marked_exits_or_the_last_block(exits: tuple[str, ...]) -> None:
    """Without marked exits a graph returns its last block, with one that one, with several a tuple."""
    supernet = graph_space(exits).supernet().double()
    weights = [supernet.bank.layer(n, "conv").weight for n in "abc"]
    assert all(isinstance(w, Tensor) for w in weights)
    outputs = {"a": torch.nn.functional.conv2d(pictures(), weights[0])}  # type: ignore[arg-type]
    outputs["b"] = torch.nn.functional.conv2d(outputs["a"], weights[1])  # type: ignore[arg-type]
    outputs["c"] = torch.nn.functional.conv2d(outputs["a"] + outputs["b"], weights[2])  # type: ignore[arg-type]
    expected = tuple(outputs[n] for n in exits or ("c",))
    for network in (lambda x: supernet(x, [0]), supernet.extract([0])):
        torch.testing.assert_close(network(pictures()), expected if len(expected) > 1 else expected[0])


def graph_space(exits: tuple[str, ...]) -> SearchSpace:
    """b reads a, c reads the sum of a and b."""

    def resolve(width: int) -> Stack:
        return START.conv("conv", width)

    wiring: list[tuple[str, tuple[str, ...], Join]] = [
        ("a", ("pictures",), "single"),
        ("b", ("a",), "single"),
        ("c", ("a", "b"), "sum"),
    ]
    templates = [Template(n, ("width",), resolve, inputs, join, is_exit=n in exits) for n, inputs, join in wiring]
    return SearchSpace("graph", [Decision("width", (4,), "width")], templates, image_size=6, in_channels=4)


def test_blocks_free_what_nobody_reads() -> None:
    """Running a chain holds one tensor at a time, so that memory is that of the child."""
    blocks = [conv_block("a", ("pictures",)), conv_block("b", ("a",)), conv_block("c", ("b",))]
    alive: list[int] = []
    references: list[weakref.ref[Tensor]] = []

    def run(block: Block, x: Tensor) -> Tensor:
        y = x + 1
        references.append(weakref.ref(y))
        alive.append(sum(r() is not None for r in references))
        return y

    list(run_blocks(blocks, torch.zeros(1), run))
    assert alive == [1, 2, 2]


def test_stages_compute_nothing_beyond_the_exit_taken() -> None:
    """Taking the first exit runs what it needs and no more; asking for the next one runs the rest."""
    space = small_space("two_exits")
    supernet = space.supernet().double().train()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    for row in space.sample(3, np.random.default_rng(0)):
        first, both = (2 * int(space.cost("macs", exit=k)(row)[0]) for k in (0, 1))
        assert counted_macs(lambda r=row: next(supernet.stages(x, r))) == first
        assert counted_macs(lambda r=row: list(supernet.stages(x, r))) == both
        assert counted_macs(lambda r=row: supernet(x, r, last_exit=0)) == first
        network = supernet.extract(row)
        assert isinstance(network, GraphNetwork)
        assert counted_macs(lambda n=network: next(n.stages(x))) == first
        assert torch.equal(next(supernet.stages(x, row)), supernet(x, row)[0])
        assert [y.shape for y in supernet(x, row, last_exit=0)] == [(2, 5)]


def test_plain_networks_refuse_a_name_twice() -> None:
    """A layer never disappears because another one has its name."""
    with pytest.raises(ValueError, match="two layers of one body are named 'conv'"):
        build_body(START.conv("conv", 4).conv("conv", 4).body)
    twice = START.activation().then(START.activation())
    assert len(build_body(twice.body)) == 2


def test_plain_networks_start_from_the_seed() -> None:
    """The same seed builds the same network, and dropout only drops where a rate is asked for."""
    blueprint = spaces.create("nas_bench_macro", image_size=8).architecture([0] * 8).blueprint
    first, again, other = (build(blueprint, seed=s, dropout=0.5).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)
    rates = [
        [m.p for m in build(blueprint, dropout=p).modules() if isinstance(m, torch.nn.Dropout)] for p in (0.0, 0.5)
    ]
    assert rates == [[0.0], [0.5]]


def test_mixture_of_kernels_in_a_supernet() -> None:
    """A vector over an op decision of the network mixes just the layers that differ, with gradient."""
    template = Template("block", ("kernel",), lambda k: START.residual(bottleneck(k)))
    space = SearchSpace("kernels", [Decision("kernel", (3, 5))], [template], image_size=6, in_channels=4)
    supernet = Supernet(space).double()
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    layers = Layers(START.residual(bottleneck(3)), START.residual(bottleneck(5)))
    expected = layers.mixture([0.3, 0.7], *[START.residual(bottleneck(k)) for k in (3, 5)])
    outputs = supernet(pictures(), [weights])
    close(outputs, expected)
    (gradient,) = torch.autograd.grad((outputs**2).sum(), weights)
    step = 1e-6
    for i in range(2):
        moved = weights.detach().clone()
        moved[i] += step
        slope = ((supernet(pictures(), [moved]) ** 2).sum() - (outputs**2).sum()) / step
        assert slope.item() == pytest.approx(gradient[i].item(), rel=1e-3)
    dead = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert counted_macs(supernet, pictures(), [dead]) == 2 * space.architecture([1]).blueprint.macs
    both = counted_macs(supernet, pictures(), [dead.requires_grad_()])
    assert both == 2 * (space.architecture([1]).blueprint.macs + 8 * 9 * 36)
    with pytest.raises(ValueError, match="every weight of the mixture is zero"):
        supernet(pictures(), [torch.zeros(2)])
