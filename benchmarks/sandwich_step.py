"""What does a training step of the supernet cost? Against three plain children and one dense optimiser step.

Supernet: PassRunner over the sandwich (largest, smallest, one random; the random one's loss is observed, as OWS
does) and PrefixOptimiser. Plain: forward and backward of the same three children and one step of torch.optim.SGD, with
the same momentum and decay, on the largest. Another random architecture every few pairs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from measure import Figure, duration, pairs, ratio, report
from sartor.elastic.layers import SlicedModule
from sartor.space import Architecture
from sartor.train.passes import sandwich
from sartor.train.runner import PassRunner
from sartor.train.settings import SearchTraining
from workload import Scale, Workload, describe

GOAL = 1.03
PAIRS_PER_ARCHITECTURE = 5
# Small, so that weights do not run away from a batch of noise in the course of the benchmark.
RATE = 1e-4


def main(scale: Scale | None = None) -> list[Figure]:
    """Measures, prints and writes everything."""
    scale = scale or Scale(pairs=30)
    work = Workload(scale)
    step = SupernetStep(work)
    largest, smallest = work.architecture("largest"), work.architecture("smallest")
    outer = [work.child(largest), work.child(smallest)]
    drawn = [work.architecture("random") for _ in range(-(-scale.pairs // PAIRS_PER_ARCHITECTURE))]
    count = min(scale.pairs, PAIRS_PER_ARCHITECTURE)
    parts = []
    for middle in drawn:
        plain = PlainStep(work, [*outer, work.child(middle)])
        parts.append(pairs(lambda m=middle: step(m), plain, count, warm_up=1))  # type: ignore[misc]
    figures = [
        ratio("sandwich step / three plain children and SGD", np.concatenate(parts), goal=GOAL, **describe(drawn)),
        *optimisers(work, step, drawn[0], scale.pairs),
    ]
    report("sandwich_step", __doc__.splitlines()[0], figures, scale.settings())
    return figures


class SupernetStep:
    """A step of the search as a method makes it."""

    def __init__(self, work: Workload) -> None:
        self.work = work
        self.optimiser = work.optimiser(SearchTraining())
        self.runner = PassRunner(lambda x, selection, _: work.supernet(x, selection))
        self.outer = work.architecture("largest"), work.architecture("smallest")

    def passes(self, middle: Architecture) -> None:
        """All gradients of a step."""
        passes = sandwich(*self.outer, [middle], distillation=False, observe=True)
        self.runner(self.work.x, self.work.y, passes)

    def __call__(self, middle: Architecture) -> None:
        self.passes(middle)
        self.optimiser.step(RATE)


class PlainStep:
    """Three plain networks and a dense update of the first."""

    def __init__(self, work: Workload, children: list[nn.Module]) -> None:
        self.work, self.children = work, children
        s = SearchTraining()
        self.optimiser = torch.optim.SGD(
            children[0].parameters(), lr=RATE, momentum=s.momentum, weight_decay=s.weight_decay, foreach=True
        )

    def passes(self) -> None:
        """All gradients of a step."""
        for child in self.children:
            child.zero_grad()
            self.work.child_pass(child)

    def __call__(self) -> None:
        self.passes()
        self.optimiser.step()


def optimisers(work: Workload, step: SupernetStep, middle: Architecture, count: int) -> list[Figure]:
    """The two optimiser steps alone, for orientation: both sides of the ratio hold one."""
    plain = PlainStep(work, [work.child(work.architecture("largest"))])
    step.passes(middle)
    plain.passes()
    gradients = {p: p.grad for p in work.supernet.parameters()}
    modules = [m for m in work.supernet.modules() if isinstance(m, SlicedModule)]
    used = [(m, name, e) for m in modules for name, extents in m.used.items() for e in extents]

    def prefix_step() -> None:
        step.optimiser.step(RATE)

    def restore() -> None:
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        for module, name, extent in used:
            module.prefix(name, *extent)

    seconds = pairs(prefix_step, plain.optimiser.step, count, after=(restore, None))
    return [
        ratio("PrefixOptimiser / torch.optim.SGD, the update alone", seconds),
        duration("PrefixOptimiser's update", seconds[:, 0]),
    ]


if __name__ == "__main__":
    main()
