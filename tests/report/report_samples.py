"""Results as a run writes them, made up but plausible: exact MACs, invented accuracies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

BASE = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
SIDES = (32, 32, 16, 16, 8, 8, 4, 4, 4, 4, 4, 4, 2, 2)
UNIFORM = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
NAMES = ("tag", "watch", "glasses", "budget-phone", "phone", "tablet", "laptop")
OPTIONS = [sorted({max(1, round(base * k / 80)) * 8 for k in range(2, 16)}) for base in BASE]


def macs_of(widths: list[int]) -> int:
    """Multiply-adds of MobileNetV1 on 32x32 pictures with 100 classes."""
    total, before = 27 * widths[0] * 32 * 32, widths[0]
    for width, side in zip(widths[1:], SIDES[1:], strict=True):
        total += 9 * before * side * side + before * width * side * side
        before = width
    return total + before * 100


def params_of(widths: list[int]) -> int:
    """Parameters of the same network."""
    total, before = 27 * widths[0] + 2 * widths[0], widths[0]
    for width in widths[1:]:
        total += 9 * before + 2 * before + before * width + 2 * width
        before = width
    return total + before * 100 + 100


def found_widths(rng: np.random.Generator, budget: int) -> list[int]:
    """Widths under a budget that lean towards the shallow layers, as the paper's figure 2 shows."""
    tilt = np.linspace(1.35, 0.75, len(BASE)) + rng.normal(0, 0.04, len(BASE))
    for ratio in np.arange(1.5, 0.15, -0.01):
        widths = [
            min(options, key=lambda c, b=base, t=t: abs(c - b * ratio * t))
            for base, t, options in zip(BASE, tilt, OPTIONS, strict=True)
        ]
        if macs_of(widths) <= budget:
            return widths
    return [options[0] for options in OPTIONS]


def accuracy_of(macs: float, boost: float = 0.0) -> float:
    """A rising curve through the level of the paper's table 2."""
    return 58 + 4.1 * math.log2(1 + macs / 3.3e6) ** 0.9 + boost


def _entry(name: str, widths: list[int], accuracy: float) -> dict[str, Any]:
    costs = {
        "macs": macs_of(widths),
        "params": params_of(widths),
        "peak_memory_bytes": 4 * 1024 * max(widths[0] + widths[1], 40),
    }
    return {
        "name": name,
        "costs": costs,
        "val_accuracy": round(accuracy + 0.4, 2),
        "test_accuracy": round(accuracy, 2),
        "architecture": {f"layer{k}": width for k, width in enumerate(widths, start=1)},
    }


def _weighted(platforms: list[dict[str, Any]]) -> dict[str, float]:
    weights = [0.25, 0.005, 0.01, 0.045, 0.13, 0.31, 0.25][: len(platforms)]
    keys = {"validation": "val_accuracy", "test": "test_accuracy"}
    return {
        split: sum(w * p[key] for w, p in zip(weights, platforms, strict=True)) / sum(weights)
        for split, key in keys.items()
    }


