"""How fast are exact answers? Budgets on the 14-layer space of the paper, and Viterbi against a pure-Python loop.

Scores are synthetic, as in the reference figures: concave in the width of each layer, with a range of about 0.005
per layer, plus noise of standard deviation 0, 0.0005 or 0.002 per cell. Ten draws of each, at the MACs of the seven
uniform networks 0.25x ... 1.0x. Two summed budgets: these MACs, and 0.95 of the parameters of the uniform network.
Every solve counts from the problem as a user states it, and the least of three runs is taken for each instance: the
spread that matters here is that between instances, not that of a busy machine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

import sartor
import sartor.spaces
from measure import Figure, duration, pairs, ratio, report
from sartor import mrf
from sartor.costs import Factor, FactorCost
from sartor.space import SearchSpace
from workload import PAIRS, SEED

NOISE = (0.0, 0.0005, 0.002)
UNIFORM = ("0.25", "0.375", "0.5", "0.625", "0.75", "0.875", "1.0")
RANGE_PER_LAYER = 0.005
PARAMS_SHARE = 0.95
Table = Sequence[Sequence[float]]

# The price of a MAC at which Viterbi is timed: about that of the middle budget.
PRICE = 1e-9
VITERBIS_PER_PAIR = 20


def main(draws: int = 10, count: int = PAIRS) -> list[Figure]:
    """Measures, prints and writes everything."""
    space = sartor.spaces.create("mobilenet_v1", num_classes=100, image_size=32)
    limits = [_uniform_costs(width) for width in UNIFORM]
    rng = np.random.default_rng(SEED)
    problems = [space.problem(unary_scores(space, noise, rng)) for noise in NOISE for _ in range(draws)]
    one = [_solve_time(p, [_budget(space, "macs", macs)]) for p in problems for macs, _ in limits]
    peak = _budget(
        space, "peak_memory_bytes", float(np.median(space.cost("peak_memory_bytes")(space.sample(999, rng))))
    )
    capped = [_solve_time(p, [_budget(space, "macs", macs), peak]) for p in problems for macs, _ in limits]
    two = [
        _solve_time(p, [_budget(space, "macs", macs), _budget(space, "params", PARAMS_SHARE * params)])
        for p in problems
        for macs, params in limits
    ]
    figures = [
        _median("one summed budget, median", one, goal=20),
        _worst("one summed budget, worst of all draws", one, goal=50),
        _median("one summed and one max budget, median", capped, goal=20),
        _median("two summed budgets, median", two, goal=500),
        _worst("two summed budgets, worst of all draws", two, goal=500),
        *viterbi(space, rng, count, goal=10),
        *viterbi(_finer_space(), rng, count),
    ]
    settings = {"space": "mobilenet_v1", "noise": NOISE, "draws": draws, "uniform": UNIFORM, "seed": SEED}
    report("exact_solver", __doc__.splitlines()[0], figures, settings)
    return figures


def unary_scores(space: SearchSpace, noise: float, rng: np.random.Generator) -> FactorCost:
    """Losses that fall with the width, more slowly where it is wide, and noise on every cell."""
    factors = []
    for i, decision in enumerate(space.decisions):
        share = np.array(decision.options) / decision.options[-1]
        gain = RANGE_PER_LAYER * np.exp(rng.normal(0.0, 0.5)) * (1 - share ** rng.uniform(0.3, 0.8))
        factors.append(Factor((i,), gain + rng.normal(0.0, noise, len(share))))
    return FactorCost(space.sizes, factors)


def viterbi(space: SearchSpace, rng: np.random.Generator, count: int, goal: float | None = None) -> list[Figure]:
    """Min-sum along the chain: `mrf.minimise` without budgets against loops over Python lists."""
    scores = unary_scores(space, NOISE[1], rng)
    priced = FactorCost(space.sizes, [*scores.factors, *space.cost("macs").scaled(PRICE).factors])
    problem = space.problem(priced)
    unary, pairwise = _chain(priced)
    row, value = loop_viterbi(unary, pairwise)
    found = mrf.minimise(problem)
    assert abs(found.score - value) < 1e-9 and row == found.row.tolist()

    def many(work: object) -> object:
        return lambda: [work() for _ in range(VITERBIS_PER_PAIR)]  # type: ignore[operator]

    seconds = pairs(many(lambda: loop_viterbi(unary, pairwise)), many(lambda: mrf.minimise(problem)), count)  # type: ignore[arg-type]
    name = f"pure-Python Viterbi / mrf.minimise without budgets, {max(space.sizes)} levels"
    return [ratio(name, seconds / VITERBIS_PER_PAIR, goal=goal, at_least=True)]


def _finer_space() -> SearchSpace:
    """Four to five times as many levels: about twenty times as many pairs."""
    return sartor.spaces.create("mobilenet_v1", num_classes=100, image_size=32, levels=64, divisor=1)


def loop_viterbi(unary: Table, pairwise: Sequence[Sequence[Sequence[float]]]) -> tuple[list[int], float]:
    """What one writes first: three nested loops over lists. ``pairwise[i][a][b]`` joins layers i and i + 1."""
    best, back = list(unary[0]), []
    for table, own in zip(pairwise, unary[1:], strict=True):
        new, pointers = [], []
        for b in range(len(own)):
            low, pointer = best[0] + table[0][b], 0
            for a in range(1, len(best)):
                value = best[a] + table[a][b]
                if value < low:
                    low, pointer = value, a
            new.append(low + own[b])
            pointers.append(pointer)
        best = new
        back.append(pointers)
    choice = min(range(len(best)), key=best.__getitem__)
    row, value = [choice], best[choice]
    for pointers in reversed(back):
        row.append(pointers[row[-1]])
    return row[::-1], value


def _chain(cost: FactorCost) -> tuple[list[list[float]], list[list[list[float]]]]:
    """Unary and pairwise tables of a chain as lists."""
    unary = [np.zeros(n) for n in cost.sizes]
    pairwise = [np.zeros(shape) for shape in zip(cost.sizes, cost.sizes[1:], strict=False)]
    for factor in cost.factors:
        target = unary if len(factor.scope) == 1 else pairwise
        target[factor.scope[0]] = target[factor.scope[0]] + factor.table
    unary[0] = unary[0] + cost.constant
    return [u.tolist() for u in unary], [p.tolist() for p in pairwise]


def _uniform_costs(width: str) -> tuple[int, int]:
    blueprint = sartor.reference(f"mobilenet_v1_{width}x", num_classes=100, image_size=32)
    return blueprint.macs, blueprint.params


def _budget(space: SearchSpace, cost: str, limit: float) -> mrf.Budget:
    return mrf.Budget(space.cost(cost), limit, cost)


def _solve_time(problem: mrf.Problem, budgets: Sequence[mrf.Budget]) -> float:
    """The least CPU time of three runs; refuses an answer that is not proven."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        found = mrf.minimise(problem, budgets)
        seconds.append(time.process_time() - start)
        assert found.gap == 0.0 and all(found.costs[b.name] <= b.limit for b in budgets)
    return min(seconds)


def _median(name: str, seconds: Sequence[float], goal: float) -> Figure:
    return duration(name, np.array(seconds), goal=goal)


def _worst(name: str, seconds: Sequence[float], goal: float) -> Figure:
    worst = max(seconds) * 1e3
    return Figure(name, worst, worst, worst, "ms", goal, samples=len(seconds))


if __name__ == "__main__":
    main()
