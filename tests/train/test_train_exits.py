"""What exits learn: the gradients of weighted, averaged, distilled and auxiliary losses against those written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.errors import RequestError
from sartor.train.exits import Auxiliary, Exits, check_exits
from sartor.train.passes import EXTERNAL, Pass
from sartor.train.runner import PassRunner
from sartor.train.settings import FinalTraining, SearchTraining
from sartor.train.teacher import Lesson, Teacher

LABELS = torch.arange(10) % 4
Loss = Callable[[list[Tensor]], Tensor]


def logits(exits: int = 3) -> list[Tensor]:
    """The outputs of exits that share a tensor, which gets the gradient."""
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(10, 4, generator=rng, dtype=torch.float64, requires_grad=True) for _ in range(exits)]


def gradients(loss: Loss, exits: int = 3) -> list[Tensor]:
    outputs = logits(exits)
    loss(outputs).backward()
    return [out.grad if out.grad is not None else torch.zeros_like(out) for out in outputs]


def assert_same(ours: Loss, theirs: Loss, exits: int = 3) -> None:
    """Equal gradients at every exit; values may differ by a constant."""
    for a, b in zip(gradients(ours, exits), gradients(theirs, exits), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


def ce(out: Tensor, smoothing: float = 0.0) -> Tensor:
    target = F.one_hot(LABELS, 4).double() * (1 - smoothing) + smoothing / 4
    return -(target * out.log_softmax(1)).sum(1).mean()


def kl(taught: Tensor, out: Tensor, temperature: float) -> Tensor:
    p, log_q = (taught.detach() / temperature).softmax(1), (out / temperature).log_softmax(1)
    return temperature**2 * (p * (p.log() - log_q)).sum(1).mean()


def test_a_sum_not_a_mean() -> None:
    """Without weights the loss is the sum of the exits' cross-entropies, as MSDNet and MS-RANAS have it."""
    assert_same(lambda outs: Exits().loss(outs, LABELS), lambda outs: ce(outs[0]) + ce(outs[1]) + ce(outs[2]))
    assert Exits().loss(logits(), LABELS).item() == pytest.approx(sum(ce(out).item() for out in logits()))


def test_weights_and_average_by_hand() -> None:
    """Every exit's loss counts its weight; averaged, all of it divided by the number of exits."""
    weighted = Exits(weights=(0.5, 0.0, 2.0))
    assert_same(lambda outs: weighted.loss(outs, LABELS), lambda outs: 0.5 * ce(outs[0]) + 2 * ce(outs[2]))
    averaged = Exits(weights=(0.5, 0.0, 2.0), averaged=True)
    assert_same(lambda outs: averaged.loss(outs, LABELS), lambda outs: (0.5 * ce(outs[0]) + 2 * ce(outs[2])) / 3)
    reported = averaged.hard_loss(logits(), LABELS).item()
    assert reported == pytest.approx((0.5 * ce(logits()[0]) + 2 * ce(logits()[2])).item() / 3)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_self_distillation_by_hand(temperature: float) -> None:
    """Earlier exits learn (1 - a) CE + a T^2 KL(last || exit) beside smoothed labels; the last one the labels alone."""
    exits = Exits(weights=(1.0, 0.5, 2.0), share=0.3, temperature=temperature)

    def by_hand(outs: list[Tensor]) -> Tensor:
        first, second = (0.7 * ce(out, 0.1) + 0.3 * kl(outs[2], out, temperature) for out in outs[:2])
        return first + 0.5 * second + 2 * ce(outs[2], 0.1)

    assert_same(lambda outs: exits.loss(outs, LABELS, 0.1), by_hand)


def test_the_last_exit_is_not_pulled_to_the_earlier_ones() -> None:
    """Taught by nothing but the last exit, the others learn; the last one learns as if it were alone."""
    found = gradients(lambda outs: Exits(share=1.0).loss(outs, LABELS))
    alone = gradients(lambda outs: ce(outs[2]))
    assert torch.equal(found[2], alone[2]) and all(float(g.abs().max()) > 0 for g in found[:2])


