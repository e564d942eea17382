"""The supernet of MS-RANAS: mixtures on an edge by hand, the search form, and the plain network inside."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ms_ranas_cells import ORACLE
from torch import Tensor, nn

from sartor import spaces
from sartor.elastic.supernet import Supernet
from sartor.network import build_body
from sartor.space import SearchSpace
from sartor.spaces.ms_ranas import read_genotype
from sartor.spaces.ms_ranas.operations import operation

SIDE = 16


@cache
def create(**options: Any) -> SearchSpace:
    """The space at a small size."""
    return spaces.create("ms_ranas", **{"image_size": SIDE, "scales": 2, "layers": 4, "channels": 4, **options})


@cache
def supernet_of(**options: Any) -> Supernet:
    """Its supernet in double precision."""
    return create(**options).supernet(seed=2).double()


def pictures(n: int = 4) -> Tensor:
    """Random pictures."""
    return torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def uneven(space: SearchSpace, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """A weight for every option, any numbers."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 1.0, len(d.options)) for d in space.decisions]


class TrueMixture:
    """The whole mixed network in plain PyTorch, on the weights of a supernet: every operation on its own, summed."""

    def __init__(self, supernet: Supernet, vectors: list[np.ndarray[Any, Any]]) -> None:
        self.supernet, self.space = supernet, supernet.space
        self.vectors = {d.name: v for d, v in zip(self.space.decisions, vectors, strict=True)}

    def __call__(self, x: Tensor) -> list[Tensor]:
        outputs, exits = {"pictures": x}, []
        for template in self.space.templates:
            read = [outputs[name] for name in template.inputs]
            y = torch.cat(read, 1) if template.join == "concat" else torch.stack(read).sum(0)
            if "_edge" in template.name:
                (name,) = template.scope
                options = self.space.decisions[self.space.index[name]].options
                parts = [
                    w * self._run(template, o, y)
                    for w, o in zip(self.vectors[name], options, strict=True)
                    if o != "none"
                ]
                y = torch.stack(parts).sum(0)
            else:
                y = self._run(template, None, y)
            outputs[template.name] = y
            if template.is_exit:
                exits.append(y)
        return exits

    def _run(self, template: Any, option: str | None, x: Tensor) -> Tensor:
        values = {} if option is None else {template.scope[0]: option}
        stack = self.space.stack(template, values, "search")
        assert stack is not None
        network = build_body(stack.body).double()
        for path, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                source = self.supernet.bank.layer(template.name, path.rsplit(".", 1)[-1])
                for name, parameter in module.named_parameters():
                    parameter.data = getattr(source, name).data
        return network(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"partial_channels": 2},
        {"operations": ("sep_conv_3x3",)},  # all options that are edges run the same
        {"operations": ("skip_connect", "max_pool_3x3"), "partial_channels": 4},
    ],
)
def test_a_mixture_is_the_sum_of_its_operations(options: dict[str, Any]) -> None:
    """Every exit of the mixed supernet equals a plain network of weighted sums; weights may be any numbers."""
    supernet = supernet_of(**options)
    vectors = uneven(supernet.space)
    expected = TrueMixture(supernet, vectors)(pictures())
    for recompute in (True, False):
        supernet.recompute_branches = recompute
        found = supernet(pictures(), vectors)
        assert len(found) == 3
        for ours, plain in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)


