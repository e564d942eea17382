"""A policy-based search as a run writes it: a real space with exact MACs, an invented policy, invented accuracies."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor import spaces
from sartor.report.blocks import describe_decisions, describe_network
from sartor.space import SearchSpace

Array = NDArray[Any]

NAMES = ("watch", "phone", "tablet")
QUANTILES = (0.08, 0.4, 0.85)  # of the costs of random architectures: the platforms' targets
LOGGED = 300  # lines of the log
SNAPSHOTS = 41
FROZEN = 0.25  # share of the search in which the policy does not learn


@cache
def space(name: str = "proxylessnas") -> SearchSpace:
    """58 decisions in 25 blocks, pictures of 224 x 224."""
    return spaces.create(name)


def latency_ms(of: SearchSpace, rows: Array) -> Array:
    """A made-up device that knows MACs alone."""
    return np.asarray(3.0 + 0.24e-6 * of.cost("macs")(rows))


class Policy:
    """One platform's: every decision leans from uniform to an option, some late, some hardly, some by a detour."""

    def __init__(self, of: SearchSpace, target_ms: float, seed: int) -> None:
        rng, count = np.random.default_rng(seed), len(of.sizes)
        rows = of.sample(3000, rng)
        below = rows[latency_ms(of, rows) <= target_ms]
        self.space = of
        self.row: Array = below[latency_ms(of, below).argmax()]
        self.strength = rng.gamma(2.0, 2.6, count) + 0.4
        self.start = FROZEN + 0.55 * rng.beta(1.2, 2.2, count)
        self.detour = np.where(rng.random(count) < 0.12, rng.uniform(1, 3, count), 0.0)
        self.wobble = rng.normal(0, 0.15, count)

    def probabilities(self, at: float) -> Array:
        """At a share of the search, ``[D, O]``, zeros beyond a decision's options."""
        sizes, places = np.array(self.space.sizes), np.arange(len(self.row))
        options = np.arange(sizes.max())
        grown = np.clip((at - self.start) / (1 - self.start), 0, None)
        learnt = max(0.0, at - FROZEN)
        logits = np.sin(9 * learnt * (options + 1)) * self.wobble[:, None]
        logits[places, self.row] += self.strength * grown**1.2
        logits[places, (self.row + 1) % sizes] += self.detour * np.sin(np.pi * min(1.0, learnt / 0.5))
        weights = np.exp(logits) * (options < sizes[:, None])
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def entropy_nats(self, at: float) -> float:
        """Of the product of the decisions."""
        p = self.probabilities(at)
        return -float((p * np.log(np.where(p > 0, p, 1.0))).sum())

    def trace(self) -> dict[str, Any]:
        """What the method keeps."""
        times = [round(float(t), 4) for t in np.linspace(0, 1, SNAPSHOTS)]
        snapshots = [
            [row[:size].round(4).tolist() for row, size in zip(self.probabilities(t), self.space.sizes, strict=True)]
            for t in times
        ]
        return {"progress": times, "probabilities": snapshots}

    def exceed(self, target_ms: float) -> Array:
        """Makes the most probable row a little too dear by a few close calls; returns the row within the target."""
        of, within = self.space, np.array(self.row)
        for d in np.argsort(self.strength):
            dearer = self.row.copy()
            dearer[d] = min(dearer[d] + 1, of.sizes[d] - 1)
            costs = latency_ms(of, np.stack([self.row, dearer]))
            if "layer" not in of.decisions[d].name.split("_")[-1] and costs[0] < costs[1] < 1.02 * costs[0]:
                self.row, self.strength[d] = dearer, 0.6
            if latency_ms(of, self.row[None])[0] > 1.04 * target_ms:
                break
        return within


def _network(of: SearchSpace, row: Array) -> dict[str, Any]:
    values = of.architecture(row).values
    costs: dict[str, float] = {
        name: int(of.cost(name)(row[None])[0]) for name in ("macs", "params", "peak_memory_bytes")
    }
    costs["latency_ms"] = round(float(latency_ms(of, row[None])[0]), 4)
    return {"architecture": values, "costs": costs, "network": describe_network(of, values)}


def _accuracies(latency: float, boost: float) -> dict[str, float]:
    accuracy = 66 + 4.4 * math.log2(1 + latency / 18) + boost
    return {"val_accuracy": round(accuracy + 0.7, 2), "test_accuracy": round(accuracy, 2)}


@cache
def _searched(name: str, platforms: int, seed: int) -> tuple[list[Policy], list[Array], list[float]]:
    """Policies, answers and targets; the second platform's own answer exceeds its target."""
    of = space(name)
    costs = latency_ms(of, of.sample(3000, np.random.default_rng(99)))
    targets = [float(round(np.quantile(costs, q))) for q in QUANTILES[:platforms]]
    policies = [Policy(of, target, seed + k) for k, target in enumerate(targets)]
    rows = [p.exceed(t) if k == 1 else p.row for k, (p, t) in enumerate(zip(policies, targets, strict=True))]
    return policies, rows, targets


