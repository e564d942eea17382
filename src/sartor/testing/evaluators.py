"""Evaluators for tests of methods: a small supernet, a table of all networks, and a watch over what is asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sartor.decisions import Decision, Template
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.method import Method
from sartor.methods.supernet_evaluator import SupernetEvaluator
from sartor.platforms import Platform
from sartor.runtime import Runtime
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.train.passes import Pass
from sartor.train.settings import SearchTraining


def stairs() -> SearchSpace:
    """Four convolutions of three widths each: 81 networks, all of which a table can hold."""
    widths = [Decision(f"width{i}", (4, 6, 8), "width") for i in range(4)]

    def conv(stride: int, side: int) -> Callable[..., Stack]:
        def resolve(*channels: int) -> Stack:
            start = Stack(channels[0] if len(channels) > 1 else 3, side)
            return start.conv("conv", channels[-1], kernel=3, stride=stride).batch_norm().activation()

        return resolve

    templates = [Template("stem", ("width0",), conv(2, 8))]
    templates += [Template(f"layer{i}", (f"width{i - 1}", f"width{i}"), conv(1, 4)) for i in (1, 2, 3)]
    templates += [Template("head", ("width3",), lambda w: Stack(w, 4).global_pool().linear("linear", 5))]
    return SearchSpace("stairs", widths, templates, image_size=8)


class RandomPictures:
    """Batches of random pictures whose class is told by their brightness; a function of the step."""

    steps_per_epoch = 12
    batch_size = 8

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self.space, self.seed = space, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(1_000 * self.seed + step)
        y = torch.randint(self.space.num_classes, (self.batch_size,), generator=rng)
        shape = (self.batch_size, self.space.in_channels, self.space.image_size, self.space.image_size)
        return torch.randn(shape, generator=rng) + y.float().reshape(-1, 1, 1, 1), y


class OnlyTheContract:
    """Passes on what an evaluator promises, and nothing else."""

    _PROMISED = frozenset({"trains", "differentiates", "progress", "done", "scoring_share", "history"})

    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if name not in self._PROMISED:
            raise AssertionError(f"a method asked its evaluator for {name!r}, which no evaluator promises")
        return getattr(self._evaluator, name)

    def train(self, passes: Sequence[Pass], combine: Any = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        self.asked += [_plain(p.selection) for p in passes]
        found: NDArray[np.float64] = self._evaluator.train(passes, combine, temperature)
        return found

    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self.asked += [_plain(s) for s in selections]
        found: tuple[NDArray[np.float64], NDArray[np.float64]] = self._evaluator.score(selections)
        return found

    def gradient(
        self, selection: Sequence[Any], order: Literal[1, 2] = 1, batch: int | None = None
    ) -> tuple[float, list[NDArray[np.float64]]]:
        self.asked.append(_plain(selection))
        found: tuple[float, list[NDArray[np.float64]]] = self._evaluator.gradient(selection, order, batch)
        return found


def evaluator_for(method: Method, kind: str) -> Any:
    """A small supernet, or a table of all networks in which wider is better up to a little noise."""
    space = method.space
    if kind == "supernet":
        pictures = RandomPictures(space), RandomPictures(space, seed=1)
        settings = SearchTraining(epochs=2, batch_size=8, learning_rate=0.02)
        runtime = Runtime(torch.device("cpu"))
        return SupernetEvaluator(
            space.supernet(seed=0),
            *pictures,
            settings,
            runtime,
            passes_per_step=method.passes_per_step,
            scorings_per_step=method.scorings_per_step,
            updates_per_step=method.updates_per_step if method.varying_cost else None,
        )
    rows = np.array(list(itertools.product(*[range(n) for n in space.sizes])))
    rng = np.random.default_rng(5)
    effects = [np.sort(rng.uniform(0, 4, n)) for n in space.sizes]
    accuracy = 70 + sum(effect[rows[:, d]] for d, effect in enumerate(effects)) + rng.normal(0, 0.1, len(rows))
    return TableEvaluator(rows, accuracy, queries=40, rng=np.random.default_rng(6))


def platforms_for(space: SearchSpace) -> list[Platform]:
    """A tight platform, one that everything fits, and one with a sum and a maximum (or, without one, two sums)."""
    rows = space.sample(500, np.random.default_rng(1))
    other = "peak_memory_bytes" if "peak_memory_bytes" in space.cost_names else "params"
    macs, others = space.cost("macs")(rows), space.cost(other)(rows)
    return [
        Platform("tight", {"macs": int(np.quantile(macs, 0.05))}, 1.0),
        Platform("loose", {"macs": int(macs.max())}, 2.0),
        Platform("small", {"macs": int(np.median(macs)), other: int(np.median(others))}, 3.0),
    ]


def _plain(selection: Any) -> tuple[Any, ...]:
    """A selection as plain data: options, and mixtures as lists."""
    return tuple(e.tolist() if getattr(e, "ndim", 0) else int(e) for e in getattr(selection, "row", selection))
