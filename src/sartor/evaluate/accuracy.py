"""Top-1 accuracy and loss over an index set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.network import last_logits


@dataclass(frozen=True)
class Evaluation:
    """Accuracy in percent, mean cross-entropy in nats, and the number of pictures."""

    accuracy: float
    loss: float
    pictures: int


@torch.no_grad()
def evaluate(forward: Callable[[Tensor], Any], batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Top-1 accuracy of ``forward`` (logits ``[B, classes]``, of the last exit if several) over pictures and labels.

    Raises:
        ValueError: there was no picture.
    """
    correct, loss, pictures = 0, 0.0, 0
    for x, y in batches:
        logits = last_logits(forward(x)).float()
        correct += int((logits.argmax(dim=1) == y).sum())
        loss += float(F.cross_entropy(logits, y, reduction="sum"))
        pictures += len(y)
    if not pictures:
        raise ValueError("there is no picture to evaluate on")
    return Evaluation(100.0 * correct / pictures, loss / pictures, pictures)
