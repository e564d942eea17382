"""The update rules by hand and by the book, on what a step used; what decays, and what a restart keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from train_steps import Memory, by_the_book, first_exit, memory, pictures, used_masks

from sartor.elastic.supernet import Supernet
from sartor.testing import small_space
from sartor.train.optimiser import PrefixOptimiser
from sartor.train.settings import SearchTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

RATES = (0.1, 0.05, 0.02, 0.2)
RULES: list[dict[str, Any]] = [
    {"optimiser": "sgd"},
    {"optimiser": "sgd", "nesterov": True},
    {"optimiser": "sgd", "momentum": 0.0},
    {"optimiser": "rmsprop", "rmsprop_epsilon": 1.0},
    {"optimiser": "rmsprop", "rmsprop_decay": 0.5, "momentum": 0.0},
    {"optimiser": "adam"},
    {"optimiser": "adam", "momentum": 0.0, "adam_decay": 0.9},
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda r: "-".join(str(v) for v in r.values()))


def settings(rule: dict[str, Any], **changes: Any) -> SearchTraining:
    return SearchTraining(**{"epochs": 1, "weight_decay": 0.0, **rule, **changes})


def moved_by(weights: list[float], gradients: list[list[float]], rates: list[float], **changes: Any) -> list[float]:
    """A vector after steps with given gradients."""
    parameter = nn.Parameter(torch.tensor(weights, dtype=torch.float64))
    optimiser = PrefixOptimiser([parameter], settings(changes), None)
    for gradient, rate in zip(gradients, rates, strict=True):
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimiser.step(rate)
    return parameter.tolist()


# ---------------------------------------------------------------- the rules


def test_rmsprop_by_hand() -> None:
    """Two steps of gradient 2 and 1 with decay 0.9, momentum 0.9, epsilon 1 and rates 0.1 and 0.01.

    Square 0.9 + 0.1 * 4 = 1.3, velocity 0.1 * 2 / sqrt(2.3) = 0.1318761;
    square 1.17 + 0.1 = 1.27, velocity 0.9 * 0.1318761 + 0.01 / sqrt(2.27) = 0.1253257.
    """
    numbers = {"optimiser": "rmsprop", "rmsprop_decay": 0.9, "momentum": 0.9, "rmsprop_epsilon": 1.0}
    assert moved_by([1.0], [[2.0]], [0.1], **numbers) == pytest.approx([1 - 0.13187609], abs=1e-8)
    both = moved_by([1.0], [[2.0], [1.0]], [0.1, 0.01], **numbers)
    assert both == pytest.approx([1 - 0.13187609 - 0.12532572], abs=1e-8)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@every_rule
def test_plain_networks_by_the_book(rule: dict[str, Any], weight_decay: float) -> None:
    """Every weight of a plain network follows the definition of its rule, weight decay inside the gradient."""
    chosen = settings(rule, weight_decay=weight_decay)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    ours = PrefixOptimiser(network.parameters(), chosen, None)
    held = {p: memory(chosen.optimiser, p.detach()) for p in network.parameters()}
    for step, rate in enumerate(RATES):
        network(torch.randn(5, 4, generator=torch.Generator().manual_seed(step)).double()).square().mean().backward()
        expected = {}
        for p in network.parameters():
            gradient = gradient_of(p) + weight_decay * p.detach()
            everywhere = torch.ones_like(p, dtype=torch.bool)
            expected[p], held[p] = by_the_book(p.detach(), gradient, held[p], everywhere, rate, chosen)
        ours.step(rate)
        for p, value in expected.items():
            torch.testing.assert_close(p.detach(), value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_adam_is_torchs(momentum: float, weight_decay: float) -> None:
    """On a plain network in single precision too, where 1 - 0.999^n must not be rounded away."""
    networks = [nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    chosen = settings({"optimiser": "adam", "momentum": momentum}, weight_decay=weight_decay)
    ours = PrefixOptimiser(networks[0].parameters(), chosen, None)
    betas = (momentum, 0.999)
    theirs = torch.optim.Adam(networks[1].parameters(), lr=0.01, betas=betas, eps=1e-8, weight_decay=weight_decay)
    for step in range(5):
        x = torch.randn(5, 4, generator=torch.Generator().manual_seed(step))
        for network in networks:
            network(x).square().mean().backward()
        ours.step(0.01)
        theirs.step()
        theirs.zero_grad()
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- prefixes


@every_rule
@pytest.mark.parametrize("name", ["mobilenet_v1", "ruled"])
def test_only_the_used_prefixes_move(name: str, rule: dict[str, Any]) -> None:
    """Element by element: those some pass of the step used follow the rule, all others keep weight and memory.

    The spaces hold widths, and layers that some steps do not use at all.
    """
    chosen = settings(rule, weight_decay=0.01)
    supernet = Supernet(small_space(name), seed=0).double().train()
    optimiser = PrefixOptimiser(supernet.parameters(), chosen, supernet.bank)
    held = {p: memory(chosen.optimiser, p.detach()) for p in supernet.parameters()}
    rows = supernet.space.sample(8, np.random.default_rng(3))
    rows[4:6] = rows[3]  # twice the same prefixes, then others
    for step, (pair, rate) in enumerate(zip(rows.reshape(4, 2, -1), RATES, strict=True)):
        architectures = [supernet.space.architecture(row) for row in pair]
        for architecture in architectures:
            first_exit(supernet(pictures(step), architecture)).square().mean().backward()  # type: ignore[no-untyped-call]
        expected = {}
        for p, mask in used_masks(supernet, architectures).items():
            gradient = gradient_of(p)
            assert not gradient[~mask].any()
            g = gradient + 0.01 * p.detach()
            expected[p], held[p] = by_the_book(p.detach(), g, held[p], mask, rate, chosen)
        optimiser.step(rate)
        for p, value in expected.items():
            torch.testing.assert_close(p.detach(), value, rtol=0, atol=1e-12)
            assert p.grad is None or not p.grad.any()
        assert not any(True for _ in supernet.bank.used_prefixes())
    assert_remembers(optimiser, held)


@every_rule
def test_dense_updates_move_unused_weights(rule: dict[str, Any]) -> None:
    """With ``dense_updates`` what once had a gradient goes on as if its gradient were zero, for every rule."""
    chosen = settings(rule, dense_updates=True, weight_decay=0.01)
    supernet = Supernet(small_space("ruled"), seed=0).double().train()
    optimiser = PrefixOptimiser(supernet.parameters(), chosen, supernet.bank)
    held: dict[nn.Parameter, Memory] = {}
    for step, (row, rate) in enumerate(zip(supernet.space.sample(4, np.random.default_rng(5)), RATES, strict=True)):
        first_exit(supernet(pictures(step), row)).square().mean().backward()  # type: ignore[no-untyped-call]
        expected = {}
        for p in supernet.parameters():
            if p.grad is not None or p in held:
                before = held.get(p, memory(chosen.optimiser, p.detach()))
                g = gradient_of(p) + 0.01 * p.detach()
                everywhere = torch.ones_like(p, dtype=torch.bool)
                expected[p], held[p] = by_the_book(p.detach(), g, before, everywhere, rate, chosen)
            else:
                expected[p] = p.detach().clone()
        optimiser.step(rate)
        for p, value in expected.items():
            torch.testing.assert_close(p.detach(), value, rtol=0, atol=1e-12)
    assert_remembers(optimiser, held)


@pytest.mark.parametrize("dense_updates", [False, True])
@every_rule
def test_what_is_remembered_survives_a_restart(rule: dict[str, Any], dense_updates: bool) -> None:
    """A new optimiser with the old one's state makes the same next steps, bit for bit."""
    networks = [Supernet(small_space("grouped"), seed=1).double().train() for _ in range(2)]
    chosen = settings(rule, weight_decay=0.01, dense_updates=dense_updates)
    optimisers = [PrefixOptimiser(n.parameters(), chosen, n.bank) for n in networks]
    for step in range(2):
        networks[0](pictures(step), [1, step]).square().mean().backward()
        optimisers[0].step(0.1)
    networks[1].load_state_dict(networks[0].state_dict())
    optimisers[1].load_state_dict(optimisers[0].state_dict())
    for step in (8, 9):
        for network, optimiser in zip(networks, optimisers, strict=True):
            network(pictures(step), [step - 8, 1]).square().mean().backward()
            optimiser.step(0.1)
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(a, b)


