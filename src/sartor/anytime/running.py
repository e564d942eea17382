"""Predictions that come while a network runs, and a run that computes nothing beyond what its limits allow.

Written once for torch modules (``predictor.py``) and ONNX files (``onnx_runner.py``). Needs numpy and nothing of
Sartor: an export copies this file beside the stages.

Shape legend: B pictures, C channels, S the side of a picture, N classes, K exits.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

try:
    from sartor.errors import RequestError as RequestError
except ImportError:  # on a device, without Sartor

    class RequestError(Exception):  # type: ignore[no-redef]
        """The request is wrong; the message says what is allowed."""


Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

# A stage is taken to last as long as in the slowest tenth of its measured runs.
_QUANTILE = 90
_WARM_UP = 3
_FEWEST_REPEATS = 10


# Neither frozen nor with a cached_property: together they cost 4 to 19 microseconds, where a stage may take 100.
@dataclass(slots=True, eq=False)
class Prediction:
    """What the network says at one exit.

    ``outputs`` are the logits ``[B, N]`` of this exit or, on request, of the exits up to this one, whose softmaxes are
    averaged; ``macs`` were computed per picture so far, and ``elapsed_ms`` is wall time since the call. Probabilities
    are computed when they are looked at: who waits for a later exit does not pay for those of the earlier ones.
    """

    exit: int
    outputs: tuple[NDArray[Any], ...]
    elapsed_ms: float
    macs: int
    _probabilities: Float64 | None = field(default=None, init=False, repr=False)

    @property
    def probabilities(self) -> Float64:
        """The softmax, or the mean of the exits' softmaxes ``[B, N]``, in float64."""
        if self._probabilities is None:
            total = softmax(self.outputs[0])
            for logits in self.outputs[1:]:
                total += softmax(logits)
            self._probabilities = total / len(self.outputs) if len(self.outputs) > 1 else total
        return self._probabilities

    @property
    def confidence(self) -> Float64:
        """The largest probability of each picture ``[B]``."""
        return _largest(self.probabilities)

    @property
    def labels(self) -> Int64:
        """The likeliest class of each picture ``[B]``."""
        labels: Int64 = self.probabilities.argmax(axis=1)
        return labels


@dataclass(frozen=True)
class Classified:
    """A batch whose pictures left at different exits ``[B]``: probabilities ``[B, N]`` and mean MACs per picture."""

    probabilities: Float64
    exits: Int64
    mean_macs: float


@dataclass(frozen=True)
class StageFacts:
    """A stage as a run sees it: which exit it serves, what it reads and gives, and its MACs for one picture."""

    exit: int
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    macs: int


@dataclass(slots=True)
class Limits:
    """What ends a run of a network with ``exits`` exits (see :meth:`StageRunner.predict`).

    Raises:
        RequestError: a limit is out of range.
    """

    exits: int
    deadline_ms: float | None = None
    macs: float | None = None
    confidence: float | Sequence[float] | None = None
    exit: int | None = None
    ensemble: bool = False

    def __post_init__(self) -> None:
        for name, value in (("deadline_ms", self.deadline_ms), ("macs", self.macs)):
            if value is not None and not value > 0:
                raise RequestError(f"{name}: needs a number above 0, got {value}")
        if self.exit is not None and not 0 <= self.exit < self.exits:
            raise RequestError(f"exit: {self.exit} does not exist; the network has exits 0 to {self.exits - 1}")
        if self.confidence is not None:
            needed = np.asarray(self.confidence, dtype=np.float64)
            if needed.shape not in ((), (self.exits,)) or np.isnan(needed).any():
                raise RequestError(
                    f"confidence: needs one number, or one for each of {self.exits} exits; got {self.confidence}"
                )

    @property
    def last(self) -> int:
        """The last exit that the run may reach."""
        return self.exits - 1 if self.exit is None else self.exit

    @property
    def foreseen(self) -> bool:
        """Whether the last exit is known before the run, and only its prediction is wanted."""
        unforeseen = self.deadline_ms is not None or self.confidence is not None or self.ensemble
        return not unforeseen and (self.exit is not None or self.macs is not None)

    def satisfied(self, prediction: Prediction) -> bool:
        """Whether all pictures are sure enough; never where no confidence was asked for."""
        if self.confidence is None:
            return False
        needed = np.broadcast_to(np.asarray(self.confidence, dtype=np.float64), (self.exits,))[prediction.exit]
        return bool((prediction.confidence >= needed).all())


