"""Made-up tables unlike the two published ones, to see whether the methods' settings carry over.

Every table is a function of its seed. Accuracy is a sum of effects of single decisions, of pairs and of single rows in
stated shares of variance; costs are sums, products or chance. Nothing of them was used to choose a setting that the
published tables had not asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.compare.table import Table, make_table

Array = NDArray[Any]


def landscape(rows: Array, rng: np.random.Generator, shares: tuple[float, float, float], smooth: bool = False) -> Array:
    """Values ``[n]`` of variance 1: shares of the variance of single decisions, of pairs of them, and of single rows.

    ``smooth``: effects follow the order of the options, with an optimum inside.
    """
    sizes = rows.max(axis=0) + 1
    single = np.sum([_effects(n, rng, smooth)[rows[:, d]] for d, n in enumerate(sizes)], axis=0)
    pairs = np.zeros(len(rows))
    for i, j in itertools.combinations(range(len(sizes)), 2):
        pairs += rng.normal(size=(sizes[i], sizes[j]))[rows[:, i], rows[:, j]]
    parts = [single, pairs, rng.normal(size=len(rows))]
    return np.asarray(sum(np.sqrt(share) * _standard(part) for share, part in zip(shares, parts, strict=True)))


def grid(sizes: Sequence[int]) -> Array:
    """All combinations ``[n, D]``."""
    return np.indices(sizes).reshape(len(sizes), -1).T


def table(
    name: str,
    rows: Array,
    values: Array,
    cost: Array,
    mean: float = 90.0,
    spread: float = 1.0,
    runs: float = 0.15,
    repeats: int = 3,
    with_cost: float = 0.5,
    seed: int = 0,
) -> Table:
    """A table whose accuracies have a mean, a spread and a spread of repeated runs, in points.

    ``with_cost``: the share of the variance that follows the cost, as bigger networks are better.
    """
    rng = np.random.default_rng([seed, 99])
    whole = np.sqrt(with_cost) * _standard(np.log(cost.astype(float))) + np.sqrt(1 - with_cost) * _standard(values)
    accuracy = mean + spread * whole[:, None] + runs * rng.normal(size=(len(rows), repeats))
    return make_table({"choices": rows, "accuracy": np.clip(accuracy, 1, 99.9), "macs": cost}, name)


def summed_cost(rows: Array, rng: np.random.Generator) -> Array:
    """Whole numbers that add up over the decisions, and grow with the option."""
    sizes = rows.max(axis=0) + 1
    tables = [np.cumsum(rng.integers(1, 1_000, size=n)) * int(rng.integers(1, 10)) for n in sizes]
    return np.asarray(10_000 + np.sum([t[rows[:, d]] for d, t in enumerate(tables)], axis=0))


def few_decisions(seed: int) -> Table:
    """Three decisions of 20 options each."""
    rng = np.random.default_rng(seed)
    rows = grid((20, 20, 20))
    return table("few_decisions", rows, landscape(rows, rng, (0.7, 0.2, 0.1)), summed_cost(rows, rng), seed=seed)


def ordered_options(seed: int) -> Table:
    """Four decisions of 12 ordered options with an optimum inside, where cost says nothing."""
    rng = np.random.default_rng(seed)
    rows = grid((12, 12, 12, 12))
    values = landscape(rows, rng, (0.8, 0.1, 0.1), smooth=True)
    return table("ordered_options", rows, values, summed_cost(rows, rng), with_cost=0.0, seed=seed)


def binary(seed: int) -> Table:
    """Thirteen decisions of two options."""
    rng = np.random.default_rng(seed)
    rows = grid((2,) * 13)
    return table("binary", rows, landscape(rows, rng, (0.6, 0.3, 0.1)), summed_cost(rows, rng), seed=seed)


def interactions(seed: int) -> Table:
    """Six decisions of four options whose pairs matter more than they do."""
    rng = np.random.default_rng(seed)
    rows = grid((4,) * 6)
    values = landscape(rows, rng, (0.2, 0.6, 0.2))
    return table("interactions", rows, values, summed_cost(rows, rng), with_cost=0.2, seed=seed)


def missing_rows(seed: int) -> Table:
    """Eight decisions of four options, of whose 65,536 combinations 6,000 were trained."""
    rng = np.random.default_rng(seed)
    rows = grid((4,) * 8)
    rows = rows[rng.permutation(len(rows))[:6_000]]
    return table("missing_rows", rows, landscape(rows, rng, (0.6, 0.3, 0.1)), summed_cost(rows, rng), seed=seed)


def sparse(seed: int) -> Table:
    """Twelve decisions of five options, of whose 244 million combinations 3,000 were trained."""
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.integers(5, size=(3_000, 12)), axis=0)
    return table("sparse", rows, landscape(rows, rng, (0.6, 0.3, 0.1)), summed_cost(rows, rng), seed=seed)


def tiny_spread(seed: int) -> Table:
    """Accuracies that differ by 0.1 points, runs of one network by 0.05."""
    rng = np.random.default_rng(seed)
    rows = grid((5,) * 5)
    values = landscape(rows, rng, (0.7, 0.2, 0.1))
    return table("tiny_spread", rows, values, summed_cost(rows, rng), 94.0, 0.1, 0.05, seed=seed)


def huge_spread(seed: int) -> Table:
    """Accuracies from chance to 95 %, where one network in five fails."""
    rng = np.random.default_rng(seed)
    rows = grid((3,) * 8)
    found = table("huge_spread", rows, landscape(rows, rng, (0.6, 0.3, 0.1)), summed_cost(rows, rng), 70, 12, seed=seed)
    failed = rng.random(len(rows)) < 0.2
    accuracy = np.where(failed[:, None], 10.0 + rng.random((len(rows), 3)), found.accuracy)
    return make_table({"choices": rows, "accuracy": accuracy, **found.costs}, found.name)


def unrelated_cost(seed: int) -> Table:
    """A cost drawn per row, of which neither decisions nor accuracy know anything."""
    rng = np.random.default_rng(seed)
    rows = grid((4,) * 6)
    cost = rng.integers(1_000, 100_000, size=len(rows))
    values = landscape(rows, rng, (0.6, 0.3, 0.1))
    return table("unrelated_cost", rows, values, cost, with_cost=0.0, seed=seed)


def cost_of_products(seed: int) -> Table:
    """A latency that is a product over the decisions with jitter, in milliseconds with decimals."""
    rng = np.random.default_rng(seed)
    rows = grid((3,) * 8)
    factors = [np.sort(rng.uniform(0.6, 1.6, size=3)) for _ in range(8)]
    cost = 20 * np.prod([f[rows[:, d]] for d, f in enumerate(factors)], axis=0) * rng.uniform(0.95, 1.05, len(rows))
    values = landscape(rows, rng, (0.6, 0.3, 0.1))
    found = table("cost_of_products", rows, values, cost, seed=seed)
    return make_table({"choices": rows, "accuracy": found.accuracy, "latency_ms": np.round(cost, 4)}, found.name)


def noisy_runs(seed: int) -> Table:
    """Runs of one network that differ half as much as networks do."""
    rng = np.random.default_rng(seed)
    rows = grid((4,) * 6)
    return table("noisy_runs", rows, landscape(rows, rng, (0.6, 0.3, 0.1)), summed_cost(rows, rng), runs=0.5, seed=seed)


def one_repeat(seed: int) -> Table:
    """Mixed numbers of options, one run each."""
    rng = np.random.default_rng(seed)
    rows = grid((2, 7, 3, 5, 2, 4, 3))
    values = landscape(rows, rng, (0.6, 0.3, 0.1))
    return table("one_repeat", rows, values, summed_cost(rows, rng), repeats=1, seed=seed)


def unstructured(seed: int) -> Table:
    """Accuracies drawn per row: nothing can be learnt, and nobody can beat random search."""
    rng = np.random.default_rng(seed)
    rows = grid((4,) * 6)
    values = landscape(rows, rng, (0.0, 0.0, 1.0))
    return table("unstructured", rows, values, summed_cost(rows, rng), with_cost=0.0, seed=seed)


TABLES: dict[str, Callable[[int], Table]] = {
    make.__name__: make
    for make in (
        few_decisions,
        ordered_options,
        binary,
        interactions,
        missing_rows,
        sparse,
        tiny_spread,
        huge_spread,
        unrelated_cost,
        cost_of_products,
        noisy_runs,
        one_repeat,
        unstructured,
    )
}


def _effects(n: int, rng: np.random.Generator, smooth: bool) -> Array:
    if not smooth:
        return rng.normal(size=n)
    optimum, width = rng.uniform(0, n - 1), rng.uniform(0.3, 1.0) * n
    return np.asarray(-(((np.arange(n) - optimum) / width) ** 2))


def _standard(values: Array) -> Array:
    deviation = float(values.std())
    return np.asarray((values - values.mean()) / deviation if deviation > 0 else values * 0.0)
