"""Parallel branches, cuts, shuffles, unpadded windows and norms that learn nothing; networks with absent parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.blueprint import Block, Blueprint
from sartor.elastic.bank import WeightBank
from sartor.elastic.execution import run_body
from sartor.layers import Layer, Parallel, walk_layers
from sartor.memory import PICTURES
from sartor.network import build_body
from sartor.stack import Stack
from sartor.testing import counted_macs, plain_peak_elements, small_space


def blueprint(stack: Stack) -> Blueprint:
    """A network of that one stack."""
    return Blueprint((Block("block", (PICTURES,), stack),), stack.in_channels, stack.in_side)


def reduction(channels: int = 4, out: int = 6, side: int = 8) -> Stack:
    """A factorized reduction: two strided convolutions, one on the map shifted by a pixel."""
    start = Stack(channels, side)
    return start.parallel([start.conv("a", out // 2, stride=2), start.shift().conv("b", out - out // 2, stride=2)])


def pictures(channels: int = 4, side: int = 8) -> Tensor:
    """Random pictures in double precision."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, channels, side, side, generator=generator, dtype=torch.float64)


def weight(network: nn.Module, name: str) -> Any:
    """The weight of the layer of that name."""
    return next(m for path, m in network.named_modules() if path.rsplit(".", 1)[-1] == name).weight


def test_parallel_branches_are_concatenated_in_order() -> None:
    """The built network gives branch a's channels, then those of branch b on the shifted map."""
    network, x = blueprint(reduction(out=5)).build(seed=1).double(), pictures()
    a, b = weight(network, "a"), weight(network, "b")
    expected = torch.cat([F.conv2d(x, a, stride=2), F.conv2d(x[:, :, 1:, 1:], b, stride=2)], dim=1)
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-12)
    assert expected.shape == (3, 5, 4, 4)


def test_channels_and_shuffle_rearrange() -> None:
    """Channels are a stretch; a shuffle takes one channel of each part in turn."""
    x = pictures(6)
    stack = Stack(6, 8).channels(2, 6).shuffle(2)
    network = build_body(stack.body)
    assert torch.equal(network(x), x[:, [2, 4, 3, 5]])
    assert (stack.out_channels, stack.out_side) == (4, 8)


def test_unpadded_windows_and_plain_norms() -> None:
    """Without padding any window fits and the side shrinks; a norm without scale and shift has no parameters."""
    stack = Stack(4, 8).pool("avg", kernel=5, stride=3, padded=False).conv("conv", 3, kernel=2, padded=False)
    stack = stack.batch_norm(affine=False)
    network, x = blueprint(stack).build(seed=1).double(), pictures()
    expected = F.batch_norm(F.conv2d(F.avg_pool2d(x, 5, 3), weight(network, "conv")), None, None, training=True)
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-12)
    assert (stack.out_side, blueprint(stack).params) == (1, 4 * 3 * 4)
    assert sum(p.numel() for p in network.parameters()) == 4 * 3 * 4


