"""How good every exit is, alone and together with the exits before it, and how long it takes.

The running mean of the softmaxes of all exits so far costs nothing more and is often better (MSDNet picks its models by
it); compare like with like, so both are measured. Shape legend: K exits, n pictures, B of a batch, N classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sartor.anytime.budgeted import Bool, Int64
from sartor.anytime.curves import Float64
from sartor.anytime.predictor import AnytimePredictor
from sartor.anytime.running import Float32, softmax
from sartor.anytime.stages import exit_costs
from sartor.blueprint import Blueprint
from sartor.export.latency import Latency, time_calls

# The logits of all exits: a network's forward computation (one tensor where it has one exit), its ``stages``, or
# ``AnytimePredictor.logits``.
Forward = Callable[[Tensor], Any]

# A probability of nought counts as this in a cross-entropy.
_SMALLEST = 1e-12


@dataclass(frozen=True)
class ExitScores:
    """Exits judged in one way (single, or the mean of the softmaxes so far).

    ``accuracies`` in percent and mean cross-entropies ``losses`` in nats, one per exit; ``predictions`` and
    ``confidences`` (largest probability, float64) of every exit on every picture ``[K, n]``.
    """

    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    predictions: Int64
    confidences: Float64


@dataclass(frozen=True)
class ExitEvaluation:
    """Every exit on one set of pictures with ``labels`` ``[n]``: what curves and budgeted batches need."""

    labels: Int64
    single: ExitScores
    ensemble: ExitScores

    def scores(self, *, ensemble: bool = False) -> ExitScores:
        """The exits one by one, or as running means."""
        return self.ensemble if ensemble else self.single

    def correct(self, *, ensemble: bool = False) -> Bool:
        """Which predictions are right ``[K, n]``."""
        right: Bool = self.scores(ensemble=ensemble).predictions == self.labels
        return right

    def to_dict(self) -> dict[str, Any]:
        """Accuracies and losses per exit as plain data, ready for JSON."""
        return {
            "pictures": len(self.labels),
            "accuracies": list(self.single.accuracies),
            "losses": list(self.single.losses),
            "ensemble_accuracies": list(self.ensemble.accuracies),
            "ensemble_losses": list(self.ensemble.losses),
        }


@dataclass(frozen=True)
class ExitLatency:
    """Thread CPU time of a batch up to an exit: of an interruptible run, and with this exit foreseen (``lazy``)."""

    exit: int
    anytime: Latency
    lazy: Latency


@torch.no_grad()
def evaluate_exits(forward: Forward, batches: Iterable[tuple[Tensor, Tensor]]) -> ExitEvaluation:
    """Accuracy, loss, predictions and confidences of every exit over batches of pictures and labels.

    Args:
        forward: pictures ``[B, C, S, S]`` -> logits ``[B, N]`` of every exit, or of the only one. In evaluation mode.

    Raises:
        ValueError: there was no picture.
    """
    single, ensemble, labels = _Sums(), _Sums(), []
    for x, y in batches:
        truth, total = y.cpu().numpy(), np.zeros((1, 1))
        labels.append(truth)
        for exit, logits in enumerate(_per_exit(forward(x))):
            probabilities = softmax(logits)
            total = total + probabilities
            single.add(exit, probabilities, truth)
            ensemble.add(exit, total / (exit + 1), truth)
    if not labels:
        raise ValueError("there is no picture to evaluate on")
    joined = np.concatenate(labels).astype(np.int64)
    return ExitEvaluation(joined, single.scores(joined), ensemble.scores(joined))


@torch.no_grad()
def exit_logits(forward: Forward, batches: Iterable[Tensor]) -> Float32:
    """Logits of every exit ``[K, n, N]``, what :func:`sartor.export.verify_stages` compares an export with."""
    parts = [np.stack(_per_exit(forward(x))) for x in batches]
    return np.concatenate(parts, axis=1).astype(np.float32)


def measure_exits(
    network: nn.Module, blueprint: Blueprint, x: Tensor, *, repeats: int = 30, max_seconds: float = 2.0
) -> list[ExitLatency]:
    """How long every exit takes for a batch like ``x``, on one thread, where the network lies (a CPU)."""
    predictor = AnytimePredictor(network, blueprint)

    def up_to(exit: int) -> Latency:
        return time_calls(lambda: _take(predictor.logits(x), exit + 1), repeats=repeats, max_seconds=max_seconds)

    def alone(exit: int) -> Latency:
        return time_calls(lambda: predictor.answer(x, exit=exit), repeats=repeats, max_seconds=max_seconds)

    return [ExitLatency(exit, up_to(exit), alone(exit)) for exit in range(len(predictor.stages))]


def exit_table(
    blueprint: Blueprint, evaluation: ExitEvaluation, latencies: Sequence[ExitLatency] | None = None
) -> list[dict[str, Any]]:
    """One row of plain data per exit: costs by every count, accuracies, and measured times where given."""
    rows = []
    for cost in exit_costs(blueprint):
        row = {
            **vars(cost),
            "accuracy": evaluation.single.accuracies[cost.exit],
            "ensemble_accuracy": evaluation.ensemble.accuracies[cost.exit],
        }
        if latencies is not None:
            measured = latencies[cost.exit]
            row |= {"anytime_ms": measured.anytime.median_ms, "lazy_ms": measured.lazy.median_ms}
        rows.append(row)
    return rows


class _Sums:
    """Collects the judgements of every exit, batch by batch."""

    def __init__(self) -> None:
        self._predictions: dict[int, list[NDArray[Any]]] = {}
        self._confidences: dict[int, list[NDArray[Any]]] = {}
        self._losses: dict[int, float] = {}

    def add(self, exit: int, probabilities: Float64, labels: NDArray[Any]) -> None:
        """Takes in one exit's probabilities ``[B, N]`` of one batch."""
        self._predictions.setdefault(exit, []).append(probabilities.argmax(axis=1))
        self._confidences.setdefault(exit, []).append(probabilities.max(axis=1))
        of_truth = np.maximum(probabilities[np.arange(len(labels)), labels], _SMALLEST)
        self._losses[exit] = self._losses.get(exit, 0.0) - float(np.log(of_truth).sum())

    def scores(self, labels: Int64) -> ExitScores:
        """All exits on all pictures."""
        predictions = np.stack([np.concatenate(parts) for parts in self._predictions.values()])
        confidences = np.stack([np.concatenate(parts) for parts in self._confidences.values()])
        accuracies = 100.0 * (predictions == labels).mean(axis=1)
        losses = tuple(loss / len(labels) for loss in self._losses.values())
        return ExitScores(tuple(accuracies.tolist()), losses, predictions, confidences)


def _per_exit(result: Any) -> list[NDArray[Any]]:
    """The logits of every exit as arrays, from a tensor, a tuple, or stages that are still to run."""
    results = [result] if isinstance(result, Tensor) else result
    return [r.float().cpu().numpy() if isinstance(r, Tensor) else np.asarray(r) for r in results]


def _take(results: Iterable[Any], count: int) -> None:
    """Asks for the first ``count`` results and leaves the rest alone."""
    for position, _ in enumerate(results, start=1):
        if position == count:
            return
