"""A table of trained architectures: the file, its checks, and what it says of a budget.

An ``.npz`` file with these arrays, no pickles inside:

    choices         int [n, D]             one architecture per row, the option of every decision, counted from 0
    accuracy        float [n] or [n, repeats]    percent; repeats are trainings with different seeds
    macs, params, latency_ms, ...  [n]     any number of costs, named with their units
    decision_names  str [D]                optional
    groups          [D] or [G, m]          optional: which decisions form one joint choice, as one label per decision,
                                           or as the positions of each group's decisions, padded with -1

A table need not hold every combination of options.
"""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.mrf.problem import number
from sartor.quantities import KINDS, parse
from sartor.storage import storage_errors

Rows = NDArray[np.int64]
_NOT_COSTS = ("choices", "accuracy", "decision_names", "groups")


@dataclass(frozen=True, eq=False)
class Table:
    """Architectures with their accuracies and costs.

    Args:
        choices: options ``[n, D]`` as the file has them.
        accuracy: percent ``[n, repeats]``.
        costs: column name with its unit -> ``[n]``.
        decision_names: one per decision.
        groups: positions of the decisions of every joint choice.
        name: for people.
    """

    choices: Rows
    accuracy: NDArray[np.float64]
    costs: Mapping[str, NDArray[Any]]
    decision_names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    name: str = "table"
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.choices)

    @cached_property
    def options(self) -> tuple[NDArray[np.int64], ...]:
        """Of every decision the options that occur, ascending."""
        return tuple(np.unique(column) for column in self.choices.T)

    @cached_property
    def rows(self) -> Rows:
        """Positions in :attr:`options` ``[n, D]``: option indices without gaps."""
        columns = [np.searchsorted(known, column) for known, column in zip(self.options, self.choices.T, strict=True)]
        return np.stack(columns, axis=1).astype(np.int64)

    @cached_property
    def index(self) -> dict[tuple[int, ...], int]:
        """A row of :attr:`rows` -> its position in the table."""
        return {tuple(row): i for i, row in enumerate(self.rows.tolist())}

    def positions(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The positions ``[n]`` of rows ``[n, D]`` of option indices; -1 where the table has no such row."""
        codes, order, weights = self._codes
        asked = rows.astype(np.uint64) @ weights
        found = order[np.minimum(np.searchsorted(codes, asked), len(codes) - 1)]
        return np.asarray(np.where((self.rows[found] == rows).all(axis=1), found, -1), dtype=np.int64)

    @cached_property
    def _codes(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.uint64]]:
        """One number per row, ascending, their positions, and what makes numbers of rows.

        Random weights and wrap-around make equal numbers of different rows unlikely; where it happens others are tried.
        """
        for seed in range(100):
            weights = np.random.default_rng(seed).integers(2**63, size=self.rows.shape[1], dtype=np.uint64)
            weights = weights * np.uint64(2) + np.uint64(1)
            codes = self.rows.astype(np.uint64) @ weights
            order = np.argsort(codes, kind="stable")
            if (np.diff(codes[order]) != 0).all():
                return np.asarray(codes[order]), order.astype(np.int64), np.asarray(weights)
        raise AssertionError("a hundred codes in which rows of a table coincide; please report this")

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """The true accuracy ``[n]`` in percent: the mean of the repeats."""
        return np.asarray(self.accuracy.mean(axis=1))

    @property
    def complete(self) -> bool:
        """Whether every combination of options is there."""
        combinations = 1
        for known in self.options:
            combinations *= len(known)
        return combinations == len(self)

    def budgets(self, given: Sequence[str] | Mapping[str, Any]) -> dict[str, int | float]:
        """Budgets as a user writes them (``macs=12M``) -> column -> the most that it may be.

        Raises:
            RequestError: no ``name=value``, an unknown column, or a value that is no positive number of its unit.
        """
        pairs = list(given.items()) if isinstance(given, Mapping) else [_pair(text) for text in given]
        found: dict[str, int | float] = {}
        for kind, value in pairs:
            if kind not in self.costs:
                close = difflib.get_close_matches(kind, self.costs, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise RequestError(
                    f"budget {kind!r}: {self.name} has no such cost column; it has "
                    f"{', '.join(self.costs) or 'none at all'}{hint}"
                )
            if kind in found:
                raise RequestError(f"budget {kind!r} is given twice; budgets given together must all be met")
            found[kind] = _limit(kind, value)
        return found

    def within(self, budgets: Mapping[str, float]) -> NDArray[np.bool_]:
        """Which rows ``[n]`` meet every budget on the true columns.

        Raises:
            InfeasibleBudgetError: none does; names the cheapest.
        """
        fits = np.ones(len(self), dtype=bool)
        for kind, limit in budgets.items():
            fits &= self.costs[kind] <= limit
        if not fits.any():
            alone = [
                f"{kind} <= {number(limit)} cannot be met: the cheapest row of {self.name} has {kind} "
                f"{number(self.costs[kind].min())}"
                for kind, limit in budgets.items()
                if self.costs[kind].min() > limit
            ]
            together = " and ".join(f"{kind} <= {number(limit)}" for kind, limit in budgets.items())
            said = "; ".join(alone) or f"each budget can be met alone, but no row of {self.name} meets {together}"
            raise InfeasibleBudgetError(f"{said}; raise the budget")
        return fits


def read_table(path: Path) -> Table:
    """Reads and checks a table.

    Raises:
        RequestError: what is wrong, with row and column.
    """
    with storage_errors(path):
        if not path.is_file():
            raise RequestError(
                f"{path}: there is no such file; a table is an .npz file (docs/methods.md has its format)"
            )
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: _loaded(path, file, name) for name in file.files}
        except (ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
            raise RequestError(
                f"{path}: this is no .npz file of plain arrays ({error}); write it with numpy.savez"
            ) from None
    return make_table(arrays, path.stem)


def make_table(arrays: Mapping[str, Any], name: str = "table") -> Table:
    """A table from the arrays that the file would hold, checked.

    Raises:
        RequestError: what is wrong, with row and column.
    """
    given = {key: np.asarray(value) for key, value in arrays.items()}
    for needed in ("choices", "accuracy"):
        if needed not in given:
            close = difflib.get_close_matches(needed, given, n=1)
            hint = f" (is it {close[0]!r}?)" if close else ""
            raise RequestError(f"{name}: array {needed!r} is missing{hint}; found are {', '.join(given) or 'none'}")
    choices = _choices(name, given["choices"])
    accuracy = _accuracy(name, given["accuracy"], len(choices))
    costs = {
        key: _cost(name, key, value, len(choices))
        for key, value in given.items()
        if key not in _NOT_COSTS and value.dtype.kind in "biuf"
    }
    names = _names(name, given.get("decision_names"), choices.shape[1])
    groups = _groups(name, given.get("groups"), choices.shape[1])
    _check_duplicates(name, choices)
    return Table(choices, accuracy, costs, names, groups, name, _notes(name, accuracy))


def write_table(
    path: Path,
    choices: Any,
    accuracy: Any,
    costs: Mapping[str, Any],
    decision_names: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
) -> Table:
    """Writes a table's file, after the same checks with which it is read; returns the table."""
    arrays: dict[str, Any] = {"choices": choices, "accuracy": accuracy, **costs}
    if decision_names is not None:
        arrays["decision_names"] = np.asarray(decision_names, dtype=np.str_)
    if groups is not None:
        arrays["groups"] = np.asarray(groups)
    table = make_table(arrays, path.stem)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **arrays)
    return table


