"""Passes weighted by how well they explain the batch: the gradient of the likelihood averaged over architectures.

With log-likelihoods l_k = -loss_k / temperature the weights are softmax(l)_k (PARSEC; FP-NAS, section 3.1). Passes run
one after another: each adds its gradient times exp(l_k - l_0), and the sum is divided by the sum of these factors
at the end, so that the memory of a step is that of one pass, whatever their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor import world
from sartor.train.passes import Pass

# Factors stay below exp(20): beyond it what was summed so far is scaled down first.
_LARGEST_EXPONENT = 20.0

# Logits of one pass over some pictures.
Logits = Callable[[Tensor, Pass], Sequence[Tensor]]
# From logits and labels: the loss that trains, or the one that weighs and is reported.
Loss = Callable[[Sequence[Tensor], Tensor], Tensor]


def add_weighted_gradients(
    x: Tensor,
    y: Tensor,
    passes: Sequence[Pass],
    logits_of: Logits,
    loss_of: Loss,
    hard_of: Loss,
    gradients: Callable[[], Sequence[Tensor]],
    *,
    temperature: float,
    piece: int,
) -> NDArray[np.float64]:
    """Adds the weighted gradients of all passes; returns their losses ``[n]`` (means over the batch).

    ``gradients()`` lists the buffers that hold gradients; they must be zero or absent before. Batches in several
    pieces cost one more forward computation: a weight must be known before the first piece's gradient. Over several
    processes log-likelihoods are averaged before they become weights.
    """
    in_pieces = piece < len(x)
    hard = np.array([_loss_without_gradient(x, y, p, logits_of, hard_of, piece) for p in passes]) if in_pieces else None
    losses, total, reference = np.empty(len(passes)), 0.0, 0.0
    for k, p in enumerate(passes):
        logits = None if in_pieces else logits_of(x, p)
        value = float(hard_of(logits, y)) if logits is not None else hard[k]  # type: ignore[index]
        losses[k] = world.average(np.array([value]))[0]
        log_likelihood = -losses[k] / temperature + math.log(p.weight)
        reference = log_likelihood if k == 0 else reference
        if log_likelihood - reference > _LARGEST_EXPONENT:
            factor = math.exp(reference - log_likelihood)
            _scale(gradients(), factor)
            total, reference = total * factor, log_likelihood
        weight = math.exp(log_likelihood - reference)
        total += weight
        if logits is not None:
            (weight * loss_of(logits, y)).backward()  # type: ignore[no-untyped-call]
            continue
        for part, labels in zip(torch.split(x, piece), torch.split(y, piece), strict=True):
            loss = loss_of(logits_of(part, p), labels)
            (weight * len(part) / len(x) * loss).backward()  # type: ignore[no-untyped-call]
    _scale(gradients(), 1.0 / total)
    return losses


@torch.no_grad()
def _loss_without_gradient(x: Tensor, y: Tensor, p: Pass, logits_of: Logits, hard_of: Loss, piece: int) -> float:
    pieces = zip(torch.split(x, piece), torch.split(y, piece), strict=True)
    return sum(float(hard_of(logits_of(part, p), labels)) * len(part) / len(x) for part, labels in pieces)


@torch.no_grad()
def _scale(gradients: Sequence[Tensor], factor: float) -> None:
    if gradients and factor != 1.0:
        torch._foreach_mul_(list(gradients), factor)
