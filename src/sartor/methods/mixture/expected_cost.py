"""What the derived cell is expected to cost, and how that moves with every weight: exact, by enumerating each node.

A row that keeps the rules has a probability in proportion to the product of its options' weights (a policy that obeys
the rules). With P the share of a node's choice r in that, and c the cost,

    d E[c] / d log weight(d, o) = Cov(row takes option o in decision d, c)

The softmax-expected cost of the mixture is something else: it pays for edges that no derived cell keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.methods.mixture.cells import Cells

Array = NDArray[Any]


def choice_probabilities(cells: Cells, log_weights: Array) -> list[Array]:
    """The probability of every valid choice of every node, from log weights ``[D, S]``."""
    found = []
    for node, rows in zip(cells.nodes, cells.rows, strict=True):
        logs = log_weights[node, rows].sum(axis=1)
        exps = np.exp(logs - logs.max())
        found.append(exps / exps.sum())
    return found


class ExpectedCost:
    """The mean of a summed cost over derived cells."""

    def __init__(self, cells: Cells, cost: FactorCost) -> None:
        if cost.reduction != "sum":
            raise ValueError(f"{cost.name} is a maximum, and a maximum has no additive expectation")
        self.cells, self.cost = cells, cost
        self._node_of = {d: n for n, node in enumerate(cells.nodes) for d in node}
        # What one node alone decides is added up once; factors over several nodes need their probabilities.
        self._own = [np.zeros(len(rows)) for rows in cells.rows]
        self._joint: list[Factor] = []
        for factor in cost.factors:
            nodes = self._nodes(factor)
            if len(nodes) == 1:
                self._own[nodes[0]] += factor.table[tuple(self._columns(nodes[0], factor).T)]
            else:
                self._joint.append(factor)

    def __call__(self, probabilities: Sequence[Array]) -> tuple[float, Array]:
        """The mean, and its gradient ``[D, S]`` with respect to log weights, from the choices' probabilities."""
        means = [own.copy() for own in self._own]  # per node the mean cost given its choice, up to a constant
        value = float(self.cost.constant) + sum(float(p @ own) for p, own in zip(probabilities, self._own, strict=True))
        for factor in self._joint:
            for n, given in self._conditioned(factor, probabilities).items():
                means[n] += given
            value += float(probabilities[n] @ given)
        gradient = np.zeros((len(self.cells.space.sizes), max(self.cells.space.sizes)))
        for node, rows, p, mean in zip(self.cells.nodes, self.cells.rows, probabilities, means, strict=True):
            excess = p * (mean - p @ mean)
            for column, d in enumerate(node):
                gradient[d] += np.bincount(rows[:, column], weights=excess, minlength=gradient.shape[1])
        return value, gradient

    def _nodes(self, factor: Factor) -> list[int]:
        return list(dict.fromkeys(self._node_of[d] for d in factor.scope))

    def _columns(self, node: int, factor: Factor) -> Array:
        """The part of a node's choices ``[n, k]`` that a factor reads, in the order of its scope."""
        members = self.cells.nodes[node]
        return self.cells.rows[node][:, [members.index(d) for d in factor.scope if d in members]]

    def _conditioned(self, factor: Factor, probabilities: Sequence[Array]) -> dict[int, Array]:
        """Node -> the factor's mean given each choice of that node."""
        nodes = self._nodes(factor)
        marginals = {n: self._marginal(n, factor, probabilities[n]) for n in nodes}
        found = {}
        for n in nodes:
            table, axes = factor.table, list(factor.scope)
            for other in nodes:
                if other != n:
                    over = [axes.index(d) for d in factor.scope if self._node_of[d] == other]
                    table = np.tensordot(table, marginals[other], axes=(over, range(len(over))))
                    axes = [d for d in axes if self._node_of[d] != other]
            found[n] = table[tuple(self._columns(n, factor).T)]
        return found

    def _marginal(self, node: int, factor: Factor, probability: Array) -> Array:
        shape = [self.cells.space.sizes[d] for d in factor.scope if self._node_of[d] == node]
        cell = np.ravel_multi_index(tuple(self._columns(node, factor).T), shape)
        return np.bincount(cell, weights=probability, minlength=int(np.prod(shape))).reshape(shape)
