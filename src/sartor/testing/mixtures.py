"""For tests of searches by gradient: a small space of cells, and an evaluator whose loss and gradient are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sartor.decisions import Decision, Rule, Template
from sartor.methods.evaluator import Combine, History
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.train.passes import Pass

OPERATIONS = ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5")


def cell_space(
    nodes: int = 2,
    operations: Sequence[str] = OPERATIONS,
    *,
    layers: Sequence[str] = ("normal", "reduction"),
    channels: int = 4,
    image_size: int = 4,
    num_classes: int = 5,
) -> SearchSpace:
    """A chain of cells with an exit after each; every node keeps two edges. All layers have one resolution."""
    kinds = [kind for kind in ("normal", "reduction") if kind in layers]
    edges = [(kind, node, source) for node in range(nodes) for kind in kinds for source in range(node + 2)]
    decisions = [Decision(f"{kind}_{node}_{source}", ("none", *operations)) for kind, node, source in edges]
    rules = [
        Rule(tuple(f"{kind}_{node}_{source}" for source in range(node + 2)), _two_kept)
        for kind in kinds
        for node in range(nodes)
    ]
    templates = [Template("stem", (), lambda: Stack(3, image_size).conv("conv", channels, kernel=3).batch_norm())]
    before = ["stem", "stem"]
    for stage, kind in enumerate(layers):
        templates += _cell(f"cell{stage}", kind, before, nodes, channels, image_size, stage)

        def classifier() -> Stack:
            return Stack(channels, image_size).global_pool().linear("linear", num_classes)

        templates.append(Template(f"exit{stage}", (), classifier, (f"cell{stage}",), stage=stage, is_exit=True))
        before = [before[1], f"cell{stage}"]
    return SearchSpace("cells", decisions, templates, image_size=image_size, rules=rules)


def _two_kept(*options: str) -> bool:
    return sum(option != "none" for option in options) == 2


def _cell(
    name: str, kind: str, inputs: Sequence[str], nodes: int, channels: int, side: int, stage: int
) -> list[Template]:
    """The edges and nodes of a cell, and the mean over its nodes' channels as its output."""
    found, sources = [], list(inputs)
    for node in range(nodes):
        names = []
        for source, read in enumerate(sources):
            names.append(f"{name}_{node}_{source}")
            decision = f"{kind}_{node}_{source}"
            found.append(Template(names[-1], (decision,), _edge(channels, side), (read,), stage=stage))
        found.append(Template(f"{name}_{node}", (), _plain(channels, side), tuple(names), "sum", stage))
        sources.append(f"{name}_{node}")
    nodes_out = tuple(sources[2:])
    return [*found, Template(name, (), _narrow(len(nodes_out), channels, side), nodes_out, "concat", stage)]


def _plain(channels: int, side: int) -> Callable[..., Stack]:
    return lambda: Stack(channels, side)


def _narrow(nodes: int, channels: int, side: int) -> Callable[..., Stack]:
    return lambda: Stack(nodes * channels, side).activation().conv("conv", channels).batch_norm()


def _edge(channels: int, side: int) -> Callable[..., Stack | None]:
    def resolve(operation: str) -> Stack | None:
        start = Stack(channels, side)
        if operation == "none":
            return None
        if operation.endswith("pool_3x3"):
            return start.pool("max" if operation.startswith("max") else "avg")
        if operation == "skip_connect":
            return start
        kernel = int(operation[-1])
        moved = start.activation().depthwise(f"depthwise_{operation}", kernel=kernel)
        return moved.conv(f"point_{operation}", channels).batch_norm()

    return resolve


class QuadraticEvaluator:
    """The validation loss of a mixture s is sum over decisions of -utility . s + curvature / 2 |s|^2.

    What rows are worth is thus known: the best one holds the greatest utilities that rules and budgets allow.

    Args:
        utilities: one array per decision, a number per option.
        steps: the length of the search.
        noise: standard deviation of every entry of a gradient, drawn anew for every batch.
    """

    trains = True
    differentiates = True
    scoring_share = 0.0

    def __init__(
        self,
        utilities: Sequence[NDArray[np.float64]],
        steps: int,
        *,
        curvature: float = 0.0,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.utilities, self.steps = list(utilities), steps
        self.curvature, self.noise, self.seed = curvature, noise, seed
        self.updates = self.batches = 0
        self.history = History()

    @property
    def progress(self) -> float:
        return min(1.0, self.updates / self.steps)

    @property
    def done(self) -> bool:
        return self.updates >= self.steps

    def train(self, passes: Sequence[Pass], combine: Combine = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        self.updates += 1
        return np.array([self._loss(p.selection) if p.observe else np.nan for p in passes])

    def score(self, selections: Sequence[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        losses = np.array([self._loss(s) for s in selections])
        return losses, np.exp(-losses)

    def gradient(
        self, selection: Sequence[Any], order: Literal[1, 2] = 1, batch: int | None = None
    ) -> tuple[float, list[NDArray[np.float64]]]:
        rng = numpy_generator(self.seed, "noise", self.batches if batch is None else batch)
        self.batches += batch is None
        found = [
            -u + self.curvature * np.asarray(s) + self.noise * rng.standard_normal(len(u))
            for u, s in zip(self.utilities, selection, strict=True)
        ]
        return self._loss(selection), found

    def _loss(self, selection: Sequence[Any]) -> float:
        return float(sum(-u @ s + self.curvature / 2 * (s @ s) for u, s in zip(self.utilities, selection, strict=True)))

    def state_dict(self) -> dict[str, Any]:
        return {"counters": [self.updates, self.batches]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.updates, self.batches = state["counters"]
