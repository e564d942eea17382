"""``sartor.search``: the whole job on plain objects."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import sartor
from sartor import Platform, RequestError, data, spaces
from sartor.data import Augmentation, ordered_batches
from sartor.data.normalise import Normalisation
from sartor.evaluate import evaluate
from sartor.methods.aows import AOWSSettings
from sartor.train.calibration import recalibrate
from sartor.train.settings import FinalTraining, SearchTraining

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

PLATFORMS = [Platform("watch", {"macs": "150k"}), Platform("phone", {"macs": "400k"}, weight=3.0)]


@pytest.fixture(scope="module")
def pictures() -> Any:
    return data.load("digits", pictures_per_class=20)


def space(classes: int = 10) -> sartor.SearchSpace:
    return spaces.create("mobilenet_v1", num_classes=classes, image_size=8, in_channels=1, multiplier=0.25, divisor=4)


def search(pictures: Any, method: str = "ows", **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "space": space(),
        "data": pictures,
        "platforms": PLATFORMS,
        "search_training": SearchTraining(epochs=1, batch_size=16),
        "final_training": FinalTraining(epochs=1, batch_size=16, dropout=0.0),
        "augmentation": Augmentation(),
        "threads": 1,
        "device": "cpu",
    }
    return sartor.search(method, **(arguments | changes))


@pytest.fixture(scope="module")
def found(pictures: Any) -> Any:
    return search(pictures)


def test_it_maps_platforms_to_answers(found: Any) -> None:
    """A mapping in the order of the platforms: architecture within its budget, network, accuracies."""
    assert list(found) == ["watch", "phone"] and len(found) == 2
    for platform in PLATFORMS:
        answer = found[platform.name]
        assert answer.latency is None  # nobody asked
        assert answer.architecture.blueprint.macs <= platform.budgets["macs"]
        assert sum(p.numel() for p in answer.network.parameters()) == answer.architecture.blueprint.params
        assert 0 <= answer.val_accuracy <= 100 and 0 <= answer.test_accuracy <= 100


def test_networks_are_plain_calibrated_and_as_good_as_they_say(found: Any, pictures: Any) -> None:
    """Ordinary torch modules in evaluation mode that give the reported accuracy on the test pictures."""
    sets = data.make_index_sets(
        pictures.train.labels, test_labels=pictures.test.labels, policy=0.1, selection=0.1, seed=0
    )
    normalisation = Normalisation.of(pictures.train.images, sets.weights)
    for answer in found.values():
        assert all(type(m).__module__.startswith(("torch", "sartor.network")) for m in answer.network.modules())
        assert not answer.network.training
        norms = [m for m in answer.network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms and all((m.running_mean != 0).any() for m in norms if m.running_mean is not None)
        test = pictures.test
        batches = ordered_batches(test.images, test.labels, sets.test, 256, normalisation)
        assert evaluate(answer.network, batches).accuracy == answer.test_accuracy


def test_statistics_are_those_of_the_training_pictures(found: Any, pictures: Any) -> None:
    """Batch norms hold the statistics of the pictures that teach weights under the final weights, not a memory."""
    sets = data.make_index_sets(pictures.train.labels, test_labels=pictures.test.labels, policy=0.1, selection=0.1)
    normalisation = Normalisation.of(pictures.train.images, sets.weights)
    train = pictures.train
    ((x, _),) = ordered_batches(train.images, train.labels, sets.weights, len(sets.weights), normalisation)
    for answer in found.values():
        network = copy.deepcopy(answer.network)
        recalibrate(network, network, [x])
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                torch.testing.assert_close(answer.network.get_buffer(name), buffer, rtol=1e-3, atol=1e-5, msg=name)


def test_the_slimmable_network_gives_the_same(found: Any) -> None:
    """One network with shared weights switches between the answers."""
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        for name, answer in found.items():
            torch.testing.assert_close(found.slimmable.switch(name)(x), answer.network(x), rtol=1e-4, atol=1e-5)


def test_weighted_accuracy_and_metrics(found: Any) -> None:
    """Accuracy by weight, and the lines of both trainings."""
    values = [found[name].test_accuracy for name in ("watch", "phone")]
    assert found.weighted_accuracy["test"] == pytest.approx((values[0] + 3 * values[1]) / 4)
    assert set(found.metrics) == {"search", "train"} and all(found.metrics.values())


def test_the_same_seed_gives_the_same_networks(found: Any, pictures: Any) -> None:
    """Twice the same request: the same architectures, weights and accuracies."""
    again = search(pictures)
    for name, answer in found.items():
        assert again[name].architecture == answer.architecture
        assert again[name].test_accuracy == answer.test_accuracy
        for a, b in zip(answer.network.parameters(), again[name].network.parameters(), strict=True):
            assert torch.equal(a, b)


def test_every_method_and_mode(pictures: Any) -> None:
    """AOWS past its warm-up and random search, slimmable and alone, in reduced precision too."""
    knots = ((0.1, 1.0), (0.5, 0.001))
    settings = AOWSSettings(temperature_knots=knots, refresh_steps=2)
    aows = search(pictures, "aows", method_settings=settings, precision="bfloat16")
    assert min(line["temperature"] for line in aows.metrics["search"]) < 0.5
    alone = FinalTraining(epochs=0.5, batch_size=16, mode="standalone", dropout=0.0)
    random = search(pictures, "random", final_training=alone)
    assert random.slimmable is None and set(random.metrics) == {"search", "watch", "phone"}
    for result in (aows, random):
        assert all(result[p.name].architecture.blueprint.macs <= p.budgets["macs"] for p in PLATFORMS)


def test_wrong_requests(pictures: Any) -> None:
    """Unknown methods, pictures that do not fit the space, and impossible budgets are refused before training."""
    with pytest.raises(RequestError, match="did you mean 'ows'"):
        search(pictures, "owss")
    with pytest.raises(RequestError, match=r"space.num_classes is 7, but the pictures of 'digits' have 10"):
        search(pictures, space=space(7))
    with pytest.raises(sartor.InfeasibleBudgetError, match="'watch'"):
        search(pictures, platforms=[Platform("watch", {"macs": 10})])
