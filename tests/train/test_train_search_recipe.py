"""The recipe of TuNAS in a search: the evaluator trains by it, step for step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from train_steps import by_the_book, memory

from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.runtime import Runtime
from sartor.testing import small_space
from sartor.testing.evaluators import RandomPictures
from sartor.testing.stores import through_a_file
from sartor.train.passes import Pass
from sartor.train.settings import SearchTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

SPACE = small_space("grouped")
LARGE = [n - 1 for n in SPACE.sizes]
RECIPE: dict[str, Any] = {
    "optimiser": "rmsprop",
    "rmsprop_epsilon": 1.0,
    "learning_rate": 0.165,
    "per_pictures": 256,
    "schedule": "cosine",
    "warmup_share": 0.25,
    "weight_decay": 4e-5,
    "weight_decay_on": "convolutions",
    "label_smoothing": 0.1,
}


def evaluator(**changes: Any) -> SupernetEvaluator:
    settings = SearchTraining(**{"epochs": 1.0, "batch_size": 8, **RECIPE, **changes})
    streams = RandomPictures(SPACE), RandomPictures(SPACE, seed=1)
    supernet = SPACE.supernet(seed=0, initialiser="tensorflow")
    return SupernetEvaluator(supernet, *streams, settings, Runtime(torch.device("cpu")), passes_per_step=1)


def test_steps_by_hand() -> None:
    """Smoothed loss, penalty of the kernels, RMSProp and the rate of the step; what is observed is not smoothed."""
    found = evaluator()
    hand = SPACE.supernet(seed=0, initialiser="tensorflow").to(memory_format=torch.channels_last).train()
    hand.bank.use_direct_gradients(False)
    held = {p: memory("rmsprop", p.detach()) for p in hand.parameters()}
    stream = RandomPictures(SPACE)
    steps = found.total_cost // (3 * 8)
    for step in range(5):
        x, y = stream.batch(step)
        (observed,) = found.train([Pass(LARGE, observe=True)])
        logits = hand(x, LARGE)
        assert observed == pytest.approx(float(F.cross_entropy(logits.detach(), y)), rel=1e-4)
        gradients = torch.autograd.grad(F.cross_entropy(logits, y, label_smoothing=0.1), list(hand.parameters()))
        warmup = 0.25 * steps
        falling = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        rate = 0.165 * 8 / 256 * (step / warmup if step < warmup else falling)
        assert found.learning_rate == pytest.approx(rate)
        for p, gradient in zip(hand.parameters(), gradients, strict=True):
            g = gradient + 4e-5 * p.detach() * (p.ndim == 4)
            everywhere = torch.ones_like(p, dtype=torch.bool)
            p.data, held[p] = by_the_book(p.detach(), g, held[p], everywhere, rate, found.settings)
    for (name, a), b in zip(found.supernet.named_parameters(), hand.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("optimiser", ["sgd", "rmsprop", "adam"])
def test_a_search_goes_on_after_a_restart(optimiser: str) -> None:
    """With every rule the next steps after a restart are those of an undisturbed search, bit for bit."""
    rows = SPACE.sample(6, np.random.default_rng(0))
    one, other = evaluator(optimiser=optimiser), evaluator(optimiser=optimiser)
    for row in rows[:3]:
        one.train([Pass(row)])
    other.load_state_dict(through_a_file(one.state_dict()))
    for row in rows[3:]:
        for each in (one, other):
            each.train([Pass(row)])
    assert other.learning_rate == one.learning_rate
    for a, b in zip(one.supernet.parameters(), other.supernet.parameters(), strict=True):
        assert torch.equal(a, b)
