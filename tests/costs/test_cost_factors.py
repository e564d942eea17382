"""Factor costs: merging, joining, expectations, against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from sartor.costs import Factor, FactorCost
from sartor.testing import small_space

SIZES = (3, 2, 4, 1, 2)


def random_factors(rng: np.random.Generator, n: int = 8) -> list[Factor]:
    """Integer tables over random scopes, empty, equal and nested ones among them."""
    scopes = [tuple(np.flatnonzero(rng.random(len(SIZES)) < 0.5).tolist()) for _ in range(n)]
    return [Factor(s, rng.integers(-50, 50, size=[SIZES[d] for d in s])) for s in scopes]


@pytest.mark.parametrize("reduction", ["sum", "max"])
@pytest.mark.parametrize("seed", range(20))
def test_merged_factors_equal_the_plain_ones(seed: int, reduction: Any) -> None:
    """Merging equal and nested scopes changes no cost; no scope lies inside another afterwards."""
    factors = random_factors(np.random.default_rng(seed))
    constant = -100 if reduction == "max" else 7
    cost = FactorCost(SIZES, factors, constant, reduction)
    rows = np.asarray(list(itertools.product(*[range(n) for n in SIZES])))
    cells = [[constant, *[f.table[tuple(row[list(f.scope)])] for f in factors]] for row in rows]
    assert cost(rows).tolist() == [sum(c) if reduction == "sum" else max(c) for c in cells]
    scopes = [set(f.scope) for f in cost.factors]
    assert not any(a <= b for a, b in itertools.permutations(scopes, 2))


def test_many_rows_in_chunks() -> None:
    """Row counts around and above the chunk size give the same costs."""
    cost = FactorCost(SIZES, random_factors(np.random.default_rng(0)))
    rows = np.random.default_rng(1).integers(SIZES, size=(40_000, len(SIZES)))
    assert (cost(rows)[::997] == [cost(row)[0] for row in rows[::997]]).all()


def test_large_integers_stay_exact() -> None:
    """Costs beyond 2^53 are exact integers; scaling makes floating-point numbers of them."""
    cost = FactorCost((2,), [Factor((0,), np.asarray([1, 2**60]))], constant=1)
    assert cost(np.asarray([[0], [1]])).tolist() == [2, 2**60 + 1]
    assert cost.scaled(0.5)(np.asarray([[0]])).tolist() == [1.0]


def test_a_cost_without_factors_is_its_constant() -> None:
    """Every row pays the constant."""
    assert FactorCost((2, 2), [], 5)(np.zeros((3, 2), int)).tolist() == [5, 5, 5]


def test_impossible_factors_are_refused() -> None:
    """A scope out of order, a table of the wrong rank or of the wrong shape."""
    with pytest.raises(ValueError, match="must be ascending"):
        Factor((1, 0), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="over 1 decisions got a table with 2 axes"):
        Factor((0,), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"needs shape \(3,\), got \(2,\)"):
        FactorCost((3,), [Factor((0,), np.zeros(2))])


def independent(vectors: list[Any], outer: Callable[[Any, Any], Any]) -> Callable[[tuple[int, ...]], Any]:
    """Marginals over scopes of independent decisions."""

    def marginal(scope: tuple[int, ...]) -> Any:
        table = vectors[scope[0]]
        for d in scope[1:]:
            table = outer(table, vectors[d])
        return table

    return marginal


@pytest.mark.parametrize("name", ["macs", "params"])
def test_expectation_in_numpy(name: str) -> None:
    """The expected cost under independent decisions equals the sum over all rows."""
    space = small_space("two_exits")
    rng = np.random.default_rng(0)
    vectors = [rng.dirichlet(np.ones(n)) for n in space.sizes]
    rows = np.asarray(list(itertools.product(*[range(n) for n in space.sizes])))
    probability = np.prod([v[rows[:, d]] for d, v in enumerate(vectors)], axis=0)
    expected = (probability * space.cost(name)(rows)).sum()
    found = space.cost(name).expectation(independent(vectors, np.multiply.outer))
    assert found == pytest.approx(expected, rel=1e-12)


def test_expectation_in_torch_with_gradient() -> None:
    """The same with tensors, and its gradient equals that of the sum over all rows."""
    space = small_space("two_exits")
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(n, generator=generator, dtype=torch.float64).requires_grad_() for n in space.sizes]
    vectors = [x.softmax(0) for x in logits]

    def outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a.unsqueeze(-1) * b

    found = space.cost("macs").expectation(independent(vectors, outer))
    rows = torch.as_tensor(list(itertools.product(*[range(n) for n in space.sizes])))
    probability = torch.stack([v[rows[:, d]] for d, v in enumerate(vectors)]).prod(0)
    expected = (probability * torch.as_tensor(space.cost("macs")(rows.numpy()))).sum()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(y, logits, retain_graph=True) for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-6)


def test_a_maximum_has_no_expectation() -> None:
    """Peak memory is a maximum, which has no additive expectation, and says so."""
    space = small_space("two_exits")
    with pytest.raises(ValueError, match="peak_memory_bytes is a maximum"):
        space.cost("peak_memory_bytes").expectation(lambda scope: np.ones(1))
