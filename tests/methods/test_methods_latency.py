"""Every method obeys a latency budget: nanoseconds inside, milliseconds for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sartor import spaces
from sartor.costs.devices import device_cost
from sartor.methods import registry
from sartor.methods.evaluator import History
from sartor.methods.ows import OWS, OWSSettings
from sartor.platforms import Platform

SPACE = spaces.create("proxylessnas")
PLATFORM = Platform("phone", {"latency_ms": "75.3ms", "peak_memory_bytes": "6MB"}, device="pixel1_tunas")
STEPS = 25


class Guesses:
    """An evaluator whose answers are random, but better for larger networks."""

    trains = False
    scoring_share = 1 / STEPS

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.history, self.asked = History(), 0

    @property
    def progress(self) -> float:
        return min(1.0, self.asked / STEPS)

    @property
    def done(self) -> bool:
        return self.asked >= STEPS

    def train(self, passes: Sequence[Any], combine: str = "sum", temperature: float = 1.0) -> Any:
        return np.array([self._loss(p.selection) if p.observe else np.nan for p in passes])

    def score(self, selections: Sequence[Any]) -> tuple[Any, Any]:
        losses = np.array([self._loss(s) for s in selections])
        return losses, 1 - losses / 4

    def _loss(self, selection: Any) -> float:
        self.asked += 1
        row = np.asarray(getattr(selection, "row", selection))[None]
        return 2 - float(device_cost(SPACE, "pixel1_tunas")(row)[0]) / 3e8 + 0.1 * float(self.rng.normal())


# The space has widths, of which no mixture is made.
NAMES = [name for name in registry.names() if "mixtures" not in registry.method_class(name).needs]


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_within_the_budget(name: str) -> None:
    """Whatever the method: its answer takes at most 75.3 ms, and says exactly how long in milliseconds."""
    method: Any = registry.method_class(name)(SPACE, [PLATFORM], seed=0)
    evaluator = Guesses()
    while not evaluator.done:
        method.step(evaluator)
    choice = method.choose(PLATFORM)
    nanoseconds = int(device_cost(SPACE, "pixel1_tunas")(np.array([choice.architecture.row]))[0])
    assert choice.costs["latency_ms"] == nanoseconds / 1e6 <= 75.3
    assert choice.to_dict()["costs"]["latency_ms"] == nanoseconds / 1e6
    assert choice.costs["peak_memory_bytes"] == choice.architecture.blueprint.peak_memory_bytes <= 6_000_000


@pytest.mark.parametrize("solver", ["exact", "lagrangian", "bisection"])
def test_solvers_price_a_millisecond(solver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every solver of OWS answers in milliseconds, and its multiplier is the price of one of them."""
    platform = Platform("phone", {"latency_ms": 60}, device="pixel1_tunas")
    method = OWS(SPACE, [platform], OWSSettings(solver=solver))
    rng = np.random.default_rng(0)
    tables = [-np.sort(rng.random(n)) for n in SPACE.sizes]
    monkeypatch.setattr(method, "tables", lambda: tables)
    choice = method.choose(platform)
    assert 50 < choice.costs["latency_ms"] <= 60
    # 58 decisions trade about a unit of score each for some 200 ms: the price is of the order of a hundredth.
    assert choice.multiplier is not None and 1e-3 < choice.multiplier < 1
