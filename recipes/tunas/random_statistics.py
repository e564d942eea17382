"""Latencies of random networks in the three spaces on the published Pixel 1 model: what random search starts from.

20,000 networks drawn uniformly over each decision, as by a policy at zero logits; the share in the window of the
paper's random search (the target and a millisecond on either side; around MobileNetV3's 58 ms in the third space); and
the exact fastest and slowest network.

    python recipes/tunas/random_statistics.py [--samples 20000] [--seed 0]

Takes a few seconds on any machine; nothing is trained. Measured (seed 0) beside the figures of an independent count:

| space | mean | deviation | 5 % | median | 95 % | in the window | fastest | slowest |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| proxylessnas | 92.5 | 16.9 | 66.4 | 91.7 | 122.0 | 4.5 % | 30.9 | 219.1 |
| independent | 92.5 | 16.9 | 66.0 | 91.7 | 121.7 | 4.5 % | 30.9 | 219.1 |
| proxylessnas_enlarged | 115.8 | 41.8 | 60.6 | 108.7 | 195.6 | 2.2 % | 10.3 | 591.0 |
| independent | 115.6 | 42.2 | 59.7 | 108.4 | 195.8 | 1.9 % | 10.3 | 591.0 |
| mobilenetv3_like | 78.5 | 31.4 | 36.7 | 73.1 | 138.2 | 2.9 % | 4.2 | 550.3 |
| independent | 78.4 | 31.7 | 36.5 | 73.0 | 137.6 | 2.8 % | 4.2 | 550.3 |
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from sartor import mrf, spaces
from sartor.costs.devices import MS_PER_NS, device_cost

DEVICE = "pixel1_tunas"
# Space -> the window of the paper's random search, in milliseconds.
WINDOWS = {"proxylessnas": (83, 85), "proxylessnas_enlarged": (83, 85), "mobilenetv3_like": (57, 59)}
HEADS = ("space", "mean", "deviation", "5 %", "median", "95 %", "in the window", "fastest", "slowest")


def statistics(name: str, samples: int, seed: int) -> dict[str, Any]:
    """One line of the table: milliseconds, and the share in the window in percent."""
    space = spaces.create(name)
    cost = device_cost(space, DEVICE)
    latencies = cost(space.sample(samples, np.random.default_rng(seed))) * MS_PER_NS
    low, high = WINDOWS[name]
    ends = (mrf.cheapest(space.problem(), cost).row, mrf.minimise(space.problem(cost.scaled(-1.0))).row)
    return {
        "space": name,
        "mean": latencies.mean(),
        "deviation": latencies.std(ddof=1),
        **dict(zip(HEADS[3:6], np.quantile(latencies, [0.05, 0.5, 0.95]), strict=True)),
        "in the window": 100 * np.mean((low <= latencies) & (latencies <= high)),
        **dict(zip(HEADS[7:], cost(np.array(ends)) * MS_PER_NS, strict=True)),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table as printed above."""
    lines = [HEADS, ["---"] * len(HEADS)]
    for row in rows:
        cells = [f"{row[head]:.1f}{' %' if head == 'in the window' else ''}" for head in HEADS[1:]]
        lines.append([row["space"], *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    print(markdown([statistics(name, given.samples, given.seed) for name in WINDOWS]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
