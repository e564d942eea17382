"""Random factor graphs small enough to enumerate, brute-force answers, and the MobileNetV1 chain."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.mrf import Budget, Problem

Array = NDArray[Any]


@dataclass(frozen=True)
class Graph:
    """A problem with two summed costs and one maximum over the same few decisions."""

    problem: Problem
    first: FactorCost
    second: FactorCost
    peak: FactorCost

    def rows(self) -> Array:
        """All rows that keep the rules, in lexicographic order."""
        rows = np.array(list(itertools.product(*[range(n) for n in self.problem.sizes])))
        kept = np.ones(len(rows), bool)
        for rule in self.problem.rules:
            kept &= rule.table[tuple(rows[:, d] for d in rule.scope)]
        return rows[kept & np.isfinite(self.problem.scores(rows))]


def best_rows(graph: Graph, budgets: Sequence[Budget]) -> Array:
    """All rows within the budgets by enumeration: by score, then summed costs, then lowest indices."""
    rows = graph.rows()
    for budget in budgets:
        rows = rows[budget.cost(rows) <= budget.limit]
    keys = [b.cost(rows) for b in budgets if b.summed]
    order = np.lexsort([*rows.T[::-1], *keys[::-1], graph.problem.scores(rows)])
    return rows[order]


def chain_scopes(rng: np.random.Generator) -> tuple[list[int], list[tuple[int, ...]]]:
    """Sizes and pairwise scopes of a chain of 3 to 7 decisions."""
    count = int(rng.integers(3, 8))
    sizes = [int(n) for n in rng.integers(1, 5, size=count)]
    return sizes, [(i, i + 1) for i in range(count - 1)]


def tree_scopes(rng: np.random.Generator) -> tuple[list[int], list[tuple[int, ...]]]:
    """Sizes and scopes of 1 to 4 decisions, each sharing at most two decisions with an earlier one, shuffled."""
    count = int(rng.integers(4, 9))
    sizes = [int(n) for n in rng.integers(1, 4, size=count)]
    label = [int(d) for d in rng.permutation(count)]
    scopes: list[tuple[int, ...]] = []
    used = 1
    while used < count:
        fresh = int(rng.integers(1, 4))
        new = list(range(used, min(count, used + fresh)))
        host = list(scopes[int(rng.integers(len(scopes)))]) if scopes else [0]
        old = [host[i] for i in rng.permutation(len(host))[: int(rng.integers(0, min(2, 4 - len(new)) + 1))]]
        scopes.append(tuple(sorted(old + new)))
        used += len(new)
    scopes = [tuple(sorted(label[d] for d in scope)) for scope in scopes]
    # A decision that no factor reads still exists.
    return sizes, scopes[: len(scopes) - int(rng.integers(0, 2))]


def random_graph(rng: np.random.Generator, kind: str, ties: bool = False, ruled: bool = True) -> Graph:
    """A chain or a tree with random tables; scores in few whole numbers where ``ties``."""
    sizes, scopes = chain_scopes(rng) if kind == "chain" else tree_scopes(rng)
    single = [(d,) for d in sorted({d for scope in scopes for d in scope})]

    def shape(scope: tuple[int, ...]) -> list[int]:
        return [sizes[d] for d in scope]

    def scores(scope: tuple[int, ...]) -> Array:
        values = rng.integers(0, 3, shape(scope)).astype(float) if ties else rng.standard_normal(shape(scope))
        return np.where(rng.random(shape(scope)) < 0.04, np.inf, values) if ruled else values

    def cost(name: str, largest: int, factor: int) -> FactorCost:
        tables = [Factor(s, factor * rng.integers(0, largest, shape(s))) for s in scopes]
        return FactorCost(sizes, tables, int(rng.integers(0, 50)), "sum", name)

    some = [s for s in single if rng.random() < 0.6]
    rules = [Factor(s, rng.random(shape(s)) < 0.85) for s in scopes if ruled and rng.random() < 0.5]
    peaks = [Factor(s, rng.integers(0, 100, shape(s))) for s in scopes]
    energies = [Factor(s, scores(s)) for s in [*scopes, *some]]
    problem = Problem(sizes, FactorCost(sizes, energies, 0.25), rules)
    small = 6 if ties else 1000
    return Graph(
        problem,
        cost("macs", small, 32),
        cost("params", small, 7),
        FactorCost(sizes, peaks, 10, "max", "peak"),
    )


def random_budgets(graph: Graph, rng: np.random.Generator, sums: int, peak: bool) -> list[Budget]:
    """Budgets at random quantiles of the graph's own rows, some of which nothing meets."""
    rows = graph.rows()

    def limit(cost: FactorCost) -> float:
        values = cost(rows) if len(rows) else np.zeros(1)
        return float(np.quantile(values, rng.random(), method="nearest") - (rng.random() < 0.15))

    budgets = [Budget(c, limit(c), c.name) for c in (graph.first, graph.second)[:sums]]
    return [*budgets, Budget(graph.peak, limit(graph.peak), "peak")] if peak else budgets


MOBILENET_WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
_STRIDES = (1, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
TABLE_1_MACS = (3_354_112, 7_341_312, 12_213_248, 19_018_496, 26_577_408, 36_200_704, 46_446_592)


def mobilenet_channels() -> list[Array]:
    """The 14 decisions' channel counts: 0.2 to 1.5 in steps of 0.1, rounded to eights (reference 1.2)."""
    levels = np.arange(2, 16) / 10
    return [np.unique(np.maximum(1, np.rint(base * levels / 8)).astype(int) * 8) for base in MOBILENET_WIDTHS]


def mobilenet_costs(classes: int = 100, side: int = 32) -> tuple[FactorCost, FactorCost]:
    """MACs and parameters of MobileNetV1 on CIFAR: stem, separable blocks, linear layer (reference 1.1, 1.4)."""
    widths = mobilenet_channels()
    sizes = [len(w) for w in widths]
    macs, params = [Factor((0,), 27 * widths[0] * side * side)], [Factor((0,), 29 * widths[0])]
    for i in range(1, len(widths)):
        side //= _STRIDES[i]
        a, b = widths[i - 1][:, None], widths[i][None, :]
        macs.append(Factor((i - 1, i), side * side * (9 * a + a * b)))
        params.append(Factor((i - 1, i), 9 * a + 2 * a + a * b + 2 * b))
    last = len(widths) - 1
    macs.append(Factor((last,), widths[last] * classes))
    params.append(Factor((last,), widths[last] * classes + classes))
    return FactorCost(sizes, macs, 0, "sum", "macs"), FactorCost(sizes, params, 0, "sum", "params")


def concave_scores(sizes: Sequence[int], rng: np.random.Generator, noise: float = 0.0005) -> FactorCost:
    """Losses that fall along each decision with a falling slope, plus noise: the shape of searched tables."""
    tables = []
    for d, n in enumerate(sizes):
        steps = np.arange(1, n + 1) / n
        loss = -0.005 * rng.uniform(0.3, 1) * np.sqrt(steps) + noise * rng.standard_normal(n)
        tables.append(Factor((d,), loss))
    return FactorCost(sizes, tables)
