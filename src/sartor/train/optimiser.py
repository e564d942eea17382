"""Optimisation that leaves weights alone which no pass of the step has used, and the schedule of its rate."""

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
from sartor.train.updates import update_rule

Region = tuple[slice, ...]  # along the first one or two axes; () is all of a tensor


def learning_rate(settings: OptimiserSettings, epoch: float, batch_size: int | None = None) -> float:
    """The rate at a point in time, ``epoch`` counted from 0 with fractions.

    Exponential: the peak rate times ``decay`` per whole epoch. Cosine and linear fall to ``final_rate`` at the end.
    ``batch_size``: pictures in a step, where they are not those of the settings.
    """
    peak, final = settings.learning_rate, settings.final_rate
    if settings.per_pictures is not None:
        scale = (batch_size or settings.batch_size) / settings.per_pictures
        peak, final = peak * scale, final * scale
    warmup = settings.warmup_share * settings.epochs
    if epoch < warmup:
        return peak * epoch / warmup
    if settings.schedule == "constant":
        return peak
    if settings.schedule == "exponential":
        return peak * settings.decay ** math.floor(epoch)
    length = max(settings.epochs - warmup, 1e-12)
    passed = min(1.0, (epoch - warmup) / length)
    factor = 0.5 * (1 + math.cos(math.pi * passed)) if settings.schedule == "cosine" else 1 - passed
    return final + (peak - final) * factor


class PrefixOptimiser:
    """An update rule over parameters of which a step may have used only prefixes.

    The rule (:mod:`sartor.train.updates`) is applied to the union of the prefixes that passes used; all else keeps
    its weights and what the optimiser remembers of them. With ``dense_updates`` it is applied to everything that
    ever had a gradient, so that momentum and averages also move unused weights, as in the official codes.

    With ``gradient_clip`` the gradients of a step, all that move a weight, are shortened together to that norm; then
    comes weight decay, which is part of the gradient and is not clipped, as in the official code of DARTS.
    ``weight_decay_on: convolutions`` is the penalty of TuNAS: of the used part
    of convolution kernels, depthwise ones and those of squeeze-excite included, never of the rest, with dense
    updates neither. It differs from the official code in one point: a branch of a mixture is penalised in full,
    not by its share.

    Args:
        parameters: what may move.
        settings: the rule with its numbers, weight decay, and whether updates are dense.
        bank: the sliced layers among ``parameters``, which remember what was used; None for a plain network.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], settings: OptimiserSettings, bank: WeightBank | None
    ) -> None:
        self.parameters = list(parameters)
        self.settings = settings
        self.rule = update_rule(settings)
        self.bank = bank
        self.sliced = frozenset(bank.parameters()) if bank is not None else frozenset()
        self.buffers: dict[nn.Parameter, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, rate: float) -> dict[str, float]:
        """Updates the weights with the accumulated gradients and clears these.

        With ``gradient_clip`` it returns the norm of the gradients and whether it was clipped (0 or 1), for the log.
        """
        metrics: dict[str, float] = {}
        extents = dict(self.bank.used_prefixes()) if self.bank is not None else {}
        used = {p: self._used(p, extents) for p in self.parameters if p.grad is not None}
        moving = [(p, region) for p in self.parameters for region in self._moving(p, used)]
        if moving:
            weights = [p[region] for p, region in moving]
            gradients = [self._gradient(p)[region] for p, region in moving]
            world.average_(gradients)
            if self.settings.gradient_clip is not None:
                metrics = clip(gradients, self.settings.gradient_clip)
            if self.settings.weight_decay:
                self._decay(weights, gradients, used)
            remembered = [(self._buffers(p), region) for p, region in moving]
            names = remembered[0][0]
            buffers = {name: [held[name][region] for held, region in remembered] for name in names}
            self.rule.move(weights, gradients, buffers, rate)
        self._clear(used)
        return metrics

    def _used(self, parameter: nn.Parameter, extents: Mapping[nn.Parameter, set[Extent]]) -> Sequence[Region]:
        """What of a parameter the passes of this step have used."""
        if parameter in extents:
            return list(disjoint_regions(extents[parameter], parameter.shape))
        # A sliced layer that no pass used may still hold the emptied gradient of an earlier step.
        return [] if parameter in self.sliced else [()]

    def _moving(self, parameter: nn.Parameter, used: Mapping[nn.Parameter, Sequence[Region]]) -> Sequence[Region]:
        """What of a parameter moves in this step."""
        if self.settings.dense_updates:
            return [()] if parameter in used or parameter in self.buffers else []
        return used.get(parameter, [])

    def _decay(
        self, weights: list[Tensor], gradients: list[Tensor], used: Mapping[nn.Parameter, Sequence[Region]]
    ) -> None:
        """Adds weight decay to the gradients."""
        if self.settings.weight_decay_on == "convolutions":
            kernels = [(p, region) for p, regions in used.items() if p.ndim == 4 for region in regions]
            weights = [p[region] for p, region in kernels]
            gradients = [self._gradient(p)[region] for p, region in kernels]
        if weights:
            torch._foreach_add_(gradients, weights, alpha=self.settings.weight_decay)

    def _gradient(self, parameter: nn.Parameter) -> Tensor:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad

    def _buffers(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        if parameter not in self.buffers:
            cut_axes = min(2, parameter.ndim) if parameter in self.sliced else 0
            self.buffers[parameter] = self.rule.buffers(parameter, cut_axes)
        return self.buffers[parameter]

    def _clear(self, used: Mapping[nn.Parameter, Sequence[Region]]) -> None:
        """Zeroes what was written. A gradient is dropped where that was all of it: the next pass makes it anew."""
        for parameter in self.parameters:
            if parameter.grad is None:
                continue
            regions = [] if self.settings.dense_updates else used[parameter]
            if not regions or regions == [()]:
                parameter.grad = None
            else:
                for region in regions:
                    parameter.grad[region].zero_()
        if self.bank is not None:
            self.bank.forget_prefixes()

    def state_dict(self) -> dict[str, Any]:
        """What the rule remembers, by position of the parameter and by name."""
        return {str(i): self.buffers[p] for i, p in enumerate(self.parameters) if p in self.buffers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.buffers = {}
        for i, held in state.items():
            parameter = self.parameters[int(i)]
            self.buffers[parameter] = {n: value.to(parameter.device, copy=True) for n, value in held.items()}


def clip(gradients: list[Tensor], limit: float) -> dict[str, float]:
    """Shortens ``gradients`` in place where their norm, all of them as one vector, is above ``limit``.

    Returns ``gradient_norm``, that before, and ``clipped``, 0 or 1. The same factor as ``torch.nn.utils`` has.
    """
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    value = float(norm)
    return {"gradient_norm": value, "clipped": float(value > limit)}


def disjoint_regions(extents: Iterable[Extent], shape: Sequence[int]) -> Iterator[Region]:
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
