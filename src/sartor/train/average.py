"""The moving average of weights over the steps of a training, which often generalises better than the last ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average: average <- decay * average + (1 - decay) * weight after every step.

    It starts from the weights that training starts from. So that these are forgotten in a short training too, the
    decay of update n (from 0) is at most (1 + n) / (10 + n), as TensorFlow's ``ExponentialMovingAverage`` has it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters: list[Tensor] = list(parameters)
        self.decay = decay
        self.averages = [p.detach().clone() for p in self.parameters]
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights as they are after a step into the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)
        self.updates += 1

    @torch.no_grad()
    def apply(self) -> None:
        """Puts the average in the place of the weights. Batch-norm statistics are then another network's."""
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            parameter.copy_(average)

    def state_dict(self) -> dict[str, Any]:
        """The averages in the order of the parameters, and the number of updates."""
        return {"averages": list(self.averages), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        pairs = zip(state["averages"], self.parameters, strict=True)
        self.averages = [average.to(parameter.device, copy=True) for average, parameter in pairs]
        self.updates = state["updates"]
