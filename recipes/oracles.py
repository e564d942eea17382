"""Tables in which every network of a space was trained: what a search finds can be judged by the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor import spaces
from sartor.errors import RequestError, SartorError
from sartor.platforms import Platform
from sartor.space import SearchSpace
from shared_pictures import shared_data_folder

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Oracle:
    """All networks of a space: rows ``[n, D]``, accuracies in percent ``[n, repeats]``, MACs ``[n]``."""

    space: SearchSpace
    rows: Rows
    accuracy: NDArray[np.float64]
    macs: NDArray[np.int64]

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """The true accuracy ``[n]`` of every network, in percent: the mean of its repeats."""
        return np.asarray(self.accuracy.mean(axis=1))

    @cached_property
    def _index(self) -> dict[tuple[int, ...], int]:
        return {tuple(int(v) for v in row): i for i, row in enumerate(self.rows)}

    def accuracy_of(self, row: Sequence[int] | NDArray[Any]) -> float:
        """The true accuracy of one network, in percent."""
        return float(self.means[self._index[tuple(int(v) for v in row)]])

    def best_within(self, macs: float) -> float:
        """The best true accuracy of all networks within a budget."""
        return float(self.means[self.macs <= macs].max())

    def regret(self, row: Sequence[int] | NDArray[Any], platform: Platform) -> float:
        """Points of accuracy lost to the best network within the budget.

        Raises:
            SartorError: the network breaks the budget.
        """
        limit = platform.budgets["macs"]
        if self.space.cost("macs")(np.array([row]))[0] > limit:
            raise SartorError(f"{platform.name}: the answer {list(row)} breaks its budget of {limit} MACs")
        return self.best_within(limit) - self.accuracy_of(row)

    def percentile(self, percent: float) -> int:
        """The MACs that so many percent of all networks stay below."""
        return int(np.percentile(self.macs, percent))

    def platform(self, percent: int) -> Platform:
        """A platform whose budget so many percent of all networks stay below."""
        return Platform(f"percentile{percent}", {"macs": self.percentile(percent)})


def nas_bench_macro(folder: Path | None = None) -> Oracle:
    """NAS-Bench-Macro: 6,561 networks on CIFAR-10, three runs each.

    Raises:
        RequestError: the file is missing.
    """
    table = json.loads(_table(folder, "nasbench_macro_cifar10.json").read_text(encoding="utf-8"))
    space = spaces.create("nas_bench_macro")
    rows = np.array([[int(digit) for digit in key] for key in table], dtype=np.int64)
    accuracy = np.array([entry["test_acc"] for entry in table.values()], dtype=np.float64)
    return Oracle(space, rows, accuracy, np.asarray(space.cost("macs")(rows)))


def channel_bench_macro(folder: Path | None = None) -> Oracle:
    """Channel-Bench-Macro: 16,384 width settings of a small MobileNet on CIFAR-10, three runs each.

    Raises:
        RequestError: the file is missing.
    """
    with np.load(_table(folder, "channel_bench_macro.npz")) as table:
        rows = table["width"].astype(np.int64) - 1
        accuracy = table["mobilenet_acc"].astype(np.float64)
    space = spaces.create("channel_bench_macro")
    return Oracle(space, rows, accuracy, np.asarray(space.cost("macs")(rows)))


def _table(folder: Path | None, name: str) -> Path:
    path = (folder or shared_data_folder()) / "tables" / name
    if not path.is_file():
        raise RequestError(f"{path}: the benchmark's table is missing; set SARTOR_SHARED_DATA to the shared folder")
    return path
