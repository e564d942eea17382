"""What the supernet of every search space must show: it is the plain network, at the plain network's cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sartor.blueprint import Blueprint
from sartor.elastic.supernet import Supernet, find_layer
from sartor.network import is_chain
from sartor.space import Architecture, SearchSpace
from sartor.testing.cost_contract import probe_rows
from sartor.testing.oracles import counted_macs

TOLERANCE = 1e-9


class SupernetContract:
    """Override the fixture ``space`` with a space small enough to run on a CPU in float64."""

    # The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
    pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

    @pytest.fixture
    def space(self) -> SearchSpace:
        """The space whose supernet is under test."""
        raise NotImplementedError("override the fixture `space` in your subclass of SupernetContract")

    @pytest.fixture
    def architectures(self, space: SearchSpace) -> list[Architecture]:
        """Two random architectures, the smallest and the largest."""
        return [space.architecture(row) for row in probe_rows(space, 2)]

    @pytest.fixture
    def supernet(self, space: SearchSpace) -> Supernet:
        """A supernet in float64 whose norms are not the identity."""
        return _supernet(space)

    @pytest.fixture(autouse=True)
    def fresh(self, supernet: Supernet) -> Iterator[None]:
        """Every test starts in training mode without gradients, statistics or remembered prefixes."""
        yield
        supernet.train().zero_grad()
        supernet.statistics.clear()
        supernet.bank.forget_prefixes()
        supernet.bank.use_direct_gradients(True)

    def test_extract_equals_supernet_in_training(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """The extracted network gives the same outputs and gradients as the supernet on batch statistics."""
        x = pictures(supernet.space)
        for architecture in architectures:
            assert_same_function(supernet, architecture, supernet.extract(architecture), x)

    def test_extract_equals_supernet_after_calibration(
        self, supernet: Supernet, architectures: list[Architecture]
    ) -> None:
        """After calibration they agree in evaluation mode too, on any batch, gradients included."""
        for architecture in architectures:
            supernet.calibrate(architecture, [pictures(supernet.space, seed=s) for s in (1, 2)])
            supernet.eval()
            assert_same_function(supernet, architecture, supernet.extract(architecture), pictures(supernet.space, n=2))

    def test_calibration_is_a_cumulative_average(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """Calibration stores what plain batch norms with momentum None learn from the same batches."""
        batches = [pictures(supernet.space, seed=s) for s in (1, 2, 3)]
        architecture = architectures[0]
        plain = supernet.extract(architecture).train()
        norms = [m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        for x in batches:
            plain(x)
        supernet.calibrate(architecture, batches)
        ours = [m for m in supernet.extract(architecture).modules() if isinstance(m, nn.BatchNorm2d)]
        for norm, same in zip(norms, ours, strict=True):
            torch.testing.assert_close(same.running_mean, norm.running_mean, rtol=0, atol=TOLERANCE)
            torch.testing.assert_close(same.running_var, norm.running_var, rtol=0, atol=TOLERANCE)

    def test_evaluation_needs_calibration(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """In evaluation mode an architecture without statistics is refused, whatever else was calibrated."""
        x = pictures(supernet.space)
        supernet.calibrate(architectures[0], [x])
        assert supernet.training
        supernet.eval()
        supernet(x, architectures[0])
        other = next(a for a in architectures if a != architectures[0])
        with pytest.raises(RuntimeError, match="is not calibrated"):
            supernet(x, other)

    def test_a_pass_computes_what_the_child_computes(
        self, supernet: Supernet, architectures: list[Architecture]
    ) -> None:
        """torch's flop counter sees exactly ``macs`` per picture in a pass: weights are sliced, not masked."""
        x = pictures(supernet.space, n=2)
        for architecture in architectures:
            assert counted_macs(supernet, x, architecture) == 2 * _searched(architecture).macs

    def test_extracted_network_is_plain(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """It holds plain layers, exactly ``params`` parameters of the searched form, and no storage of the supernet."""
        shared = {p.untyped_storage().data_ptr() for p in supernet.parameters()}
        for architecture in architectures:
            plain = supernet.extract(architecture)
            modules = list(plain.modules())
            leaves = [m for m in modules if not list(m.children())]
            allowed = nn.Sequential if is_chain(architecture.blueprint.blocks) else nn.Module
            assert isinstance(plain, allowed)
            assert all(type(m).__module__.startswith(("torch.nn.", "sartor.network")) for m in leaves)
            assert not any(type(m).__module__.startswith("sartor.elastic") for m in modules)
            assert sum(p.numel() for p in plain.parameters()) == _searched(architecture).params
            tensors = [*plain.parameters(), *plain.buffers()]
            assert shared.isdisjoint(t.untyped_storage().data_ptr() for t in tensors)

    def test_passes_add_their_gradients(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """Several passes leave the sum of the children's own gradients, and zeros where no child reaches."""
        x = pictures(supernet.space)
        expected = {id(p): torch.zeros_like(p) for p in supernet.parameters()}
        for architecture in architectures:
            plain = supernet.extract(architecture)
            backward(plain(x))
            for weight, own in matched(supernet, architecture, plain):
                expected[id(weight)][corner(own)] += _gradient(own)
        for architecture in architectures:
            backward(supernet(x, architecture))
        for parameter in supernet.parameters():
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found, expected[id(parameter)], rtol=TOLERANCE, atol=TOLERANCE)

    def test_direct_gradients_equal_autograd(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """Gradients added in place equal those of ordinary autograd slices."""
        x = pictures(supernet.space)
        found = []
        for direct in (True, False):
            supernet.bank.use_direct_gradients(direct)
            supernet.zero_grad()
            for architecture in architectures:
                backward(supernet(x, architecture))
            found.append([torch.zeros_like(p) if p.grad is None else p.grad for p in supernet.parameters()])
        torch.testing.assert_close(*found, rtol=TOLERANCE, atol=TOLERANCE)

    def test_used_prefixes_are_the_weights_of_the_child(
        self, supernet: Supernet, architectures: list[Architecture]
    ) -> None:
        """A step reports exactly the prefixes its passes used; passes without gradient use none."""
        x = pictures(supernet.space)
        architecture = architectures[0]
        with torch.no_grad():
            supernet(x, architecture)
        assert not list(supernet.bank.used_prefixes())
        supernet(x, architecture)
        used = {id(p): {_shape(p, extent) for extent in extents} for p, extents in supernet.bank.used_prefixes()}
        plain = supernet.extract(architecture)
        assert used == {id(w): {tuple(own.shape)} for w, own in matched(supernet, architecture, plain)}
        supernet.bank.forget_prefixes()
        assert not list(supernet.bank.used_prefixes())

    def test_one_hot_mixture_is_the_option(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """A vector with a single one gives the option's output and runs nothing else."""
        x = pictures(supernet.space, n=2)
        for architecture, d in self._op_decisions(architectures[:1]):
            mixed: list[int | Tensor] = list(architecture.row)
            mixed[d] = one_hot(supernet.space, d, architecture.row[d])
            assert_equal(supernet(x, mixed), supernet(x, architecture))
            assert counted_macs(supernet, x, mixed) == 2 * _searched(architecture).macs

    def test_gradient_reaches_a_mixture(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """A vector that asks for its gradient gets one for every option, the ones at zero included."""
        x = pictures(supernet.space)
        for architecture, d in self._op_decisions(architectures[:1]):
            weights = one_hot(supernet.space, d, architecture.row[d]).requires_grad_()
            outputs = supernet(x, [weights if i == d else o for i, o in enumerate(architecture.row)])
            torch.testing.assert_close(outputs, supernet(x, architecture), rtol=0, atol=TOLERANCE)
            backward(outputs)
            if supernet.space.active(np.asarray([architecture.row]))[0, d]:
                assert weights.grad is not None
                assert weights.grad.isfinite().all()
                assert (weights.grad != 0).any()

    def test_widths_refuse_mixtures(self, supernet: Supernet, architectures: list[Architecture]) -> None:
        """A width takes one option and says so."""
        row = architectures[0].row
        for d, decision in enumerate(supernet.space.decisions):
            if decision.kind == "width":
                mixed = [one_hot(supernet.space, d, o) if i == d else o for i, o in enumerate(row)]
                with pytest.raises(TypeError, match=f"{decision.name} is a width"):
                    supernet(pictures(supernet.space), mixed)

    def test_meta_device_gives_shapes(self, space: SearchSpace, architectures: list[Architecture]) -> None:
        """Supernet and plain networks can be built and run on the meta device, where nothing is computed."""
        with torch.device("meta"):
            outputs = space.supernet()(pictures(space).float().to("meta"), architectures[0])
            plain = architectures[0].build()(pictures(space).float().to("meta"))
        for ours, own in zip(results(outputs), results(plain), strict=True):
            assert ours.device.type == own.device.type == "meta"
            assert ours.shape == own.shape == (4, space.num_classes)

    @staticmethod
    def _op_decisions(architectures: list[Architecture]) -> list[tuple[Architecture, int]]:
        decisions = architectures[0].space.decisions
        found = [(a, d) for a in architectures for d, x in enumerate(decisions) if x.kind == "op"]
        if not found:
            pytest.skip("this space has no op decision")
        return found


@lru_cache(maxsize=32)  # every test leaves it as it was
def _supernet(space: SearchSpace) -> Supernet:
    supernet = space.supernet(seed=0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 0.5)
    return supernet


def pictures(space: SearchSpace, n: int = 4, seed: int = 0) -> Tensor:
    """Random pictures ``[n, channels, side, side]`` in float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, space.in_channels, space.image_size, space.image_size)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def results(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The logits of every exit."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def backward(outputs: Tensor | tuple[Tensor, ...]) -> None:
    """The backward pass of a loss that weighs every logit differently."""
    flat = torch.cat([y.flatten() for y in results(outputs)])
    loss = (flat * torch.linspace(-1.0, 1.5, len(flat), dtype=flat.dtype)).sum()
    loss.backward()  # type: ignore[no-untyped-call]


def one_hot(space: SearchSpace, decision: int, option: int) -> Tensor:
    """The vector that stands for one option of a decision."""
    return torch.eye(space.sizes[decision], dtype=torch.float64)[option].clone()


def corner(own: Tensor) -> tuple[slice, ...]:
    """The leading part of a larger tensor that has the shape of ``own``."""
    return tuple(slice(0, n) for n in own.shape)


def matched(supernet: Supernet, architecture: Architecture, plain: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs (parameter of the supernet, parameter of the extracted network)."""
    slots = [(b.name, layer.name) for b in _searched(architecture).blocks for layer in b.layers if layer.params]
    for block, layer in slots:
        source = supernet.bank.layer(block, layer)
        for name, own in find_layer(plain, block, layer).named_parameters():
            yield getattr(source, name), own


def assert_equal(found: Tensor | tuple[Tensor, ...], expected: Tensor | tuple[Tensor, ...]) -> None:
    """Asserts that outputs are equal to the last bit."""
    for a, b in itertools.zip_longest(results(found), results(expected)):
        assert torch.equal(a, b)


def assert_same_function(supernet: Supernet, architecture: Architecture, plain: nn.Module, x: Tensor) -> None:
    """Asserts equal outputs, and equal gradients of the pictures and of every weight, within 1e-9."""
    supernet.zero_grad()
    ours, own = x.clone().requires_grad_(), x.clone().requires_grad_()
    outputs, expected = supernet(ours, architecture), plain(own)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=TOLERANCE)
    backward(outputs)
    backward(expected)
    torch.testing.assert_close(ours.grad, own.grad, rtol=TOLERANCE, atol=TOLERANCE)
    for weight, parameter in matched(supernet, architecture, plain):
        gradient = _gradient(weight).clone()
        torch.testing.assert_close(gradient[corner(parameter)], _gradient(parameter), rtol=TOLERANCE, atol=TOLERANCE)
        gradient[corner(parameter)] = 0
        assert not gradient.any()


def _searched(architecture: Architecture) -> Blueprint:
    """What a supernet runs for an architecture, and an extracted network is."""
    return architecture.space.blueprint(architecture.values, form="search").live()


def _gradient(parameter: Tensor) -> Tensor:
    """Zeros where no output depends on the parameter (a part of the network that no exit reads)."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _shape(parameter: Tensor, extent: tuple[int, ...]) -> tuple[int, ...]:
    return (*extent, *parameter.shape[len(extent) :])
