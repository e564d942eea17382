"""What does elasticity cost? Forward and backward through the supernet against the extracted plain child's.

Both sides: the same batch, CPU time of one thread, channels last, the same allocator setting. The gradients of the
step before are cleared untimed, as the optimiser leaves them (its cost is in sandwich_step.py). The space's mean is
over random architectures, one pair each, after one untimed run of both sides.
"""

from __future__ import annotations

import numpy as np

from measure import Figure, pairs, ratio, ratio_of_totals, report
from sartor.space import Architecture
from sartor.train.settings import SearchTraining
from workload import SEED, Scale, Workload, describe

GOAL = 1.03


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or Scale()
    figures = measure_space(scale)
    report("elastic_pass", __doc__.splitlines()[0], figures, scale.settings())
    return figures


def measure_space(scale: Scale) -> list[Figure]:
    """The ratio for the smallest, a random and the largest architecture, and the space's mean."""
    work = Workload(scale)
    figures = []
    # More pairs where one is short, for a disturbance weighs more there.
    for which, times in {"smallest": 4, "random": 1, "largest": 1}.items():
        architecture = work.architecture(which)
        seconds = compare(work, architecture, times * scale.pairs)
        figures.append(ratio(f"supernet / plain child, {which}", seconds, goal=GOAL, **describe([architecture])))
    figures.append(mean_of_space(work, scale.pairs))
    return figures


def compare(work: Workload, architecture: Architecture, count: int, warm_up: int = 2) -> np.ndarray:
    """CPU seconds ``[count, 2]``: supernet, plain child."""
    child = work.child(architecture)
    # Rate 0 without momentum and decay: the weights stay as they are, and so does the work.
    optimiser = work.optimiser(SearchTraining(momentum=0.0, weight_decay=0.0))
    return pairs(
        lambda: work.supernet_pass(architecture),
        lambda: work.child_pass(child),
        count,
        after=(lambda: optimiser.step(0.0), child.zero_grad),
        warm_up=warm_up,
    )


def mean_of_space(work: Workload, count: int) -> Figure:
    """The ratio of mean costs over uniformly drawn architectures."""
    drawn = [work.architecture("random") for _ in range(count)]
    seconds = np.concatenate([_one_pair(work, architecture, i) for i, architecture in enumerate(drawn)])
    rng = np.random.default_rng(SEED)
    return ratio_of_totals("supernet / plain child, mean of the space", seconds, rng, goal=GOAL, **describe(drawn))


def _one_pair(work: Workload, architecture: Architecture, number: int) -> np.ndarray:
    """One pair after a warm-up whose length alternates, and with it who goes first in the pair that counts."""
    return compare(work, architecture, 1, warm_up=1 + number % 2)


if __name__ == "__main__":
    main()
