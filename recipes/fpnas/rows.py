"""The rows of recipes/README.md that stand for FP-NAS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpnas.variants import EXPERIMENT
from searches import rows
from searches.comparison import scaled
from searches.rows import Row
from searches.text import spread

# Of the paper, for FBNetV2-F: entropy at epoch 80 in nats, and thousands of samples in all (Figure 4, Table 5).
PAPER = {
    "joint": (54.4, 59.9),
    "factorised": (30.6, 54.4),
    "mixed, epoch 80": (30.6, 54.3),
    "mixed, epoch 150": (30.6, 51.8),
}
# Searches whose samples and time are compared, with the paper's figures (sections 5.2.1 and 5.3).
_COMPARED = (
    ("joint", "fixed_14", "60 %, 1.8 times"),
    ("mixed_80", "fixed_14", "64 %, 2.1 times"),
    ("fine", "fine_fixed_14", "-"),
)
_TABLE_7 = ("mixed_80", "splits_2", "splits_4", "splits")
# What adaptive sampling and mixed distributions save against 14 fixed samples (sections 5.2 and 5.3).
_SAVED = {"joint": "60 %", "mixed, epoch 80": "64 %"}


def comparison_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """Searched networks against random ones."""
    return rows.comparison_rows(
        found,
        EXPERIMENT,
        machine,
        searched=(f"searched (`{found['space']}`, %)", "-"),
        random=("one random network of the same MACs (%)", "-"),
        difference=("searched minus random (points, 95 % interval)", "-"),
        best=("best of 20 random networks by validation (%)", "-"),
        target=("cost of the most probable networks, from the target (%)", "-3 to +10"),
    )


def ablation_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """One row per question, what adaptive sampling and mixed distributions save, and what splits cost."""
    variants = found["variants"]
    more = []
    for name, base, paper in _COMPARED:
        if variants[name]["searches"] and variants[base]["searches"]:
            title = f"FP-NAS, `{name}` against `{base}`: samples saved, processor time saved"
            more.append([title, paper, _saved(variants[name], variants[base]), "same", ""])
    costs = [variants[name]["costs"]["macs"] for name in _TABLE_7]
    if all(cost["mean"] for cost in costs):
        ours = ", ".join(spread(scaled(cost, 1e-6), 3) for cost in costs)
        title = f"FP-NAS, Table 7: MMACs of {', '.join(f'`{name}`' for name in _TABLE_7)}"
        more.append([title, "58, 65, 79, 66", ours, "same", ""])
    return [*rows.ablation_rows(found, EXPERIMENT, machine), *more]


def _saved(own: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    """``60%, 1.80 times``: of the samples, and of the time of the processor."""
    samples, seconds = (own[key]["mean"] / base[key]["mean"] for key in ("sampled", "seconds"))
    return f"{1 - samples:.0%}, {1 / seconds:.2f} times"


def landscape_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Entropies and samples beside the paper's."""
    trials = [t for t in found["trials"] if t["space"] == "fbnetv2_f"]
    fixed = float(np.mean([t["samples"] for t in trials if t["system"] == "joint, fixed 14"]))
    seeds = len({t["seed"] for t in trials})
    setting = f"literal FBNetV2-F, losses of an artificial landscape, {seeds} seeds"
    rows = []
    for name, (entropy, thousands) in PAPER.items():
        own = [t for t in trials if t["system"] == name]
        at_80 = float(np.mean([t["entropies_nats"][79] for t in own]))
        samples = float(np.mean([t["samples"] for t in own]))
        rows.append(
            [
                f"FP-NAS, {name}: entropy at epoch 80 (nats), samples (thousands), saved against 14 fixed",
                f"{entropy}, {thousands}, {_SAVED.get(name, '-')}",
                f"{at_80:.1f}, {samples / 1000:.1f}, {1 - samples / fixed:.0%}",
                setting,
                "`python recipes/fpnas/landscape.py --seeds 2`",
            ]
        )
    return rows


def table_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """What adaptive sampling saves on networks that were trained."""
    adaptive, fixed = (found["systems"][name] for name in ("adaptive, 14 at the start", "fixed 14"))
    saved, time = (
        1 - np.mean([f[key] for f in adaptive]) / np.mean([f[key] for f in fixed]) for key in ("samples", "cpu_seconds")
    )
    difference = np.array([a["accuracy"] - b["accuracy"] for a, b in zip(adaptive, fixed, strict=True)])
    half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
    seeds = len({f["seed"] for f in fixed})
    return [
        [
            "FP-NAS, adaptive against 14 fixed samples: samples saved, time saved, accuracy (points, 95 % interval)",
            "60 %, 1.8 times, +0.3",
            f"{saved:.0%}, {1 / (1 - time):.2f} times, {difference.mean():+.2f} "
            f"({difference.mean() - half:+.2f} to {difference.mean() + half:+.2f})",
            f"NAS-Bench-Macro, {found['rounds']} steps, three budgets, {seeds} seeds",
            "`python recipes/fpnas/table_oracle.py`",
        ]
    ]
