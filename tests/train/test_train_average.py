"""The moving average of weights by hand, and in a training: what it gives out, what it leaves alone, and a restart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sartor.testing.stores import through_a_file
from sartor.train.average import WeightAverage


def test_by_hand() -> None:
    """Decays 0.1, 2/11 and 3/12 come first, then the one asked for; the first step hardly keeps the start."""
    weight = nn.Parameter(torch.tensor([1.0, 10.0], dtype=torch.float64))
    average = WeightAverage([weight], 0.25)
    expected = torch.tensor([1.0, 10.0], dtype=torch.float64)
    for step, decay in enumerate((1 / 10, 2 / 11, 3 / 12, 0.25, 0.25)):
        weight.data += step + 1
        average.update()
        expected = decay * expected + (1 - decay) * weight.detach()
        torch.testing.assert_close(average.averages[0], expected, rtol=0, atol=1e-12)
    first = WeightAverage([weight], 0.999)
    with torch.no_grad():
        weight.fill_(0.0)
    first.update()
    assert first.averages[0].tolist() == pytest.approx([0.1 * (1 + 15), 0.1 * (10 + 15)])


def test_it_reaches_what_stands_still() -> None:
    """Over many steps the decay asked for is the one in force: after a jump, 0.9^n of it is missing."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    average = WeightAverage([weight], 0.9)
    for _ in range(200):
        average.update()
    with torch.no_grad():
        weight.fill_(1.0)
    for _ in range(10):
        average.update()
    assert float(average.averages[0]) == pytest.approx(1 - 0.9**10)


def test_it_takes_the_place_of_the_weights() -> None:
    """Applied, weights are the averages, in their own tensors; before, they are not touched."""
    network = nn.Linear(3, 2)
    start = [p.detach().clone() for p in network.parameters()]
    average = WeightAverage(network.parameters(), 0.9)
    for p in network.parameters():
        p.data += 1
    average.update()
    moved = [p.detach().clone() for p in network.parameters()]
    held = [p.data_ptr() for p in network.parameters()]
    assert all(torch.equal(a, s + 1) for a, s in zip(moved, start, strict=True))
    average.apply()
    for p, s in zip(network.parameters(), start, strict=True):
        torch.testing.assert_close(p.detach(), s + 0.9)
    assert [p.data_ptr() for p in network.parameters()] == held


def test_it_goes_on_after_a_restart() -> None:
    """Averages and the number of updates are its state, which stands apart from what is saved."""
    weight = nn.Parameter(torch.tensor([1.0]))
    average = WeightAverage([weight], 0.5)
    average.update()
    state = through_a_file(average.state_dict())
    with torch.no_grad():
        weight.fill_(3.0)
    average.update()
    other = WeightAverage([weight], 0.5)
    other.load_state_dict(state)
    other.update()
    assert torch.equal(other.averages[0], average.averages[0]) and other.updates == 2
