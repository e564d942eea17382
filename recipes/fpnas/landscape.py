"""Joint, factorised or mixed distributions? Figure 4 and Table 5 of FP-NAS, on an artificial landscape.

The literal space FBNetV2-F (10 rows, 2.7e24 networks), with losses that are known: per row random effects of every
variable and of every pair of them, scaled so that random networks spread by 0.35 nats; a batch of 2,048 pictures adds
noise of 0.5 / sqrt(2048) nats. Everything else is the paper's: 315 epochs of 32 steps, 45 of them warm-up, Adam at
0.016 from a uniform start, a quarter of a sample per nat, no cost term. The spread is the one number that was chosen:
with it the joint entropy at epoch 80 is the paper's (facts on FP-NAS, section 2.3).

    python recipes/fpnas/landscape.py

Measured are the entropies, the architectures sampled in all, the last answer's loss under the landscape (in standard
deviations below the mean: the landscape knows no accuracy), and the same for fixed numbers of samples and for the fine
space (17 layers): Table 4's point that one ``entropy_scale`` serves both spaces.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from fpnas.rows import PAPER
from pictures import curves, write_picture
from sartor import spaces
from sartor.methods.evaluator import History
from sartor.methods.fpnas import FPNAS, FPNASSettings
from sartor.platforms import Platform
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.storage import to_json, write_atomically

EPOCHS, STEPS, RATE = 315, 32, 0.016
SPREAD_NATS, NOISE_NATS = 0.35, 0.5 / 2048**0.5
PUBLISHED = Path(__file__).parents[1] / "results"
SYSTEMS: Mapping[str, dict[str, Any]] = {
    "joint": {"distribution": "joint"},
    "factorised": {"distribution": "factorised"},
    "mixed, epoch 80": {"distribution": "mixed", "conversion": 80 / EPOCHS},
    "mixed, epoch 150": {"distribution": "mixed", "conversion": 150 / EPOCHS},
    "joint, fixed 4": {"distribution": "joint", "samples": 4},
    "joint, fixed 8": {"distribution": "joint", "samples": 8},
    "joint, fixed 14": {"distribution": "joint", "samples": 14},
}

Rows = NDArray[np.int64]


class Landscape:
    """Losses in nats: main effects and pair interactions inside every group of the space, mean 0."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        rng = numpy_generator(seed, "landscape")
        self.tables: list[tuple[tuple[int, ...], NDArray[np.float64]]] = []
        for group in space.groups:
            scopes = [*[(d,) for d in group], *itertools.combinations(group, 2)]
            for scope in scopes:
                self.tables.append((scope, rng.normal(size=[space.sizes[d] for d in scope])))
        rows = space.sample(20_000, numpy_generator(seed, "scale"))
        raw = self._raw(rows)
        self.mean, self.scale = float(raw.mean()), SPREAD_NATS / float(raw.std())

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        """The loss ``[n]`` of rows ``[n, D]``, in nats around the mean of random networks."""
        return np.asarray((self._raw(rows) - self.mean) * self.scale)

    def _raw(self, rows: Rows) -> NDArray[np.float64]:
        total = np.zeros(len(rows))
        for scope, table in self.tables:
            total += table[tuple(rows[:, d] for d in scope)]
        return total


