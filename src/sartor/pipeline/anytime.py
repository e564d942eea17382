"""The any-time network of a run: every exit judged, budgets for batches solved, stages exported and proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sartor.anytime.budgeted import BudgetedBatch, budgeted_curve
from sartor.anytime.evaluation import ExitEvaluation, evaluate_exits, exit_logits, exit_table
from sartor.anytime.stages import exit_costs
from sartor.blueprint import Blueprint
from sartor.config import ExportSettings
from sartor.export.staged import export_stages
from sartor.export.staged_verification import verify_stages
from sartor.pipeline.exporting import model_card, normalised, pixels_of, verification_pictures
from sartor.pipeline.setting import Setting

_BUDGETS = 10  # mean costs for batches, evenly from the first exit to the last


@dataclass(frozen=True)
class AnytimeNetwork:
    """A trained network with exits, in evaluation mode, and how good they are.

    ``exits``: a row of plain data per exit (:func:`sartor.anytime.evaluation.exit_table`); accuracies and those of the
    running mean of exits in percent on both sets, None where there are no pictures. ``batches``: mean costs, in
    ``anytime_macs``, with thresholds solved on the selection pictures and judged on the test pictures.
    """

    network: nn.Module
    blueprint: Blueprint
    exits: list[dict[str, Any]]
    batches: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """What is known of it, without the weights."""
        return {"exits": self.exits, "batches": self.batches}


def judge_exits(setting: Setting, network: nn.Module, blueprint: Blueprint, counted: Blueprint) -> AnytimeNetwork:
    """Accuracy of every exit on both sets, and batches on a budget.

    ``macs`` and ``params`` of an exit are those of all cells up to it, ``counted``; ``blueprint`` is what runs.
    """
    network.eval()
    validation = test = None
    if len(setting.index_sets.selection):
        validation = evaluate_exits(network, setting.selection_batches())
    if setting.pictures.test is not None and len(setting.index_sets.test):
        test = evaluate_exits(network, setting.test_batches())
    known = test or validation
    rows = exit_table(blueprint, known) if known is not None else []
    for row, cost in zip(rows, exit_costs(counted), strict=False):
        del row["accuracy"], row["ensemble_accuracy"]
        row |= {"macs": cost.macs, "params": cost.params}
        for name, found in (("val", validation), ("test", test)):
            exit = row["exit"]
            row[f"{name}_accuracy"] = None if found is None else found.single.accuracies[exit]
            row[f"{name}_ensemble_accuracy"] = None if found is None else found.ensemble.accuracies[exit]
    batches = _batches(rows, validation, test) if validation is not None and test is not None else []
    return AnytimeNetwork(network, blueprint, rows, [batch.to_dict() for batch in batches])


def _batches(rows: list[dict[str, Any]], validation: ExitEvaluation, test: ExitEvaluation) -> list[BudgetedBatch]:
    costs = [row["anytime_macs"] for row in rows]
    if len(costs) == 1:
        return []
    return budgeted_curve(
        costs,
        np.linspace(costs[0], costs[-1], _BUDGETS).tolist(),
        validation_confidences=validation.single.confidences,
        confidences=test.single.confidences,
        correct=test.correct(),
    )


def export_anytime(
    setting: Setting, anytime: AnytimeNetwork, choice: Mapping[str, Any], folder: Path, settings: ExportSettings
) -> dict[str, Any]:
    """Writes the stages to ``folder`` and proves every exit on real pictures in a process without torch.

    Raises:
        VerificationError: an exit disagrees; with the reason.
    """
    network, blueprint = anytime.network, anytime.blueprint
    card = model_card(setting, "anytime", {}, choice)
    export_stages(
        network, blueprint, card, folder, budgets=[BudgetedBatch.from_dict(batch) for batch in anytime.batches]
    )
    pixels = pixels_of(setting, *verification_pictures(setting, settings.verification_pictures))
    reference = exit_logits(network.cpu(), normalised(setting, pixels, 128))
    proof = verify_stages(folder, pixels, reference, repeats=settings.latency_repeats)
    return {"folder": folder.name, **proof.to_dict()}