def policy_result(name: str = "proxylessnas", platforms: int = 3, seed: int = 0) -> dict[str, Any]:
    """A TuNAS run on a latency model for up to three platforms; the second one's own answer exceeds its budget."""
    of = space(name)
    policies, rows, targets = _searched(name, platforms, seed)
    rng = np.random.default_rng(seed)
    found, random = [], []
    for k, (policy, row, target) in enumerate(zip(policies, rows, targets, strict=True)):
        own = _network(of, policy.row) if k == 1 else None
        found.append(_platform(NAMES[k], target, _network(of, row), own))
        others = of.sample(400, rng)
        network = _network(of, others[np.abs(latency_ms(of, others) / target - 1).argmin()])
        random.append({"name": NAMES[k], **network, **_accuracies(network["costs"]["latency_ms"], -1.1)})
    return {
        "format_version": 1,
        "name": "Pictures of plants on three phones",
        "method": "tunas",
        "seed": seed,
        "space": {
            "name": of.name,
            "options": of.options,
            "cardinality": str(of.cardinality),
            "decisions": describe_decisions(of),
        },
        "data": {
            "source": "plants",
            "classes": 1000,
            "image_size": 224,
            "counts": {"weights": 1131121, "policy": 50046, "selection": 50000, "test": 50000},
        },
        "platforms": found,
        "policy": {NAMES[k]: policy.trace() for k, policy in enumerate(policies)},
        "weighted_accuracy": _weighted(found),
        "baselines": [
            {
                "name": "random",
                "description": "random search at the cost of the method's search, its answers trained the same way",
                "platforms": random,
                "weighted_accuracy": _weighted(random),
            }
        ],
        "cloud": [],
        "slimmable": None,
        "search_seconds": 41123.4,
        "train_seconds": 130211.0,
        "images_trained": {"search": 110796800, "training": 332390400, "baselines": 332390400},
        "environment": {"python": "3.11.9", "torch": "2.13.0", "device": "cuda"},
        "configuration": {"method": {"name": "tunas", "reward": "absolute", "cost_exponent": -0.1}},
        "warnings": ["tablet: the policy's entropy fell only to 58 % of its start; search longer or raise its rate."],
    }


def _platform(name: str, target: float, taken: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    note = "the most probable architecture exceeds the budget; the most probable one within it was taken"
    return {
        "name": name,
        "weight": 1.0,
        "device": "pixel1_tunas",
        "budgets": {"latency_ms": target},
        **taken,
        "own": own,
        "notes": [note] if own else [],
        "params": taken["costs"]["params"],
        "exit": None,
        **_accuracies(taken["costs"]["latency_ms"], 0.0),
        "weights": f"platforms/{name}.safetensors",
        "onnx": f"platforms/{name}.onnx",
        "onnx_max_abs_diff": 3.1e-6,
        "onnx_top1_agreement": 1.0,
        "onnx_bytes": taken["costs"]["params"] * 4 + 30000,
        "latency_ms": round(taken["costs"]["latency_ms"] * 0.21, 3),
        "latency_spread_ms": 0.4,
        "latency_device": "this machine",
    }


def _weighted(platforms: list[dict[str, Any]]) -> dict[str, float]:
    keys = {"validation": "val_accuracy", "test": "test_accuracy"}
    return {split: sum(p[key] for p in platforms) / len(platforms) for split, key in keys.items()}


def policy_metrics(
    name: str = "proxylessnas", platforms: int = 3, seed: int = 0, method: str = "tunas"
) -> list[dict[str, Any]]:
    """The log of that search; FP-NAS also says how many samples a step took and how good the mode is per epoch."""
    policies, _, targets = _searched(name, platforms, seed)
    rng = np.random.default_rng(seed)
    rows = space(name).sample(500, rng)
    uniform = latency_ms(space(name), rows).mean()
    lines = []
    for line in range(1, LOGGED + 1):
        at = line / LOGGED
        learnt = max(0.0, (at - FROZEN) / (1 - FROZEN))
        each: dict[str, list[float]] = {"entropy_nats": [], "cost_ratio": [], "quality": [], "reward": []}
        for policy, target in zip(policies, targets, strict=True):
            ratio = 1 + (uniform / target - 1) * np.exp(-7 * learnt) + rng.normal(0, 0.02 + 0.08 * np.exp(-3 * learnt))
            quality = 0.02 + 0.56 * (1 - np.exp(-3.2 * at)) + 0.05 * learnt + rng.normal(0, 0.012)
            each["entropy_nats"].append(policy.entropy_nats(at))
            each["cost_ratio"].append(float(ratio))
            each["quality"].append(float(quality))
            each["reward"].append(float(quality - 0.1 * abs(ratio - 1)))
        entry: dict[str, Any] = {"stage": "search", "step": 90 * line, "images": 90 * line * 4096, "progress": at}
        entry |= {key: float(np.mean(values)) for key, values in each.items()}
        if platforms > 1:
            entry |= {f"{key}/{NAMES[k]}": value for key, values in each.items() for k, value in enumerate(values)}
        entry |= {"loss": 6.9 - 3.9 * at**0.4, "learning_rate": 2.64 * (1 + np.cos(np.pi * at)) / 2}
        entry["policy_rate"] = 0.0 if at <= FROZEN else 3e-4 * 10**learnt
        if method == "fpnas":
            entry["samples_per_step"] = float(max(1, int(0.25 * np.mean(each["entropy_nats"]))))
            entry["effective_samples"] = 0.8 * entry["samples_per_step"] + 0.2
            if line % 15 == 0:
                entry["mode_accuracy"] = 100 * float(np.mean(each["quality"])) + 1.5
        lines.append(entry)
    return lines