def test_with_a_teacher_from_outside() -> None:
    """A teacher's lesson has its share of every exit's loss, whatever makes up the rest, and the exits' weights."""
    exits, taught = Exits(weights=(1.0, 0.5, 2.0), share=0.3), logits(1)[0].detach() * 2

    def by_hand(outs: list[Tensor]) -> Tensor:
        own = [0.7 * ce(out) + 0.3 * kl(outs[2], out, 1.0) for out in outs[:2]] + [ce(outs[2])]
        parts = [0.6 * loss + 0.4 * kl(taught, out, 2.0) for loss, out in zip(own, outs, strict=True)]
        return parts[0] + 0.5 * parts[1] + 2 * parts[2]

    assert_same(lambda outs: exits.loss(outs, LABELS, lesson=Lesson((taught,), 0.4, 2.0)), by_hand)
    replaced = Lesson((taught,))
    assert_same(
        lambda outs: exits.loss(outs, LABELS, lesson=replaced),
        lambda outs: kl(taught, outs[0], 1.0) + 0.5 * kl(taught, outs[1], 1.0) + 2 * kl(taught, outs[2], 1.0),
    )


def test_an_auxiliary_exit_by_hand() -> None:
    """It counts its weight, learns the labels, is neither counted nor averaged over nor reported."""
    exits = Exits(share=0.3, averaged=True, auxiliary=Auxiliary(1, 0.4))

    def by_hand(outs: list[Tensor]) -> Tensor:
        return (0.7 * ce(outs[0]) + 0.3 * kl(outs[2], outs[0], 1.0)) / 2 + 0.4 * ce(outs[1]) + ce(outs[2]) / 2

    assert_same(lambda outs: exits.loss(outs, LABELS), by_hand)
    reported = exits.hard_loss(logits(), LABELS).item()
    assert reported == pytest.approx((ce(logits()[0]) + ce(logits()[2])).item() / 2)
    alone = Exits(weights=(3.0, 1.0), auxiliary=Auxiliary(0, 0.4))  # weights are for networks with several exits
    assert_same(lambda outs: alone.loss(outs, LABELS), lambda outs: 0.4 * ce(outs[0]) + ce(outs[1]), exits=2)


