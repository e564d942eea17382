"""The search space of a table: its decisions, and the rows that exist."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.compare.cost import ColumnModel, column_model
from sartor.compare.table import Table
from sartor.costs.factors import FactorCost
from sartor.decisions import Decision
from sartor.errors import RequestError
from sartor.platforms import Platform
from sartor.space import SearchSpace


class TableSpace(SearchSpace):
    """The rows of a table that meet the budgets, as a space without networks behind it.

    What an architecture costs is known before it is trained, so no method needs to look at one that does not fit:
    ``rows`` lists those that do, by the table's own columns. Solvers score that list, policies are conditioned on it,
    and uniform samples are uniform over it. (Where everything fits and no combination is missing there is no list.)

    Args:
        table: what was trained.
        budgets: column -> limit; all must be met. The cheapest and the dearest row by the first of them are the
            smallest and the largest network.

    Raises:
        InfeasibleBudgetError: nothing fits; names the cheapest row.
    """

    def __init__(self, table: Table, budgets: Mapping[str, float]) -> None:
        self.table = table
        fits = table.within(budgets)
        decisions = [
            Decision(name, tuple(int(option) for option in options))
            for name, options in zip(table.decision_names, table.options, strict=True)
        ]
        column = np.where(fits, table.costs[next(iter(budgets))], np.nan)
        content = hashlib.sha256(table.choices.tobytes()).hexdigest()[:16]
        super().__init__(
            table.name,
            decisions,
            (),
            image_size=1,
            options={"rows": int(fits.sum()), "sha256": content, **budgets},
            groups=[[table.decision_names[d] for d in group] for group in table.groups],
            smallest=table.rows[int(np.nanargmin(column))].tolist(),
            largest=table.rows[int(np.nanargmax(column))].tolist(),
        )
        if not (table.complete and fits.all()):
            self.rows = np.unique(table.rows[fits], axis=0)
        self.models = {
            name: column_model(name, table.costs[name], table.rows, self.sizes, table.complete) for name in budgets
        }
        # In whole units the dearest row that fits is the limit: rounding cannot shut out what really fits.
        self._limits = {name: int(model.values[fits].max()) for name, model in self.models.items()}

    @cached_property
    def cardinality(self) -> int:
        return len(self.table) if self.rows is None else len(self.rows)

    @property
    def distinct(self) -> int:
        return self.cardinality

    def valid(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        positions = self.table.positions(np.asarray(rows))
        return np.asarray((positions >= 0) & self._listed[positions])

    @cached_property
    def _listed(self) -> NDArray[np.bool_]:
        listed = np.zeros(len(self.table), dtype=bool)
        listed[slice(None) if self.rows is None else self.table.positions(self.rows)] = True
        return listed

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        if self.rows is None:
            return super().sample(n, rng)
        return np.asarray(self.rows[rng.integers(len(self.rows), size=n)])

    def problem(self, scores: FactorCost | None = None) -> mrf.Problem:
        names = [d.name for d in self.decisions]
        return _Problem(self.sizes, scores or FactorCost(self.sizes, ()), (), names, self.rows)

    def cost(self, name: str, *_: Any, **__: Any) -> FactorCost:
        """A budgeted column, in the whole units of its model.

        Raises:
            RequestError: the space was made without a budget on it.
        """
        if name not in self.models:
            raise RequestError(f"{self.name} has no cost {name!r} with a budget; it has {', '.join(self.models)}")
        return _Column(self.table, self.models[name])

    def table_budgets(self, platform: Platform) -> list[mrf.Budget]:
        """A platform's budgets, which every row of this space meets."""
        return [
            mrf.Budget(self.cost(kind), self._limits[kind], kind, self.models[kind].unit) for kind in platform.budgets
        ]


class _Problem(mrf.Problem):
    """A problem whose rows are known to be sorted and different, as checking that takes longer than solving it."""

    def __post_init__(self) -> None:
        pass


class _Column(FactorCost):
    """A cost that is looked up in its column; its factors, where a reading needs some, are the model's."""

    def __init__(self, table: Table, model: ColumnModel) -> None:
        super().__init__(model.cost.sizes, model.cost.factors, model.cost.constant, "sum", model.name)
        self._table, self._model = table, model

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        rows = np.atleast_2d(np.asarray(rows))
        places = self._table.positions(rows)
        known = np.where(places < 0, 0, self._model.values[places])
        # Rows that were never trained are met by rejection only.
        return np.where(places < 0, super().__call__(rows), known) if (places < 0).any() else known


class TablePlatform(Platform):
    """What a comparison on a table ships to: budgets on any columns, already in their units."""

    def __init__(self, budgets: Mapping[str, float]) -> None:
        object.__setattr__(self, "name", "table")
        object.__setattr__(self, "budgets", dict(budgets))
        object.__setattr__(self, "weight", 1.0)
        object.__setattr__(self, "device", None)

    def __reduce__(self) -> tuple[Any, ...]:
        return TablePlatform, (dict(self.budgets),)
