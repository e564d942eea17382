"""What a pass learns beside the labels, or in place of them: the predictions of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Pictures ``[B, C, S, S]`` -> logits ``[B, classes]``, or a tuple with one per exit.
Outputs = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Lesson:
    """A teacher's logits on some pictures, one tensor per exit, and what they are worth.

    The loss of a pass is (1 - share) * CE(labels) + share * T^2 * KL(teacher || pupil), both softmaxes at the
    temperature T; T^2 keeps the size of the gradients as T changes (Hinton et al. 2015, arXiv:1503.02531).
    """

    logits: tuple[Tensor, ...]
    share: float = 1.0
    temperature: float = 1.0

    def losses(self, pupil: Sequence[Tensor]) -> list[Tensor]:
        """T^2 times the cross-entropy to the teacher's predictions, one for each of the pupil's exits.

        That is the KL divergence plus the entropy of the teacher, a constant. Each exit learns the same exit of its
        teacher; where they have different numbers of exits, all learn its last one.
        """
        paired = self.logits if len(self.logits) == len(pupil) else self.logits[-1:] * len(pupil)
        t = self.temperature
        return [
            t**2 * F.cross_entropy(out / t, taught.div(t).softmax(dim=1))
            for out, taught in zip(pupil, paired, strict=True)
        ]


@dataclass(frozen=True)
class Teacher:
    """A network from outside a training. It answers in evaluation mode and gets no gradient.

    ``share`` and ``temperature`` are those of its lessons.
    """

    outputs: Outputs
    share: float
    temperature: float

    def __post_init__(self) -> None:
        if isinstance(self.outputs, nn.Module):
            self.outputs.eval()

    @torch.no_grad()
    def lesson(self, x: Tensor) -> Lesson:
        """What it says about pictures, just as its pupil sees them."""
        outputs = self.outputs(x)
        exits = outputs if isinstance(outputs, tuple) else (outputs,)
        return Lesson(tuple(out.float() for out in exits), self.share, self.temperature)
