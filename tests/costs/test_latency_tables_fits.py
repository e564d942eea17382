"""Fits to whole networks: non-negative with orders against brute force, minimum norm, and corrections."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import nnls

from sartor.costs.correction import fit_correction
from sartor.costs.keys import network_pieces, space_pieces
from sartor.costs.linear_fit import fit_linear
from sartor.costs.nonnegative import OrderedFit, solve_nonnegative
from sartor.costs.pairwise import block_members, fit_pairwise
from sartor.profiling.sampling import biased_rows
from sartor.testing.examples import small_space

Array = NDArray[np.float64]


@pytest.mark.parametrize("seed", range(5))
def test_small_problems_agree_with_scipy(seed: int) -> None:
    """The dense solver finds what scipy's Lawson-Hanson finds."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(12, 6)), rng.normal(size=12)
    expected, _ = nnls(a, b)
    assert solve_nonnegative(a.T @ a, a.T @ b) == pytest.approx(expected, abs=1e-8)


def _fit(rng: np.random.Generator, strength: float) -> OrderedFit:
    members = rng.integers(-1, 4, size=(9, 3))
    orders = np.array([[0, 1], [1, 2], [0, 3]])
    return OrderedFit(members, rng.normal(1.0, 0.8, 9), rng.uniform(0.5, 2, 9), orders, strength, 1e-3, 4)


def _brute_force(fit: OrderedFit) -> Array:
    """The best of all minima with some parameters at zero and some hinges counted."""
    shown = np.zeros((len(fit.target), fit.count))
    for i, j in zip(*np.nonzero(fit.members >= 0), strict=True):
        shown[i, fit.members[i, j]] += fit.weights[i]
    best, least = np.zeros(fit.count), np.inf
    for zero in itertools.product((False, True), repeat=fit.count):
        free = ~np.array(zero)
        for hinged in itertools.product((False, True), repeat=len(fit.orders)):
            gram = shown.T @ shown + fit.ridge * np.eye(fit.count)
            for (a, b), on in zip(fit.orders, hinged, strict=True):
                difference = np.eye(fit.count)[a] - np.eye(fit.count)[b]
                gram += on * fit.strength * np.outer(difference, difference)
            x = np.zeros(fit.count)
            x[free] = np.linalg.solve(gram[np.ix_(free, free)], (shown.T @ (fit.weights * fit.target))[free])
            if (x >= 0).all() and fit.value(x) < least:
                best, least = x, fit.value(x)
    return best


@pytest.mark.parametrize("strength", [0.0, 3.0])
@pytest.mark.parametrize("seed", range(6))
def test_orders_agree_with_brute_force(seed: int, strength: float) -> None:
    """Least squares with orders and without negative parameters: the minimum."""
    fit = _fit(np.random.default_rng(seed), strength)
    expected = _brute_force(fit)
    found = fit.solve()
    assert fit.value(found) == pytest.approx(fit.value(expected), rel=1e-5)
    assert (found >= 0).all()


def test_orders_matter() -> None:
    """What the data get the wrong way round is pulled together."""
    fit = OrderedFit(
        np.array([[0], [1]]), np.array([2.0, 1.0]), np.ones(2), np.array([[0, 1]]), strength=1e3, ridge=1e-9, count=2
    )
    assert fit.solve() == pytest.approx([1.5, 1.5], abs=1e-3)


def test_networks_give_back_their_sum() -> None:
    """Pairwise: with enough noise-free networks, networks that were not seen are met; keys are shown equally often."""
    space = small_space("channel_bench_macro")
    pieces = space_pieces(space)
    truth = {key: 1000.0 + sum(layer.macs for layer in piece.layers) for key, piece in pieces.items()}
    values = np.array([*truth.values(), 0.0])
    known = {key: i for i, key in enumerate(pieces)}
    rows = biased_rows(space, 120, np.random.default_rng(0))
    members = block_members(space, rows, known)
    shown = np.bincount(members[members >= 0], minlength=len(pieces))
    assert shown.min() > 0
    found, strength = fit_pairwise(space, pieces, rows, values[members].sum(axis=1).tolist(), (0.0, 1.0))
    others = block_members(space, space.sample(50, np.random.default_rng(1)), known)
    predicted = np.array([*[found[key] for key in pieces], 0.0])[others].sum(axis=1)
    assert predicted == pytest.approx(values[others].sum(axis=1), rel=0.01)
    assert strength in (0.0, 1.0)


