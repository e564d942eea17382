"""How long do the costs of a million architectures take? MACs, parameters and peak memory of 1,000,000 rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import sartor.spaces
from measure import Figure, duration, repeats, report
from sartor.costs import FactorCost
from workload import PAIRS, SEED

GOAL_SECONDS = 1.0
COSTS = ("macs", "params", "peak_memory_bytes")


def main(rows: int = 1_000_000, count: int = PAIRS) -> list[Figure]:
    """Measures, prints and writes everything."""
    space = sartor.spaces.create("mobilenet_v1", num_classes=100, image_size=32)
    drawn = space.sample(rows, np.random.default_rng(SEED))
    figures = [_one(space.cost(name), drawn, count) for name in COSTS]
    all_of_them = repeats(lambda: [space.cost(name)(drawn) for name in COSTS], count)
    figures.append(duration(f"all three of {rows:,} architectures", all_of_them, unit="s", goal=GOAL_SECONDS))
    settings = {"space": "mobilenet_v1", "rows": rows, "seed": SEED}
    report("architecture_costs", __doc__.splitlines()[0], figures, settings)
    return figures


def _one(cost: FactorCost, rows: NDArray[np.int64], count: int) -> Figure:
    return duration(f"{cost.name} of {len(rows):,} architectures", repeats(lambda: cost(rows), count), unit="s")


if __name__ == "__main__":
    main()