def test_one_exit_is_trained_as_ever() -> None:
    """What is said about exits changes nothing, bit for bit, where there is one."""
    exits = Exits(weights=(1.0, 2.0), averaged=True, share=0.5)
    for a, b in zip(
        gradients(lambda outs: exits.loss(outs, LABELS), 1),
        gradients(lambda outs: F.cross_entropy(outs[0], LABELS), 1),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_weights_of_another_number_of_exits() -> None:
    """Too few are refused, with both numbers; a network cut off after an exit has the first of its weights."""
    cut = Exits(weights=(0.5, 2.0, 7.0), averaged=True)
    assert_same(lambda outs: cut.loss(outs, LABELS), lambda outs: (0.5 * ce(outs[0]) + 2 * ce(outs[1])) / 2, exits=2)
    with pytest.raises(RequestError, match="exit_weights has 2 values, but the network has 3 exits; give one each"):
        Exits(weights=(1.0, 1.0)).loss(logits(), LABELS)


# ---------------------------------------------------------------- in a step


def shared(x: Tensor, selection: Any, drop: bool) -> tuple[Tensor, ...]:
    """Two exits on weights that ``selection`` is."""
    return x @ selection[0], (x @ selection[1]).tanh()


def step(exits: Exits, micro_batch: int | None = None, **settings: Any) -> tuple[list[Tensor], float]:
    """The gradients of one pass and its observed loss."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(10, 3, generator=rng)
    weights = [torch.randn(3, 4, generator=rng, requires_grad=True) for _ in range(2)]
    taught = Teacher(lambda pictures: pictures @ torch.ones(3, 4), 0.25, 2.0) if settings.pop("taught", False) else None
    runner = PassRunner(shared, micro_batch, teacher=taught, exits=exits, **settings)
    losses = runner(x, LABELS, [Pass(weights, observe=True, teacher=EXTERNAL if taught else None)])
    return [w.grad for w in weights if w.grad is not None], float(losses[0])


@pytest.mark.parametrize("micro_batch", [1, 3, 10])
def test_micro_batches_change_nothing(micro_batch: int) -> None:
    """Exit weights, self-distillation and a teacher over pieces give the gradient of the whole batch."""
    exits = Exits(weights=(0.5, 2.0), share=0.3, temperature=2.0)
    whole, loss = step(exits, taught=True, label_smoothing=0.1)
    pieces, same = step(exits, micro_batch, taught=True, label_smoothing=0.1)
    assert same == pytest.approx(loss, rel=1e-6)
    for a, b in zip(whole, pieces, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_likelihoods_are_those_of_the_weighted_exits() -> None:
    """Passes are weighted by softmax(-sum of weighted losses), and each adds its weighted gradient."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(10, 3, generator=rng)
    pairs = [[torch.randn(3, 4, generator=rng, requires_grad=True) for _ in range(2)] for _ in range(2)]
    flat = [w for pair in pairs for w in pair]
    runner = PassRunner(shared, exits=Exits(weights=(0.5, 2.0)))
    passes = [Pass(pair, observe=True) for pair in pairs]
    losses = runner.likelihood(x, LABELS, passes, lambda: [w.grad for w in flat if w.grad is not None], 1.0)

    def loss(pair: list[Tensor]) -> Tensor:
        first, second = shared(x, pair, False)
        return 0.5 * F.cross_entropy(first, LABELS) + 2 * F.cross_entropy(second, LABELS)

    values = np.array([loss(pair).item() for pair in pairs])
    np.testing.assert_allclose(losses, values, rtol=1e-6)
    shares = np.exp(-values) / np.exp(-values).sum()
    for pair, share in zip(pairs, shares, strict=True):
        expected = torch.autograd.grad(loss(pair), pair)
        for weight, gradient in zip(pair, expected, strict=True):
            torch.testing.assert_close(weight.grad, share * gradient, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- settings


def test_settings_become_exits() -> None:
    """A search weighs its exits; a final training may also let the last one teach."""
    assert Exits.of(SearchTraining(exit_weights=(1.0, 2.0), exits_averaged=True)) == Exits(
        weights=(1.0, 2.0), averaged=True
    )
    final = FinalTraining(exit_distillation=0.2, exit_temperature=4.0)
    assert Exits.of(final, Auxiliary(0, 0.4)) == Exits(share=0.2, temperature=4.0, auxiliary=Auxiliary(0, 0.4))


@pytest.mark.parametrize(
    ("settings", "exits", "message"),
    [
        (SearchTraining(exit_weights=(1.0,)), 3, r"search\.exit_weights has 1 values, but the network has 3 exits"),
        (SearchTraining(exits_averaged=True), 1, r"search\.exits_averaged: the network has one exit"),
        (FinalTraining(exit_weights=(1.0, 1.0)), 1, r"search\.exit_weights: the network has one exit; leave this out"),
        (
            FinalTraining(exit_distillation=0.1, gradient_equilibrium=True),
            1,
            r"search\.exit_distillation, search\.gradient_equilibrium: the network has one exit",
        ),
    ],
)
def test_settings_that_no_exit_hears(settings: Any, exits: int, message: str) -> None:
    """Settings of exits are refused where the network has one exit, or another number of them."""
    with pytest.raises(RequestError, match=message):
        check_exits(settings, exits, "search")


def test_settings_that_fit() -> None:
    """Defaults fit every network, weights one of as many exits."""
    for exits in (1, 3):
        check_exits(FinalTraining(), exits, "train")
    check_exits(FinalTraining(exit_weights=(1.0, 0.5, 0.1), exit_distillation=0.5), 3, "train")