# ---------------------------------------------------------------- weight decay


@pytest.mark.parametrize("dense_updates", [False, True])
def test_only_active_kernels_decay(dense_updates: bool) -> None:
    """TuNAS: with zero gradients the used part of each convolution kernel shrinks, and nothing else moves at all.

    Depthwise kernels and those of squeeze-excite shrink too; biases, batch norms and the classifier do not.
    """
    supernet = Supernet(small_space("two_exits"), seed=0).double().train()
    chosen = settings({"momentum": 0.0}, weight_decay=0.5, weight_decay_on="convolutions", dense_updates=dense_updates)
    optimiser = PrefixOptimiser(supernet.parameters(), chosen, supernet.bank)
    row = [0, 2, 1, 0, 0, 0, 0, 0]  # gated mixer, a depthwise branch
    sum(out.square().mean() for out in supernet(pictures_of(16), row)).backward()
    for p in supernet.parameters():
        if p.grad is not None:
            p.grad.zero_()
    before = {p: p.detach().clone() for p in supernet.parameters()}
    masks = used_masks(supernet, [supernet.space.architecture(row)])
    optimiser.step(0.1)
    for p, mask in masks.items():
        expected = torch.where(mask, 0.95 * before[p], before[p]) if p.ndim == 4 else before[p]
        torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-12)
    kernels = [p for p, mask in masks.items() if p.ndim == 4 and mask.any()]
    assert any(p.shape[1] == 1 for p in kernels) and any(not mask.all() for mask in masks.values() if mask.any())


