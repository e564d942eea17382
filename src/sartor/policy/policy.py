"""A categorical distribution over the architectures of a space.

TuNAS learns it by REINFORCE (section 4: one independent multinomial per decision), FP-NAS by importance weighting
(factorised: one per decision; joint: one per group of decisions). Letters of shapes: D decisions, G groups, O joint
options (*cells*) of the largest group, n rows; padding holds logit -inf and probability 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import RequestError
from sartor.mrf.elimination import logsumexp
from sartor.policy.activity import Activity
from sartor.policy.layout import Groups, Layout
from sartor.policy.listed import RowList
from sartor.space import SearchSpace

Array = NDArray[Any]

_CHUNK = 4_000_000


class Policy:
    """Categorical distributions over groups of decisions, uniform at first.

    Args:
        space: whose rows are drawn.
        groups: names or positions of the decisions of every joint choice (default: ``space.groups``).
        ruled: where the space has rules, p(row) is the product over groups *given* that the rules hold: what rules tie
            together is normalised together, exactly. Without it the product ignores rules (DARTS relaxes so). A space
            that is a list of rows is always taken as given.
        active_only: probabilities are those of networks, that is of all rows that differ in inert decisions only
            (TuNAS): inert decisions add nothing to log-probabilities and get no gradient.
    """

    def __init__(
        self, space: SearchSpace, groups: Groups | None = None, *, ruled: bool = True, active_only: bool = False
    ) -> None:
        self.space, self.ruled, self.active_only = space, ruled, active_only
        self._activity = Activity(space)
        self._listed = space.rows is not None and len(space.rows) < math.prod(space.sizes)
        self._conditioned = self._listed or (ruled and bool(space.rules))
        self._set_layout(Layout(space, space.groups if groups is None else groups))

    def _set_layout(self, layout: Layout) -> None:
        self._layout = layout
        self._list = RowList(layout, np.asarray(self.space.rows)) if self._listed else None
        self.logits = np.zeros(layout.real.shape)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The positions of every group's decisions."""
        return self._layout.groups

    @property
    def logits(self) -> Array:
        """Free numbers ``[G, O]``, read-only; assign new ones (padding is put back to -inf)."""
        return self._logits

    @logits.setter
    def logits(self, values: Array) -> None:
        if values.shape != self._layout.real.shape:
            raise ValueError(f"logits must be {self._layout.real.shape}, got {values.shape}")
        if not np.isfinite(values[self._layout.real]).all():
            raise ValueError("logits must be finite numbers")
        self._logits = np.where(self._layout.real, values, -np.inf)
        self._logits.flags.writeable = False
        shifted = self._logits - self._logits.max(axis=1, keepdims=True)
        # Of the product, before any rule; 0 in the padding, where its probability is 0.
        self._logs = np.where(self._layout.real, shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), 0.0)
        self._free = np.where(self._layout.real, np.exp(self._logs), 0.0)
        self._under_rules: tuple[Array, float] | None = None

    # ------------------------------------------------------------------ probabilities

    def probabilities(self) -> Array:
        """The probability ``[G, O]`` of every group's cells (under the rules: their marginals)."""
        return self._given_rules()[0] if self._conditioned else self._free

    def decision_probabilities(self) -> list[Array]:
        """The probability of every option, one array per decision."""
        padded = self._layout.per_decision(self.probabilities())
        return [row[:size].copy() for row, size in zip(padded, self.space.sizes, strict=True)]

    def log_probability(self, rows: Array) -> Array:
        """log p ``[n]`` of rows ``[n, D]``; -inf for rows that break a rule.

        With ``active_only`` that of their networks: for a decision per group the sum over decisions that matter.
        """
        rows = np.atleast_2d(rows)
        found = np.asarray(self._log_masses(rows).sum(axis=1))
        if self._conditioned:
            found = np.where(self.space.valid(rows), found - self._given_rules()[1], -np.inf)
        return found

    @property
    def entropy_nats(self) -> float:
        """The entropy of rows, or with ``active_only`` of networks, exact.

        For a decision per group the latter is the sum over decisions of the probability that a decision matters times
        its entropy: what the official TuNAS sums over active decisions of a sample, in expectation.
        """
        if self.active_only and not self._layout.single:
            return self._log_partition() - float(self.expectation(self._network_masses()))
        entropy = self._log_partition() - float((self.probabilities() * self._logs).sum())
        if self.active_only:  # no rule reads a decision that can be inert, so each has its own entropy
            inert = 1 - self._activity.probability(self._layout.per_decision(self.probabilities()))
            entropy += float((inert * (self._free * self._logs).sum(axis=1)[self._layout.group_of]).sum())
        return entropy

    def expectation(self, cost: FactorCost) -> float:
        """The exact mean of a summed cost."""
        if not self._conditioned:
            return float(cost.expectation(self._product))
        scopes = [factor.scope for factor in cost.factors]
        marginals = mrf.scope_marginals(self._problem(), 1.0, scopes)
        return float(cost.expectation(dict(zip(scopes, marginals, strict=True)).__getitem__))

    # ------------------------------------------------------------------ rows

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``n`` rows ``[n, D]``, with replacement."""
        if self._list is not None:
            return self._list.sample(self._logs, n, rng)
        if self._conditioned:
            return np.asarray(mrf.sample(self._problem(), 1.0, n, rng), dtype=np.int64)
        below = np.cumsum(self._free, axis=1)
        # Divided by itself the last sum is exactly 1, so no uniform number falls into the padding.
        below /= below[:, -1:]
        uniform = rng.random((n, len(below), 1))
        cells = [(below <= uniform[part]).sum(axis=2) for part in self._parts(n, below.size)]
        return self._layout.rows(np.concatenate(cells)) if cells else np.empty((0, len(self.space.sizes)), np.int64)

    def mode(self) -> NDArray[np.int64]:
        """The most probable row ``[D]``; the first option in ties. With ``active_only`` inert decisions are 0.

        It is the most probable *row* for TuNAS too, "the most probable value for each decision" (section 4): networks
        with fewer decisions that matter are not preferred for it.
        """
        if self._conditioned:
            row = np.asarray(mrf.minimise(self._problem()).row, dtype=np.int64)
        else:
            row = self._layout.rows(self._free.argmax(axis=1)[None])[0]
        return np.asarray(self.space.canonical(row[None])[0] if self.active_only else row)

    def scores(self) -> FactorCost:
        """-log p of rows as factors: their minimum within budgets is the most probable row within them.

        Of rows with ``active_only`` too, so that without a budget the minimum is :meth:`mode`.
        """
        tables = self._layout.tables(self._logs)
        factors = [Factor(group, -table) for group, table in zip(self.groups, tables, strict=True)]
        return FactorCost(self.space.sizes, factors, self._log_partition(), "sum", "-log p")

    # ------------------------------------------------------------------ learning

    def gradients(self, rows: Array) -> Array:
        """Of every row the gradient of its log-probability with respect to the logits: ``[n, G, O]``.

        The cell that was drawn (with ``active_only`` spread over all cells of the same network) minus the mean.
        """
        rows = np.atleast_2d(rows)
        matching = self._matching(rows)
        if not self.active_only:
            return np.asarray(matching - self.probabilities())
        share = matching * self._free
        gradients = share / share.sum(axis=2, keepdims=True) - self.probabilities()
        # A group that says nothing gets exactly nothing: Adam would divide rounding errors by themselves.
        silent = (matching == self._layout.real).all(axis=2, keepdims=True)
        return np.where(silent, 0.0, gradients)

    def gradient(self, rows: Array, weights: Array) -> Array:
        """The gradient ``[G, O]`` of sum_n weights_n log p(row_n) with respect to the logits."""
        return np.asarray(np.tensordot(np.asarray(weights, dtype=np.float64), self.gradients(rows), axes=1))

    def regrouped(self, groups: Groups) -> Policy:
        """The same distribution with groups joined into larger ones (factorised to joint, FP-NAS section 3.3).

        A joint logit is the sum of its parts' log-probabilities: entropy, probabilities and mode stay as they are.

        Raises:
            RequestError: a group that would be split.
        """
        other = Policy(self.space, groups, ruled=self.ruled, active_only=self.active_only)
        parts: list[list[Array]] = [[] for _ in other.groups]
        for group, table in zip(self.groups, self._layout.tables(self._logs), strict=True):
            host = other._layout.group_of[group[0]]
            if not set(group) <= set(other.groups[host]):
                names = ", ".join(self.space.decisions[d].name for d in group)
                raise RequestError(f"groups can be joined and not split: {names} are one group now")
            parts[host].append(Factor(group, table).expanded(other.groups[host], self.space.sizes))
        logits = np.zeros(other.logits.shape)
        for g, tables in enumerate(parts):
            joint = reduce(np.add, tables).reshape(-1)
            logits[g, : len(joint)] = joint
        other.logits = logits
        return other

    def state_dict(self) -> dict[str, Any]:
        """Groups by their decisions' names and logits without padding: plain data."""
        names = [[self.space.decisions[d].name for d in group] for group in self.groups]
        counts = self._layout.real.sum(axis=1)
        return {"groups": names, "logits": [row[:n].tolist() for row, n in zip(self.logits, counts, strict=True)]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`; the groups become those of the state."""
        self._set_layout(Layout(self.space, state["groups"]))
        logits = np.zeros(self.logits.shape)
        for g, row in enumerate(state["logits"]):
            logits[g, : len(row)] = row
        self.logits = logits

    # ------------------------------------------------------------------ inside

    def _matching(self, rows: Array) -> Array:
        """Which cells ``[n, G, O]`` a row stands for."""
        return self._layout.matching(rows, ~self._activity.of(rows) if self.active_only else None)

    def _log_masses(self, rows: Array) -> Array:
        """Per group ``[n, G]`` the log of the product's mass on the cells that a row stands for, before any rule."""
        if not self.active_only:
            return np.asarray(self._logs[np.arange(len(self.groups)), self._layout.cells(rows)])
        parts = [rows[part] for part in self._parts(len(rows), self._layout.options.size)]
        # In logs throughout: a decided policy gives cells probabilities that floating point cannot hold.
        masses = [logsumexp(np.where(self._matching(part), self._logs, -np.inf), axis=2) for part in parts]
        return np.concatenate(masses) if masses else np.zeros((0, len(self.groups)))

    def _network_masses(self) -> FactorCost:
        """The log masses of networks as factors: each over a group and what decides whether its members matter."""
        factors = []
        for g, group in enumerate(self.groups):
            scope = tuple(sorted({*group, *(a for d in group for a in self._activity.ancestors(d))}))
            shape = [self.space.sizes[d] for d in scope]
            rows = np.zeros((int(np.prod(shape)), len(self.space.sizes)), np.int64)
            rows[:, scope] = np.indices(shape).reshape(len(scope), -1).T
            factors.append(Factor(scope, self._log_masses(rows)[:, g].reshape(shape)))
        return FactorCost(self.space.sizes, factors, 0.0, "sum", "log p")

    def _log_partition(self) -> float:
        """The log of the product's mass on the rows that keep the rules."""
        return self._given_rules()[1] if self._conditioned else 0.0

    def _given_rules(self) -> tuple[Array, float]:
        """Marginals ``[G, O]`` and the log of the mass, under rules or list; computed once per set of logits."""
        if self._under_rules is None and self._list is not None:
            self._under_rules = self._list.marginals(self._logs)
        if self._under_rules is None:
            problem = self._problem()
            marginals = np.zeros(self.logits.shape)
            for g, table in enumerate(mrf.scope_marginals(problem, 1.0, self.groups)):
                marginals[g, : table.size] = table.reshape(-1)
            self._under_rules = marginals, mrf.log_partition(problem, 1.0)
        return self._under_rules

    def _problem(self) -> mrf.Problem:
        tables = self._layout.tables(self._logs)
        factors = [Factor(group, -table) for group, table in zip(self.groups, tables, strict=True)]
        problem: mrf.Problem = self.space.problem(FactorCost(self.space.sizes, factors))
        return problem

    def _product(self, scope: tuple[int, ...]) -> Array:
        """The marginal of independent groups over a factor's scope."""
        tables, axes, joint = self._layout.tables(self._free), [], np.ones(())
        for g in dict.fromkeys(self._layout.group_of[list(scope)].tolist()):
            kept = [d for d in self.groups[g] if d in scope]
            rest = tuple(a for a, d in enumerate(self.groups[g]) if d not in scope)
            joint = np.multiply.outer(joint, tables[g].sum(axis=rest))
            axes += kept
        return joint.transpose([axes.index(d) for d in scope])

    @staticmethod
    def _parts(n: int, per_row: int) -> Sequence[slice]:
        """Slices of ``n`` rows small enough for arrays of ``per_row`` entries each."""
        length = max(1, _CHUNK // per_row)
        return [slice(low, low + length) for low in range(0, n, length)]
