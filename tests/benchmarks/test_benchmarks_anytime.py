"""The benchmark of exits compares equal work, stops where it says, and measures deadlines in stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import anytime_exits
import measure
import sartor.spaces
from sartor.anytime import AnytimePredictor, exit_costs
from sartor.anytime.running import StageFacts, StageRunner
from sartor.blueprint import Blueprint

SMALL = {"channels": 4, "layers": 3, "scales": 2}
TINY = anytime_exits.Size(space=SMALL, image_size=16, pairs=6, sample_ms=0.0, deadlines=20)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Figures of tests do not replace the real ones."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    return tmp_path


@pytest.fixture
def blueprint() -> Blueprint:
    """The network of the tiny size."""
    space = sartor.spaces.create("ms_ranas", num_classes=10, image_size=16, **SMALL)
    return space.blueprint(anytime_exits.CELLS.values(), "r")


def test_both_sides_do_the_same_work(blueprint: Blueprint) -> None:
    """The plain network of a stopped run has its MACs, weights and answers; so has that of an exit foreseen."""
    network, x = blueprint.build(seed=0).eval(), torch.randn(1, 3, 16, 16)
    predictor = AnytimePredictor(network, blueprint)
    for k, cost in enumerate(exit_costs(blueprint)):
        same, lazy = anytime_exits.computed(blueprint, k), blueprint.cut(k, lazy=True)
        assert (same.macs, lazy.macs) == (cost.anytime_macs, cost.lazy_macs)
        expected = anytime_exits.stop_at(predictor, x, k)
        assert (expected.exit, expected.macs) == (k, cost.anytime_macs)
        for part in (same, lazy):
            for call in (
                anytime_exits.plain_call(anytime_exits.plain(part, network), x),
                partial(anytime_exits.probabilities, anytime_exits.one_file(part, network, x)),
            ):
                np.testing.assert_allclose(call(), expected.probabilities, atol=1e-5)


def test_benchmark_of_exits_runs(results: Path) -> None:
    """Every exit in both runtimes with its goal, and two figures on deadlines, in the result file."""
    figures = anytime_exits.main(TINY)
    goals = [f.name for f in figures if f.goal == anytime_exits.GOAL_EXIT]
    assert len(goals) == 4 * 2 and len(figures) == 8 + 2 * 2 + 2 + 2
    assert all(f.value > 0 for f in figures[:-2])
    assert all(f.value <= 1 for f in figures[-2:]), "a stage is never started after the deadline"
    document = json.loads((results / "anytime_exits.json").read_text("utf-8"))
    assert document["settings"]["channels"] == 4 and "sep_conv_3x3" in document["settings"]["cells"]


class LateStages(StageRunner):
    """Three stages of 10 ms by measurement, of which the second then takes 40 ms, on a clock of their own."""

    def __init__(self) -> None:
        super().__init__([StageFacts(k, (), (), 1) for k in range(3)])
        self.now_ms, self.second_ms = 0.0, 10.0
        self.clock = lambda: self.now_ms / 1e3

    def measure(self, x: Any, **settings: Any) -> tuple[float, ...]:
        found = super().measure(x)
        self.second_ms = 40.0
        return found

    def _start(self, x: Any, plan: Any) -> Any:
        return self

    def stage(self, position: int) -> Any:
        self.now_ms += self.second_ms if position == 1 else 10.0
        return np.zeros((1, 2))

    def keep(self, rows: Any) -> None: ...

    def close(self) -> None: ...


def test_overruns_are_counted_in_stages() -> None:
    """A stage that takes 40 ms in place of 10 overruns a deadline by up to 30 ms, three quarters of itself."""
    figure = anytime_exits.overrun("late", LateStages(), [0], TINY)
    assert 0.6 < figure.value <= 0.75 and figure.met
    assert 0 < figure.details["overrun"] < 20


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The benchmark sets the threads of the process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
