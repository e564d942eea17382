"""A trial, not part of Sartor: the children of a step as a tree, in which a prefix of equal blocks runs once.

Children in lexicographic order are walked depth first. Where paths part, the activation is kept and gathers the
gradients of all that follows; when the last child below it is done, they go back through the prefix. Memory is that of
one path and the activations at which it parts. For spaces that are a chain of blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sartor.elastic import Supernet
from sartor.elastic.execution import run_body
from sartor.layers import Layer

Row = tuple[int, ...]


class SharedPrefixes:
    """Passes through a supernet in training mode that compute common prefixes once; ``blocks`` counts what ran."""

    def __init__(self, supernet: Supernet) -> None:
        self.supernet, self.space, self.blocks = supernet, supernet.space, 0
        self.scopes = [[self.space.index[name] for name in t.scope] for t in self.space.templates]

    def likelihood(self, x: Tensor, y: Tensor, rows: Sequence[Row]) -> None:
        """Adds the gradients of all children, weighted by their likelihood."""
        rows, needed = self._plan(rows)
        path: list[tuple[int, Tensor, Tensor]] = []  # depth, output, and the leaf that gathers its gradient
        total = reference = 0.0
        for n, row in enumerate(rows):
            depth, h = (path[-1][0], path[-1][2]) if path else (0, x)
            for position in range(depth, len(self.scopes)):
                h = self._block(position, row, h)
                if position + 1 in needed[n]:
                    leaf = h.detach().requires_grad_()
                    path.append((position + 1, h, leaf))
                    h = leaf
            loss = F.cross_entropy(h, y)
            likelihood = -float(loss.detach())
            reference = likelihood if n == 0 else reference
            weight = math.exp(likelihood - reference)
            total += weight
            (weight * loss).backward()  # type: ignore[no-untyped-call]
            while path and path[-1][0] > max(needed[n], default=0):
                _, out, leaf = path.pop()
                out.backward(leaf.grad)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            torch._foreach_mul_([p.grad for p in self.supernet.parameters() if p.grad is not None], 1 / total)

    @torch.no_grad()
    def score(self, x: Tensor, y: Tensor, rows: Sequence[Row]) -> list[float]:
        """Losses of all children, sorted by their rows."""
        rows, needed = self._plan(rows)
        path: list[tuple[int, Tensor]] = []
        losses = []
        for row, kept in zip(rows, needed, strict=True):
            depth, h = path[-1] if path else (0, x)
            for position in range(depth, len(self.scopes)):
                h = self._block(position, row, h)
                if position + 1 in kept:
                    path.append((position + 1, h))
            losses.append(float(F.cross_entropy(h, y)))
            while path and path[-1][0] > max(kept, default=0):
                path.pop()
        return losses

    def _plan(self, rows: Sequence[Row]) -> tuple[list[Row], list[set[int]]]:
        """Sorted rows, and at which depths of each a later one goes on."""
        ordered = sorted(tuple(int(i) for i in row) for row in self.space.canonical(np.asarray(rows)))
        common = [self._common(a, b) for a, b in itertools.pairwise(ordered)]
        needed = [set(itertools.accumulate(common[n:], min)) - {0} for n in range(len(ordered))]
        return ordered, needed

    def _common(self, a: Row, b: Row) -> int:
        """How many blocks are the same, the last one left out."""
        for position, scope in enumerate(self.scopes[:-1]):
            if any(a[d] != b[d] for d in scope):
                return position
        return len(self.scopes) - 1

    def _block(self, position: int, row: Row, x: Tensor) -> Tensor:
        block = self.supernet._block(position, tuple(row[d] for d in self.scopes[position]))
        self.blocks += 1
        return run_body(block.name, block.stack.body, x, self._apply)

    def _apply(self, block: str, layer: Layer, x: Tensor) -> Tensor:
        result: Tensor = self.supernet.bank.layer(block, layer.name)(x, layer)
        return result
