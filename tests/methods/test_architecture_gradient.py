"""Gradients with respect to mixture weights, against differences and an exactly unrolled step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.decisions import Decision, Rule, Template
from sartor.elastic.supernet import Supernet
from sartor.errors import RequestError
from sartor.methods.architecture_gradient import ArchitectureGradient
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.runtime import prepare
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.train.optimiser import PrefixOptimiser
from sartor.train.passes import Pass
from sartor.train.settings import SearchTraining

MIXTURE = [np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])]


def smooth() -> SearchSpace:
    """Two edges into one node, smooth in weights and mixtures; an edge may be absent."""

    def edge(name: str) -> Stack | None:
        start = Stack(4, 4).activation("swish")
        return None if name == "none" else start.conv(name, 4, kernel=int(name[-1])).batch_norm()

    options = ("none", "conv1", "conv3")
    templates = [
        Template("stem", (), lambda: Stack(3, 4).conv("conv", 4, kernel=3).batch_norm()),
        Template("edge0", ("op0",), edge, inputs=("stem",)),
        Template("edge1", ("op1",), edge, inputs=("stem",)),
        Template("node", (), lambda: Stack(4, 4), ("edge0", "edge1"), "sum"),
        Template("head", (), lambda: Stack(4, 4).global_pool().linear("linear", 3)),
    ]
    decisions = [Decision("op0", options), Decision("op1", options)]
    rules = [Rule(("op0", "op1"), lambda a, b: (a != "none") + (b != "none") >= 1)]
    return SearchSpace("smooth", decisions, templates, image_size=4, rules=rules)


def batch(seed: int, size: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, 4, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (size,), generator=generator)


class Batches:
    """Random pictures, a function of the step."""

    steps_per_epoch, batch_size = 4, 12

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        return batch(step)


def loss_of(supernet: Supernet) -> Any:
    return lambda x, y, selection: F.cross_entropy(supernet(x, selection), y)


@pytest.fixture
def supernet() -> Supernet:
    return smooth().supernet(seed=1).double().train()


def settings(**changes: Any) -> SearchTraining:
    return SearchTraining(**{"epochs": 4, "batch_size": 12, "weight_decay": 0.05, "momentum": 0.9, **changes})


def by_differences(supernet: Supernet, data: tuple[Tensor, Tensor], entries: list[np.ndarray[Any, Any]]) -> Any:
    found = []
    for k, vector in enumerate(entries):
        slopes = np.zeros(len(vector))
        for o in range(len(vector)):
            sides = []
            for step in (1e-5, -1e-5):
                moved = [v.copy() for v in entries]
                moved[k][o] += step
                with torch.no_grad():
                    sides.append(float(loss_of(supernet)(*data, moved)))
            slopes[o] = (sides[0] - sides[1]) / 2e-5
        found.append(slopes)
    return found


@pytest.mark.parametrize("micro_batch", [None, 12])
def test_first_order_equals_differences(supernet: Supernet, micro_batch: int | None) -> None:
    """The gradient of each vector is the slope of the loss; an absent option has none."""
    gradient = ArchitectureGradient(supernet, loss_of(supernet), micro_batch)
    loss, found = gradient.first_order(batch(0), MIXTURE)
    assert loss == pytest.approx(loss_of(supernet)(*batch(0), MIXTURE).item())
    np.testing.assert_allclose(found, by_differences(supernet, batch(0), MIXTURE), atol=1e-8)
    assert [g[0] for g in found] == [0.0, 0.0]


def test_asking_leaves_no_trace(supernet: Supernet) -> None:
    """Neither order moves a weight, leaves a gradient or marks a weight as used."""
    optimiser = PrefixOptimiser(supernet.parameters(), settings(), supernet.bank)
    before = {name: p.clone() for name, p in supernet.named_parameters()}
    gradient = ArchitectureGradient(supernet, loss_of(supernet))
    gradient.first_order(batch(0), MIXTURE)
    gradient.second_order(batch(1), batch(0), MIXTURE, optimiser, 0.1)
    for name, p in supernet.named_parameters():
        assert torch.equal(p, before[name])
        assert p.grad is None
        assert p.requires_grad
    assert not list(dict(supernet.bank.used_prefixes()))
    assert not optimiser.buffers


@pytest.mark.parametrize(("nesterov", "steps"), [(False, 0), (False, 3), (True, 3)])
def test_second_order_equals_the_exact_unrolled_gradient(supernet: Supernet, nesterov: bool, steps: int) -> None:
    """Differentiating through one step of SGD, momentum and decay included, gives the same up to the difference."""
    chosen, rate = settings(nesterov=nesterov), 0.3
    optimiser = PrefixOptimiser(supernet.parameters(), chosen, supernet.bank)
    for k in range(steps):  # so that there is momentum
        loss_of(supernet)(*batch(10 + k), [1, 2]).backward()
        loss_of(supernet)(*batch(10 + k), [2, 1]).backward()
        optimiser.step(0.05)
    gradient = ArchitectureGradient(supernet, loss_of(supernet), difference=1e-4)
    loss, found = gradient.second_order(batch(1), batch(0), MIXTURE, optimiser, rate)

    vectors = [torch.tensor(v, requires_grad=True) for v in MIXTURE]
    names = dict(supernet.named_parameters())
    supernet.bank.use_direct_gradients(False)
    supernet.recompute_branches = False  # a recomputation would see the weights from before the functional call
    training = loss_of(supernet)(*batch(1), vectors)
    gradients = torch.autograd.grad(training, list(names.values()), create_graph=True)
    moved = {}
    for (name, p), g in zip(names.items(), gradients, strict=True):
        move = g + chosen.weight_decay * p
        held = optimiser.buffers.get(p, {}).get("momentum", torch.zeros_like(p))
        velocity = 0.9 * held + move
        moved[name] = p - rate * (move + 0.9 * velocity if nesterov else velocity)
    logits = torch.func.functional_call(supernet, moved, (batch(0)[0], vectors))
    exact_loss = F.cross_entropy(logits, batch(0)[1])
    exact = torch.autograd.grad(exact_loss, vectors)
    first = ArchitectureGradient(supernet, loss_of(supernet)).first_order(batch(0), MIXTURE)[1]
    assert loss == pytest.approx(exact_loss.item())
    np.testing.assert_allclose(found, [g.numpy() for g in exact], atol=1e-6)
    assert np.abs(np.array(found) - np.array(first)).max() > 5e-3  # the orders do differ here


def test_second_order_belongs_to_sgd(supernet: Supernet) -> None:
    """Another optimiser is refused, and what to change is said."""
    optimiser = PrefixOptimiser(supernet.parameters(), settings(optimiser="adam"), supernet.bank)
    with pytest.raises(RequestError, match=r"search.optimiser is 'adam'; choose sgd, or method.order 1"):
        ArchitectureGradient(supernet, loss_of(supernet)).second_order(batch(1), batch(0), MIXTURE, optimiser, 0.1)


def test_an_evaluator_asks_for_batches_in_turn(supernet: Supernet) -> None:
    """Each call takes the next policy batch, a numbered one as often as it is asked for; training goes on as before."""
    stream = Batches()
    evaluator = SupernetEvaluator(supernet, stream, stream, settings(), prepare("cpu"))
    first, again = evaluator.gradient(MIXTURE), evaluator.gradient(MIXTURE, batch=0)
    second = evaluator.gradient(MIXTURE, order=2)
    assert first[0] == again[0] != second[0]
    assert evaluator.scorings == 2
    assert np.isfinite(evaluator.train([Pass(MIXTURE, observe=True)])).all()