def test_an_edge_by_hand() -> None:
    """One edge of the supernet against its operations written out: pool and norm, skip, separable convolutions."""
    supernet = supernet_of(operations=("max_pool_3x3", "skip_connect", "sep_conv_3x3"))
    bank: Any = supernet.bank.blocks["layer4_scale0_edge0_0"]
    x = torch.randn(3, 16, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def norm(y: Tensor) -> Tensor:
        return (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), correction=0, keepdim=True) + 1e-5).sqrt()

    y = x
    for part in (1, 2):
        depthwise = F.conv2d(y.relu(), bank[f"sep3_depthwise{part}"].weight, padding=1, groups=16)
        y = norm(F.conv2d(depthwise, bank[f"sep3_pointwise{part}"].weight))
    expected = 0.2 * norm(F.max_pool2d(x, 3, 1, 1)) + 0.3 * x + 0.4 * y  # none has the remaining 0.1
    vectors = [np.array([0.1, 0.2, 0.3, 0.4])] * len(supernet.space.decisions)
    position = [t.name for t in supernet.space.templates].index("layer4_scale0_edge0_0")
    torch.testing.assert_close(_run_block(supernet, position, vectors, x), expected, rtol=0, atol=1e-10)


def _run_block(supernet: Supernet, position: int, vectors: list[np.ndarray[Any, Any]], x: Tensor) -> Tensor:
    """One template of a supernet alone."""
    from sartor.elastic.mixture import run_plan

    part = supernet._part(position, supernet._entries(vectors))
    assert part is not None
    block, plan, weights = part
    assert plan is not None
    return run_plan(
        block.name, plan, weights, x, lambda name, layer, y: supernet.bank.layer(name, layer.name)(y, layer)
    )


def test_none_takes_its_share() -> None:
    """The weight of ``none`` scales nothing and gets no gradient of its own but zero."""
    supernet = supernet_of()
    vectors = [torch.full((8,), 1 / 8, dtype=torch.float64, requires_grad=True) for _ in supernet.space.decisions]
    sum(y.square().sum() for y in supernet(pictures(), vectors)).backward()
    for vector in vectors:
        assert vector.grad is not None
        assert vector.grad[0] == 0
        assert (vector.grad[1:] != 0).all()
    supernet.zero_grad()


def test_one_hot_mixtures_are_the_cell() -> None:
    """A mixture with one operation per kept edge and ``none`` elsewhere is that cell, to the last bit."""
    supernet = supernet_of()
    architecture = read_genotype(supernet.space, ORACLE)
    one_hot = [np.eye(8)[i] for i in architecture.row]
    for ours, discrete in zip(supernet(pictures(), one_hot), supernet(pictures(), architecture), strict=True):
        assert torch.equal(ours, discrete)


@pytest.mark.parametrize("partial_channels", [1, 4])
def test_the_search_form_keeps_the_stem_and_heads_learning(partial_channels: int) -> None:
    """Norms of the stem and of heads are affine in search; those of cells and of their inputs are not."""
    supernet = supernet_of(partial_channels=partial_channels)
    affine = {
        block.split("_")[0].rstrip("012")
        for block, layers in supernet.bank.blocks.items()
        for name, layer in layers.items()  # type: ignore[operator]
        if name.endswith("norm") and layer.weight is not None
    }
    assert affine == {"generator", "exit"}


def test_partial_channels_change_the_search_alone() -> None:
    """The final network and its costs stay; the supernet has fewer weights."""
    whole, partial = create(), create(partial_channels=4)
    for space in (whole, partial):
        assert read_genotype(space, ORACLE).blueprint == read_genotype(whole, ORACLE).blueprint
    counts = [sum(p.numel() for p in supernet_of(partial_channels=k).parameters()) for k in (1, 4)]
    assert counts[1] < counts[0]
    assert all(operation(o, channels=8, side=4, stride=1, partial_channels=4) for o in whole.decisions[0].options[1:])


def test_what_no_exit_reads_need_not_run() -> None:
    """Without the cells that no exit reads the exits of a mixture are the same, on the same weights."""
    full, lean = supernet_of(), create(full_grid=False).supernet().double()
    state = full.state_dict()
    lean.load_state_dict({name: state[name] for name in lean.state_dict()})
    assert len(lean.state_dict()) < len(state)
    vectors = uneven(full.space)
    for ours, wide in zip(lean(pictures(), vectors), full(pictures(), vectors), strict=True):
        torch.testing.assert_close(ours, wide, rtol=0, atol=1e-12)
