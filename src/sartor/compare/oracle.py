"""One search on a table: a method looks at accuracies, and its answers are judged by the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sartor import mrf
from sartor.compare.space import TablePlatform, TableSpace
from sartor.compare.table import Table
from sartor.costs.factors import FactorCost
from sartor.errors import SartorError
from sartor.methods.evaluator import History, TableEvaluator
from sartor.methods.loss_tables import additive_ridge, fill_unknown
from sartor.methods.method import Method, unary_scores
from sartor.seeds import numpy_generator

# Points of a curve, evenly spaced in the logarithm of queries.
_MOMENTS = 24


@dataclass(frozen=True, eq=False)
class Oracle:
    """A table and a question: which row within the budgets is the most accurate, for so many queries?

    Args:
        table: the truth.
        budgets: column -> limit; all must be met.
        queries: accuracies that a search may look at.
        noise_points: standard deviation of noise added to every look.
    """

    table: Table
    budgets: Mapping[str, float]
    queries: int
    noise_points: float = 0.0

    @cached_property
    def space(self) -> TableSpace:
        """The rows within the budgets."""
        return TableSpace(self.table, self.budgets)

    @cached_property
    def platform(self) -> TablePlatform:
        """The budgets as the one platform of a search."""
        return TablePlatform(self.budgets)

    @cached_property
    def fits(self) -> Any:
        """Which rows ``[n]`` meet the budgets, on the true columns."""
        return self.table.within(self.budgets)

    @cached_property
    def best(self) -> int:
        """The position of the most accurate row within the budgets."""
        return int(np.where(self.fits, self.table.means, -np.inf).argmax())

    @cached_property
    def moments(self) -> tuple[int, ...]:
        """The numbers of queries at which a search is asked for its answer so far."""
        spaced = np.geomspace(1, self.queries, _MOMENTS)
        return tuple(sorted({round(moment) for moment in spaced}))

    def regret(self, position: int) -> float:
        """Points of true accuracy lost to the best row within the budgets."""
        return float(self.table.means[self.best] - self.table.means[position])

    def evaluator(self, seed: int) -> TableEvaluator:
        """Answers for one search."""
        table, rng = self.table, numpy_generator(seed, "looks")
        return TableEvaluator(table.rows, table.accuracy, self.queries, rng, self.noise_points, index=table.index)


@dataclass(frozen=True)
class Searched:
    """What a search found: positions in the table; ``curve`` holds the answers so far at the oracle's moments.

    ``fit``: the answer of an additive fit on all that was observed. ``repaired``: whether the method's answer broke a
    budget on the true column and the best-scored row within it took its place.
    """

    own: int
    fit: int
    curve: tuple[int | None, ...]
    repaired: bool
    spent: int
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Searched:
        """The same from plain data."""
        return cls(**{**plain, "curve": tuple(plain["curve"]), "notes": tuple(plain["notes"])})


def search(oracle: Oracle, method: Method, seed: int) -> Searched:
    """Runs a method to the end of its queries."""
    evaluator = oracle.evaluator(seed)
    curve: list[int | None] = []
    while not evaluator.done:
        method.step(evaluator)
        while len(curve) < len(oracle.moments) and evaluator.spent >= oracle.moments[len(curve)]:
            curve.append(_answer_so_far(oracle, method))
    own, repaired = _answer(oracle, method)
    curve[-1:] = [own]
    fit = additive_answer(oracle, evaluator.history)
    return Searched(own, fit, tuple(curve), repaired, evaluator.spent)


def additive_answer(oracle: Oracle, history: History) -> int:
    """The best row within the budgets under an additive fit (ridge) of everything observed: ``final: history``."""
    space = oracle.space
    tables = additive_ridge(np.array(history.rows, dtype=np.int64), np.array(history.losses), space.sizes)
    return best_scored(oracle, unary_scores(space, fill_unknown(tables, [False] * len(space.sizes))))


def best_scored(oracle: Oracle, scores: FactorCost) -> int:
    """The position of the row with the lowest score that really meets the budgets."""
    solution = mrf.minimise(oracle.space.problem(scores), oracle.space.table_budgets(oracle.platform))
    position = oracle.table.index[tuple(int(v) for v in solution.row)]
    if oracle.fits[position]:
        return position
    return int(np.where(oracle.fits, scores(oracle.table.rows), np.inf).argmin())


def _answer(oracle: Oracle, method: Method) -> tuple[int, bool]:
    """The method's answer, and whether it had to be repaired."""
    row = tuple(int(v) for v in method.choose(oracle.platform).architecture.row)
    position = oracle.table.index[row]
    if oracle.fits[position]:
        return position, False
    return int(np.where(oracle.fits, method.scores()(oracle.table.rows), np.inf).argmin()), True


def _answer_so_far(oracle: Oracle, method: Method) -> int | None:
    """None where a method has nothing to say yet."""
    try:
        return _answer(oracle, method)[0]
    except SartorError:
        return None
