"""The slimmable network: one file, one network per platform."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sartor import spaces
from sartor.blueprint import Blueprint
from sartor.elastic import SlimmableNetwork
from sartor.errors import RequestError
from sartor.testing import counted_macs, small_space

# Names that torch would refuse for modules: a full stop, a method of its containers.
SWITCHES = ("watch 2.0", "phone", "items")


def blueprints() -> dict[str, Blueprint]:
    """Three children of different widths."""
    space = small_space("mobilenet_v1")
    rows = space.sample(len(SWITCHES), np.random.default_rng(0))
    return {name: space.architecture(row).blueprint for name, row in zip(SWITCHES, rows, strict=True)}


def pictures(n: int = 4) -> Tensor:
    """Random pictures in float64."""
    return torch.randn(n, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def network() -> SlimmableNetwork:
    """A network in float64 whose norms have seen pictures, each its own share."""
    network = SlimmableNetwork(blueprints(), seed=0).double()
    for i, name in enumerate(SWITCHES):
        for _ in range(i + 1):
            network.switch(name)(pictures())
    return network


def test_switching_chooses_the_child(network: SlimmableNetwork) -> None:
    """A switch stays until the next one, a call may use another one once, and each costs what its child costs."""
    network.eval()
    outputs = {name: network(pictures(), name) for name in network.switches}
    for name in network.switches:
        assert network.switch(name) is network
        assert network.active == name
        assert torch.equal(network(pictures()), outputs[name])
        network(pictures(), SWITCHES[0])
        assert network.active == name
        assert counted_macs(network, pictures(1)) == network.blueprints[name].macs
    assert not torch.equal(outputs[SWITCHES[0]], outputs[SWITCHES[1]])


@pytest.mark.parametrize("training", [True, False])
def test_extract_equals_the_switch(network: SlimmableNetwork, training: bool) -> None:
    """The extracted network of a switch has its outputs and gradients, weights and statistics of its own."""
    network.train(training)
    shared = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    for name in network.switches:
        plain = network.extract(name)
        assert plain.training is training
        assert sum(p.numel() for p in plain.parameters()) == network.blueprints[name].params
        assert shared.isdisjoint(t.untyped_storage().data_ptr() for t in (*plain.parameters(), *plain.buffers()))
        network.zero_grad()
        ours, own = network(pictures(), name), plain(pictures())
        torch.testing.assert_close(ours, own, rtol=0, atol=1e-9)
        for y in (ours, own):
            (y**2).sum().backward()
        first = next(m for m in plain.modules() if isinstance(m, nn.Conv2d))
        assert first.weight.grad is not None
        shared_grad = network.bank.layer("stem", "conv").weight.grad
        assert isinstance(shared_grad, Tensor)
        torch.testing.assert_close(shared_grad[: first.out_channels], first.weight.grad, rtol=1e-9, atol=1e-9)


def test_convolutions_are_shared_and_norms_are_not(network: SlimmableNetwork) -> None:
    """The parameters are the widest convolutions once and every child's batch norms."""
    found = sum(p.numel() for p in network.parameters())
    layers = {name: b.layers for name, b in network.blueprints.items()}
    norms = sum(x.params for ls in layers.values() for x in ls if x.kind == "batch_norm")
    weights = sum(p.numel() for p in network.bank.parameters())
    assert found == weights + norms
    separate = sum(b.params for b in network.blueprints.values())
    assert found < separate


def test_equal_blueprints_share_their_norms() -> None:
    """Two platforms with the same architecture are one child."""
    several = blueprints()
    twins = SlimmableNetwork({**several, "twin": several["phone"]})
    assert sum(p.numel() for p in twins.parameters()) == sum(p.numel() for p in SlimmableNetwork(several).parameters())
    x = pictures().float()
    twins.switch("phone")(x)
    twins.eval()
    assert torch.equal(twins(x, "twin"), twins(x, "phone"))


