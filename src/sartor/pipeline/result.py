"""``result.json`` from what the stages left in the run folder."""

from __future__ import annotations

from typing import Any

from sartor.pipeline.final import final_stages
from sartor.pipeline.setting import Setting
from sartor.report.blocks import describe_decisions, describe_network
from sartor.report.schema import FORMAT_VERSION
from sartor.run import ENVIRONMENT, RunFolder
from sartor.space import SearchSpace


def assemble(folder: RunFolder, setting: Setting, name: str) -> dict[str, Any]:
    """The result as plain data (see :mod:`sartor.report.schema`); stages not yet run leave nulls."""
    found = final_stages(folder, setting)
    searched, trained, exported, measured = (found[name] for name in ("search", "train", "export", "measure"))
    baselines = [_drawn_baseline(setting.deploy_space, baseline) for baseline in trained.get("baselines", [])]
    images = {"search": searched.get("images", 0), "training": trained.get("images", 0)}
    if measured.get("images"):
        images["training again"] = measured["images"]
    return {
        "format_version": FORMAT_VERSION,
        "name": name,
        "method": setting.method_name,
        "seed": setting.seed,
        "space": _space(setting),
        "data": _data(setting),
        "platforms": _platforms(setting, searched, trained, exported),
        "missed": measured.get("missed", []),
        "weighted_accuracy": trained.get("weighted_accuracy", {"validation": None, "test": None}),
        "baselines": baselines,
        "cloud": searched.get("cloud", []),
        "policy": searched.get("policy", {}),
        "slimmable": exported.get("slimmable") or trained.get("slimmable"),
        "anytime": _anytime(trained, exported),
        "search_seconds": round(folder.seconds("search"), 3),
        "train_seconds": round(folder.seconds("train") - folder.seconds("baselines"), 3),
        "baseline_seconds": round(folder.seconds("baselines"), 3),
        "measure_seconds": round(folder.seconds("measure"), 3),
        "images_trained": {**images, "baselines": trained.get("baseline_images", 0)},
        "environment": folder.read_json(ENVIRONMENT) or {},
        "configuration": folder.configuration,
        "warnings": [warning for stage in found.values() for warning in stage.get("warnings", [])],
    }


def _platforms(
    setting: Setting, searched: dict[str, Any], trained: dict[str, Any], exported: dict[str, Any]
) -> list[dict[str, Any]]:
    empty = {"val_accuracy": None, "test_accuracy": None, "weights": None}
    unchecked = dict.fromkeys(
        (
            "onnx",
            "onnx_max_abs_diff",
            "onnx_top1_agreement",
            "onnx_bytes",
            "latency_ms",
            "latency_spread_ms",
            "latency_device",
            "deployed",
        )
    )
    rows = []
    for platform in setting.platforms:
        choice = searched.get("choices", {}).get(platform.name, {})
        rows.append(
            {
                "name": platform.name,
                "weight": platform.weight,
                "device": platform.device,
                "budgets": dict(platform.budgets),
                "costs": choice.get("costs", {}),
                "params": choice.get("costs", {}).get("params"),
                **(_drawn(setting.deploy_space, {"architecture": choice.get("architecture", {})}) or {}),
                "exit": choice.get("exit"),
                "predicted_loss": choice.get("predicted_loss"),
                "notes": choice.get("notes", []),
                "own": _drawn(setting.deploy_space, choice.get("own")),
                **empty,
                **trained.get("platforms", {}).get(platform.name, {}),
                **unchecked,
                **exported.get("platforms", {}).get(platform.name, {}),
                "latency": searched.get("latency", {}).get(platform.name),
            }
        )
    return rows


def _drawn(space: SearchSpace, found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Something with an architecture, with the blocks that it means beside it."""
    if not found or not found.get("architecture"):
        return found
    return {**found, "network": describe_network(space, found["architecture"])}


def _drawn_baseline(space: SearchSpace, baseline: dict[str, Any]) -> dict[str, Any]:
    return {**baseline, "platforms": [_drawn(space, platform) for platform in baseline["platforms"]]}


def _anytime(trained: dict[str, Any], exported: dict[str, Any]) -> dict[str, Any] | None:
    """The network with exits that serves all platforms, where there is one."""
    found = trained.get("anytime")
    return None if found is None else {**found, "stages": exported.get("anytime")}


def _space(setting: Setting) -> dict[str, Any]:
    space = setting.deploy_space
    return {
        "name": space.name,
        "options": space.options,
        "cardinality": str(space.cardinality),
        "decisions": describe_decisions(space),
    }


def _data(setting: Setting) -> dict[str, Any]:
    sets, train = setting.index_sets, setting.pictures.train
    counts = {part: len(getattr(sets, part)) for part in ("weights", "policy", "selection", "test")}
    return {
        "source": train.name,
        "origin": train.origin,
        "classes": train.num_classes,
        "image_size": train.image_size,
        "deploy_image_size": setting.deploy_space.image_size,
        "counts": counts,
        "normalisation": setting.normalisation.to_json(),
    }
