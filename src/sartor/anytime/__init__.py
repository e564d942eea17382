"""A prediction at any budget: curves, budgeted batches, and networks that stop.

The numpy parts load no torch; ``AnytimePredictor`` and what evaluates networks are loaded when asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sartor.anytime.budgeted import BudgetedBatch, budgeted_curve, exit_shares, leave_at, run_batch, solve_thresholds
from sartor.anytime.curves import accuracy_at, area_under_curve, expected_loss
from sartor.anytime.onnx_runner import OnnxRunner
from sartor.anytime.running import Classified, Prediction
from sartor.anytime.stages import ExitCost, Stage, exit_costs, make_stages

if TYPE_CHECKING:
    from sartor.anytime.evaluation import ExitEvaluation, evaluate_exits, measure_exits
    from sartor.anytime.predictor import AnytimePredictor, load_anytime

__all__ = [
    "AnytimePredictor",
    "BudgetedBatch",
    "Classified",
    "ExitCost",
    "ExitEvaluation",
    "OnnxRunner",
    "Prediction",
    "Stage",
    "accuracy_at",
    "area_under_curve",
    "budgeted_curve",
    "evaluate_exits",
    "exit_costs",
    "exit_shares",
    "expected_loss",
    "leave_at",
    "load_anytime",
    "make_stages",
    "measure_exits",
    "run_batch",
    "solve_thresholds",
]

_WITH_TORCH = {
    "AnytimePredictor": "sartor.anytime.predictor",
    "ExitEvaluation": "sartor.anytime.evaluation",
    "evaluate_exits": "sartor.anytime.evaluation",
    "load_anytime": "sartor.anytime.predictor",
    "measure_exits": "sartor.anytime.evaluation",
}


def __getattr__(name: str) -> Any:
    if name in _WITH_TORCH:
        return getattr(importlib.import_module(_WITH_TORCH[name]), name)
    raise AttributeError(f"module 'sartor.anytime' has no attribute {name!r}")
