"""Split attention against a plain PyTorch implementation, its channel order, and its memory."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.blueprint import Block, Blueprint
from sartor.elastic.bank import WeightBank
from sartor.elastic.execution import run_body
from sartor.layers import Layer, SplitAttention, walk_layers
from sartor.memory import PICTURES
from sartor.network import attend
from sartor.stack import Stack
from sartor.testing import counted_macs, plain_peak_elements


def attention(channels: int, splits: int, *, side: int = 6, squeezed: int = 5, stride: int = 1) -> Stack:
    """Depthwise branches of kernel 3 and a gate, as the FP-NAS blocks have them."""
    start = Stack(channels, side)
    branches = [
        start.depthwise(f"branch{r}", kernel=3, stride=stride).batch_norm().activation("hard_swish")
        for r in range(splits)
    ]
    gate = Stack(channels, branches[0].out_side).global_pool().conv("reduce", squeezed, bias=True).activation()
    return start.split_attention(branches, gate.conv("expand", splits * channels, bias=True))


def blueprint(stack: Stack) -> Blueprint:
    """A network of that one stack."""
    return Blueprint((Block("block", (PICTURES,), stack),), stack.in_channels, stack.in_side)


def plain_attention(network: nn.Module, x: Tensor, splits: int) -> Tensor:
    """The formula of reference 7, branch by branch and channel by channel, on the weights of ``network``."""
    modules = {path.rsplit(".", 1)[-1]: m for path, m in network.named_modules()}
    parts = [F.hardswish(modules[f"branch{r}_norm"](modules[f"branch{r}"](x))) for r in range(splits)]
    pooled = torch.stack(parts).sum(0).mean((2, 3))
    reduce, expand = modules["reduce"], modules["expand"]
    hidden = F.relu(pooled @ reduce.weight.flatten(1).T + reduce.bias)
    logits = hidden @ expand.weight.flatten(1).T + expand.bias
    y = torch.zeros_like(parts[0])
    for channel in range(parts[0].shape[1]):
        own = logits[:, channel * splits : (channel + 1) * splits].softmax(1)
        for r in range(splits):
            y[:, channel] += own[:, r, None, None] * parts[r][:, channel]
    return y


@pytest.mark.parametrize("splits", [2, 3, 4])
def test_equals_a_plain_implementation(splits: int) -> None:
    """The built network computes the formula, in value and in every gradient."""
    network = blueprint(attention(7, splits, stride=2)).build(seed=3).double()
    x = torch.randn(4, 7, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found, expected = [], []
    for outputs, results in ((network(x), found), (plain_attention(network, x, splits), expected)):
        network.zero_grad()
        (outputs * torch.linspace(-1, 1, outputs.numel(), dtype=x.dtype).reshape(outputs.shape)).sum().backward()
        results += [outputs.detach(), *[p.grad.clone() for p in network.parameters()]]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_channel_is_weighted_by_its_own_branches() -> None:
    """Branch r of channel c is weighted by logit c * R + r: a large one there picks that branch and no other."""
    parts = [torch.full((1, 3, 2, 2), float(r + 1)) for r in range(2)]
    for channel in range(3):
        for r in range(2):
            logits = torch.zeros(1, 6, 1, 1)
            logits[0, channel * 2 + r] = 100.0
            expected = torch.full((1, 3, 2, 2), 1.5)
            expected[0, channel] = r + 1
            torch.testing.assert_close(attend(parts, logits, 3), expected)


def test_a_prefix_of_the_channels_is_a_prefix_of_the_weights() -> None:
    """Sliced to fewer channels, the shared weights compute the split attention of those channels alone.

    With the gate's first convolution blind to the other channels, the narrow result is the wide one's first channels.
    """
    wide, narrow = attention(8, 4), attention(3, 4)
    bank = WeightBank([("b", wide), ("b", narrow)])
    norms = {layer.name for layer in walk_layers(wide.body) if layer.kind == "batch_norm"}
    with torch.no_grad():
        bank.layer("b", "reduce").weight[:, 3:] = 0

    def apply(block: str, layer: Layer, x: Tensor) -> Tensor:
        return x if layer.name in norms else bank.layer(block, layer.name)(x, layer)

    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    whole = run_body("b", wide.body, x, apply)
    part = run_body("b", narrow.body, x[:, :3], apply)
    torch.testing.assert_close(part, whole[:, :3])


def test_counts_by_hand() -> None:
    """MACs: R depthwise convolutions and the two of the gate; torch's own counter agrees."""
    stack = attention(8, 4, squeezed=16)
    assert blueprint(stack).macs == 4 * 8 * 9 * 36 + 8 * 16 + 16 * 32
    assert blueprint(stack).params == 4 * (8 * 9 + 16) + 8 * 16 + 16 + 16 * 32 + 32
    network = blueprint(stack).build().eval()
    assert counted_macs(network, torch.zeros(1, 8, 6, 6)) == blueprint(stack).macs