class LandscapeEvaluator:
    """Shared weights that are perfect from the start: training changes nothing but the count of updates."""

    trains = True
    scoring_share = 0.0

    def __init__(self, landscape: Landscape, updates: int, seed: int) -> None:
        self.landscape, self.updates, self.done_updates = landscape, updates, 0
        self.seed, self.samples, self.history = seed, 0, History()

    @property
    def progress(self) -> float:
        return self.done_updates / self.updates

    @property
    def done(self) -> bool:
        return self.done_updates >= self.updates

    def train(self, passes: Sequence[Any], combine: str = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        self.samples += len(passes)
        self.done_updates += 1
        return np.full(len(passes), np.nan)

    def score(self, rows: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # One batch: every network sees the same pictures, and each disagrees with its own mean.
        noise = numpy_generator(self.seed, "batch", self.done_updates).normal(0.0, NOISE_NATS, len(rows))
        losses = self.landscape(np.array(rows)) + noise
        return losses, np.exp(-np.abs(losses))


@dataclass(frozen=True)
class Trial:
    """One search: a space, a system, a seed; ``steps`` per epoch."""

    space: str
    system: str
    seed: int
    steps: int = STEPS


def run(trial: Trial) -> dict[str, Any]:
    """The search's entropies per epoch, its samples in all, and how good its answer is."""
    space = spaces.create(trial.space)
    platform = Platform("any", {"macs": 10**15})
    settings = FPNASSettings(rate=RATE, rate_rule="paper", warmup=45 / EPOCHS, **SYSTEMS[trial.system])
    method = FPNAS(space, [platform], settings, trial.seed)
    landscape = Landscape(space, trial.seed)
    evaluator = LandscapeEvaluator(landscape, EPOCHS * trial.steps, trial.seed)
    entropies, counts, started = [], [], time.process_time()
    while not evaluator.done:
        metrics = method.step(evaluator)  # type: ignore[arg-type]
        if evaluator.done_updates % trial.steps == 0:
            entropies.append(round(metrics["entropy_nats"], 3))
            counts.append(metrics["samples_per_step"])
    answer = np.array([method.choose(platform).architecture.row])
    return {
        "space": trial.space,
        "system": trial.system,
        "seed": trial.seed,
        "entropies_nats": entropies,
        "samples_per_step": counts,
        "samples": evaluator.samples,
        "answer_deviations": float(-landscape(answer)[0] / SPREAD_NATS),
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Means over seeds, the paper's figures beside them."""
    lines = [
        "| space | distribution | H at the start | H at epoch 80 (paper) | H at the end | samples, thousands (paper) | "
        "answer, deviations above the mean | seeds |",
        "|" + " --- |" * 8,
    ]
    keys = list(dict.fromkeys((f["space"], f["system"]) for f in found))
    for space, system in keys:
        own = [f for f in found if (f["space"], f["system"]) == (space, system)]
        curves = np.array([f["entropies_nats"] for f in own])
        samples = np.array([f["samples"] for f in own]) / 1000
        answers = np.array([f["answer_deviations"] for f in own])
        entropy, count = PAPER.get(system, (None, None)) if space == "fbnetv2_f" else (None, None)
        lines.append(
            f"| {space} | {system} | {curves[:, 0].mean():.1f} | {curves[:, 79].mean():.1f} ({entropy or '-'}) | "
            f"{curves[:, -1].mean():.1f} | {samples.mean():.1f} ({count or '-'}) | "
            f"{answers.mean():.2f} +- {answers.std(ddof=1) if len(own) > 1 else 0:.2f} | {len(own)} |"
        )
    return "\n".join(lines) + "\n"


def picture(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Entropy over epochs (Figures 3b and 4), the first seed of every system on the literal space."""
    values = [
        {"epoch": epoch, "entropy": entropy, "distribution": f["system"]}
        for f in found
        if f["space"] == "fbnetv2_f" and f["seed"] == 0
        for epoch, entropy in enumerate(f["entropies_nats"])
    ]
    title = "Entropy of the distribution over FBNetV2-F (artificial landscape)"
    axes = ("epoch", "Epoch"), ("entropy", "Entropy (nats)")
    return curves(values, *axes, "distribution", list(SYSTEMS), title=title)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs every search, and writes JSON, a table and a picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS, help="per epoch (the paper's 32)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    trials = [Trial("fbnetv2_f", system, seed, given.steps) for system in SYSTEMS for seed in range(given.seeds)]
    fine = ("mixed, epoch 80", "joint, fixed 14")
    trials += [Trial("fbnetv2_f_fine", system, seed, given.steps) for system in fine for seed in range(given.seeds)]
    found = []
    with ProcessPoolExecutor(given.workers) as pool:
        for result in pool.map(run, trials):
            found.append(result)
            print(f"{len(found)} of {len(trials)}: {result['space']}, {result['system']}", file=sys.stderr)
    text = table(found)
    write_atomically(
        given.out / "fpnas_landscape.json",
        to_json({"recipe": "fpnas_landscape", "trials": found}, indent=None).encode(),
    )
    write_atomically(given.out / "fpnas_landscape.md", text.encode())
    write_picture(picture(found), given.out / "fpnas_landscape.png")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