def slimmable_result(platforms: int = 7, cloud: int = 400, seed: int = 0) -> dict[str, Any]:
    """An OWS run for up to seven platforms, with three baselines and a random cloud."""
    rng = np.random.default_rng(seed)
    names = NAMES[:platforms]
    uniform = [[max(8, int(b * w + 4) // 8 * 8) for b in BASE] for w in UNIFORM[:platforms]]
    budgets = [macs_of(widths) for widths in uniform]
    tilt = int(rng.integers(1 << 30))
    found = [found_widths(np.random.default_rng(tilt), budget) for budget in budgets]
    ours = [_platform(*entry, rng) for entry in zip(names, budgets, found, range(platforms), strict=True)]
    slim = [_entry(n, w, accuracy_of(macs_of(w), rng.normal(0, 0.2))) for n, w in zip(names, uniform, strict=True)]
    alone = [_entry(n, w, accuracy_of(macs_of(w), 0.2)) for n, w in zip(names, found, strict=True)]
    other = [found_widths(rng, round(b * 0.97)) for b in budgets]
    random = [_entry(n, w, accuracy_of(macs_of(w), -0.4)) for n, w in zip(names, other, strict=True)]
    return {
        "format_version": 1,
        "name": "CIFAR-100 on seven platforms",
        "method": "ows",
        "seed": seed,
        "space": {
            "name": "mobilenet_v1",
            "options": {"num_classes": 100, "image_size": 32},
            "cardinality": str(math.prod(len(o) for o in OPTIONS)),
            "decisions": [{"name": f"layer{k}", "kind": "width", "options": o} for k, o in enumerate(OPTIONS, start=1)],
        },
        "data": {
            "source": "cifar100",
            "classes": 100,
            "image_size": 32,
            "counts": {"weights": 42500, "policy": 2500, "selection": 5000, "test": 10000},
            "normalisation": {"mean": [0.5071, 0.4865, 0.4409], "std": [0.2673, 0.2564, 0.2762]},
        },
        "platforms": ours,
        "weighted_accuracy": _weighted(ours),
        "baselines": [
            {
                "name": "Slim-U",
                "description": "one slimmable network, uniform widths",
                "platforms": slim,
                "weighted_accuracy": _weighted(slim),
            },
            {
                "name": "stand-alone",
                "description": "the networks found, each trained by itself",
                "platforms": alone,
                "weighted_accuracy": _weighted(alone),
            },
            {
                "name": "random",
                "description": "best of as many random networks",
                "platforms": random,
                "weighted_accuracy": _weighted(random),
            },
        ],
        "cloud": [_cloud_point(rng) for _ in range(cloud)],
        "slimmable": {
            "path": "export/slimmable.safetensors",
            "bytes": 14_100_000,
            "sum_of_single_bytes": 43_000_000,
            "switches": list(names),
        },
        "search_seconds": 5123.4,
        "train_seconds": 30211.0,
        "images_trained": {"search": 2125000, "training": 12750000, "baselines": 25500000},
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0",
            "device": "cpu",
            "threads": 2,
            "packages": {"numpy": "2.4.6", "onnx": "1.23.2"},
        },
        "configuration": {
            "search": {"epochs": 50, "learning_rate": 0.1},
            "train": {"epochs": 300, "batch": 128},
            "weights": [0.25, 0.25],
        },
        "warnings": ["tablet: the accuracy of the selection pictures rests on 5,000 pictures."],
    }


def _platform(name: str, budget: int, widths: list[int], k: int, rng: np.random.Generator) -> dict[str, Any]:
    entry = _entry(name, widths, accuracy_of(macs_of(widths), 1.4 + rng.normal(0, 0.15)))
    return entry | {
        "weight": [0.25, 0.005, 0.01, 0.045, 0.13, 0.31, 0.25][k],
        "budgets": {"macs": budget, "peak_memory_bytes": 524288},
        "params": entry["costs"]["params"],
        "exit": None,
        "weights": f"platforms/{name}.safetensors",
        "onnx": f"export/{name}.onnx",
        "onnx_max_abs_diff": 2.4e-6,
        "onnx_top1_agreement": 1.0,
        "onnx_bytes": entry["costs"]["params"] * 4 + 20000,
        "latency_ms": round(0.18 + macs_of(widths) / 3.1e7, 4),
        "latency_spread_ms": 0.021,
        "predicted_loss": round(2.4 - 0.12 * k, 4),
    }


def _cloud_point(rng: np.random.Generator) -> dict[str, Any]:
    widths = [int(rng.choice(options)) for options in OPTIONS]
    accuracy = accuracy_of(macs_of(widths), -6 + rng.normal(0, 1.2))
    return {"macs": macs_of(widths), "params": params_of(widths), "accuracy": round(accuracy, 3), "sampled": "uniform"}


def cell_result() -> dict[str, Any]:
    """A small run over operations with exits, with everything unmeasured that may be."""
    decisions = [
        {"name": f"cell{c}.edge{e}", "kind": "op", "options": ["none", "skip", "conv3x3", "conv5x5", "max_pool"]}
        for c in range(2)
        for e in range(5)
    ]
    decisions.append({"name": "depth", "kind": "op", "options": [[2, 2], [3, 4]]})
    rows = [[1, 2, 2, 3, 0, 1, 4, 2, 1, 0, 0], [3, 2, 2, 3, 4, 1, 2, 2, 1, 3, 1]]
    platforms = [
        {
            "name": name,
            "weight": 1.0,
            "budgets": {"latency_ms": 5.0},
            "costs": {"macs": 10_000_000 * (k + 1), "flash_bytes": 30000, "latency_ms": 4.2 + k},
            "architecture": {d["name"]: d["options"][i] for d, i in zip(decisions, row, strict=True)},
            "exit": k,
            "val_accuracy": None,
            "test_accuracy": None,
            "latency_ms": None,
        }
        for k, (name, row) in enumerate(zip(("small", "large"), rows, strict=True))
    ]
    return {
        "format_version": 1,
        "name": "cells </script><b>&",
        "method": "fp_nas",
        "seed": 3,
        "space": {"name": "cells", "cardinality": "19531250", "decisions": decisions},
        "data": {"counts": {"weights": 100, "policy": None, "selection": 0, "test": 0}},
        "platforms": platforms,
        "weighted_accuracy": {"validation": None, "test": None},
        "baselines": [],
        "cloud": [],
        "slimmable": None,
        "search_seconds": None,
        "train_seconds": 2.5,
        "environment": {},
        "warnings": [],
        "later": {"unknown": True},
    }


def anytime_result() -> dict[str, Any]:
    """A run with cells and a network with three exits, which serves two platforms, beside one baseline."""
    result = cell_result()
    cell = {"normal_0_0": "sep_conv_3x3", "normal_0_1": "skip_connect", "normal_1_0": "none"}
    cell |= {"normal_1_1": "dil_conv_5x5", "normal_1_2": "max_pool_3x3"}
    for k, platform in enumerate(result["platforms"]):
        platform |= {"architecture": cell, "exit": 2 * k, "budgets": {"macs": (k + 1) * 12e6}}
    exits = [_exit(k, 50.0 + 6 * k) for k in range(3)]
    batches = [
        {"planned": c, "mean_cost": c, "accuracy": 55.0, "shares": [0.5, 0.3, 0.2], "thresholds": [0.9, 0.8]}
        for c in (5e6, 9e6, 14e6)
    ]
    stages = {"folder": "anytime", "top1_agreement": [1.0] * 3}
    anytime = {"path": "anytime.safetensors", "bytes": 9, "exits": exits, "batches": batches, "stages": stages}
    msdnet = {"name": "msdnet", "platforms": [], "anytime": {"exits": [_exit(k, 48.0 + 6 * k) for k in range(3)]}}
    return {**result, "anytime": anytime, "baselines": [msdnet]}


def _exit(k: int, accuracy: float) -> dict[str, Any]:
    costs = {
        "macs": 6e6,
        "anytime_macs": 5e6,
        "lazy_macs": 4e6,
        "params": 9e4,
        "anytime_params": 8e4,
        "lazy_params": 7e4,
    }
    row: dict[str, Any] = {"exit": k, **{name: int(cost * (k + 1)) for name, cost in costs.items()}}
    row |= {"stored_params": 300_000, "stored_bytes": 1_200_000}
    for prefix in ("val", "test"):
        row |= {f"{prefix}_accuracy": accuracy, f"{prefix}_ensemble_accuracy": accuracy + k}
    return row


def latency_result() -> dict[str, Any]:
    """Four platforms with latency budgets: one within, one that missed and was solved again, one that misses twice, and
    one whose device is elsewhere."""
    result = slimmable_result(platforms=4, cloud=0)
    common: dict[str, Any] = {
        "device": "/devices/board.json",
        "margin": 0.08,
        "margin_from": "device",
        "scale": 1.0,
        "runtime": {"name": "onnxruntime", "version": "1.0"},
        "runtime_here": {"name": "onnxruntime", "version": "1.1"},
        "threads": 1,
        "batch": 1,
        "noise": 0.012,
        "missed": False,
        "reason": None,
        "first": None,
        "unsolved": None,
    }
    first = {"predicted_ms": 4.6, "measured_ms": 5.4, "noise": 0.01, "architecture": {}, "costs": {}}
    own: list[dict[str, Any]] = [
        {"budget_ms": 2.0, "predicted_ms": 1.8, "measured_ms": 1.75},
        {"budget_ms": 5.0, "predicted_ms": 4.5, "measured_ms": 4.4, "first": first, "scale": 1.174},
        {"budget_ms": 6.0, "predicted_ms": 5.5, "measured_ms": 7.2, "missed": True, "unsolved": "nothing is faster"},
        {
            "budget_ms": 9.0,
            "predicted_ms": 8.1,
            "measured_ms": None,
            "missed": None,
            "noise": None,
            "runtime_here": {},
            "reason": "not measured here: measured on a phone; copy platforms/d.onnx there",
        },
    ]
    for platform, latency in zip(result["platforms"], own, strict=True):
        platform["latency"] = {**common, **latency}
        platform |= {"device": common["device"], "budgets": {"latency_ms": latency["budget_ms"]}}
        platform["costs"] = {**platform["costs"], "latency_ms": latency["predicted_ms"]}
    return {**result, "missed": [result["platforms"][2]["name"]]}


def metrics(seed: int = 0, steps: int = 3000) -> list[dict[str, Any]]:
    """A search with temperature, a training, and a baseline's training."""
    rng = np.random.default_rng(seed)
    lines: list[dict[str, Any]] = []
    for stage, length in (("search", steps), ("train", 3 * steps), ("baseline:Slim-U", 3 * steps)):
        for step in range(1, length + 1):
            done = step / length
            loss = 4.6 * math.exp(-2.4 * done) + 0.9 + rng.normal(0, 0.12)
            line = {"stage": stage, "step": step, "steps": length, "images": step * 128, "loss": loss}
            line |= {"accuracy": 100 * (1 - math.exp(-(loss**-1) * 0.9)), "time": 1e9 + step}
            line |= {"learning_rate": 0.1 if stage == "search" else 0.1 * 0.985 ** (300 * done)}
            if stage == "search":
                line["temperature"] = 0.1 * 0.01**done
            lines.append(line)
    return lines
