"""What a method may ask: it never sees a network, a batch or an optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sartor.elastic.supernet import Supernet
from sartor.runtime import Runtime
from sartor.train.networks import Stream
from sartor.train.optimiser import PrefixSGD, learning_rate
from sartor.train.passes import Pass, PassRunner
from sartor.train.settings import SearchTraining

# A backward computation costs about two forward ones.
TRAINING_COST, SCORING_COST = 3, 1


@dataclass
class History:
    """Everything a method has observed by scoring: rows, losses and qualities, in order."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    qualities: list[float] = field(default_factory=list)

    def add(self, selection: Any, loss: float, quality: float) -> None:
        """Keeps one observation; mixtures are no architectures and are left out."""
        entries = getattr(selection, "row", selection)
        if not any(isinstance(e, Tensor) and e.ndim for e in entries):
            self.rows.append(tuple(int(e) for e in entries))
            self.losses.append(float(loss))
            self.qualities.append(float(quality))


class Evaluator(Protocol):
    """Shared weights or a table, behind one contract.

    ``train`` makes one update of the shared weights and returns the losses of the observed passes (NaN elsewhere);
    ``score`` answers on data that the weights never learn from: losses and qualities in 0..1. ``progress`` runs
    from 0 to 1, of training cost or of queries. ``trains`` says whether there are weights to warm up.
    """

    trains: bool
    history: History

    @property
    def progress(self) -> float: ...

    @property
    def done(self) -> bool: ...

    def train(self, passes: Sequence[Pass]) -> NDArray[np.float64]: ...

    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...


class SupernetEvaluator:
    """Answers from a supernet that is trained as it is asked.

    Args:
        supernet: the shared weights.
        weight_stream, policy_stream: batches that teach the weights, and batches that steer the method.
        settings: optimiser and length; the length is the cost of ``passes_per_step`` training passes per step of
            ``settings.epochs``, so that methods that score in place of training get the same.
    """

    trains = True

    def __init__(
        self,
        supernet: Supernet,
        weight_stream: Stream,
        policy_stream: Stream,
        settings: SearchTraining,
        runtime: Runtime,
        *,
        passes_per_step: int = 3,
    ) -> None:
        self.supernet, self.settings, self.runtime = supernet, settings, runtime
        runtime.place(supernet)
        self.weight_stream, self.policy_stream = weight_stream, policy_stream
        self.optimiser = PrefixSGD(supernet.parameters(), settings, supernet.bank)
        self.runner = PassRunner(lambda x, s, _: supernet(x, s), settings.micro_batch, 0.0, runtime.autocast)
        steps = max(1, round(settings.epochs * weight_stream.steps_per_epoch))
        self.total_cost = steps * passes_per_step * TRAINING_COST * weight_stream.batch_size
        self.cost = self.updates = self.scorings = self.images = 0
        self.learning_rate = settings.learning_rate
        self.history = History()

    @property
    def progress(self) -> float:
        """The share of the allowed cost that is spent."""
        return min(1.0, self.cost / self.total_cost)

    @property
    def done(self) -> bool:
        """Whether the allowed cost is spent."""
        return self.cost >= self.total_cost

    def train(self, passes: Sequence[Pass]) -> NDArray[np.float64]:
        """One update of the shared weights from the next training batch."""
        self.supernet.train()
        x, y = self.weight_stream.batch(self.updates)
        losses = self.runner(x, y, passes)
        self.learning_rate = learning_rate(self.settings, self.progress * self.settings.epochs)
        self.optimiser.step(self.learning_rate)
        self.updates += 1
        self._spend(len(passes) * len(x), TRAINING_COST)
        return losses

    @torch.no_grad()
    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses and accuracies (0..1) on the next policy batch, the same pictures for all ``selections``.

        With the statistics of the batch, as the weights were trained.
        """
        self.supernet.train()
        x, y = self.policy_stream.batch(self.scorings)
        losses, qualities = np.empty(len(selections)), np.empty(len(selections))
        for i, selection in enumerate(selections):
            logits = self.supernet(x, selection)
            logits = logits[-1] if isinstance(logits, tuple) else logits
            losses[i] = float(F.cross_entropy(logits.float(), y))
            qualities[i] = float((logits.argmax(dim=1) == y).double().mean())
            self.history.add(selection, losses[i], qualities[i])
        self.scorings += 1
        self._spend(len(selections) * len(x), SCORING_COST)
        return losses, qualities

    def _spend(self, images: int, unit: int) -> None:
        self.images += images
        self.cost += images * unit

    def state_dict(self) -> dict[str, Any]:
        """Weights, momentum, counters and history."""
        return {
            "supernet": self.supernet.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "counters": [self.cost, self.updates, self.scorings, self.images],
            "history": {"rows": self.history.rows, "losses": self.history.losses, "qualities": self.history.qualities},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.supernet.load_state_dict(state["supernet"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.cost, self.updates, self.scorings, self.images = state["counters"]
        self.history = History(**state["history"])


class TableEvaluator:
    """Answers from a table of known architectures; every answer costs one query.

    Args:
        rows: option indices ``[n, D]``.
        accuracy: percent, ``[n]`` or ``[n, repeats]``; a query draws one repeat.
        queries: how many answers are allowed; beyond them every answer is NaN.
        rng: draws the repeats.
    """

    trains = False

    def __init__(self, rows: NDArray[Any], accuracy: NDArray[Any], queries: int, rng: np.random.Generator) -> None:
        self.index = {tuple(int(v) for v in row): i for i, row in enumerate(rows)}
        self.accuracy = np.asarray(accuracy, dtype=np.float64).reshape(len(rows), -1)
        self.queries, self.spent, self.rng = queries, 0, rng
        self.history = History()

    @property
    def progress(self) -> float:
        """The share of queries spent."""
        return min(1.0, self.spent / self.queries)

    @property
    def done(self) -> bool:
        """Whether every query is spent."""
        return self.spent >= self.queries

    def train(self, passes: Sequence[Pass]) -> NDArray[np.float64]:
        """Errors (1 - accuracy) of the observed passes; the others cost nothing, as there are no weights.

        The paired difference to another pass would cost a query and say nothing that the error does not.
        """
        return np.array([self._query(p.selection)[0] if p.observe else np.nan for p in passes])

    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Errors and accuracies in 0..1."""
        answers = np.array([self._query(s) for s in selections]).reshape(-1, 2)
        return answers[:, 0], answers[:, 1]

    def _query(self, selection: Any) -> tuple[float, float]:
        if self.done:
            return np.nan, np.nan
        self.spent += 1
        repeats = self.accuracy[self.index[tuple(int(v) for v in getattr(selection, "row", selection))]]
        quality = float(repeats[self.rng.integers(len(repeats))]) / 100.0
        self.history.add(selection, 1.0 - quality, quality)
        return 1.0 - quality, quality