def test_kernels_of_a_plain_network_decay() -> None:
    """Without prefixes whole kernels do, and the penalty is part of the gradient: RMSProp divides it by its root."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2)).double()
    numbers = {"optimiser": "rmsprop", "momentum": 0.0, "rmsprop_epsilon": 1.0}
    chosen = settings(numbers, weight_decay=0.1, weight_decay_on="convolutions")
    optimiser = PrefixOptimiser(network.parameters(), chosen, None)
    before = [p.detach().clone() for p in network.parameters()]
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step(0.5)
    g = 0.1 * before[0]
    before[0] -= 0.5 * g / (0.9 + 0.1 * g * g + 1.0).sqrt()
    for p, expected in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), expected, rtol=0, atol=1e-12)


def test_memory_is_as_small_as_it_can_be() -> None:
    """SGD without momentum remembers nothing; Adam counts steps per slice, once for a weight that is never cut."""
    weight = nn.Parameter(torch.ones(8, 4, 3, 3))
    for rule, cut, shapes in (
        ({"momentum": 0.0}, 2, {}),
        ({"optimiser": "adam"}, 2, {"count": (8, 4, 1, 1)}),
        ({"optimiser": "adam"}, 0, {"count": (1, 1, 1, 1)}),
        ({"optimiser": "rmsprop", "momentum": 0.0}, 2, {"square": (8, 4, 3, 3)}),
    ):
        held = PrefixOptimiser([weight], settings(rule), None).rule.buffers(weight, cut)
        assert {name: tuple(value.shape) for name, value in held.items() if name in shapes} == shapes
        assert ("momentum" in held) is False


def gradient_of(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()


def pictures_of(side: int) -> Tensor:
    return torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def assert_remembers(optimiser: PrefixOptimiser, held: dict[nn.Parameter, Memory]) -> None:
    """What the optimiser remembers is what the book remembers, counts spread over their slices."""
    for p, values in optimiser.buffers.items():
        for name, value in values.items():
            torch.testing.assert_close(value.expand_as(p), held[p][name], rtol=0, atol=1e-12)
