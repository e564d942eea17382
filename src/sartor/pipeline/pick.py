"""Another budget from a finished search: solved at once, trained and exported on request."""

from __future__ import annotations

import dataclasses
from typing import Any

from sartor.errors import RequestError
from sartor.pipeline import exporting, training
from sartor.pipeline.search import describe_choice
from sartor.pipeline.stages import METHOD_STATE, Run
from sartor.platforms import Platform
from sartor.run import RunFolder


def pick(folder: RunFolder, platform: Platform, train: bool = False) -> dict[str, Any]:
    """The best architecture of a finished search for a new platform, as plain data.

    With ``train`` the network is trained alone, calibrated, judged, exported and verified; its files go beside those
    of the run, and killed it goes on like a run.

    Raises:
        RequestError: the search is not done, or the platform's name is taken by one with other budgets.
        InfeasibleBudgetError: no architecture meets the budgets.
    """
    if not folder.done("search"):
        raise RequestError(f"{folder.path}: the search is not done yet; finish it with sartor search {folder.path}")
    run = Run(folder)
    method = run.setting.method()
    state = folder.read_checkpoint(METHOD_STATE)
    if state is None:
        raise RequestError(
            f"{folder.path}: checkpoints/{METHOD_STATE}.pt is missing, so the search cannot be solved anew"
        )
    method.load_state_dict(state["method"])
    choice = describe_choice(method.choose(platform))
    found: dict[str, Any] = {"name": platform.name, "budgets": dict(platform.budgets), **choice}
    return {**found, **_train(run, platform, choice)} if train else found


def _train(run: Run, platform: Platform, choice: dict[str, Any]) -> dict[str, Any]:
    """Trains and exports one picked network."""
    if any(p.name.lower() == platform.name.lower() for p in run.setting.platforms):
        raise RequestError(f"platform {platform.name!r} is one of the run's own; give another --name")
    part = f"pick:{platform.name}"
    folder = run.folder
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
    blueprint = setting.space.blueprint(choice["architecture"], platform.name)
    fitted = training.fit_alone(setting, {platform.name: blueprint}, lambda name: run.store("pick", name))
    network = fitted.networks[platform.name]
    weights, onnx = f"platforms/{platform.name}.safetensors", f"platforms/{platform.name}.onnx"
    training.save_weights(network, folder.file(weights), {"space": setting.space.name, "platform": platform.name})
    card = exporting.model_card(setting, platform.name, platform.budgets, choice["costs"], choice["architecture"])
    export = run.job.export
    proof = exporting.export_network(
        setting,
        network,
        card,
        folder.file(onnx),
        pictures=export.verification_pictures,
        repeats=export.latency_repeats,
    )
    payload = {
        "architecture": choice["architecture"],
        **fitted.accuracies[platform.name],
        "weights": weights,
        "onnx": onnx,
        **proof,
    }
    folder.mark_done(part, payload)
    return payload
