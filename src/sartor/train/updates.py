"""How a gradient becomes a step: one rule per optimiser, elementwise, so that it holds for any part of a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sartor.train.settings import OptimiserSettings

Tensors = list[Tensor]


class UpdateRule(Protocol):
    """What an optimiser remembers of a weight, and how it moves it."""

    def buffers(self, parameter: Tensor, cut_axes: int) -> dict[str, Tensor]:
        """What is remembered of a parameter before its first step, by name.

        A step may move a part of it alone, a slice along the first ``cut_axes`` axes: whatever differs between the
        elements of a slice needs no more than these axes, the others may have length 1.
        """

    def move(self, weights: Tensors, gradients: Tensors, buffers: Mapping[str, Tensors], rate: float) -> None:
        """Moves weights and buffers in place; gradients may be overwritten."""


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent as torch has it: momentum without dampening, Nesterov's as an option."""

    momentum: float
    nesterov: bool

    def buffers(self, parameter: Tensor, cut_axes: int) -> dict[str, Tensor]:
        return {"momentum": torch.zeros_like(parameter)} if self.momentum else {}

    def move(self, weights: Tensors, gradients: Tensors, buffers: Mapping[str, Tensors], rate: float) -> None:
        if not self.momentum:
            torch._foreach_add_(weights, gradients, alpha=-rate)
            return
        velocities = buffers["momentum"]
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, gradients)
        if self.nesterov:
            torch._foreach_add_(gradients, velocities, alpha=self.momentum)
        torch._foreach_add_(weights, gradients if self.nesterov else velocities, alpha=-rate)


@dataclass(frozen=True)
class RMSProp:
    """RMSProp as TensorFlow has it (``tf.train.RMSPropOptimizer``), which torch's is not.

    square <- decay * square + (1 - decay) * gradient^2, starting at 1;
    velocity <- momentum * velocity + rate * gradient / sqrt(square + epsilon);  weight <- weight - velocity.
    Epsilon is inside the root, and the rate enters the velocity: a later rate does not rescale what has built up.
    """

    decay: float
    momentum: float
    epsilon: float

    def buffers(self, parameter: Tensor, cut_axes: int) -> dict[str, Tensor]:
        velocity = {"momentum": torch.zeros_like(parameter)} if self.momentum else {}
        return {"square": torch.ones_like(parameter), **velocity}

    def move(self, weights: Tensors, gradients: Tensors, buffers: Mapping[str, Tensors], rate: float) -> None:
        squares = buffers["square"]
        torch._foreach_mul_(squares, self.decay)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.decay)
        roots = torch._foreach_add(squares, self.epsilon)
        torch._foreach_sqrt_(roots)
        if not self.momentum:
            torch._foreach_addcdiv_(weights, gradients, roots, value=-rate)
            return
        velocities = buffers["momentum"]
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_addcdiv_(velocities, gradients, roots, value=rate)
        torch._foreach_sub_(weights, velocities)


@dataclass(frozen=True)
class Adam:
    """Adam with its two corrections for the start (Kingma & Ba), by the number of steps that an element has moved in.

    mean <- momentum * mean + (1 - momentum) * gradient;  square <- decay * square + (1 - decay) * gradient^2;
    weight <- weight - rate * mean' / (sqrt(square') + epsilon), each average divided by 1 - its decay^count.
    """

    momentum: float
    decay: float
    epsilon: float

    def buffers(self, parameter: Tensor, cut_axes: int) -> dict[str, Tensor]:
        # Elements of one slice have moved equally often, so that one number stands for all of them.
        shape = (*parameter.shape[:cut_axes], *[1] * (parameter.ndim - cut_axes))
        return {
            "mean": torch.zeros_like(parameter),
            "square": torch.zeros_like(parameter),
            "count": parameter.new_zeros(shape),
        }

    def move(self, weights: Tensors, gradients: Tensors, buffers: Mapping[str, Tensors], rate: float) -> None:
        means, squares, counts = buffers["mean"], buffers["square"], buffers["count"]
        torch._foreach_add_(counts, 1)
        torch._foreach_lerp_(means, gradients, 1 - self.momentum)
        torch._foreach_mul_(squares, self.decay)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - self.decay)
        roots = torch._foreach_div(squares, _filled(self.decay, counts))
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, self.epsilon)
        steps = torch._foreach_div(means, _filled(self.momentum, counts))
        torch._foreach_div_(steps, roots)
        torch._foreach_add_(weights, steps, alpha=-rate)


def _filled(decay: float, counts: Tensors) -> tuple[Tensor, ...]:
    """1 - decay^count: how much of an average that began at zero is filled, exact for decays near 1 too."""
    exponents = torch._foreach_mul(counts, math.log(decay) if decay else -math.inf)
    torch._foreach_expm1_(exponents)
    torch._foreach_neg_(exponents)
    return tuple(exponents)


def update_rule(settings: OptimiserSettings) -> UpdateRule:
    """The rule that the settings name."""
    s = settings
    if s.optimiser == "rmsprop":
        return RMSProp(s.rmsprop_decay, s.momentum, s.rmsprop_epsilon)
    if s.optimiser == "adam":
        return Adam(s.momentum, s.adam_decay, s.adam_epsilon)
    return SGD(s.momentum, s.nesterov)
