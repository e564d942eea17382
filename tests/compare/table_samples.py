"""Small tables for the tests of comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from sartor.compare.table import Table, make_table


def arrays(sizes: tuple[int, ...] = (3, 4, 2, 3), repeats: int = 2, seed: int = 0) -> dict[str, Any]:
    """A complete table as the arrays of its file: later options are better and dearer, with a little noise."""
    rng = np.random.default_rng(seed)
    choices = np.indices(sizes).reshape(len(sizes), -1).T
    effects = [np.sort(rng.uniform(0, 3, n)) for n in sizes]
    prices = [np.sort(rng.integers(10, 100, n)) for n in sizes]
    mean = 80 + sum(effect[choices[:, d]] for d, effect in enumerate(effects)) + rng.normal(0, 0.3, len(choices))
    return {
        "choices": choices,
        "accuracy": mean[:, None] + rng.normal(0, 0.1, (len(choices), repeats)),
        "macs": 1_000 + sum(price[choices[:, d]] for d, price in enumerate(prices)),
        "latency_ms": np.prod([1.0 + 0.137 * choices[:, d] for d in range(len(sizes))], axis=0),
    }


def small_table(**changes: Any) -> Table:
    """A complete table of 72 rows."""
    return make_table({**arrays(), **changes}, "small")


def holed_table(rows: int = 50) -> Table:
    """The same with rows missing."""
    kept = np.sort(np.random.default_rng(3).permutation(72)[:rows])
    return make_table({name: values[kept] for name, values in arrays().items()}, "holed")
