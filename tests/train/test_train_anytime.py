"""One network whose exits serve all platforms: trained as anybody would train it, resumed, and cut apart."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exit_networks import CPU, Brightness, one_exit_with_auxiliary, train, with_exits
from torch import Tensor, nn

import sartor
from sartor.elastic.execution import DropPath
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.errors import RequestError
from sartor.testing.stores import Killed, MemoryStore
from sartor.train import networks
from sartor.train.calibration import recalibrate
from sartor.train.exits import with_auxiliary
from sartor.train.loop import NoStore
from sartor.train.networks import ANYTIME, train_slimmable
from sartor.train.settings import FinalTraining

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

EVERYTHING: dict[str, Any] = {
    "epochs": 4.0,
    "gradient_clip": 1.0,
    "final_rate": 0.01,
    "drop_path": 0.3,
    "drop_path_ramp": True,
    "dropout": 0.2,
    "exit_weights": (1.0, 0.5, 2.0),
    "exit_distillation": 0.3,
    "exit_temperature": 2.0,
    "gradient_equilibrium": True,
    "weight_average": 0.9,
    "label_smoothing": 0.1,
}


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


# ---------------------------------------------------------------- the training


def test_it_is_ordinary_training() -> None:
    """Weights and statistics are those of a plain loop: torch's SGD and clipping, a cosine, the sum of the losses."""
    settings: dict[str, Any] = {"gradient_clip": 1.5, "final_rate": 0.01, "exit_weights": (1.0, 0.5, 2.0)}
    ours = train(**settings).network.extract(ANYTIME)
    plain = SlimmableNetwork({ANYTIME: with_exits()}, seed=0).extract(ANYTIME).train()
    plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for step in range(6):
        x, y = Brightness().batch(step)
        optimiser.param_groups[0]["lr"] = 0.01 + 0.04 * 0.5 * (1 + math.cos(math.pi * step / 6))
        optimiser.zero_grad()
        losses = [F.cross_entropy(out, y) for out in plain(x)]
        (losses[0] + 0.5 * losses[1] + 2 * losses[2]).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.5)
        optimiser.step()
    for (name, a), b in zip(ours.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("kill_after", [1, 2])
@pytest.mark.parametrize("auxiliary", [False, True])
def test_a_killed_training_goes_on(kill_after: int, auxiliary: bool) -> None:
    """Killed after any save, with everything switched on, it ends with the same weights and the same log."""
    blueprint, changes = (one_exit_with_auxiliary(), {"exit_weights": None}) if auxiliary else (with_exits(), {})
    undisturbed = MemoryStore()
    expected = train(blueprint, undisturbed, **{**EVERYTHING, **changes})
    store = MemoryStore(kill_after=kill_after)
    with pytest.raises(Killed):
        train(blueprint, store, **{**EVERYTHING, **changes})
    again = store.restarted()
    found = train(blueprint, again, **{**EVERYTHING, **changes})
    assert found.images == expected.images == 24 * 8
    assert again.records == undisturbed.records
    assert_same(found.network, expected.network)


@pytest.mark.parametrize("name", [name for name in EVERYTHING if name != "epochs"])
def test_every_setting_matters(name: str) -> None:
    """Left out of a training with everything switched on, each of the settings makes it another one."""
    everything = train(**EVERYTHING).network
    without = train(**{key: value for key, value in EVERYTHING.items() if key != name}).network
    pairs = zip(everything.parameters(), without.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_it_learns() -> None:
    """The loss of every exit falls below that of guessing, by a quarter at least, within ten epochs."""
    store = NoStore()
    train(None, store, epochs=10.0)
    assert all(store.records[-1][f"loss/exit{k}"] < 0.75 * math.log(5) for k in range(3))


def test_the_log() -> None:
    """Losses of the network and of each exit, the norm of the gradients, the share of clipped steps, the rate."""
    store = NoStore()
    train(None, store, epochs=20 / 6, gradient_clip=1.0, exit_weights=(1.0, 0.5, 2.0))
    names = {"step", "progress", "images", "loss", "learning_rate", "gradient_norm", "clipped"}
    assert [set(r) for r in store.records] == [names | {"loss/exit0", "loss/exit1", "loss/exit2"}] * 2
    for r in store.records:
        assert r["loss"] == pytest.approx(r["loss/exit0"] + 0.5 * r["loss/exit1"] + 2 * r["loss/exit2"], rel=1e-5)
        assert r["clipped"] in [n / 10 for n in range(11)]
    assert store.records[0]["gradient_norm"] > 1.0


def test_losses_of_exits_in_pieces() -> None:
    """Accumulated over micro-batches the exits' losses in the log are still those of the batch."""
    store = NoStore()
    train(None, store, epochs=1 / 6, micro_batch=4)
    record = store.records[0]
    assert record["loss"] == pytest.approx(sum(record[f"loss/exit{k}"] for k in range(3)), rel=1e-5)


def test_weights_of_another_number_of_exits() -> None:
    """They are refused before the first step."""
    with pytest.raises(RequestError, match="exit_weights has 2 values, but the network has 3 exits"):
        train(exit_weights=(1.0, 1.0))


def test_a_teacher_teaches_every_exit() -> None:
    """Each exit learns what the teacher says: taught alone by it, all come to predict what no label says."""

    def teacher(x: Tensor) -> Tensor:
        return 5.0 * F.one_hot((x.mean(dim=(1, 2, 3)) > 2).long() + 3, 5)

    network = train(teacher=teacher, teacher_weight=1.0, epochs=10.0).network
    x, _ = Brightness().batch(1000)
    with torch.no_grad():
        for out in network.train()(x):
            assert float((out.argmax(1) == teacher(x).argmax(1)).float().mean()) >= 0.75


def test_the_slimmable_training_knows_exits_too() -> None:
    """Two platforms with exits share weights: both passes learn all exits, the smaller one those of the larger."""
    largest, smallest = with_exits(), with_exits().cut(1)
    settings = FinalTraining(epochs=0.5, batch_size=8, learning_rate=0.05, dropout=0.0, gradient_equilibrium=True)
    store = NoStore()
    members, weights = {"large": largest, "small": smallest}, {"large": 1.0, "small": 1.0}
    trained = train_slimmable(members, weights, Brightness(), settings, CPU, store)
    x, _ = Brightness().batch(0)
    assert [len(trained.network(x, switch=name)) for name in ("large", "small")] == [3, 2]
    assert {"loss_smallest", "loss/exit2"} <= set(store.records[0])


def test_cells_of_ms_ranas() -> None:
    """Its networks are trained so with everything switched on, and cut at an exit they compute what that exit does."""
    space = sartor.spaces.create("ms_ranas", num_classes=5, image_size=8, scales=2, layers=3, nodes=2, channels=4)
    row = space.sample(1, np.random.default_rng(0))[0]
    blueprint = space.architecture(row).blueprint
    changes = {**EVERYTHING, "epochs": 2 / 6, "exit_weights": None}
    network = train(blueprint, **changes).network.eval()
    x, _ = Brightness().batch(0)
    first, second = network(x)
    torch.testing.assert_close(network.extract(ANYTIME, blueprint.cut(0, lazy=True)).eval()(x), first)
    torch.testing.assert_close(network.extract(ANYTIME, blueprint.cut(1, lazy=True)).eval()(x), second)


def test_the_auxiliary_head_of_ms_ranas() -> None:
    """A one-exit network of the space brings its auxiliary head to the training and does not keep it."""
    options: dict[str, Any] = {"scales": 1, "layers": 3, "nodes": 2, "channels": 4, "exits": "last"}
    space = sartor.spaces.create("ms_ranas", num_classes=5, image_size=32, auxiliary=True, **options)
    blueprint = space.architecture(space.sample(1, np.random.default_rng(0))[0]).blueprint
    store = NoStore()

    class Larger(Brightness):
        def batch(self, step: int) -> tuple[Tensor, Tensor]:
            x, y = super().batch(step)
            return F.interpolate(x, scale_factor=4), y

    settings = FinalTraining(epochs=1 / 6, batch_size=8, learning_rate=0.05, dropout=0.0)
    network = train_slimmable({"a": blueprint}, {"a": 1.0}, Larger(), settings, CPU, store).network
    assert {"loss/exit0", "loss/auxiliary"} <= set(store.records[0])
    assert isinstance(network(Larger().batch(0)[0]), Tensor)
    assert not any("auxiliary" in name for name in network.state_dict())


# ---------------------------------------------------------------- drop path over a training


def seen_in_steps(monkeypatch: pytest.MonkeyPatch, seed: int = 0, **settings: Any) -> tuple[list[float], list[int]]:
    """The rate of every edge in each step, and what its draws come from."""
    rates_seen: list[float] = []
    seeds: list[int] = []

    class Watched(DropPath):
        def __init__(self, rates: Any, generator: Any, edges: Any = None) -> None:
            assert rates == {} and len(set(edges.values())) == 1
            rates_seen.append(next(iter(edges.values())))
            seeds.append(generator.initial_seed())
            super().__init__(rates, generator, edges)

    monkeypatch.setattr(networks, "DropPath", Watched)
    train(epochs=2.0, drop_path=0.3, seed=seed, **settings)
    return rates_seen, seeds


def test_the_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of every edge rises linearly from 0 in the first step towards the rate asked for; or it is constant."""
    np.testing.assert_allclose(seen_in_steps(monkeypatch, drop_path_ramp=True)[0], 0.3 * np.arange(12) / 12)
    assert seen_in_steps(monkeypatch)[0] == [0.3] * 12


def test_every_step_and_seed_drops_other_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws follow from the seed and the step alone."""
    first, again, other = (seen_in_steps(monkeypatch, seed)[1] for seed in (0, 0, 1))
    assert first == again and len(set(first) | set(other)) == 24


def test_a_ramp_begins_with_nothing() -> None:
    """The first step of a ramp is the step without drop path, the same with a constant rate is not."""
    plain, ramp, constant = (
        train(epochs=1 / 6, drop_path=rate, drop_path_ramp=ramp).network
        for rate, ramp in ((0.0, False), (0.5, True), (0.5, False))
    )
    assert_same(plain, ramp)
    assert any(not torch.equal(a, b) for a, b in zip(plain.parameters(), constant.parameters(), strict=True))


# ---------------------------------------------------------------- what serves a platform


@pytest.mark.parametrize("lazy", [False, True])
def test_a_network_up_to_an_exit(lazy: bool) -> None:
    """Cut out of the trained and calibrated network, it computes what that exit of the whole network computes."""
    network = train(epochs=2.0).network
    recalibrate(network.norms_of(ANYTIME), network, (Brightness().batch(k)[0] for k in range(4)))
    network.eval()
    x, _ = Brightness().batch(100)
    for k, expected in enumerate(network(x)):
        found = network.extract(ANYTIME, with_exits().cut(k, lazy=lazy))(x)
        torch.testing.assert_close(found if lazy or k == 0 else found[-1], expected)


# ---------------------------------------------------------------- an auxiliary exit


def test_where_the_auxiliary_exit_goes() -> None:
    """It follows the block that it reads and comes before the classifier; the plain network costs nothing more."""
    plain = one_exit_with_auxiliary()
    trained, place = with_auxiliary(plain)
    names = [b.name for b in trained.blocks]
    assert names.index("auxiliary") == names.index("node_1") + 1
    assert place == 0 and [b.name for b in trained.blocks if b.is_exit] == ["auxiliary", "exit_2"]
    assert with_auxiliary(with_exits()) == (with_exits(), None)
    assert (plain.macs, plain.params) == (with_exits(1).macs, with_exits(1).params)
    assert "auxiliary" not in str(plain.to_dict()) and plain.exits == 1


def test_an_auxiliary_exit_by_hand() -> None:
    """The trained network is the one of a plain loop over CE + 0.4 CE(auxiliary), without the auxiliary exit."""
    blueprint = one_exit_with_auxiliary()
    ours = train(blueprint, epochs=0.5).network
    hand = SlimmableNetwork({"x": with_auxiliary(blueprint)[0]}, seed=0).extract("x").train()
    hand.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(hand.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    for step in range(3):
        x, y = Brightness().batch(step)
        optimiser.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / 3))
        optimiser.zero_grad()
        auxiliary, last = hand(x)
        (0.4 * F.cross_entropy(auxiliary, y) + F.cross_entropy(last, y)).backward()
        optimiser.step()
    x, _ = Brightness().batch(100)
    assert isinstance(ours(x), Tensor) and not any("auxiliary" in name for name in ours.state_dict())
    torch.testing.assert_close(ours.train()(x), hand(x)[1], rtol=1e-3, atol=1e-4)


def test_the_result_has_no_auxiliary_exit(tmp_path: Path) -> None:
    """What is extracted, saved and read again has the blocks of the plain network alone, statistics and average too."""
    blueprint = one_exit_with_auxiliary()
    network = train(blueprint, weight_average=0.5).network.eval()
    network.save(tmp_path / "n.safetensors")
    again = SlimmableNetwork.load(tmp_path / "n.safetensors")
    assert_same(again, network)
    assert again.blueprints[ANYTIME] == with_exits(1)
    x, _ = Brightness().batch(3)
    torch.testing.assert_close(network.extract(ANYTIME)(x), again(x))
    norm = network.norms_of(ANYTIME)["conv_2__conv_norm"]
    assert float(norm.running_mean.abs().sum()) > 0  # type: ignore[union-attr,operator]


def test_an_auxiliary_exit_that_counts_nothing_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a weight of 0 the training is that of the network without it; what is logged names it otherwise."""
    expected = train(with_exits(1)).network
    assert_same(train(one_exit_with_auxiliary(), auxiliary_weight=0.0).network, expected)
    store = NoStore()
    train(one_exit_with_auxiliary(), store)
    (record,) = store.records
    assert record["loss"] == pytest.approx(record["loss/exit0"], rel=1e-5)
    assert set(record) >= {"loss/auxiliary"} and "loss/exit1" not in record


def test_equilibrium_leaves_the_auxiliary_exit_out() -> None:
    """It balances the exits of the network that remains: with one of them there is nothing to balance."""
    pair = [train(one_exit_with_auxiliary(), gradient_equilibrium=flag).network for flag in (True, False)]
    assert_same(*pair)


def test_networks_that_share_weights_share_their_auxiliary_exit() -> None:
    """Two platforms with the same cells are trained with one auxiliary exit, and neither keeps it."""
    members = {name: copy.copy(one_exit_with_auxiliary()) for name in ("a", "b")}
    settings = FinalTraining(epochs=0.5, batch_size=8, learning_rate=0.05, dropout=0.0)
    trained = train_slimmable(members, {"a": 1.0, "b": 1.0}, Brightness(), settings, CPU, NoStore())
    assert trained.network.blueprints == members
    members["b"] = with_exits(1)
    with pytest.raises(ValueError, match="at different places"):
        train_slimmable(members, {"a": 1.0, "b": 1.0}, Brightness(), settings, CPU, NoStore())


def test_the_result_is_in_the_mode_of_training() -> None:
    """With or without an auxiliary exit, a trained network is handed on as training leaves it."""
    assert train(one_exit_with_auxiliary()).network.training and train(with_exits(1)).network.training
