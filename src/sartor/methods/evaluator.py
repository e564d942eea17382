"""What a method may ask: it never sees a network, a batch or an optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.train.passes import Pass

# How the passes of a step add up: by their own weights, or by how well each explains the batch.
Combine = Literal["sum", "likelihood"]

# What a picture costs: a backward computation costs about two forward ones.
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
        if not any(getattr(e, "ndim", 0) for e in entries):
            self.rows.append(tuple(int(e) for e in entries))
            self.losses.append(float(loss))
            self.qualities.append(float(quality))

    def state_dict(self) -> dict[str, Any]:
        """Plain lists; ``History(**state)`` is the inverse."""
        return {"rows": list(self.rows), "losses": list(self.losses), "qualities": list(self.qualities)}


class Evaluator(Protocol):
    """Shared weights or a table, behind one contract.

    ``train`` makes one update of the shared weights and returns the losses of the observed passes (NaN elsewhere); with
    ``combine="likelihood"`` the passes are weighted by softmax(-loss / temperature) in place of their own weights.
    ``score`` answers on data that the weights never learn from: losses and qualities in 0..1. ``progress`` runs
    from 0 to 1, of training cost or of queries; scoring one network takes ``scoring_share`` of it. ``trains`` says
    whether there are weights to warm up, ``differentiates`` whether :meth:`gradient` can be asked: the validation loss
    of a mixture, and its gradient with respect to each weight vector of the selection, in the order of the decisions
    (``order`` 2: after one more training step; ``batch``: of that numbered batch, in place of the next one).
    """

    trains: bool
    differentiates: bool
    history: History

    @property
    def progress(self) -> float: ...

    @property
    def done(self) -> bool: ...

    @property
    def scoring_share(self) -> float: ...

    def train(
        self, passes: Sequence[Pass], combine: Combine = "sum", temperature: float = 1.0
    ) -> NDArray[np.float64]: ...

    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...

    def gradient(
        self, selection: Sequence[Any], order: Literal[1, 2] = 1, batch: int | None = None
    ) -> tuple[float, list[NDArray[np.float64]]]: ...


class TableEvaluator:
    """Answers from a table of known architectures; every answer costs one query.

    Args:
        rows: option indices ``[n, D]``.
        accuracy: percent, ``[n]`` or ``[n, repeats]``; a query draws one repeat.
        queries: how many answers are allowed; beyond them every answer is NaN.
        rng: draws the repeats and the noise.
        noise_points: standard deviation, in percent points, of normal noise added to every answer, as the accuracy on
            a small batch has it.
        rounds: the search ends after so many calls of ``score`` at the latest, for methods whose steps differ in cost.
        index: row -> position, where many evaluators share one table.
    """

    trains = False
    differentiates = False

    def __init__(
        self,
        rows: NDArray[Any],
        accuracy: NDArray[Any],
        queries: int,
        rng: np.random.Generator,
        noise_points: float = 0.0,
        rounds: int | None = None,
        index: Mapping[tuple[int, ...], int] | None = None,
    ) -> None:
        self.index = {tuple(int(v) for v in row): i for i, row in enumerate(rows)} if index is None else index
        self.accuracy = np.asarray(accuracy, dtype=np.float64).reshape(len(rows), -1)
        self.queries, self.spent, self.rng = queries, 0, rng
        self.noise_points = noise_points
        self.rounds, self.scorings = rounds, 0
        self.history = History()

    @property
    def progress(self) -> float:
        """The share of queries spent, or of rounds done where these are counted."""
        done = self.spent / self.queries if self.rounds is None else self.scorings / self.rounds
        return min(1.0, done)

    @property
    def done(self) -> bool:
        """Whether every query is spent, or every round done."""
        return self.spent >= self.queries or (self.rounds is not None and self.scorings >= self.rounds)

    @property
    def scoring_share(self) -> float:
        """The share of the queries that one network takes."""
        return 1 / self.queries

    def train(self, passes: Sequence[Pass], combine: Combine = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        """Errors (1 - accuracy) of the observed passes; the others cost nothing, as there are no weights.

        The paired difference to another pass would cost a query and say nothing that the error does not.
        """
        return np.array([self._query(p.selection)[0] if p.observe else np.nan for p in passes])

    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Errors and accuracies in 0..1."""
        self.scorings += 1
        answers = np.array([self._query(s) for s in selections]).reshape(-1, 2)
        return answers[:, 0], answers[:, 1]

    def gradient(
        self, selection: Sequence[Any], order: Literal[1, 2] = 1, batch: int | None = None
    ) -> tuple[float, list[NDArray[np.float64]]]:
        """A table knows single architectures, no mixtures of them."""
        raise RequestError("a table of architectures has no gradient; choose a method that scores networks")

    def state_dict(self) -> dict[str, Any]:
        """Queries spent, rounds done, the random generator, and history."""
        return {
            "spent": self.spent,
            "scorings": self.scorings,
            "rng": self.rng.bit_generator.state,
            "history": self.history.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.spent, self.scorings = state["spent"], state["scorings"]
        self.rng.bit_generator.state = state["rng"]
        self.history = History(**state["history"])

    def _query(self, selection: Any) -> tuple[float, float]:
        if self.spent >= self.queries:
            return np.nan, np.nan
        self.spent += 1
        row = tuple(int(v) for v in getattr(selection, "row", selection))
        if row not in self.index:
            raise RequestError(f"the table has no row {row}; give the space its rows, so that only they are asked for")
        repeats = self.accuracy[self.index[row]]
        quality = float(repeats[self.rng.integers(len(repeats))]) / 100.0
        if self.noise_points:
            quality += self.noise_points / 100.0 * float(self.rng.standard_normal())
        self.history.add(selection, 1.0 - quality, quality)
        return 1.0 - quality, quality
