"""Does the exact solver on fitted loss tables beat random search? On 16,384 networks that were all trained.

Channel-Bench-Macro (space ``channel_bench_macro``): every width setting of a small MobileNet trained alone on CIFAR-10,
three runs each. A method may query 300 networks; a query answers with the accuracy of one run. OWS fits its loss
tables to 300 random rows; AOWS chooses its rows as it learns (all ten platforms of equal weight). Both are asked for
the best network at ten budgets in MACs (percentiles 5, 15, ... 95 of all networks). The regret is the accuracy of the
best network within the budget minus that of the answer, both as means of three runs. Random search answers with the
best of the same 300 rows within the budget (as observed), or spends 30 queries within each budget.

    python recipes/ground_truth.py

The figures are in recipes/README.md: they come from 20 seeds, take under two minutes on one core, and are the same on
every machine. Nothing like it is in the paper.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oracles import Oracle, channel_bench_macro
from sartor.errors import SartorError
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.method import Method
from sartor.methods.ows import OWSSettings
from sartor.methods.registry import method_class
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.storage import to_json, write_atomically

QUERIES = 300
PERCENTILES = tuple(range(5, 100, 10))
PUBLISHED = Path(__file__).parent / "results"
# Resampling serves any number of seeds, where a normal interval would be too narrow for few.
_RESAMPLINGS = 10_000


def platforms_of(truth: Oracle) -> tuple[Platform, ...]:
    """Ten platforms whose budgets are percentiles of the MACs of all networks."""
    return tuple(truth.platform(percent) for percent in PERCENTILES)


def searched(truth: Oracle, method: Method, seed: int) -> TableEvaluator:
    """The method after its 300 queries; returns what it asked."""
    rng = numpy_generator(seed, "repeats")
    evaluator = TableEvaluator(truth.rows, truth.accuracy, QUERIES, rng)
    while not evaluator.done:
        method.step(evaluator)
    return evaluator


def regrets(truth: Oracle, seed: int) -> dict[str, list[float]]:
    """Of every system: the regret at each budget."""
    platforms = platforms_of(truth)

    def make(name: str, settings: Any = None) -> Method:
        return method_class(name)(truth.space, platforms, settings, seed)

    methods = {
        "OWS": make("ows"),
        "OWS, conditional means": make("ows", OWSSettings(estimator="conditional_mean")),
        "OWS, Lagrangian": make("ows", OWSSettings(solver="lagrangian")),
        "AOWS": make("aows"),
        "random search within each budget": make("random"),
    }
    found: dict[str, list[float]] = {}
    for name, method in methods.items():
        evaluator = searched(truth, method, seed)
        found[name] = [truth.regret(method.choose(p).architecture.row, p) for p in platforms]
        if name == "OWS":
            found["random search, same rows"] = [truth.regret(best_observed(truth, evaluator, p), p) for p in platforms]
    return found


def best_observed(truth: Oracle, evaluator: TableEvaluator, platform: Platform) -> tuple[int, ...]:
    """The row with the lowest loss of those asked within the budget; the smallest network where there was none."""
    asked = evaluator.history.rows
    rows = np.array(asked)
    fits = truth.space.cost("macs")(rows) <= platform.budgets["macs"]
    if not fits.any():
        return (0,) * len(asked[0])
    losses = np.where(fits, evaluator.history.losses, np.inf)
    return asked[int(losses.argmin())]


def interval(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """The 95 % interval of the mean of ``values [seeds]``, by resampling seeds."""
    means = rng.choice(values, size=(_RESAMPLINGS, len(values))).mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def measure(truth: Oracle, seeds: int, report: Callable[[int], None] = lambda _: None) -> dict[str, Any]:
    """Regrets of all systems over seeds, with intervals, as plain data."""
    by_seed = []
    for seed in range(seeds):
        by_seed.append(regrets(truth, seed))
        report(seed)
    rng = np.random.default_rng(0)
    table = {name: np.array([found[name] for found in by_seed]) for name in by_seed[0]}  # [seeds, budgets]
    ours = table["OWS"].mean(axis=1)
    return {
        "recipe": "ground_truth",
        "queries": QUERIES,
        "seeds": seeds,
        "percentiles": list(PERCENTILES),
        "budgets": [p.budgets["macs"] for p in platforms_of(truth)],
        "systems": {name: _describe(values, ours, rng) for name, values in table.items()},
    }


def _describe(values: NDArray[np.float64], ours: NDArray[np.float64], rng: np.random.Generator) -> dict[str, Any]:
    means = values.mean(axis=1)
    return {
        "mean": float(means.mean()),
        "interval": interval(means, rng),
        "by_budget": values.mean(axis=0).tolist(),
        "worst": float(values.max()),
        "more_than_ows": float((means - ours).mean()),
        "more_than_ows_interval": interval(means - ours, rng),
    }


def markdown(found: Mapping[str, Any]) -> str:
    """The figures as a table."""
    head = "| system | mean regret (95 % interval) | more than OWS, paired | worst | "
    lines = [head + " | ".join(f"{p} %" for p in found["percentiles"]) + " |"]
    lines.append("|" + " --- |" * (4 + len(found["percentiles"])))
    for name, f in sorted(found["systems"].items(), key=lambda item: item[1]["mean"]):
        low, high = f["interval"]
        less, more = f["more_than_ows_interval"]
        paired = "-" if name == "OWS" else f"{f['more_than_ows']:+.3f} ({less:+.3f} to {more:+.3f})"
        budgets = " | ".join(f"{value:.2f}" for value in f["by_budget"])
        lines.append(
            f"| {name} | {f['mean']:.3f} ({low:.3f} to {high:.3f}) | {paired} | {f['worst']:.2f} | {budgets} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the regrets and writes them as JSON and Markdown."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="folder of the shared data (default: SARTOR_SHARED_DATA)")
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    try:
        found = measure(
            channel_bench_macro(given.folder), given.seeds, lambda seed: print(f"seed {seed} done", file=sys.stderr)
        )
        write_atomically(given.out / "ground_truth.json", (to_json(found) + "\n").encode())
        write_atomically(given.out / "ground_truth.md", markdown(found).encode())
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(markdown(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
