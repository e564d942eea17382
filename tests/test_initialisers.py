"""What weights start from: the variances and cuts that the two initialisers promise, in every network made of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sartor.elastic.slimmable import SlimmableNetwork
from sartor.initialisers import Initialiser, initialise
from sartor.network import build
from sartor.testing import small_space


def drawn(*shape: int, kind: Initialiser, groups: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A weight and a bias after initialisation."""
    weight, bias = torch.full(shape, torch.nan), torch.full(shape[:1], torch.nan)
    initialise(weight, bias, groups, torch.Generator().manual_seed(seed), kind)
    return weight, bias


@pytest.mark.parametrize(
    ("shape", "groups", "fan_in"),
    [((256, 64, 3, 3), 1, 576), ((4096, 1, 5, 5), 4096, 25), ((512, 128, 1, 1), 1, 128), ((512, 8, 3, 3), 4, 72)],
)
def test_tensorflow_convolutions(shape: tuple[int, ...], groups: int, fan_in: int) -> None:
    """Variance 2 / fan-in after the cut, which is at two deviations of the wider normal; k * k for depthwise."""
    weight, bias = drawn(*shape, kind="tensorflow", groups=groups)
    deviation = (2 / fan_in) ** 0.5
    assert float(weight.std()) == pytest.approx(deviation, rel=0.02)
    assert float(weight.mean()) == pytest.approx(0.0, abs=0.02 * deviation)
    edge = 2 * deviation / 0.8796256610342398
    assert 0.99 * edge < float(weight.abs().max()) <= edge * (1 + 1e-6)
    assert not bias.any()


def test_the_cut_keeps_the_shape_of_a_normal() -> None:
    """A third of a cut normal lies beyond one deviation of the uncut one: (0.9545 - 0.6827) / 0.9545 = 28.5 %."""
    weight, _ = drawn(1000, 100, 1, 1, kind="tensorflow")
    sigma = (2 / 100) ** 0.5 / 0.8796256610342398
    assert float((weight.abs() > sigma).double().mean()) == pytest.approx(0.2848, abs=0.005)


def test_tensorflow_classifier() -> None:
    """A linear layer starts from N(0, 0.01), uncut, whatever its fan-in; its bias from 0."""
    weight, bias = drawn(500, 400, kind="tensorflow")
    assert float(weight.std()) == pytest.approx(0.01, rel=0.02)
    assert float(weight.abs().max()) > 0.03
    assert not bias.any()


def test_he_fan_out() -> None:
    """The default: variance 2 / fan-out per group for convolutions, uniform within 1 / sqrt(fan-in) otherwise."""
    weight, bias = drawn(256, 64, 3, 3, kind="he_fan_out")
    assert float(weight.std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert float(bias.abs().max()) == pytest.approx((64 * 9) ** -0.5, rel=0.05)
    depthwise, _ = drawn(4096, 1, 5, 5, kind="he_fan_out", groups=4096)
    assert float(depthwise.std()) == pytest.approx((2 / 25) ** 0.5, rel=0.02)
    linear, _ = drawn(500, 400, kind="he_fan_out")
    assert float(linear.abs().max()) == pytest.approx(400**-0.5, rel=0.01)


def test_networks_start_as_asked() -> None:
    """Plain networks, supernets and slimmable networks take their initialiser; batch norms start from 1 and 0."""
    architecture = small_space("mobilenet_v1").largest
    assert architecture is not None
    for network in (
        build(architecture.blueprint, initialiser="tensorflow"),
        architecture.build(initialiser="tensorflow"),
        architecture.space.supernet(initialiser="tensorflow"),
        SlimmableNetwork({"a": architecture.blueprint}, initialiser="tensorflow"),
    ):
        vectors = {name: p for name, p in network.named_parameters() if p.ndim == 1}
        assert all(p.eq(name.endswith("weight")).all() for name, p in vectors.items())
        classifier = next(p for p in network.parameters() if p.ndim == 2)
        assert float(classifier.detach().std()) == pytest.approx(0.01, rel=0.2)


def test_the_seed_decides() -> None:
    """The same seed gives the same weights, another one others; the two initialisers differ."""
    architecture = small_space("mobilenet_v1").largest
    assert architecture is not None

    def first(seed: int, kind: Initialiser) -> Tensor:
        network = architecture.build(seed=seed, initialiser=kind)
        return next(m.weight for m in network.modules() if isinstance(m, nn.Conv2d))

    for kind in ("he_fan_out", "tensorflow"):
        assert torch.equal(first(1, kind), first(1, kind))
        assert not torch.equal(first(1, kind), first(2, kind))
    assert not torch.equal(first(1, "he_fan_out"), first(1, "tensorflow"))