def test_memory_by_hand() -> None:
    """While the sum of R branches is pooled all of them are alive, and the input where a shortcut needs it.

    At side 1 another moment is the largest: the softmax over R logits per channel writes beside its input.
    """
    elements, pooled = 8 * 36, 8
    for splits in (2, 4):
        inside = blueprint(attention(8, splits))
        assert plain_peak_elements(inside) == inside.peak_memory_bytes // 4 == (splits + 1) * elements + pooled
        body = attention(8, splits)
        shortcut = blueprint(Stack(8, 6).residual(body))
        assert plain_peak_elements(shortcut) == shortcut.peak_memory_bytes // 4 == (splits + 2) * elements + pooled
    single = blueprint(attention(6, 4, side=1, squeezed=2))
    assert plain_peak_elements(single) == single.peak_memory_bytes // 4 == 4 * 6 + 2 * 4 * 6


@pytest.mark.parametrize("inside", [3, 16])
def test_memory_of_long_branches(inside: int) -> None:
    """The input waits until the last branch has read it, and the earlier branches until they are summed."""
    start = Stack(4, 6)
    branches = [
        start.activation().conv(f"in{r}", inside).batch_norm().conv(f"mid{r}", inside).conv(f"out{r}", 5, stride=2)
        for r in range(3)
    ]
    gate = Stack(5, 3).activation().global_pool().conv("reduce", 2).batch_norm().conv("expand", 15)
    for body in (start.split_attention(branches, gate), start.activation().split_attention(branches, gate)):
        network = blueprint(body.conv("last", 4))
        assert plain_peak_elements(network) == network.peak_memory_bytes // 4
    # In the second branch the input (4 x 36) still waits, and the first branch's output (5 x 9) already does. Either
    # in1 runs, on an activation that had to be written beside the input, or mid1.
    waiting = 4 * 36 + 5 * 9
    assert network.peak_memory_bytes // 4 == waiting + max((4 + inside) * 36, 2 * inside * 36)


def test_survives_json() -> None:
    """A split attention written as JSON and read back is equal."""
    before = blueprint(Stack(8, 6).conv("expand", 8).then(attention(8, 2)))
    assert Blueprint.from_dict(json.loads(json.dumps(before.to_dict()))) == before
    assert isinstance(before.blocks[0].stack.body[1], SplitAttention)


def test_impossible_shapes_are_refused() -> None:
    """One branch, branches of different shapes, an empty one, and gates of the wrong width are refused."""
    start = Stack(4, 6)
    branch = start.depthwise("a", kernel=3)
    gate = start.global_pool().conv("expand", 8, bias=True)
    other = start.depthwise("b", kernel=3)
    start.split_attention([branch, other], gate)
    for branches, wrong in (
        ([branch], start.global_pool()),
        ([branch, start.depthwise("b", kernel=3, stride=2)], gate),
        ([branch, start], gate),
        ([branch, other], start.global_pool()),
        ([branch, other], start.conv("expand", 8)),
        ([branch, other], Stack(4, 3).global_pool().conv("expand", 8)),
        ([branch, other], start.global_pool().linear("expand", 8)),
    ):
        with pytest.raises(ValueError, match="split attention"):
            start.split_attention(branches, wrong)
    with pytest.raises(ValueError, match="must read what it reads"):
        start.conv("wider", 6).split_attention([branch, other], gate)
