"""The continuous relaxation of DARTS: weights in place of choices, and their way back to the architecture parameters.

Liu et al., "DARTS" (section 2.2; equation 1 of MS-RANAS): what runs on an edge is the sum of its operations, each times
its share in softmax(alpha). Here alpha and the edge weights of PC-DARTS are one vector, so that one optimiser and one
power iteration serve both. Letters of shapes: D decisions, S options of the largest, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.methods.method import unary_scores
from sartor.methods.mixture.cells import Cells

Array = NDArray[Any]

_NOISE = 1e-3  # standard deviation of alpha at the start


class Relaxation:
    """One softmax per decision and, with ``edge_weights``, one per node over its incoming edges.

    Args:
        cells: the space.
        none: whether ``none`` takes part in the softmax; without it an edge that is not kept is never run as half kept.
        edge_weights: PC-DARTS: every node weighs its edges, and what runs is the product.
        rng: draws alpha.

    Attributes:
        values: ``[P]`` alpha, decision after decision, then one number per edge.
    """

    def __init__(self, cells: Cells, *, none: bool, edge_weights: bool, rng: np.random.Generator) -> None:
        self.cells, self.sizes = cells, cells.space.sizes
        self._real = np.arange(max(self.sizes)) < np.array(self.sizes)[:, None]
        self._none = np.arange(max(self.sizes)) == cells.none[:, None]
        self._skip = np.arange(max(self.sizes)) == cells.skip[:, None]
        self._mixed = self._real if none else self._real & ~self._none
        self._check(none, edge_weights)
        self.edge_weights = edge_weights
        self.values = _NOISE * rng.standard_normal(int(self._mixed.sum()) + edge_weights * len(self.sizes))

    def _check(self, none: bool, edge_weights: bool) -> None:
        name = self.cells.space.name
        if not none and not self._none.any():
            raise RequestError(f"method.none: no decision of space {name!r} has an option 'none' to leave out")
        if not self._mixed.any(axis=1).all():
            raise RequestError(f"method.none: without 'none' a decision of space {name!r} has no option left")
        if edge_weights and not self.cells.space.rules:
            raise RequestError(f"method.edge_weights: space {name!r} has no nodes that choose among their edges")

    # ------------------------------------------------------------------ forward

    def weights(self, values: Array | None = None) -> Array:
        """softmax(alpha) ``[D, S]``; 0 where there is no option, or where it is left out."""
        logits = np.full(self._mixed.shape, -np.inf)
        logits[self._mixed] = (self.values if values is None else values)[: self._mixed.sum()]
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exps / exps.sum(axis=1, keepdims=True))

    def edges(self, values: Array | None = None) -> Array:
        """The weight ``[D]`` of every edge among those of its node; 1 without edge weights."""
        found = np.ones(len(self.sizes))
        if self.edge_weights:
            free = (self.values if values is None else values)[self._mixed.sum() :]
            for node in self.cells.nodes:
                exps = np.exp(free[node] - free[node].max())
                found[node] = exps / exps.sum()
        return found

    def vectors(self, auxiliary: float = 0.0, values: Array | None = None) -> list[Array]:
        """What a selection holds for every decision: the weights of its options, to which a skip may be added.

        ``auxiliary`` is DARTS-'s beta: the weight of one more skip on every edge, outside the softmax. It runs with the
        weights of the skip that is an option, which has some where it halves the resolution.
        """
        mixed = self.edges(values)[:, None] * self.weights(values) + auxiliary * self._skip
        return [row[:size].copy() for row, size in zip(mixed, self.sizes, strict=True)]

    # ------------------------------------------------------------------ backward

    def pullback(self, gradients: Sequence[Array], values: Array | None = None) -> Array:
        """The gradient ``[P]`` from those with respect to every decision's vector."""
        outer = np.zeros(self._mixed.shape)
        outer[self._real] = np.concatenate(list(gradients))
        weights, edges = self.weights(values), self.edges(values)
        inner = edges[:, None] * outer
        alpha = weights * (inner - (weights * inner).sum(axis=1, keepdims=True))
        return self._joined(alpha, edges * self._centred((weights * outer).sum(axis=1), edges))

    def log_pullback(self, gradients: Array) -> Array:
        """The gradient ``[P]`` from that with respect to :meth:`log_weights`, ``[D, S]``."""
        weights, edges = self.weights(), self.edges()
        inner = np.where(self._mixed, gradients, 0.0)
        alpha = inner - weights * inner.sum(axis=1, keepdims=True)
        kept = np.where(self._none, 0.0, gradients).sum(axis=1)
        beta = kept.copy()
        for node in self.cells.nodes:
            beta[node] -= edges[node] * kept[node].sum()
        return self._joined(alpha, beta)

    def _centred(self, gradients: Array, edges: Array) -> Array:
        """Per node the edges' gradients minus their mean under the edges' weights."""
        found = gradients.copy()
        for node in self.cells.nodes:
            found[node] -= (edges[node] * gradients[node]).sum()
        return found

    def _joined(self, alpha: Array, beta: Array) -> Array:
        return np.concatenate([alpha[self._mixed], beta if self.edge_weights else beta[:0]])

    # ------------------------------------------------------------------ readings

    def log_weights(self) -> Array:
        """Log weights ``[D, S]`` of the distribution over derived cells: log softmax, of a kept edge times its weight.

        Left out of the softmax, ``none`` has the log weight 0, and every choice of edges is as likely as the edges'
        weights make it.
        """
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights())
            logs = np.where(self._none, logs, logs + np.log(self.edges())[:, None])
        return np.where(self._none & ~self._mixed, 0.0, logs)

    def score_table(self) -> Array:
        """Minus the weights ``[D, S]``, 0 for ``none``: its valid minimum is the derivation of DARTS.

        Per node the two edges whose best other operation weighs most, each with that operation. PC-DARTS derives on the
        product with the edges' weights.
        """
        return np.where(self._none, 0.0, -self.edges()[:, None] * self.weights())

    def scores(self) -> FactorCost:
        """The same as factors."""
        table = self.score_table()
        return unary_scores(self.cells.space, [row[:size] for row, size in zip(table, self.sizes, strict=True)])

    @property
    def uniform_entropy_nats(self) -> float:
        """What the entropies of all softmaxes sum to where every option weighs the same."""
        return float(np.log(self._mixed.sum(axis=1)).sum())

    def readings(self) -> dict[str, float]:
        """For the log: the sum of the entropies of all softmaxes, the mean weight of ``none`` on all edges, and that of
        skips on the edges of the normal cell.
        """
        weights = self.weights()
        logs = np.log(np.where(weights > 0, weights, 1.0))
        skips = (weights * self._skip)[self.cells.normal].sum(axis=1)
        nones = (weights * self._none).sum(axis=1)
        return {
            "entropy_nats": -float((weights * logs).sum()),
            "skip_share": float(skips.mean()),
            "none_share": float(nones.mean()),
        }

    def probabilities(self) -> list[list[float]]:
        """softmax(alpha) per decision, rounded: for the report."""
        weights = self.weights()
        return [np.round(row[:size], 4).tolist() for row, size in zip(weights, self.sizes, strict=True)]
