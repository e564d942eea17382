"""The gradient of the validation loss with respect to mixture weights (Liu et al., DARTS, section 2.3).

First order: of the loss at the weights as they are. Second order: of the loss after one more training step, whose
dependence on the mixture enters through a finite difference (equation 8 of DARTS). Several published ports have the
bracket of that difference wrong; here it is (p - n) / (2 epsilon).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sartor import world
from sartor.elastic.supernet import Supernet
from sartor.errors import RequestError
from sartor.train.optimiser import PrefixOptimiser

Batch = tuple[Tensor, Tensor]
# The loss of a batch under a selection: a scalar.
Loss = Callable[[Tensor, Tensor, Any], Tensor]


class ArchitectureGradient:
    """Gradients with respect to the weight vectors of a selection.

    Args:
        supernet: the shared weights, in training mode.
        loss: of a batch.
        micro_batch: pictures per piece; gradients accumulate over the pieces of a batch.
        difference: length of the finite step along the gradient of the weights (default: the official code's).
    """

    def __init__(
        self, supernet: Supernet, loss: Loss, micro_batch: int | None = None, difference: float = 0.01
    ) -> None:
        self.supernet, self.loss, self.micro_batch, self.difference = supernet, loss, micro_batch, difference

    def first_order(self, validation: Batch, selection: Sequence[Any]) -> tuple[float, list[NDArray[np.float64]]]:
        """Loss and one gradient per vector; the weights neither move nor get a gradient."""
        with self._frozen():
            loss, gradients = self._mixture_gradients(validation, selection)
        return loss, _averaged(gradients)

    def second_order(
        self, training: Batch, validation: Batch, selection: Sequence[Any], optimiser: PrefixOptimiser, rate: float
    ) -> tuple[float, list[NDArray[np.float64]]]:
        """Loss and gradients after the training step that ``optimiser`` would take at ``rate``.

        The weights are as before afterwards, bit by bit. Costs four computations forward and backward.

        Raises:
            RequestError: the optimiser is not SGD, to which the formula belongs.
        """
        if optimiser.settings.optimiser != "sgd":
            raise RequestError(
                f"the second order unrolls a step of SGD, but search.optimiser is {optimiser.settings.optimiser!r}; "
                "choose sgd, or method.order 1"
            )
        parameters: list[nn.Parameter] = list(self.supernet.parameters())
        before = [p.detach().clone() for p in parameters]
        entries, vectors = self._entries(selection)
        try:
            with self._outside_of_steps():
                _, step = self._gradients(training, selection, parameters)
                _unroll(parameters, step, optimiser, rate)
                loss, found = self._gradients(validation, entries, [*vectors, *parameters])
            gradients, direction = found[: len(vectors)], found[len(vectors) :]
            norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(direction))))
            epsilon = self.difference / max(norm, 1e-12)
            sides = []
            for signed in (epsilon, -epsilon):
                _restore(parameters, before)
                with self._frozen(), torch.no_grad():
                    torch._foreach_add_([*parameters], direction, alpha=signed)
                    with torch.enable_grad():
                        sides.append(self._mixture_gradients(training, selection)[1])
        finally:
            _restore(parameters, before)
        positive, negative = sides
        settings = optimiser.settings
        reach = rate * (1 + settings.momentum) if settings.nesterov else rate  # of a gradient in the step it enters
        bent = [reach * (p - n) / (2 * epsilon) for p, n in zip(positive, negative, strict=True)]
        return loss, _averaged([g - b for g, b in zip(gradients, bent, strict=True)])

    def _mixture_gradients(self, batch: Batch, selection: Sequence[Any]) -> tuple[float, list[Tensor]]:
        entries, vectors = self._entries(selection)
        return self._gradients(batch, entries, vectors)

    def _gradients(self, batch: Batch, entries: Sequence[Any], of: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss and its gradients with respect to ``of``; zero for what has no part in it."""
        x, y = batch
        size, total = self.micro_batch or len(x), 0.0
        sums = [torch.zeros_like(t) for t in of]
        for piece, labels in zip(torch.split(x, size), torch.split(y, size), strict=True):
            loss = self.loss(piece, labels, entries) * (len(piece) / len(x))
            found = torch.autograd.grad(loss, list(of), allow_unused=True)
            for summed, gradient in zip(sums, found, strict=True):
                if gradient is not None:
                    summed += gradient
            total += float(loss.detach())
        return total, sums

    def _entries(self, selection: Sequence[Any]) -> tuple[list[Any], list[Tensor]]:
        """The selection with its vectors as tensors that carry gradient; and these."""
        reference = next(self.supernet.parameters())
        entries: list[Any] = []
        for entry in selection:
            if not np.ndim(entry):
                entries.append(int(entry))
                continue
            vector = torch.as_tensor(np.asarray(entry), dtype=reference.dtype, device=reference.device)
            entries.append(vector.clone().requires_grad_())
        return entries, [e for e in entries if isinstance(e, Tensor)]

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """The weights are constants: no gradient is computed for them, and none counts as used."""
        parameters = list(self.supernet.parameters())
        for p in parameters:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in parameters:
                p.requires_grad_(True)

    @contextmanager
    def _outside_of_steps(self) -> Iterator[None]:
        """Gradients of the weights are returned, and none is left behind for the next training step."""
        bank = self.supernet.bank
        bank.use_direct_gradients(False)
        try:
            yield
        finally:
            bank.use_direct_gradients(True)
            bank.forget_prefixes()


@torch.no_grad()
def _unroll(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], optimiser: PrefixOptimiser, rate: float
) -> None:
    """Moves the weights as the next step of SGD would, without a trace in what the optimiser remembers."""
    settings, rule = optimiser.settings, optimiser.rule
    moves = [
        g + settings.weight_decay * p if settings.weight_decay_on == "all" or p.ndim == 4 else g.clone()
        for p, g in zip(parameters, gradients, strict=True)
    ]
    held = [optimiser.buffers.get(p) or rule.buffers(p, 0) for p in parameters]
    buffers = {name: [buffer[name].clone() for buffer in held] for name in held[0]}
    rule.move([*parameters], moves, buffers, rate)


def _restore(parameters: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    with torch.no_grad():
        torch._foreach_copy_(list(parameters), list(before))


def _averaged(gradients: Sequence[Tensor]) -> list[NDArray[np.float64]]:
    """As arrays, averaged over the processes."""
    world.average_(list(gradients))
    return [g.detach().double().cpu().numpy() for g in gradients]
