"""A network with exits as a folder: one ONNX file per stage, ``anytime.json`` that chains them, and their runner.

    anytime/stage0.onnx, stage1.onnx, ...    pictures and tensors of earlier stages -> logits and the tensors handed on
    anytime/anytime.json                     the model card, the wiring, costs of the exits, thresholds for mean costs
    anytime/onnx_runner.py, running.py       what runs them with numpy and onnxruntime, without Sartor

Stopping saves time in this form, too, which one file with many outputs does not give: onnxruntime runs all of a file.
"""

from __future__ import annotations

import copy
import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.anytime import onnx_runner, running
from sartor.anytime.budgeted import BudgetedBatch
from sartor.anytime.onnx_runner import DESCRIPTION, KIND, LOGITS, PICTURES
from sartor.anytime.stages import exit_costs
from sartor.errors import RequestError
from sartor.export.card import ModelCard
from sartor.export.onnx_file import DEFAULT_OPSET, Exporter, label, to_model, write_model
from sartor.export.staged_graph import hand_on_rectified
from sartor.storage import storage_errors, to_json, write_atomically

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sartor.anytime.modules import StageModule
    from sartor.blueprint import Blueprint


def export_stages(
    network: nn.Module,
    blueprint: Blueprint,
    card: ModelCard,
    folder: str | Path,
    *,
    budgets: Sequence[BudgetedBatch] = (),
    opset: int = DEFAULT_OPSET,
    exporter: Exporter = "auto",
) -> Path:
    """Writes the stages of a network (:func:`sartor.anytime.make_stages`) to ``folder`` and returns its path.

    The batch is dynamic; only tensors that a later stage reads are handed on, under the name of the block that made
    them. The network is not touched. ``anytime.json`` is removed first and written last, so that a folder with it is
    whole.

    Args:
        network: as ``blueprint.build()`` makes it, trained.
        card: classes, normalisation and picture size; each file's metadata holds it, with the parameters of the stage.
        budgets: thresholds solved on validation pictures, which the runner offers by mean cost.

    Raises:
        RequestError: the network does not fit the card, or the folder cannot be written.
        SartorError: no exporter of torch can express a stage.
        MissingDependencyError: onnx is not installed.
    """
    from sartor.anytime.modules import stage_modules

    _check_fit(blueprint, card)
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in (folder / DESCRIPTION, *folder.glob("stage*.onnx")):
            old.unlink(missing_ok=True)
    modules = stage_modules(copy.deepcopy(network).cpu().float().eval(), blueprint)
    shapes: dict[str, tuple[int, ...]] = {}
    models = [_stage_model(module, card, shapes, opset, exporter) for module in modules]
    hand_on_rectified(models, [module.stage.gives for module in modules])
    for module, model in zip(modules, models, strict=True):
        costs = {"macs": module.stage.macs, "params": module.stage.params}
        label(model, dataclasses.replace(card, name=f"{card.name}-stage{module.stage.exit}", costs=costs))
        write_model(model, folder / _file(module))
    with storage_errors(folder):
        for source in (onnx_runner.__file__, running.__file__):
            shutil.copy(source, folder / Path(source).name)
    description = _describe(blueprint, card, modules, shapes, budgets)
    write_atomically(folder / DESCRIPTION, to_json(description).encode())
    return folder


def _stage_model(
    module: StageModule, card: ModelCard, shapes: dict[str, tuple[int, ...]], opset: int, exporter: Exporter
) -> Any:
    """One stage as an ``onnx.ModelProto``; the ``shapes`` of tensors handed on gain those that it makes."""
    import torch

    known = {PICTURES: card.input_shape, **shapes}
    # Two pictures: a batch of one would be taken for a constant.
    examples = {name: torch.zeros(2, *known[name]) for name in module.stage.reads}
    with torch.no_grad():
        logits, *gives = module(*examples.values())
    _check_logits(logits, card)
    shapes.update({name: tuple(made.shape[1:]) for name, made in zip(module.stage.gives, gives, strict=True)})
    outputs = [LOGITS, *module.stage.gives]
    return to_model(
        module, examples, outputs, f"{card.name}, stage {module.stage.exit}", opset=opset, exporter=exporter
    )


def _describe(
    blueprint: Blueprint,
    card: ModelCard,
    modules: Sequence[StageModule],
    shapes: Mapping[str, tuple[int, ...]],
    budgets: Sequence[BudgetedBatch],
) -> dict[str, Any]:
    """What ``anytime.json`` says."""
    return {
        "kind": KIND,
        "format_version": onnx_runner.FORMAT_VERSION,
        "card": card.to_dict(),
        "exits": [dataclasses.asdict(cost) for cost in exit_costs(blueprint)],
        "stages": [
            {
                "file": _file(module),
                "exit": module.stage.exit,
                "reads": module.stage.reads,
                "gives": module.stage.gives,
                "macs": module.stage.macs,
                "params": module.stage.params,
            }
            for module in modules
        ],
        "tensors": shapes,
        "budgets": [budget.to_dict() for budget in budgets],
    }


def _file(module: StageModule) -> str:
    return f"stage{module.stage.exit}.onnx"


def _check_fit(blueprint: Blueprint, card: ModelCard) -> None:
    needed = (blueprint.in_channels, blueprint.image_size, blueprint.image_size)
    if card.input_shape != needed:
        raise RequestError(
            f"The network of '{card.name}' takes pictures of shape {list(needed)}, its model card declares "
            f"{list(card.input_shape)}."
        )


def _check_logits(logits: torch.Tensor, card: ModelCard) -> None:
    if tuple(logits.shape) != (2, len(card.class_names)):
        raise RequestError(
            f"An exit of '{card.name}' gives logits of shape {list(logits.shape)} for two pictures; its model card has "
            f"{len(card.class_names)} classes."
        )