def test_biased_samples_are_drawn_at_random() -> None:
    """Equally good networks are drawn by the generator; every key is shown before one is shown often."""
    space = small_space("mobilenet_v1")
    first, second = (biased_rows(space, 30, np.random.default_rng(seed)) for seed in (0, 1))
    assert (first == biased_rows(space, 30, np.random.default_rng(0))).all()
    assert (first != second).any()


@pytest.mark.parametrize("name", ["channel_bench_macro", "proxylessnas"])
def test_minimum_norm(name: str) -> None:
    """Linear: other networks are met where they can be, and the checksums of a minimum-norm solution hold."""
    space = small_space(name)
    cost = space.cost("macs")
    rows = space.sample(250, np.random.default_rng(0))
    measured = (cost(rows) + 5000) * 7
    model = fit_linear(space, rows, measured.tolist(), ridges=(1e-9,))
    others = space.sample(50, np.random.default_rng(1))
    off = np.abs(model.cost(space)(others) / ((cost(others) + 5000) * 7) - 1)
    assert np.percentile(off, 90) < 0.02  # one that holds a choice no sample has shows more
    largest = max(int(np.abs(t.coefficients).max()) for t in model.tables)
    cells = max(len(t.coefficients) for t in model.tables)
    # Rounding moves each coefficient by half a nanosecond at most.
    assert max(model.checksums(space).values()) <= cells + 1
    assert largest > 100 * cells


def test_least_norm_of_all_solutions() -> None:
    """Linear: without noise and ridge, the coefficients are those of the pseudo-inverse on centred features."""
    space = small_space("channel_bench_macro")
    rows = space.sample(20, np.random.default_rng(0))
    measured = space.cost("macs")(rows) * 3.0
    model = fit_linear(space, rows, measured.tolist(), ridges=(0.0,))
    features = []
    for table in model.tables:
        scope = [space.index[n] for n in table.decisions]
        cells = np.ravel_multi_index(tuple(rows[:, scope].T), [space.sizes[d] for d in scope])
        features.append(np.eye(len(table.coefficients))[cells])
    stacked = np.concatenate(features, axis=1)
    expected = np.linalg.pinv(stacked - stacked.mean(axis=0), rcond=1e-10) @ (measured - measured.mean())
    found = np.concatenate([t.coefficients for t in model.tables])
    assert found == pytest.approx(expected, abs=1.0)


def test_corrections_are_found() -> None:
    """A correction that made the measurements is found from them, and meets other networks."""
    space = small_space("mobilenet_v1")
    pieces = space_pieces(space)
    raw = {key: 2000 + sum(layer.macs for layer in piece.layers) // 10 for key, piece in pieces.items()}

    def network(row: Array) -> list[tuple[int, object]]:
        return [(raw[p.key or ""], p) for p in network_pieces(space.architecture(row).blueprint)]

    def takes(row: Array) -> float:
        parts = network(row)
        return 3000 + sum(1.2 * ns - 500 + 0.4 * p.params for ns, p in parts)  # type: ignore[attr-defined]

    rows = space.sample(60, np.random.default_rng(0))
    fitted = fit_correction([network(r) for r in rows[:40]], 4000, [takes(r) for r in rows[:40]])  # type: ignore[misc]
    for row in rows[40:]:
        predicted = fitted.constant + sum(fitted.ns(ns, p) for ns, p in network(row))  # type: ignore[arg-type]
        assert predicted == pytest.approx(takes(row), rel=0.01)
    assert fitted.networks == 40
