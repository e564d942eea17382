"""One step of shared weights: several passes over one batch, whose gradients add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor import world
from sartor.train.exits import Exits
from sartor.train.likelihood import add_weighted_gradients
from sartor.train.passes import EXTERNAL, Pass
from sartor.train.teacher import Lesson, Teacher

# Runs the shared weights: (pictures, selection, whether to drop features) -> logits, or a tuple with one per exit.
Forward = Callable[[Tensor, Any, bool], Any]


@dataclass(frozen=True)
class PassRunner:
    """Forward and backward computation of all passes of a step.

    Args:
        forward: runs the shared weights.
        micro_batch: pictures per piece; gradients accumulate over the pieces of a batch.
        label_smoothing: of the hard losses that train (those observed are never smoothed).
        autocast: a context per forward computation, for reduced precision.
        teacher: a network from outside, for passes that learn from ``EXTERNAL``.
        exits: what the exits of a network learn together.
    """

    forward: Forward
    micro_batch: int | None = None
    label_smoothing: float = 0.0
    autocast: Callable[[], AbstractContextManager[Any]] | None = None
    teacher: Teacher | None = None
    exits: Exits = field(default_factory=Exits)

    def __call__(self, x: Tensor, y: Tensor, passes: Sequence[Pass]) -> NDArray[np.float64]:
        """Adds the gradients of every pass; returns the observed losses ``[n]``, NaN for the others.

        A pass without a teacher learns the labels; one taught by an earlier pass learns its softmax at temperature 1,
        hard labels unused (US-Nets, in-place distillation); one taught from outside learns what that teacher's
        lesson says; what that means with several exits is for ``exits`` to say. Losses are means over the batch, taken
        before the update, with the statistics of the batch; over several processes they are averaged.
        """
        size = self.micro_batch or len(x)
        observed = torch.zeros(len(passes), dtype=torch.float64)
        for piece, labels in zip(torch.split(x, size), torch.split(y, size), strict=True):
            observed += self._piece(piece, labels, passes, share=len(piece) / len(x)).cpu()
        values = world.average(observed.numpy())
        for i, p in enumerate(passes):
            if not p.observe:
                values[i] = np.nan
        return values

    def likelihood(
        self,
        x: Tensor,
        y: Tensor,
        passes: Sequence[Pass],
        gradients: Callable[[], Sequence[Tensor]],
        temperature: float,
    ) -> NDArray[np.float64]:
        """Adds the gradients of passes that learn the labels, weighted by how well each explains the batch.

        ``gradients()`` lists the buffers that the passes add to. Returns as a call does (see
        :func:`sartor.train.likelihood.add_weighted_gradients`).
        """
        if any(p.teacher is not None or p.minus is not None for p in passes):
            raise ValueError("passes weighted by their likelihood learn the labels, each on its own")
        losses = add_weighted_gradients(
            x,
            y,
            passes,
            lambda part, p: self._logits(part, p),
            lambda logits, labels: self.exits.loss(logits, labels, self.label_smoothing),
            self.exits.hard_loss,
            gradients,
            temperature=temperature,
            piece=self.micro_batch or len(x),
        )
        return np.where([p.observe for p in passes], losses, np.nan)

    def _logits(self, x: Tensor, p: Pass) -> list[Tensor]:
        with self._precision():
            outputs = _as_tuple(self.forward(x, p.selection, p.dropout))
        return [out.float() for out in outputs]

    def _precision(self) -> AbstractContextManager[Any]:
        return self.autocast() if self.autocast else nullcontext()

    def _from_outside(self, x: Tensor) -> Lesson:
        if self.teacher is None:
            raise ValueError("a pass learns from outside, but there is no teacher")
        with self._precision():
            return self.teacher.lesson(x)

    def _piece(self, x: Tensor, y: Tensor, passes: Sequence[Pass], share: float) -> Tensor:
        """All passes over one piece; returns the hard losses, weighted by the piece's share of the batch."""
        taught = {p.teacher for p in passes if p.teacher is not None}
        lessons: dict[int | str | None, Lesson | None] = {None: None}
        if EXTERNAL in taught:
            lessons[EXTERNAL] = self._from_outside(x)
        hard = torch.zeros(len(passes), dtype=torch.float64, device=x.device)
        for i, p in enumerate(passes):
            logits = self._logits(x, p)
            if i in taught:
                lessons[i] = Lesson(tuple(out.detach() for out in logits))
            loss = self.exits.loss(logits, y, self.label_smoothing, lessons[p.teacher])
            if p.observe or any(q.minus == i for q in passes):
                hard[i] = self.exits.hard_loss(logits, y).double() * share
            (p.weight * share * loss).backward()  # type: ignore[no-untyped-call]
        return torch.stack([hard[i] - (hard[p.minus] if p.minus is not None else 0.0) for i, p in enumerate(passes)])


def _as_tuple(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)