# ---------------------------------------------------------------------- checks


def _loaded(path: Path, file: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(file[name])
    except ValueError:
        raise RequestError(
            f"{path}: array {name!r} is ragged or holds Python objects, which are never read; its rows need one length "
            "each and numbers alone"
        ) from None


def _choices(name: str, choices: NDArray[Any]) -> Rows:
    if choices.dtype.kind == "O":
        raise RequestError(f"{name}: choices is ragged; every row needs one option for each decision")
    if choices.ndim != 2 or not choices.size:
        raise RequestError(f"{name}: choices must be [n, D], one row per architecture, got shape {list(choices.shape)}")
    if choices.dtype.kind not in "biuf":
        raise RequestError(f"{name}: choices must be whole numbers, got {choices.dtype}")
    wrong = (choices < 0) | ~(choices == np.floor(choices)) if choices.dtype.kind in "if" else choices < 0
    _refuse(name, "choices", choices, wrong, "options are whole numbers from 0")
    return choices.astype(np.int64)


def _accuracy(name: str, accuracy: NDArray[Any], n: int) -> NDArray[np.float64]:
    if accuracy.dtype.kind not in "iuf":
        raise RequestError(f"{name}: accuracy must be numbers in percent, got {accuracy.dtype}")
    if accuracy.ndim not in (1, 2) or len(accuracy) != n or not accuracy.size:
        raise RequestError(
            f"{name}: accuracy must be [{n}] or [{n}, repeats], one row for each of choices, got shape "
            f"{list(accuracy.shape)}"
        )
    values = accuracy.astype(np.float64).reshape(n, -1)
    _refuse(name, "accuracy", values, ~np.isfinite(values), "accuracies are numbers in percent")
    if 0 < values.max() <= 1:
        raise RequestError(
            f"{name}: accuracies reach {values.max():g} at most; they are in percent, so multiply by 100"
        )
    return values


def _cost(name: str, key: str, values: NDArray[Any], n: int) -> NDArray[Any]:
    if values.shape != (n,):
        raise RequestError(
            f"{name}: cost {key!r} must be [{n}], one number for each row of choices, got shape {list(values.shape)}"
        )
    exact: NDArray[Any] = values.astype(np.int64 if values.dtype.kind in "biu" else np.float64)
    _refuse(name, key, exact, ~np.isfinite(exact) | (exact < 0), "costs are finite and not negative")
    return exact


def _names(name: str, given: NDArray[Any] | None, decisions: int) -> tuple[str, ...]:
    if given is None:
        return tuple(f"decision{d}" for d in range(decisions))
    if given.shape != (decisions,):
        raise RequestError(
            f"{name}: decision_names must be [{decisions}], one for each column of choices, got shape "
            f"{list(given.shape)}"
        )
    names = tuple(str(one) for one in given)
    twice = [one for i, one in enumerate(names) if one in names[:i]]
    if twice:
        raise RequestError(f"{name}: decision_names holds {twice[0]!r} twice; names must differ")
    return names


def _groups(name: str, given: NDArray[Any] | None, decisions: int) -> tuple[tuple[int, ...], ...]:
    if given is None:
        return tuple((d,) for d in range(decisions))
    if given.shape == (decisions,):
        labels = [str(one) for one in given]
        return tuple(tuple(d for d, own in enumerate(labels) if own == label) for label in dict.fromkeys(labels))
    if given.ndim == 2 and given.dtype.kind in "iu":
        found = tuple(tuple(sorted(int(d) for d in group if d >= 0)) for group in given)
        if sorted(d for group in found for d in group) == list(range(decisions)):
            return tuple(group for group in found if group)
    raise RequestError(
        f"{name}: groups must be one label for each of the {decisions} decisions, or the positions of each group's "
        f"decisions padded with -1, every decision once; got shape {list(given.shape)}"
    )


def _check_duplicates(name: str, choices: Rows) -> None:
    _, first, place = np.unique(choices, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[place.reshape(-1)] != np.arange(len(choices)))
    if len(again):
        row = int(again[0])
        raise RequestError(
            f"{name}: rows {int(first[place.reshape(-1)[row]])} and {row} of choices are the same architecture "
            f"{choices[row].tolist()} ({len(again)} such rows); put its trainings into the columns of accuracy"
        )


def _refuse(name: str, key: str, values: NDArray[Any], wrong: NDArray[np.bool_], allowed: str) -> None:
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
        others = f" (and {int(wrong.sum()) - 1} more)" if wrong.sum() > 1 else ""
        raise RequestError(f"{name}: {key}, {where}: {values[place]}{others}; {allowed}")


def _notes(name: str, accuracy: NDArray[np.float64]) -> tuple[str, ...]:
    low, high = float(accuracy.min()), float(accuracy.max())
    if low >= 0 and high <= 100:
        return ()
    return (f"{name} holds accuracies from {low:.4g} to {high:.4g} percent; the comparison takes them as they are",)


def _pair(text: str) -> tuple[str, str]:
    kind, equals, value = text.partition("=")
    if not equals or not kind.strip() or not value.strip():
        raise RequestError(f"--budget {text!r} must be a cost and its limit, such as macs=12M")
    return kind.strip(), value.strip()


def _limit(kind: str, value: Any) -> int | float:
    """A plain number as it is (percentiles have fractions), and one with a unit in the unit of its kind."""
    try:
        limit = float(value)
    except (TypeError, ValueError):
        if kind in KINDS:
            return parse(kind, value)
        raise RequestError(f"budget {kind}: {value!r} is not a number") from None
    if not 0 < limit < np.inf:
        raise RequestError(f"budget {kind}: {value!r} must be positive and finite")
    return int(limit) if limit.is_integer() else limit
