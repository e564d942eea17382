"""Final training: the sandwich over platforms, and one platform alone as anybody would train it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.blueprint import Block, Blueprint
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.runtime import Runtime
from sartor.seeds import numpy_generator
from sartor.stack import Stack
from sartor.testing import small_space
from sartor.testing.evaluators import RandomPictures
from sartor.testing.stores import Killed, MemoryStore
from sartor.train.loop import NoStore
from sartor.train.networks import Trained, draw_platforms, train_slimmable
from sartor.train.optimiser import PrefixOptimiser, learning_rate
from sartor.train.settings import FinalTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

CPU = Runtime(torch.device("cpu"))
SHORT = FinalTraining(epochs=0.75, batch_size=8, learning_rate=0.05, dropout=0.0)  # nine steps
NAMES = ("watch", "phone", "tablet", "laptop")


def blueprints(n: int = 4) -> dict[str, Blueprint]:
    """``n`` networks of ascending MACs."""
    space = small_space("mobilenet_v1")
    rows = space.sample(n, np.random.default_rng(0))
    rows = rows[np.argsort(space.cost("macs")(rows))]
    return {name: space.architecture(row).blueprint for name, row in zip(NAMES, rows, strict=False)}


def train(members: dict[str, Blueprint], store: Any = None, seed: int = 0, **changes: Any) -> Trained:
    settings = FinalTraining(**{**SHORT.__dict__, **changes})
    weights = dict(zip(NAMES, (4.0, 1.0, 2.0, 3.0), strict=True))
    stream = RandomPictures(small_space("mobilenet_v1"))
    return train_slimmable(members, weights, stream, settings, CPU, store or NoStore(), seed=seed)


# ---------------------------------------------------------------- one platform


def test_one_platform_is_ordinary_training() -> None:
    """With one platform every weight and statistic is, digit for digit, that of a plain loop with torch's SGD."""
    only = {"phone": blueprints(2)["phone"]}
    ours = train(only).network.extract("phone").eval()
    plain = SlimmableNetwork(only, seed=0).extract("phone").train().to(memory_format=torch.channels_last)
    stream = RandomPictures(small_space("mobilenet_v1"))
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for step in range(9):
        x, y = stream.batch(step)
        optimiser.param_groups[0]["lr"] = 0.05 * 0.985 ** (step // stream.steps_per_epoch)
        optimiser.zero_grad()
        F.cross_entropy(plain(x), y).backward()
        optimiser.step()
    for (name, a), b in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_one_platform_costs_one_pass() -> None:
    """One platform sees every picture of a batch once."""
    assert train({"phone": blueprints(2)["phone"]}).images == 9 * 8


# ---------------------------------------------------------------- several platforms


def test_the_sandwich_by_hand() -> None:
    """Three platforms: largest and smallest every step, one of the middle, gradients summed, norms apart."""
    members = blueprints(3)
    # Two steps: batch norms over eight pictures of one pixel make more of every rounding.
    trained = train(members, epochs=2 / 12, weight_decay=0.0, momentum=0.0, nesterov=False)
    hand = SlimmableNetwork(members, seed=0).to(memory_format=torch.channels_last).train()
    hand.bank.use_direct_gradients(False)
    stream = RandomPictures(small_space("mobilenet_v1"))
    for step in range(2):
        x, y = stream.batch(step)
        sum(F.cross_entropy(hand(x, name), y) for name in ("tablet", "watch", "phone")).backward()
        with torch.no_grad():
            for parameter in hand.parameters():
                if parameter.grad is not None:
                    parameter -= 0.05 * parameter.grad
        hand.zero_grad()
    for (name, a), b in zip(trained.network.state_dict().items(), hand.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, msg=name)
    assert trained.images == 3 * 2 * 8


def test_order_of_the_platforms_does_not_matter() -> None:
    """Largest and smallest are told by their MACs, not by their place in the list."""
    members = blueprints(3)
    turned = {name: members[name] for name in ("tablet", "watch", "phone")}
    states = [train(m).network.extract("phone").state_dict() for m in (members, turned)]
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


def test_dropout_is_the_largest_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features drop in the pass of the largest platform alone, at the stated rate, others in every step and seed."""
    dropping: Counter[tuple[str, float]] = Counter()
    generators: set[int] = set()
    forward = SlimmableNetwork.forward

    def watched(self: SlimmableNetwork, x: Tensor, switch: str | None = None) -> Any:
        dropping[str(switch), 0.0 if self.dropout is None else self.dropout.rate] += 1
        if self.dropout is not None:
            generators.add(self.dropout.generator.initial_seed())
        return forward(self, x, switch)

    monkeypatch.setattr(SlimmableNetwork, "forward", watched)
    train(blueprints(3), dropout=0.6)
    assert dropping == {("tablet", 0.6): 9, ("watch", 0.0): 9, ("phone", 0.0): 9}
    train(blueprints(3), dropout=0.6, seed=1)
    assert len(generators) == 2 * 9


def test_dropout_is_reproducible() -> None:
    """Dropped features are the same for the same seed, and matter."""

    def weights(**settings: Any) -> Tensor:
        network = train({"phone": blueprints(2)["phone"]}, **settings).network
        return torch.cat([p.detach().flatten() for p in network.extract("phone").parameters()])

    assert torch.equal(weights(dropout=0.5), weights(dropout=0.5))
    assert not torch.equal(weights(dropout=0.5), weights(dropout=0.0))


def test_distillation_teaches_the_smaller_ones() -> None:
    """With distillation the smaller passes learn the largest one's predictions: the result is another one."""
    results = [train(blueprints(3), distillation=flag).network.state_dict() for flag in (False, True)]
    assert any(not torch.equal(a, b) for a, b in zip(results[0].values(), results[1].values(), strict=True))


def test_metrics_name_both_ends() -> None:
    """The log holds the hard losses of the largest and the smallest network and the learning rate."""
    store = NoStore()
    train(blueprints(3), store)
    assert [set(r) for r in store.records] == [{"step", "progress", "images", "loss", "loss_smallest", "learning_rate"}]
    assert store.records[-1]["images"] == 3 * 9 * 8
    assert store.records[-1]["learning_rate"] == pytest.approx(0.05)


def test_the_rate_follows_the_epochs() -> None:
    """Step ``n`` trains with the rate of epoch ``n / steps per epoch``."""
    store = NoStore()
    train({"phone": blueprints(2)["phone"]}, store, epochs=2.0, schedule="linear")
    rates = [learning_rate(FinalTraining(epochs=2, learning_rate=0.05, schedule="linear"), n / 12) for n in range(24)]
    lines = [np.mean(rates[:10]), np.mean(rates[10:20]), np.mean(rates[20:])]
    assert [r["learning_rate"] for r in store.records] == pytest.approx(lines)


RMSPROP = {"optimiser": "rmsprop", "nesterov": False, "weight_decay_on": "convolutions"}
RECIPES: list[dict[str, Any]] = [
    {"distillation": True},
    {**RMSPROP, "schedule": "cosine", "warmup_share": 0.2, "label_smoothing": 0.1, "weight_average": 0.9},
    {"optimiser": "adam", "nesterov": False, "learning_rate": 0.01, "dense_updates": True},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["sgd", "rmsprop", "adam"])
@pytest.mark.parametrize("kill_after", [1, 2])
def test_a_killed_training_goes_on(kill_after: int, recipe: dict[str, Any]) -> None:
    """Killed after any save, training ends with the same weights, statistics, memory and log, with every recipe."""
    changes: dict[str, Any] = {"epochs": 1.7, "dropout": 0.3, "drop_path": 0.4, **recipe}
    undisturbed = MemoryStore()
    expected = train(blueprints(4), undisturbed, **changes)
    store = MemoryStore(kill_after=kill_after)
    with pytest.raises(Killed):
        train(blueprints(4), store, **changes)
    again = store.restarted()
    found = train(blueprints(4), again, **changes)
    assert found.images == expected.images
    assert again.records == undisturbed.records
    for (name, a), b in zip(found.network.state_dict().items(), expected.network.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_finished_training_gives_its_average_again() -> None:
    """Started once more when it is done, training answers with the average, not with the weights of the checkpoint."""
    store = MemoryStore()
    first = train(blueprints(2), store, weight_average=0.9).network
    again = train(blueprints(2), store.restarted(), weight_average=0.9).network
    last = train(blueprints(2)).network
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), last.parameters(), strict=True))


