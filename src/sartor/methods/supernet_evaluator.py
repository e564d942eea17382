"""The evaluator that answers from shared weights, which it trains as it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sartor import world
from sartor.elastic.supernet import Supernet
from sartor.methods.architecture_gradient import ArchitectureGradient
from sartor.methods.evaluator import SCORING_COST, TRAINING_COST, Combine, History
from sartor.network import last_logits
from sartor.runtime import Runtime
from sartor.train.exits import Exits
from sartor.train.networks import Stream
from sartor.train.optimiser import PrefixOptimiser, learning_rate
from sartor.train.passes import Pass
from sartor.train.runner import PassRunner
from sartor.train.settings import SearchTraining


class SupernetEvaluator:
    """Answers from a supernet that is trained as it is asked.

    Args:
        supernet: the shared weights.
        weight_stream, policy_stream: batches that teach the weights, and batches that steer the method.
        settings: optimiser and length.
        passes_per_step, scorings_per_step: the allowed cost is that of so many training passes and scored networks
            per step of ``settings.epochs``, however a method spends it.
        updates_per_step: the search ends after so many updates per step of ``settings.epochs``, whatever they cost.
        allowed_cost: in place of the above.
    """

    trains = True
    differentiates = True

    def __init__(
        self,
        supernet: Supernet,
        weight_stream: Stream,
        policy_stream: Stream,
        settings: SearchTraining,
        runtime: Runtime,
        *,
        passes_per_step: int = 3,
        scorings_per_step: int = 0,
        updates_per_step: int | None = None,
        allowed_cost: int | None = None,
    ) -> None:
        self.supernet, self.settings, self.runtime = supernet, settings, runtime
        runtime.place(supernet)
        supernet.recompute_branches = settings.recompute
        self.weight_stream, self.policy_stream = weight_stream, policy_stream
        self.optimiser = PrefixOptimiser(supernet.parameters(), settings, supernet.bank)
        self.runner = PassRunner(
            lambda x, s, _: supernet(x, _row(s)),
            settings.micro_batch,
            settings.label_smoothing,
            runtime.autocast,
            exits=Exits.of(settings),
        )
        self.differentiation = ArchitectureGradient(supernet, self._loss, settings.micro_batch)
        steps = max(1, round(settings.epochs * weight_stream.steps_per_epoch))
        training = passes_per_step * TRAINING_COST * weight_stream.batch_size
        scoring = scorings_per_step * SCORING_COST * policy_stream.batch_size
        self.total_cost = allowed_cost or steps * (training + scoring)
        self.total_updates = None if updates_per_step is None else steps * updates_per_step
        self.cost = self.updates = self.scorings = self.images = 0
        self.learning_rate = learning_rate(settings, 0.0, weight_stream.batch_size)
        self.clipping: dict[str, float] = {}  # of the last update, for the log
        self.history = History()

    @property
    def progress(self) -> float:
        """The share of the allowed cost that is spent, or of the updates that are done."""
        if self.total_updates is not None:
            return min(1.0, self.updates / self.total_updates)
        return min(1.0, self.cost / self.total_cost)

    @property
    def done(self) -> bool:
        """Whether the search has come to its end."""
        if self.total_updates is not None:
            return self.updates >= self.total_updates
        return self.cost >= self.total_cost

    @property
    def scoring_share(self) -> float:
        """The share of the allowed cost that scoring one network takes."""
        return SCORING_COST * self.policy_stream.batch_size / self.total_cost

    def train(self, passes: Sequence[Pass], combine: Combine = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        """One update of the shared weights from the next training batch."""
        self._training_mode()
        x, y = self.weight_stream.batch(self.updates)
        if combine == "likelihood":
            losses = self.runner.likelihood(x, y, passes, self._gradients, temperature)
        else:
            losses = self.runner(x, y, passes)
        self.learning_rate = self._next_rate()
        self.clipping = self.optimiser.step(self.learning_rate)
        self.updates += 1
        self._spend(len(passes) * self.weight_stream.batch_size, TRAINING_COST)
        return losses

    @torch.no_grad()
    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and accuracies (0..1) on the next policy batch, the same pictures for all ``selections``.

        With the statistics of the batch, as the weights were trained.
        """
        self._training_mode()
        x, y = self.policy_stream.batch(self.scorings)
        losses, qualities = np.empty(len(selections)), np.empty(len(selections))
        for i, selection in enumerate(selections):
            logits = last_logits(self.supernet(x, _row(selection)))
            losses[i] = float(F.cross_entropy(logits.float(), y))
            qualities[i] = float((logits.argmax(dim=1) == y).double().mean())
        losses, qualities = world.average(losses), world.average(qualities)
        for selection, loss, quality in zip(selections, losses, qualities, strict=True):
            self.history.add(selection, loss, quality)
        self.scorings += 1
        self._spend(len(selections) * self.policy_stream.batch_size, SCORING_COST)
        return losses, qualities

    def gradient(
        self, selection: Sequence[Any], order: Literal[1, 2] = 1, batch: int | None = None
    ) -> tuple[float, list[NDArray[np.float64]]]:
        """Loss on a policy batch, and its gradient with respect to every weight vector of ``selection``.

        ``order`` 2 unrolls the training step that the next call of :meth:`train` on this selection would make.
        """
        self._training_mode()
        validation = self.policy_stream.batch(self.scorings if batch is None else batch)
        if order == 1:
            found = self.differentiation.first_order(validation, selection)
        else:
            training = self.weight_stream.batch(self.updates)
            rate = self._next_rate()
            found = self.differentiation.second_order(training, validation, selection, self.optimiser, rate)
            self._spend(3 * self.weight_stream.batch_size, TRAINING_COST)
        self.scorings += batch is None
        self._spend(self.policy_stream.batch_size, TRAINING_COST)
        return found

    def _loss(self, x: Tensor, y: Tensor, selection: Sequence[Any]) -> Tensor:
        """What the method steers by: the loss of all exits, as training weighs them."""
        with self.runtime.autocast() if self.runtime.autocast else nullcontext():
            outputs = self.supernet(x, selection)
        exits = outputs if isinstance(outputs, tuple) else (outputs,)
        return self.runner.exits.loss([logits.float() for logits in exits], y)

    def _next_rate(self) -> float:
        """Of the next update."""
        return learning_rate(self.settings, self.progress * self.settings.epochs, self.weight_stream.batch_size)

    def _training_mode(self) -> None:
        """Batch norms by the statistics of the batch; asked for first, as switching visits every layer."""
        if not self.supernet.training:
            self.supernet.train()

    def _gradients(self) -> list[Tensor]:
        # From a list, in 0.1 ms: to walk the modules of a bank of 1,500 parameters takes 2.
        return [p.grad for p in self.optimiser.parameters if p.grad is not None]

    def _spend(self, images: int, unit: int) -> None:
        self.images += images
        self.cost += images * unit

    def state_dict(self) -> dict[str, Any]:
        """Weights, what the optimiser remembers, counters and history."""
        return {
            "supernet": self.supernet.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "counters": [self.cost, self.updates, self.scorings, self.images],
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.supernet.load_state_dict(state["supernet"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.cost, self.updates, self.scorings, self.images = state["counters"]
        self.history = History(**state["history"])


def _row(selection: Any) -> Any:
    """The bare row of an architecture: a method may hold those of the same space at another picture size."""
    return getattr(selection, "row", selection)