def test_saved_and_loaded_in_a_fresh_process(network: SlimmableNetwork, tmp_path: Path) -> None:
    """Another process reads the file and computes the same to the last bit, in the same precision."""
    network.eval().save(tmp_path / "network.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["network.safetensors"]
    code = (
        "import sys, numpy, torch; from pathlib import Path; from sartor import SlimmableNetwork\n"
        "torch.set_num_threads(1); folder = Path(sys.argv[1])\n"
        "n = SlimmableNetwork.load(folder / 'network.safetensors'); assert not n.training\n"
        "x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)\n"
        "numpy.savez(folder / 'out.npz', **{s: n(x, s).detach().numpy() for s in n.switches})\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    found = np.load(tmp_path / "out.npz")
    assert tuple(found.files) == SWITCHES
    for name in SWITCHES:
        assert (found[name] == network(pictures(), name).detach().numpy()).all()
        assert found[name].dtype == np.float64


def test_loading_goes_on_training(network: SlimmableNetwork, tmp_path: Path) -> None:
    """A loaded network has the blueprints and takes gradients."""
    path = tmp_path / "network.safetensors"
    network.save(path)
    again = SlimmableNetwork.load(path)
    assert again.blueprints == network.blueprints
    again.train()(pictures(), "phone").sum().backward()
    assert all(p.requires_grad for p in again.parameters())
    assert any(p.grad is not None for p in again.parameters())


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: SlimmableNetwork) -> None:
    """A pickle handed in as a network is refused and not executed; a real file needs no pickle at all."""
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (touched,)  # type: ignore[return-value]

    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(RequestError, match=r"evil\.safetensors cannot be read"):
        SlimmableNetwork.load(path)
    torch.save({"weights": Evil()}, path)
    with pytest.raises(RequestError, match="cannot be read"):
        SlimmableNetwork.load(path)
    assert not touched.exists()
    network.save(path)
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    monkeypatch.setattr(torch, "load", None)
    SlimmableNetwork.load(path)


def test_wrong_files_are_refused(network: SlimmableNetwork, tmp_path: Path) -> None:
    """A missing, cut, foreign, newer or inconsistent file is refused in one sentence that names it."""
    path = tmp_path / "network.safetensors"
    with pytest.raises(RequestError, match=r"network\.safetensors cannot be read"):
        SlimmableNetwork.load(path)
    network.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="cannot be read"):
        SlimmableNetwork.load(path)
    tensors = {k: v.contiguous() for k, v in network.state_dict().items()}
    described = json.dumps({n: b.to_dict() for n, b in network.blueprints.items()})
    good = {"kind": "sartor-slimmable", "format_version": "1", "blueprints": described}
    some = dict(list(tensors.items())[1:])
    for metadata, held, message in (
        ({}, tensors, "is not a slimmable network of Sartor"),
        ({**good, "format_version": "3"}, tensors, "has format version 3; this Sartor reads up to version 2"),
        ({**good, "blueprints": "{"}, tensors, "cannot be read"),
        ({**good, "blueprints": "{}"}, tensors, "at least one switch"),
        ({**good, "blueprints": '{"a": {"blocks": [1]}}'}, tensors, "cannot be read"),
        ({**good, "blueprints": "[]"}, tensors, "cannot be read"),
        (good, some, "cannot be read"),
    ):
        save_file(held, path, metadata)
        with pytest.raises(RequestError, match=message):
            SlimmableNetwork.load(path)


def test_unknown_switches_are_refused(network: SlimmableNetwork) -> None:
    """A switch that does not exist is named, with those that do."""
    for use in (network.switch, network.extract, lambda name: network(pictures(), name)):
        with pytest.raises(RequestError, match=r"unknown switch 'tv'.*watch 2.0, phone, items"):
            use("tv")


def test_several_exits() -> None:
    """Children with exits give one result per exit, as their extracted networks do."""
    space = small_space("two_exits")
    rows = space.sample(2, np.random.default_rng(0))
    network = SlimmableNetwork({str(i): space.architecture(row).blueprint for i, row in enumerate(rows)}).double()
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in network.switches:
        torch.testing.assert_close(network(x, name), network.extract(name)(x), rtol=0, atol=1e-9)


def test_the_paper_s_network_is_one_file() -> None:
    """Seven uniform widths share the convolutions of the widest, and hold seven sets of batch norms."""
    space = spaces.create("mobilenet_v1", image_size=32)
    assert space.uniform is not None
    widths = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
    children = {f"{w}x": space.blueprint(space.uniform(w)) for w in widths}
    network = SlimmableNetwork(children)
    norms = [sum(x.params for x in b.layers if x.kind == "batch_norm") for b in children.values()]
    widest = children["1.0x"].params - norms[-1]
    assert sum(p.numel() for p in network.parameters()) == widest + sum(norms)