def test_the_average_of_a_training() -> None:
    """The result is the moving average over the steps of the very weights that a training without it goes through."""
    watched: list[list[Tensor]] = []
    step = PrefixOptimiser.step

    def watch(self: PrefixOptimiser, rate: float) -> dict[str, float]:
        metrics = step(self, rate)
        watched.append([p.detach().clone() for p in self.parameters])
        return metrics

    only = {"phone": blueprints(2)["phone"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrefixOptimiser, "step", watch)
        train(only)
    expected = [p.detach().clone() for p in SlimmableNetwork(only, seed=0).parameters()]
    for n, weights in enumerate(watched):
        decay = min(0.5, (1 + n) / (10 + n))
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights, strict=True)]
    for found, e in zip(train(only, weight_average=0.5).network.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), e, rtol=1e-5, atol=1e-6)


def test_drop_path_is_the_largest_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Branches are left out in the pass of the largest platform alone, at the rates of its depth, anew each step."""
    members = {name: residual_network(layers) for name, layers in zip(NAMES, (1, 2, 3), strict=False)}
    seen: Counter[tuple[str, tuple[float, ...]]] = Counter()
    generators: set[int] = set()
    forward = SlimmableNetwork.forward

    def watched(self: SlimmableNetwork, x: Tensor, switch: str | None = None) -> Any:
        paths = None if self.dropout is None else self.dropout.paths
        seen[str(switch), () if paths is None else tuple(paths.rates.values())] += 1
        if paths is not None:
            generators.add(paths.generator.initial_seed())
        return forward(self, x, switch)

    monkeypatch.setattr(SlimmableNetwork, "forward", watched)
    train(members, drop_path=0.3)
    rates = tuple(0.3 * (i + 1) / 3 for i in range(3))
    assert seen == {("tablet", rates): 9, ("watch", ()): 9, ("phone", ()): 9}
    assert len(generators) == 9


def test_drop_path_matters_and_is_reproducible() -> None:
    """The same seed leaves out the same branches, micro-batches or not the whole training is the same again."""
    only = {"phone": residual_network(2)}

    def weights(**changes: Any) -> Tensor:
        return torch.cat([p.detach().flatten() for p in train(only, **changes).network.parameters()])

    for changes in ({"drop_path": 0.5}, {"drop_path": 0.5, "micro_batch": 4}):
        assert torch.equal(weights(**changes), weights(**changes))
    assert not torch.equal(weights(drop_path=0.5), weights())


def test_the_rate_is_that_of_the_batch_at_hand() -> None:
    """A rate per pictures belongs to the pictures of the stream: eight of them, whatever the settings say."""
    store = NoStore()
    train({"phone": blueprints(2)["phone"]}, store, per_pictures=64, batch_size=128, schedule="constant")
    assert store.records[-1]["learning_rate"] == pytest.approx(0.05 * 8 / 64)


def test_training_starts_from_its_initialiser() -> None:
    """A training without a rate gives the weights that the initialiser of its settings draws."""
    only = {"phone": blueprints(2)["phone"]}
    changes: dict[str, Any] = {"learning_rate": 0.0, "epochs": 1 / 12, "initialiser": "tensorflow"}
    expected = SlimmableNetwork(only, seed=0, initialiser="tensorflow")
    for a, b in zip(train(only, **changes).network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def residual_network(layers: int) -> Blueprint:
    """A stem, residual layers and a classifier on eight pixels."""
    stacks = {"stem": Stack(3, 8).conv("conv", 4, kernel=3, stride=2).batch_norm().activation()}
    for i in range(layers):
        stacks[f"layer{i}"] = Stack(4, 4).residual(Stack(4, 4).depthwise("depthwise", kernel=3).batch_norm())
    stacks["classifier"] = Stack(4, 4).global_pool().dropout().linear("linear", 5)
    blocks = [Block(n, (p,), s) for (n, s), p in zip(stacks.items(), ["pictures", *stacks], strict=False)]
    return Blueprint(tuple(blocks), 3, 8)


def test_training_learns() -> None:
    """On pictures that brightness tells apart the loss of every child falls."""
    store = NoStore()
    train(blueprints(3), store, epochs=4.0)
    assert store.records[-1]["loss"] < 0.9 * store.records[0]["loss"]
    assert store.records[-1]["loss_smallest"] < 0.9 * store.records[0]["loss_smallest"]


def test_every_norm_of_a_trained_switch_has_seen_pictures() -> None:
    """The statistics of all platforms moved, those of the middle ones too."""
    network = train(blueprints(4), epochs=2.0).network
    for name in network.switches:
        norms = [m for m in network.norms_of(name).modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(int(m.num_batches_tracked) > 0 for m in norms), name


# ---------------------------------------------------------------- which platforms


MIDDLE = ("a", "b", "c")
WEIGHTS = {"a": 1.0, "b": 2.0, "c": 5.0}


def frequencies(n: int = 6_000, **settings: Any) -> dict[str, float]:
    drawn: Counter[str] = Counter()
    for step in range(n):
        rng = numpy_generator(0, "platforms", step)
        drawn.update(draw_platforms(MIDDLE, WEIGHTS, FinalTraining(**settings), rng))
    return {name: drawn[name] / n for name in MIDDLE}


def test_platforms_are_drawn_uniformly() -> None:
    """Suffix -U: every middle platform as often as another, whatever its weight."""
    assert frequencies(sampling="uniform") == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, abs=0.02)


def test_platforms_are_drawn_by_weight() -> None:
    """Suffix -W: in proportion to the weights of the middle platforms alone."""
    assert frequencies(sampling="weight") == pytest.approx({"a": 1 / 8, "b": 2 / 8, "c": 5 / 8}, abs=0.02)


def test_platforms_of_a_step_are_distinct() -> None:
    """Several random passes take different platforms; asking for more than there are takes all."""
    for step in range(50):
        rng = numpy_generator(0, "platforms", step)
        drawn = draw_platforms(MIDDLE, WEIGHTS, FinalTraining(random_passes=2, sampling="weight"), rng)
        assert len(set(drawn)) == 2
    everything = draw_platforms(MIDDLE, WEIGHTS, FinalTraining(random_passes=9), numpy_generator(0, "x"))
    assert sorted(everything) == list(MIDDLE)


def test_nothing_to_draw() -> None:
    """Two platforms have no middle, and no random pass draws none."""
    rng = numpy_generator(0, "platforms")
    assert draw_platforms((), WEIGHTS, FinalTraining(), rng) == []
    assert draw_platforms(MIDDLE, WEIGHTS, FinalTraining(random_passes=0), rng) == []
