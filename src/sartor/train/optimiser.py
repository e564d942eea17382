"""Stochastic gradient descent that leaves weights alone which no pass of the step has used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sartor import world
from sartor.elastic.bank import WeightBank
from sartor.elastic.layers import Extent
from sartor.train.settings import OptimiserSettings


def learning_rate(settings: OptimiserSettings, epoch: float) -> float:
    """The rate at a point in time, ``epoch`` counted from 0 with fractions.

    Exponential: the initial rate times ``decay`` per whole epoch. Cosine and linear fall to zero at the end.
    """
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * epoch / settings.warmup_epochs
    if settings.schedule == "constant":
        return settings.learning_rate
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.decay ** math.floor(epoch)
    length = max(settings.epochs - settings.warmup_epochs, 1e-12)
    passed = min(1.0, (epoch - settings.warmup_epochs) / length)
    factor = 0.5 * (1 + math.cos(math.pi * passed)) if settings.schedule == "cosine" else 1 - passed
    return settings.learning_rate * factor


class PrefixSGD:
    """Momentum SGD over parameters of which a step may have used only prefixes.

    The update is torch's (decay into the gradient, momentum without dampening, Nesterov as an option), applied to
    the union of the prefixes that passes used. With ``dense_updates`` it is applied to everything that ever had a
    gradient, so that decay and momentum also move unused weights, as in the official codes.

    Args:
        parameters: what may move.
        settings: momentum, decay and their kind.
        bank: the sliced layers among ``parameters``, which remember what was used; None for a plain network.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: OptimiserSettings, bank: WeightBank | None
    ) -> None:
        self.parameters = list(parameters)
        self.settings = settings
        self.bank = bank
        self.sliced = frozenset(bank.parameters()) if bank is not None else frozenset()
        self.momentum: dict[nn.Parameter, Tensor] = {}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Updates the weights with the accumulated gradients and clears these."""
        extents = dict(self.bank.used_prefixes()) if self.bank is not None else {}
        views: list[tuple[Tensor, Tensor, Tensor]] = []
        for parameter in self.parameters:
            regions = self._regions(parameter, extents)
            if not regions:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if parameter not in self.momentum:
                self.momentum[parameter] = torch.zeros_like(parameter)
            for region in regions:
                views.append((parameter[region], parameter.grad[region], self.momentum[parameter][region]))
        if views:
            weights, gradients, buffers = (list(column) for column in zip(*views, strict=True))
            world.average_(gradients)
            self._update(weights, gradients, buffers, rate)
        self._clear(extents)

    def _update(self, weights: list[Tensor], gradients: list[Tensor], buffers: list[Tensor], rate: float) -> None:
        s = self.settings
        if s.weight_decay:
            torch._foreach_add_(gradients, weights, alpha=s.weight_decay)
        if not s.momentum:
            torch._foreach_add_(weights, gradients, alpha=-rate)
            return
        torch._foreach_mul_(buffers, s.momentum)
        torch._foreach_add_(buffers, gradients)
        if s.nesterov:
            torch._foreach_add_(gradients, buffers, alpha=s.momentum)
        torch._foreach_add_(weights, gradients if s.nesterov else buffers, alpha=-rate)

    def _regions(
        self, parameter: nn.Parameter, extents: Mapping[nn.Parameter, set[Extent]]
    ) -> Sequence[tuple[slice, ...]]:
        """What of a parameter moves in this step."""
        if self.settings.dense_updates:
            return [()] if parameter.grad is not None or parameter in self.momentum else []
        if parameter.grad is None:
            return []
        if parameter in extents:
            return list(disjoint_regions(extents[parameter], parameter.shape))
        # A sliced layer that no pass used may still hold the emptied buffer of an earlier step.
        return [] if parameter in self.sliced else [()]

    def _clear(self, extents: Mapping[nn.Parameter, set[Extent]]) -> None:
        """Zeroes what was written. A buffer is dropped where that was all of it: the next pass makes it anew."""
        for parameter in self.parameters:
            if parameter.grad is None:
                continue
            partly = parameter in extents and not self.settings.dense_updates
            regions = list(disjoint_regions(extents[parameter], parameter.shape)) if partly else [()]
            if regions == [()]:
                parameter.grad = None
            else:
                for region in regions:
                    parameter.grad[region].zero_()
        if self.bank is not None:
            self.bank.forget_prefixes()

    def state_dict(self) -> dict[str, Any]:
        """Momentum buffers by position of their parameter."""
        return {str(i): self.momentum[p] for i, p in enumerate(self.parameters) if p in self.momentum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.momentum = {
            self.parameters[int(i)]: value.to(self.parameters[int(i)].device, copy=True) for i, value in state.items()
        }


def disjoint_regions(extents: Iterable[Extent], shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """The union of prefixes (lengths along the first one or two axes) as disjoint slices; ``()`` is all of it.

    Prefixes along two axes form a staircase: it is cut into one strip of rows per step.
    """
    kept = sorted({e for e in extents if not any(o != e and _covers(o, e) for o in extents)})
    if any(e == tuple(shape[: len(e)]) for e in kept):
        yield ()
        return
    start = 0
    for extent in kept:  # rows ascend, so columns descend
        yield (slice(start, extent[0]), *(slice(0, n) for n in extent[1:]))
        start = extent[0]


def _covers(outer: Extent, inner: Extent) -> bool:
    return all(a >= b for a, b in zip(outer, inner, strict=True))
