"""Which reward meets a cost target? TuNAS where every network's accuracy is known, so that only the policy is at work.

NAS-Bench-Macro (space ``nas_bench_macro``): 6,561 networks trained alone on CIFAR-10, three runs each. A query answers
with the accuracy of one run and the noise of a batch of 512 pictures (1.3 points), so Q is as uncertain as in a real
search; weights, warm-ups and freeze do not exist. Targets are the 25th, 50th and 75th percentile of the MACs of all
networks; a search has 3,000 queries, one per step.

    python recipes/tunas/table_oracle.py

Counterparts of the paper, there with weights and on ImageNet: Table 9 (absolute against soft reward: accuracy and
cost of what is found), Figure 3 (contours of the rewards over the population), and the sentences of section 4.2 on the
hard reward and on a policy rate that grows (the most probable network against the mean of the sampled ones). Nothing
is tuned per target. Random search has as many noisy queries, all on networks within the budget.

Reported are the method's own answer (the most probable option of each decision, as in the paper) and the answer that
Sartor returns: where the own one exceeds the target, the most probable network within it. The regret is that of the
returned one: accuracy lost to the best network within the target, both as means of three runs.

Not in the paper: how the sum of the policy's rates and the length of the search go together, with random search of the
same lengths.

A search takes about a second of one core, everything twenty minutes; figures are the same on every machine. The
results file is the state: systems that stand in it for the same seeds are not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

import numpy as np

from oracles import Oracle, nas_bench_macro
from sartor.errors import SartorError
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.sampling import sample_within
from sartor.methods.tunas import TuNAS, TuNASSettings
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.storage import to_json, write_atomically
from tunas import table_oracle_report as shown

QUERIES, NOISE_POINTS, PERCENTILES, RATE_SUM = 3_000, 1.3, (25, 50, 75), 150.0
PUBLISHED = Path(__file__).resolve().parents[1] / "results"
NAME = "tunas_table_oracle"


@dataclass(frozen=True)
class System:
    """What is searched with (no settings: random search), and for how many queries."""

    settings: TuNASSettings | None
    queries: int = QUERIES


# With the same sum of rates, and with the growing schedule's first rate all along (what "constant" means in the paper).
_FIRST_RATE_SUM = RATE_SUM * math.log(10) / 9
_settings = partial(TuNASSettings, rate_sum=RATE_SUM)
SUMS, LENGTHS = (40, 80, 150, 380), (300, 1_000, 3_000)
SYSTEMS: Mapping[str, System] = {
    "absolute -0.10": System(_settings()),
    "absolute -0.05": System(_settings(cost_exponent=-0.05)),
    "absolute -0.20": System(_settings(cost_exponent=-0.20)),
    **{f"soft -0.0{e}": System(_settings(reward="soft", cost_exponent=-e / 100)) for e in range(3, 10)},
    "hard -0.10": System(_settings(reward="hard")),
    "hard -1.00": System(_settings(reward="hard", cost_exponent=-1.0)),
    "constant rate, same sum": System(_settings(rate_growth=1.0)),
    "constant rate, the first": System(_settings(rate_growth=1.0, rate_sum=_FIRST_RATE_SUM)),
    "random search": System(None),
    **{
        f"sum {total}, {n} queries": System(TuNASSettings(rate_sum=total), n)
        for n in LENGTHS
        for total in SUMS
        if (total, n) != (150, QUERIES)  # the first one above
    },
    **{f"random search, {n} queries": System(None, n) for n in LENGTHS[:-1]},
}


def outcome(
    oracle: Oracle, settings: TuNASSettings | None, percentile: int, seed: int, queries: int
) -> dict[str, float]:
    """One whole search (no settings: random search): what it found, as shares of the target and in percent."""
    platform = oracle.platform(percentile)
    rng = numpy_generator(seed, f"queries {percentile}")
    evaluator = TableEvaluator(oracle.rows, oracle.accuracy, queries, rng, noise_points=NOISE_POINTS)
    if settings is None:
        return judged(oracle, best_of_random(oracle, platform, evaluator, seed), None, platform)
    method, ratios = TuNAS(oracle.space, [platform], settings, seed), []
    while not evaluator.done:
        ratios.append(method.step(evaluator)["cost_ratio"])
    choice = method.choose(platform)
    own = None if choice.own is None else choice.own.row
    return {
        **judged(oracle, choice.architecture.row, own, platform),
        "sampled_ratio": float(np.mean(ratios[-max(1, queries // 10) :])),
        "entropy_nats": method.policies[0].entropy_nats,
    }


def best_of_random(oracle: Oracle, platform: Platform, evaluator: TableEvaluator, seed: int) -> tuple[int, ...]:
    """Method ``random`` on a table, all queries drawn at once: the best observed network within the budget.

    What is drawn again is judged by the mean of its answers.
    """
    rng = numpy_generator(seed, "candidates")
    rows = sample_within(oracle.space, budgets_of(oracle.space, platform), evaluator.queries, rng)
    losses, _ = evaluator.score(list(rows))
    drawn, place = np.unique(rows, axis=0, return_inverse=True)
    place = place.reshape(-1)
    means = np.bincount(place, weights=losses) / np.bincount(place)
    return tuple(int(option) for option in drawn[means.argmin()])


def judged(oracle: Oracle, row: tuple[int, ...], own: tuple[int, ...] | None, platform: Platform) -> dict[str, float]:
    """An answer by the truth; ``own`` is the method's before the budget (None: the same), ``lack`` at its own cost.

    Raises:
        SartorError: the answer breaks the budget.
    """
    own = own or row
    limit, cost = platform.budgets["macs"], oracle.space.cost("macs")
    own_macs, macs = cost(np.array([own, row]))
    regret = oracle.regret(row, platform)
    own_accuracy = oracle.accuracy_of(own)
    return {
        "own_ratio": float(own_macs / limit),
        "own_accuracy": own_accuracy,
        "own_lack": oracle.best_within(float(own_macs)) - own_accuracy,
        "ratio": float(macs / limit),
        "regret": regret,
    }


def run_system(oracle: Oracle, settings: TuNASSettings | None, seeds: int, queries: int) -> dict[str, Any]:
    """All searches of one system: quantity -> ``[percentiles][seeds]``."""
    found = [[outcome(oracle, settings, p, seed, queries) for seed in range(seeds)] for p in PERCENTILES]
    return {key: [[round(one[key], 5) for one in row] for row in found] for key in found[0][0]}


def measure(
    oracle: Oracle,
    seeds: int,
    kept: Mapping[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] = lambda _: None,
    share: float = 1.0,
) -> dict[str, Any]:
    """All systems as plain data; those that ``kept`` holds for the same setting are taken from it.

    ``share`` of the queries: less than 1 to try everything out.
    """
    setting = {
        "recipe": NAME,
        "queries": round(share * QUERIES),
        "noise_points": NOISE_POINTS,
        "seeds": seeds,
        "percentiles": list(PERCENTILES),
        "targets": [oracle.percentile(p) for p in PERCENTILES],
    }
    usable = kept is not None and all(kept.get(key) == value for key, value in setting.items())
    done: Mapping[str, Any] = kept["systems"] if kept is not None and usable else {}
    found: dict[str, Any] = {**setting, "systems": {name: done[name] for name in SYSTEMS if name in done}}
    for name, system in SYSTEMS.items():
        if name not in found["systems"]:
            found["systems"][name] = run_system(oracle, system.settings, seeds, round(share * system.queries))
            save(found)
    found["systems"] = {name: found["systems"][name] for name in SYSTEMS}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all searches that are missing, and writes figures, tables and the picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="folder of the shared data (default: SARTOR_SHARED_DATA)")
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    state = given.out / f"{NAME}.json"

    def save(found: dict[str, Any]) -> None:
        write_atomically(state, (to_json(found) + "\n").encode())
        print(f"{list(found['systems'])[-1]} done", file=sys.stderr)

    try:
        oracle = nas_bench_macro(given.folder)
        kept = json.loads(state.read_text(encoding="utf-8")) if state.exists() else None
        found = measure(oracle, given.seeds, kept, save)
        tables = shown.markdown(found)
        write_atomically(given.out / f"{NAME}.md", tables.encode())
        shown.draw(found, oracle, given.out / f"{NAME}.png")
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(tables)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