class Run(Protocol):
    """One batch on its way through the stages of a plan."""

    def stage(self, position: int) -> Any:
        """Runs the next stage; its logits ``[B, N]``."""

    def keep(self, rows: Int64) -> None:
        """Goes on with these pictures only."""

    def close(self) -> None:
        """Frees what the run held."""


class StageRunner(ABC):
    """Runs a chain of stages until a limit stops it; a subclass knows what a stage is made of."""

    def __init__(self, stages: Sequence[StageFacts]) -> None:
        self.stages = tuple(stages)
        self.clock: Callable[[], float] = time.perf_counter  # in seconds
        self.stage_ms: dict[int, tuple[float, ...]] = {}  # batch size -> what each stage takes here

    @abstractmethod
    def _start(self, x: Any, plan: Sequence[StageFacts]) -> Run:
        """A run of prepared pictures ``x`` through the stages of ``plan``.

        Raises:
            RequestError: the pictures do not fit the network.
        """

    def _plan(self, limits: Limits) -> Sequence[StageFacts]:
        """The stages that a run may reach."""
        return self.stages[: limits.last + 1]

    def predict(
        self,
        x: Any,
        *,
        deadline_ms: float | None = None,
        macs: float | None = None,
        confidence: float | Sequence[float] | None = None,
        exit: int | None = None,
        ensemble: bool = False,
    ) -> Iterator[Prediction]:
        """Predictions of the exits in order, each computed when it is asked for; whoever stops asking stops the run.

        Args:
            x: prepared pictures ``[B, C, S, S]``.
            deadline_ms: wall time from this call on. A stage is started only if it is expected to end in time: the
                90th percentile of its measured wall times (:meth:`measure`), times the slowdown that the stages of this
                run have shown so far. So a deadline is overrun by less than one stage, and one shorter than the first
                stage gives no prediction. Where this batch size was never measured, that is done first.
            macs: per picture; a stage that would exceed it is not started.
            confidence: stop as soon as all pictures of the batch are this sure; one number, or one per exit.
            exit: go no further than this exit (0-based).
            ensemble: give the running mean of the exits' softmaxes.

        Raises:
            RequestError: a limit is out of range, or the pictures do not fit the network.
        """
        limits = Limits(len(self.stages), deadline_ms, macs, confidence, exit, ensemble)
        if deadline_ms is not None and len(x) not in self.stage_ms:
            self.measure(x)
        began = self.clock()
        plan = self._plan(limits)
        return self._predictions(self._start(x, plan), plan, limits, self.stage_ms.get(len(x), ()), began)

    def answer(self, x: Any, **limits: Any) -> Prediction | None:
        """The last prediction within the limits of :meth:`predict`; None where they are too tight for any."""
        last = None
        for prediction in self.predict(x, **limits):
            last = prediction
        return last

    def logits(self, x: Any) -> Generator[Any, None, None]:
        """The logits ``[B, N]`` of every exit, each computed when it is asked for.

        Raises:
            RequestError: the pictures do not fit the network.
        """
        run = self._start(x, self.stages)
        try:
            for position in range(len(self.stages)):
                yield run.stage(position)
        finally:
            run.close()

    def classify(self, x: Any, thresholds: Sequence[float], *, ensemble: bool = False) -> Classified:
        """Every picture of a batch up to its own exit: the first with the confidence of ``thresholds`` ``[K]``.

        Pictures that left are computed no further. The last exit takes all that come, whatever its threshold.

        Raises:
            RequestError: there is not one threshold per exit, or the pictures do not fit the network.
        """
        if len(thresholds) != len(self.stages) or not len(x):
            raise RequestError(
                f"classifying needs at least one picture and one threshold for each of {len(self.stages)} exits; "
                f"got {len(x)} pictures and {len(thresholds)} thresholds"
            )
        run, waiting = self._start(x, self.stages), np.arange(len(x))
        exits, parts, total = np.zeros(len(x), np.int64), [], np.zeros((1, 1))
        try:
            for position, threshold in enumerate(thresholds):
                fresh = softmax(run.stage(position))
                total = total + fresh
                probabilities = total / (position + 1) if ensemble else fresh
                parts.append((waiting, probabilities))
                exits[waiting] = position
                stays = np.flatnonzero(_largest(probabilities) < threshold)
                if position + 1 == len(thresholds) or not len(stays):
                    break
                if len(stays) < len(waiting):
                    run.keep(stays)
                waiting, total = waiting[stays], total[stays]
        finally:
            run.close()
        found = np.empty((len(x), parts[0][1].shape[1]))
        for rows, probabilities in parts:
            found[rows] = probabilities
        spent = np.cumsum([stage.macs for stage in self.stages])[exits]
        return Classified(found, exits, float(spent.mean()))

    def measure(self, x: Any, *, repeats: int = 30, max_seconds: float = 2.0) -> tuple[float, ...]:
        """Measures how long each stage takes for batches of this size, in ms of wall time; deadlines rely on it.

        Runs the whole network ``repeats`` times, or at least ten times within ``max_seconds``, and keeps the 90th
        percentile of every stage.
        """
        samples: list[list[float]] = []
        limits, until = Limits(len(self.stages)), self.clock() + max_seconds
        while len(samples) < _WARM_UP + repeats:
            if len(samples) >= _WARM_UP + _FEWEST_REPEATS and self.clock() > until:
                break
            began = self.clock()
            run = self._start(x, self.stages)
            samples.append([p.elapsed_ms for p in self._predictions(run, self.stages, limits, (), began)])
        stages_ms = np.diff(np.array(samples[_WARM_UP:]), axis=1, prepend=0.0)
        self.stage_ms[len(x)] = tuple(np.percentile(stages_ms, _QUANTILE, axis=0).tolist())
        return self.stage_ms[len(x)]

    def _predictions(
        self, run: Run, plan: Sequence[StageFacts], limits: Limits, expected_ms: Sequence[float], began: float
    ) -> Iterator[Prediction]:
        # A stage may take a tenth of a millisecond, and leaves cold caches to what comes after it: little happens here.
        spent, busy_ms = 0, 0.0
        outputs: tuple[NDArray[Any], ...] = ()
        clock, deadline_ms, macs = self.clock, limits.deadline_ms, limits.macs
        try:
            for position, stage in enumerate(plan):
                spent += stage.macs
                if macs is not None and spent > macs:
                    return
                start = clock()
                if deadline_ms is not None:
                    slowdown = max(1.0, busy_ms / sum(expected_ms[:position])) if position else 1.0
                    if (start - began) * 1e3 + slowdown * expected_ms[position] > deadline_ms:
                        return
                logits = run.stage(position)
                outputs = (*outputs, logits) if limits.ensemble else (logits,)
                now = clock()
                busy_ms += (now - start) * 1e3
                prediction = Prediction(stage.exit, outputs, (now - began) * 1e3, spent)
                yield prediction
                if limits.confidence is not None and limits.satisfied(prediction):
                    return
        finally:
            run.close()


def softmax(logits: Any) -> Float64:
    """The softmax of ``[B, N]`` logits, in float64: in float32 many confidences would be exactly 1."""
    # In place, and by the functions below the methods, which take twice as long for ten numbers.
    terms: Float64 = np.array(logits, dtype=np.float64)
    terms -= np.maximum.reduce(terms, axis=1, keepdims=True)
    np.exp(terms, out=terms)
    terms /= np.add.reduce(terms, axis=1, keepdims=True)
    return terms


def _largest(probabilities: Float64) -> Float64:
    largest: Float64 = np.maximum.reduce(probabilities, axis=1)
    return largest
