"""The constant that batch norms add to the variance: a space's, in everything that is made of the space."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sartor.blueprint import Blueprint
from sartor.decisions import Decision, Template
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing import small_space

EPS = 0.5  # large, so that no network with another one gives the same outputs
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


def space(norm_eps: float = EPS) -> SearchSpace:
    """A stem, a residual with a gate, and a classifier."""

    def stem(width: int) -> Stack:
        return Stack(3, 8).conv("conv", width, kernel=3, stride=2).batch_norm().activation()

    def layer(width: int) -> Stack:
        gate = Stack(width, 4).global_pool().conv("gate", width, bias=True).activation("sigmoid")
        body = Stack(width, 4).depthwise("depthwise", kernel=3).batch_norm().gate(gate)
        return Stack(width, 4).residual(body)

    def classifier(width: int) -> Stack:
        return Stack(width, 4).global_pool().linear("linear", 5)

    templates = [Template(f.__name__, ("width",), f) for f in (stem, layer, classifier)]
    return SearchSpace("eps", [Decision("width", (4, 8), "width")], templates, image_size=8, norm_eps=norm_eps)


def pictures(seed: int = 0) -> Tensor:
    return torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def norms(network: nn.Module) -> list[float]:
    return [m.eps for m in network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_plain_networks_have_it() -> None:
    """Norms inside residuals too; a space that says nothing has torch's own."""
    assert norms(space().architecture([1]).build()) == [EPS, EPS]
    assert set(norms(small_space("mobilenet_v1").architecture([0] * 14).build())) == {1e-5}


def test_supernet_and_extracted_network_agree() -> None:
    """With the statistics of the batch and with calibrated ones the extracted network computes the same."""
    supernet = space().supernet(seed=1)
    architecture = supernet.space.architecture([0])
    plain = supernet.extract(architecture)
    assert norms(plain) == [EPS, EPS]
    torch.testing.assert_close(supernet.train()(pictures(), architecture), plain.train()(pictures()))
    supernet.calibrate(architecture, [pictures(1), pictures(2)])
    plain = supernet.eval().extract(architecture)
    torch.testing.assert_close(supernet(pictures(), architecture), plain(pictures()))
    other = space(1e-5).supernet(seed=1).train()
    assert not torch.allclose(supernet.train()(pictures(), architecture), other(pictures(), [0]), rtol=1e-2)


def test_blueprints_carry_it() -> None:
    """It goes to JSON and back; a blueprint from before it could be chosen has 1e-5."""
    blueprint = space().architecture([0]).blueprint
    data = json.loads(json.dumps(blueprint.to_dict()))
    assert data["norm_eps"] == EPS and Blueprint.from_dict(data) == blueprint
    del data["norm_eps"]
    assert Blueprint.from_dict(data).norm_eps == 1e-5


def test_slimmable_networks_keep_it(tmp_path: Path) -> None:
    """Each switch has its blueprint's, before and after a file; switches that differ in it alone share no norms."""
    blueprints = {"a": space().architecture([1]).blueprint, "b": space(1e-5).architecture([1]).blueprint}
    network = SlimmableNetwork(blueprints).train()
    assert [norms(network.norms_of(n)) for n in "ab"] == [[EPS, EPS], [1e-5, 1e-5]]
    network(pictures(), "a"), network(pictures(), "b")
    network.eval().save(tmp_path / "network.safetensors")
    loaded = SlimmableNetwork.load(tmp_path / "network.safetensors")
    for name in "ab":
        torch.testing.assert_close(loaded(pictures(), name), network(pictures(), name))
        torch.testing.assert_close(loaded.extract(name)(pictures()), network(pictures(), name))


def test_slimmable_files_of_the_first_version_are_read(tmp_path: Path) -> None:
    """A file from before blueprints knew the constant is a network with 1e-5."""
    network = SlimmableNetwork({"a": space(1e-5).architecture([1]).blueprint}).eval()
    old = {"a": {k: v for k, v in network.blueprints["a"].to_dict().items() if k != "norm_eps"}}
    metadata = {"kind": "sartor-slimmable", "format_version": "1", "blueprints": json.dumps(old)}
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "old.safetensors", metadata)
    loaded = SlimmableNetwork.load(tmp_path / "old.safetensors")
    assert norms(loaded) == [1e-5, 1e-5]
    torch.testing.assert_close(loaded(pictures()), network(pictures()))


def test_the_onnx_file_has_it(tmp_path: Path) -> None:
    """The exporter folds norms into convolutions with this constant: outputs agree with the network's."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from sartor.export import ModelCard, export_onnx

    network = space().architecture([1]).build().train()
    for step in range(20):
        network(pictures(step))
    card = ModelCard(
        name="eps",
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        image_size=8,
        colour_order="RGB",
        class_names=tuple("abcde"),
    )
    export_onnx(network.eval(), card, tmp_path / "eps.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "eps.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: pictures().numpy()})
    np.testing.assert_allclose(found, network(pictures()).detach().numpy(), rtol=1e-3, atol=1e-5)