@pytest.mark.parametrize("stack", [reduction(), Stack(4, 8).activation().then(reduction()).batch_norm("norm")])
def test_shared_weights_run_the_same(stack: Stack) -> None:
    """A supernet's walk over the body gives what the plain network gives, on the same weights."""
    bank, network, x = WeightBank([("block", stack)], seed=1).double(), blueprint(stack).build().double(), pictures()
    for layer in walk_layers(stack.body):
        if layer.kind == "conv":
            weight(network, layer.name).data = bank.layer("block", layer.name).weight.data
    found = run_body("block", stack.body, x, lambda block, layer, y: bank.layer(block, layer.name)(y, layer))
    torch.testing.assert_close(found, network(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cut", [Stack(4, 8).shift(), Stack(4, 8).channels(1, 3)])
def test_a_cut_of_the_input_is_never_overwritten(cut: Stack) -> None:
    """A cut is a view of what others read: an activation after it leaves that as it is, in both ways to run it."""
    stack, x = cut.activation(), pictures()
    kept = x.clone()
    found = build_body(stack.body)(x)
    assert torch.equal(run_body("block", stack.body, x, _no_weights), found)
    assert torch.equal(x, kept)


def _no_weights(block: str, layer: Layer, x: Tensor) -> Tensor:
    raise AssertionError("no layer of this body has weights")


def test_counts_by_hand() -> None:
    """Each branch counts its own positions; cuts and shuffles count nothing; torch's own counter agrees."""
    found = blueprint(reduction().shuffle(2))
    assert found.macs == 4 * 6 * 16
    assert found.params == 4 * 6
    assert counted_macs(found.build().eval(), torch.zeros(1, 4, 8, 8)) == found.macs


def test_memory_by_hand() -> None:
    """The input waits for the last branch, and the outputs of all branches for their copy."""
    side, half = 64, 16
    # The shifted map is a tensor: beside the input it is written while the first branch's output waits.
    assert blueprint(reduction()).peak_memory_bytes // 4 == max(4 * side + 3 * half + 4 * 49, 2 * 6 * half)
    start = Stack(2, 4)
    wide = start.parallel([start.conv("a", 20), start.conv("b", 30)])
    assert blueprint(wide).peak_memory_bytes // 4 == 2 * (20 + 30) * 16


@pytest.mark.parametrize(
    "stack",
    [
        reduction(),
        Stack(4, 8).activation().then(reduction()).batch_norm("norm").conv("last", 2),
        Stack(6, 8).residual(Stack(6, 8).parallel([Stack(6, 8).conv("a", 4), Stack(6, 8).channels(0, 2)]).shuffle(3)),
        Stack(4, 8).parallel([reduction(), Stack(4, 8).pool("max", stride=2)]),
    ],
)
def test_memory_equals_a_simulation(stack: Stack) -> None:
    """The peak equals that of the network written down as single operations."""
    assert blueprint(stack).peak_memory_bytes == 4 * plain_peak_elements(blueprint(stack))


def test_survives_json() -> None:
    """Parallel branches and the new fields of layers come back equal."""
    start = Stack(4, 8)
    stack = start.then(reduction()).shuffle(2).channels(1, 5).pool("avg", kernel=4, padded=False)
    before = blueprint(stack.batch_norm(affine=False))
    assert Blueprint.from_dict(json.loads(json.dumps(before.to_dict()))) == before
    assert isinstance(before.blocks[0].stack.body[0], Parallel)


def test_impossible_stacks_are_refused() -> None:
    """Branches of different sides, a single or an empty one, cuts beyond the map and uneven shuffles are refused."""
    start = Stack(4, 8)
    for branches in (
        [start.conv("a", 2)],
        [start.conv("a", 2), start],
        [start.conv("a", 2), start.conv("b", 2, stride=2)],
        [start.conv("a", 2), Stack(3, 8).conv("b", 2)],
    ):
        with pytest.raises(ValueError, match="parallel branches"):
            start.parallel(branches)
    with pytest.raises(ValueError, match="channels 2 to 5 are not among 4"):
        start.channels(2, 5)
    with pytest.raises(ValueError, match="a shift needs a side of at least 2"):
        Stack(4, 1).shift()
    with pytest.raises(ValueError, match="4 channels do not form 3 groups"):
        start.shuffle(3)
    with pytest.raises(ValueError, match="a window of 9 positions does not fit a side of 8"):
        start.pool("max", kernel=9, padded=False)


# ---------------------------------------------------------------------- networks


def test_absent_parts_leave_no_trace() -> None:
    """A part that a choice leaves away is no block, and its readers do without it; costs count it as nothing."""
    space = small_space("edges")
    values = {"width": 4, "edge0": "none", "edge1": "conv", "edge2": "pool"}
    found = space.blueprint(values)
    assert [block.name for block in found.blocks] == ["stem", "edge1", "edge2", "node", "classifier"]
    assert next(block.inputs for block in found.blocks if block.name == "node") == ("edge1", "edge2")
    assert space.cost("macs")(space.encode(values)[None])[0] == 3 * 4 * 9 * 64 + 4 * 4 * 9 * 16 + 4 * 5


def test_two_forms_of_one_network() -> None:
    """The final form is counted and built; the search form is what a supernet runs and extracts."""
    space = small_space("edges")
    values = {"width": 4, "edge0": "none", "edge1": "conv", "edge2": "pool"}
    final, search = space.blueprint(values), space.blueprint(values, form="search")
    norms = {b.name: [layer.affine for layer in b.layers if layer.kind == "batch_norm"] for b in final.blocks}
    assert norms == {"stem": [True], "edge1": [True], "edge2": [], "node": [], "classifier": []}
    searched = {b.name: [layer.affine for layer in b.layers if layer.kind == "batch_norm"] for b in search.blocks}
    assert searched == {"stem": [True], "edge1": [False], "edge2": [False], "node": [], "classifier": []}
    assert sum(p.numel() for p in space.architecture(space.encode(values)).build().parameters()) == final.params


def test_a_network_cut_at_an_exit() -> None:
    """Cut, a network gives the outputs of the exits left; lazily only that one, with what it reads and no more."""
    space = small_space("two_exits")
    assert space.largest is not None
    whole = space.largest.blueprint
    assert whole.exits == 2
    assert [b.name for b in whole.cut(0).blocks] == ["stem", "mixer", "left", "right", "merged", "exit0"]
    lazy = whole.cut(1, lazy=True)
    assert lazy.exits == 1
    assert {b.name for b in whole.blocks} - {b.name for b in lazy.blocks} == {"exit0"}
    network, x = whole.build(seed=3).eval(), torch.randn(2, 3, 16, 16)
    cut = lazy.build().eval()
    cut.load_state_dict({k: v for k, v in network.state_dict().items() if "exit0" not in k})
    torch.testing.assert_close(cut(x), network(x)[1])
    with pytest.raises(ValueError, match="has exits 0 to 1, not 2"):
        whole.cut(2)


def test_stages_compute_nothing_beyond_the_last_one_taken() -> None:
    """Taking the first exit of a network runs no layer of the second one."""
    space = small_space("two_exits")
    assert space.largest is not None
    network: Any = space.largest.build().eval()
    ran: list[str] = []
    for name, block in network.blocks.items():
        block.register_forward_hook(lambda *_, name=name: ran.append(name))
    next(network.stages(torch.zeros(1, 3, 16, 16)))
    assert ran == ["stem", "mixer", "left", "right", "merged", "exit0"]
