"""Does adaptive sampling save samples at equal quality? Figure 3 and Table 4 of FP-NAS, on networks that were trained.

NAS-Bench-Macro (6,561 networks on CIFAR-10, three runs each) as oracle: the likelihood of a network is that of its
accuracy in one run plus the noise of a batch of 512 pictures (1.3 points). Fixed numbers of samples per step, 4, 8 and
14, against ``entropy_scale`` values from a quarter to twice 14 / H at the start (8.8 nats; the paper's default of 1/4
draws 14 at the start of its own space). All run the same number of steps with the same sum of rates, at budgets of
the 25th, 50th and 75th percentile of the MACs; joint distributions, as in the paper's comparison.

    python recipes/fpnas/table_oracle.py

Reported: true accuracy of the answers (percent, mean over seeds and budgets), regret against the best network within
the budget, samples and seconds in all, and what adaptive sampling saves against 14 fixed samples. Beside them random
search with as many noisy looks as the adaptive default took.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

import numpy as np

from oracles import Oracle, nas_bench_macro
from pictures import curves, write_picture
from sartor.errors import RequestError
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.fpnas import FPNAS, FPNASSettings
from sartor.methods.random_search import RandomSearch
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.storage import to_json, write_atomically

ROUNDS, NOISE_POINTS, PERCENTILES = 500, 1.3, (25, 50, 75)
START = 8 * float(np.log(3))  # nats, uniform over the space
PUBLISHED = Path(__file__).resolve().parents[1] / "results"
DEFAULT, FIXED = "adaptive, 14 at the start", "fixed 14"
SYSTEMS: Mapping[str, dict[str, Any]] = {
    "fixed 4": {"samples": 4},
    "fixed 8": {"samples": 8},
    FIXED: {"samples": 14},
    "adaptive, 3.5 at the start": {"entropy_scale": 3.5 / START},
    "adaptive, 7 at the start": {"entropy_scale": 7 / START},
    DEFAULT: {"entropy_scale": 14.001 / START},
    "adaptive, 28 at the start": {"entropy_scale": 28.001 / START},
}


def search(oracle: Oracle, platform: Platform, settings: FPNASSettings, seed: int, rounds: int) -> dict[str, Any]:
    """One search on the table, judged by the truth."""
    method = FPNAS(oracle.space, [platform], settings, seed)
    evaluator = TableEvaluator(
        oracle.rows, oracle.accuracy, 10**9, numpy_generator(seed, "looks"), noise_points=NOISE_POINTS, rounds=rounds
    )
    started, entropies = time.process_time(), []
    while not evaluator.done:
        entropies.append(method.step(evaluator)["entropy_nats"])
    choice = method.choose(platform)
    row = choice.architecture.row
    return {
        "accuracy": oracle.accuracy_of(row),
        "regret": oracle.regret(row, platform),
        "samples": evaluator.spent,
        "cpu_seconds": time.process_time() - started,
        "mode_fits": choice.own is None,
        "last_entropy_nats": method.policies[0].entropy_nats,
        # One curve per system is drawn.
        "entropies_nats": [round(e, 3) for e in entropies[:: max(1, rounds // 100)]] if seed == 0 else None,
    }


def chance(oracle: Oracle, platform: Platform, looks: int, seed: int) -> dict[str, Any]:
    """Random search within the budget with as many noisy looks."""
    method = RandomSearch(oracle.space, [platform], None, seed)
    rng = numpy_generator(seed, "looks")
    evaluator = TableEvaluator(oracle.rows, oracle.accuracy, looks, rng, noise_points=NOISE_POINTS)
    while not evaluator.done:
        method.step(evaluator)
    row = method.choose(platform).architecture.row
    return {
        "accuracy": oracle.accuracy_of(row),
        "regret": oracle.regret(row, platform),
        "samples": looks,
        "cpu_seconds": 0.0,
    }


def measure(oracle: Oracle, seeds: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """All systems over budgets and seeds."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in [*SYSTEMS, "random search"]}
    for percent in PERCENTILES:
        platform = oracle.platform(percent)
        for seed in range(seeds):
            for name, changes in SYSTEMS.items():
                settings = FPNASSettings(distribution="joint", **changes)
                found[name].append({"seed": seed, "percentile": percent})
                found[name][-1] |= search(oracle, platform, settings, seed, rounds)
            found["random search"].append({"seed": seed, "percentile": percent})
            found["random search"][-1] |= chance(oracle, platform, found[DEFAULT][-1]["samples"], seed)
            print(f"percentile {percent}, seed {seed}", file=sys.stderr)
    return found


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Means over budgets and seeds, with what they take against 14 fixed samples."""
    fixed = found[FIXED]
    base = np.array([f["accuracy"] for f in fixed])
    samples, seconds = (float(np.mean([f[key] for f in fixed])) for key in ("samples", "cpu_seconds"))
    lines = [
        "| samples per step | accuracy (%) | regret | against fixed 14, paired (95 %) | samples | saved | CPU time |",
        "|" + " --- |" * 7,
    ]
    for name, own in found.items():
        accuracy = np.array([f["accuracy"] for f in own])
        difference = accuracy - base
        half = 1.96 * difference.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else 0.0
        used, spent = (float(np.mean([f[key] for f in own])) for key in ("samples", "cpu_seconds"))
        lines.append(
            f"| {name} | {accuracy.mean():.2f} | {np.mean([f['regret'] for f in own]):.3f} | "
            f"{difference.mean():+.3f} +- {half:.3f} | {used:.0f} | {1 - used / samples:.0%} | "
            f"{f'{spent / seconds:.2f}' if spent else '-'} |"
        )
    return "\n".join(lines) + "\n"


def picture(found: Mapping[str, Sequence[Mapping[str, Any]]], rounds: int) -> dict[str, Any]:
    """Entropy over steps at the middle budget, first seed (Figure 3b)."""
    values = []
    for name in SYSTEMS:
        own = next(f for f in found[name] if f["seed"] == 0 and f["percentile"] == PERCENTILES[1])
        stride = max(1, rounds // 100)
        values += [{"step": i * stride, "entropy": e, "samples": name} for i, e in enumerate(own["entropies_nats"])]
    title = "Entropy of the distribution over NAS-Bench-Macro"
    return curves(values, ("step", "Step"), ("entropy", "Entropy (nats)"), "samples", list(SYSTEMS), title=title)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs every search, and writes JSON, a table and a picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, help="folder of the shared data (default: SARTOR_SHARED_DATA)")
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    try:
        found = measure(nas_bench_macro(given.folder), given.seeds, given.rounds)
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = table(found)
    content = {"recipe": "fpnas_table", "rounds": given.rounds, "noise_points": NOISE_POINTS, "systems": found}
    write_atomically(given.out / "fpnas_table.json", to_json(content, indent=None).encode())
    write_atomically(given.out / "fpnas_table.md", text.encode())
    write_picture(picture(found, given.rounds), given.out / "fpnas_table.png")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
