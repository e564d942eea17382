"""Batch-norm statistics measured anew on training pictures, before any accuracy is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate(norms: nn.Module, forward: Callable[[Tensor], Any], batches: Iterable[Tensor]) -> int:
    """Resets the running statistics of every batch norm in ``norms`` and averages them over ``batches``.

    The mean of the batches' statistics (momentum None). Weights do not change; modes and momenta are restored.
    Returns the number of pictures.

    Raises:
        ValueError: there was no batch.
    """
    layers = [m for m in norms.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta, modes = [m.momentum for m in layers], [m.training for m in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    pictures = 0
    for x in batches:
        forward(x)
        pictures += len(x)
    for layer, momentum, mode in zip(layers, momenta, modes, strict=True):
        layer.momentum = momentum
        layer.train(mode)
    if not pictures:
        raise ValueError("calibration needs at least one batch")
    return pictures
