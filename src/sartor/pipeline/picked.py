"""A picked network made real: trained alone, calibrated, judged, exported and verified."""

from __future__ import annotations

import dataclasses
from typing import Any

from sartor.errors import RequestError
from sartor.pipeline import exporting, training
from sartor.pipeline.answers import Answer
from sartor.pipeline.stages import Run
from sartor.platforms import Platform
from sartor.run import RunFolder


def train_picked(folder: RunFolder, platform: Platform, choice: dict[str, Any]) -> dict[str, Any]:
    """Trains and exports one picked network."""
    run = Run(folder)
    if any(p.name.lower() == platform.name.lower() for p in run.setting.platforms):
        raise RequestError(f"platform {platform.name!r} is one of the run's own; give another --name")
    part = f"pick:{platform.name}"
    # Said before training starts, so that what a kill leaves is not taken for another network's.
    earlier = folder.payload(f"{part}:asked")
    if earlier is not None and earlier["architecture"] != choice["architecture"]:
        raise RequestError(
            f"{folder.path}: a network named {platform.name!r} was picked before with other budgets; give another "
            "--name"
        )
    if folder.done(part):
        return dict(folder.payload(part))
    folder.mark_done(f"{part}:asked", {"architecture": choice["architecture"]})
    setting = dataclasses.replace(run.setting, platforms=(platform,))
    blueprint = Answer.of(choice).shipped(setting.space, platform.name)
    fitted = training.fit_alone(setting, {platform.name: blueprint}, lambda name: run.store("pick", name))
    network = fitted.networks[platform.name]
    weights, onnx = f"platforms/{platform.name}.safetensors", f"platforms/{platform.name}.onnx"
    training.save_network(setting, network, blueprint, folder.file(weights), platform.name)
    proof = exporting.export_platform(setting, platform, choice, network, folder.file(onnx), run.job.export)
    payload = {
        "architecture": choice["architecture"],
        **fitted.accuracies[platform.name],
        "weights": weights,
        "onnx": onnx,
        **proof,
    }
    folder.mark_done(part, payload)
    return payload
