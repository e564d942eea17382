"""What the contract leaves to say about supernets: wrong selections, inert decisions, dropout, precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sartor import spaces
from sartor.elastic.execution import Dropout
from sartor.errors import RequestError
from sartor.testing import small_space


def pictures(n: int = 4, side: int = 16) -> Tensor:
    """Random pictures."""
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_selections_come_as_architecture_row_or_list() -> None:
    """An architecture, a numpy row, a list and a list of tensors are the same selection."""
    space = small_space("two_exits")
    supernet = space.supernet()
    row = space.sample(1, np.random.default_rng(0))[0]
    outputs = [
        supernet(pictures(), s) for s in (space.architecture(row), row, row.tolist(), [torch.tensor(i) for i in row])
    ]
    assert all(torch.equal(a, b) for found in outputs for a, b in zip(found, outputs[0], strict=True))


def test_wrong_selections_are_refused() -> None:
    """Too short, an option below or above, a vector of the wrong length, an architecture of another space."""
    space = small_space("two_exits")
    supernet = space.supernet()
    row: list[int | Tensor] = [0] * len(space.decisions)
    with pytest.raises(RequestError, match="has 8 decisions, the selection has 7"):
        supernet(pictures(), row[1:])
    for wrong in (-1, 3, torch.ones(2)):
        with pytest.raises(RequestError, match="mixer takes an index below 3 or 3 weights"):
            supernet(pictures(), [row[0], wrong, *row[2:]])
    stranger = spaces.create("nas_bench_macro").architecture([0] * 8)
    with pytest.raises(RequestError, match="belongs to another space"):
        supernet(pictures(), stranger)


def test_a_mixture_is_no_architecture() -> None:
    """Mixtures can be neither calibrated, extracted, nor evaluated."""
    supernet = small_space("nas_bench_macro").supernet()
    mixed = [torch.ones(3) / 3, *[0] * 7]
    for use in (lambda: supernet.calibrate(mixed, [pictures(side=8)]), lambda: supernet.extract(mixed)):
        with pytest.raises(TypeError, match="not an architecture"):
            use()
    with pytest.raises(TypeError, match="not an architecture"):
        supernet.eval()(pictures(side=8), mixed)


def test_inert_decisions_share_their_calibration() -> None:
    """Architectures that differ in inert decisions alone are calibrated together."""
    space = small_space("two_exits")
    supernet = space.supernet()
    row = [0] * 8
    other = list(row)
    other[space.index["kernel"]] = 1  # inert: the branch pools
    supernet.calibrate(row, [pictures()])
    supernet.eval()
    assert all(torch.equal(a, b) for a, b in zip(supernet(pictures(), row), supernet(pictures(), other), strict=True))
    copy = supernet.extract(other)
    assert all(torch.equal(a, b) for a, b in zip(copy(pictures()), supernet(pictures(), row), strict=True))


def test_calibration_changes_the_statistics_and_nothing_else() -> None:
    """Calibration moves every mean and variance, leaves weights, mode and the dropout's generator alone."""
    space = small_space("two_exits")
    supernet = space.supernet()
    generator = torch.Generator().manual_seed(5)
    supernet.dropout = Dropout(0.5, generator)
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    state = generator.get_state()
    for mode in (True, False):
        supernet.train(mode).calibrate(space.largest, [pictures()])  # type: ignore[arg-type]
        assert supernet.training is mode
    assert torch.equal(generator.get_state(), state)
    assert supernet.dropout is not None
    assert all(torch.equal(v, before[k]) for k, v in supernet.state_dict().items())
    assert all(p.grad is None for p in supernet.parameters())
    norms = [m for m in supernet.extract(space.largest).modules() if isinstance(m, nn.BatchNorm2d)]  # type: ignore[arg-type]
    assert norms
    assert all((m.running_mean != 0).any() and (m.running_var != 1).any() for m in norms)  # type: ignore[union-attr]


def test_calibration_needs_batches() -> None:
    """No batch, no statistics, and the supernet goes on working."""
    space = small_space("two_exits")
    supernet = space.supernet()
    with pytest.raises(ValueError, match="at least one batch"):
        supernet.calibrate([0] * 8, [])
    supernet(pictures(), [0] * 8)


def test_dropout_acts_in_training_only() -> None:
    """The supernet's dropout changes outputs in training, none in evaluation."""
    space = small_space("two_exits")
    supernet = space.supernet()
    row = [0] * 8
    plain = supernet(pictures(), row)[1]
    supernet.calibrate(row, [pictures()])
    supernet.eval()
    calm = supernet(pictures(), row)[1]
    supernet.dropout = Dropout(0.9, torch.Generator().manual_seed(0))
    assert torch.equal(supernet(pictures(), row)[1], calm)
    assert not torch.equal(supernet.train()(pictures(), row)[1], plain)


def test_an_extracted_network_stands_alone() -> None:
    """Changing the supernet afterwards does not change the extracted network, nor the other way round."""
    space = small_space("grouped")
    supernet = space.supernet()
    network = supernet.extract(space.largest)  # type: ignore[arg-type]
    before = network(pictures(side=8)).detach().clone()
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(1.0)
    assert torch.equal(network(pictures(side=8)), before)
    ours = supernet(pictures(side=8), space.largest).detach().clone()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(supernet(pictures(side=8), space.largest), ours)


def test_an_extracted_network_keeps_mode_and_precision() -> None:
    """It is in the supernet's mode and precision."""
    supernet = small_space("grouped").supernet().double().eval()
    network = supernet.extract([0, 0])
    assert not network.training
    assert {t.dtype for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()} == {torch.float64}


def test_supernets_start_from_the_seed() -> None:
    """The same seed gives the same supernet; every parameter takes part in some architecture."""
    space = small_space("two_exits")
    first, again, other = (space.supernet(seed=s).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)
    supernet = space.supernet()
    for row in space.sample(60, np.random.default_rng(0)):
        torch.cat(supernet(pictures(), row)).sum().backward()
    extents = {id(p): np.max([(*e, *p.shape[len(e) :]) for e in used], axis=0) for p, used in _used(supernet)}
    assert all(tuple(extents[id(p)]) == tuple(p.shape) for p in supernet.parameters())


def _used(supernet: nn.Module) -> list[tuple[nn.Parameter, set[tuple[int, ...]]]]:
    return list(supernet.bank.used_prefixes())  # type: ignore[operator, union-attr]
