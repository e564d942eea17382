"""The benchmarks measure what they say: statistics of ratios, and every script end to end at a tiny size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allocator
import architecture_costs
import elastic_pass
import exact_solver
import input_pipeline
import measure
import peak_memory
import run
import sandwich_step
import workload

TINY = workload.Scale(space={"multiplier": 0.125, "levels": 2}, image_size=8, num_classes=10, batch_size=4, pairs=6)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Figures of tests do not replace the real ones."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    return tmp_path


def test_median_interval_covers() -> None:
    """The interval holds the true median in at least 95 % of samples, and not in nearly all of them."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        _, low, high = measure.median_interval(rng.exponential(size=30))
        held += low <= np.log(2) <= high
    assert 945 <= held <= 985


def test_median_interval_ranks() -> None:
    """For 30 values it lies between the 10th and the 21st, as binomial tables say; for five it is the range."""
    assert measure.median_interval(np.arange(1.0, 31.0)) == (15.5, 10.0, 21.0)
    assert measure.median_interval([3.0, 1.0, 2.0, 5.0, 4.0]) == (3.0, 1.0, 5.0)


def test_pairs_take_turns() -> None:
    """The order inside a pair alternates, each side is tidied up as it asks, and warm-up pairs are left out."""
    calls: list[str] = []
    seconds = measure.pairs(
        lambda: calls.append("a"), lambda: calls.append("b"), 3, after=(lambda: calls.append("-"), None), warm_up=1
    )
    assert "".join(calls) == "a-bba-a-bba-"
    assert seconds.shape == (3, 2)


def test_ratio_sees_work() -> None:
    """Three times the work is three times the CPU time; the goal is judged on the right side."""

    def work(times: int) -> None:
        for _ in range(times):
            sum(range(20_000))

    seconds = measure.pairs(lambda: work(30), lambda: work(10), 30)
    assert 2.5 < measure.ratio("r", seconds).value < 3.5
    assert measure.ratio("r", seconds, goal=2.0).met is False
    assert measure.ratio("r", seconds, goal=2.0, at_least=True).met is True


@pytest.mark.parametrize("module", [elastic_pass, sandwich_step], ids=lambda m: m.__name__)
def test_training_benchmarks_run(module: Any, results: Path) -> None:
    """A tiny run gives positive ratios and a result file with its environment."""
    figures = module.main(TINY)
    assert all(f.low <= f.value <= f.high and f.value > 0 for f in figures)
    document = json.loads((results / f"{module.__name__}.json").read_text("utf-8"))
    assert document["environment"]["packages"]["torch"] and document["settings"]["seed"] == 0


def test_sandwich_sides_do_the_same_work() -> None:
    """The plain side's three children have the gradients of the supernet's three passes."""
    work = workload.Workload(TINY)
    step, middle = sandwich_step.SupernetStep(work), work.architecture("random")
    children = [work.child(a) for a in (*step.outer, middle)]
    step.passes(middle)
    sandwich_step.PlainStep(work, children).passes()
    stem = work.supernet.bank.layer("stem", "conv").weight.grad
    total = np.zeros(stem.shape)
    for child in children:
        gradient = child.stem.conv.weight.grad.numpy()
        total[: len(gradient)] += gradient
    np.testing.assert_allclose(stem.numpy(), total, atol=1e-5)


def test_costs_and_pipeline_run() -> None:
    """Tiny runs of the cost and of the input benchmark."""
    assert len(architecture_costs.main(rows=100, count=6)) == 4
    assert len(input_pipeline.main(TINY, pictures=32)) == 2


def test_solver_benchmark_runs() -> None:
    """One draw per noise: answers are proven, and the pure-Python loop finds the same row as the solver."""
    figures = exact_solver.main(draws=1, count=6)
    assert all(f.value > 0 for f in figures)


def test_peak_memory_sees_tensors() -> None:
    """The profiler's peak is that of what is held at once, not the sum of all allocations."""
    import torch

    def work() -> None:
        for _ in range(5):
            torch.ones(1000, 1000)

    assert 4e6 <= peak_memory.tensor_growth(work) < 5e6


@pytest.mark.slow
def test_benchmarks_in_fresh_processes_run() -> None:
    """Workers start, take turns and end; memory of a pass is above nothing."""
    assert len(allocator.gains(TINY, "smallest")) == 5
    assert peak_memory.peaks(TINY, "smallest", "supernet")["later"] > 0


def test_table_names_every_figure(tmp_path: Path) -> None:
    """The README's table is replaced between its marks and says which goal is missed."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n", encoding="utf-8")
    figure = measure.Figure("a / b", 1.05, 1.04, 1.06, goal=1.03)
    measure.report("elastic_pass", "What?", [figure], {})
    run.write_table(readme, [json.loads((tmp_path / "elastic_pass.json").read_text("utf-8"))])
    text = readme.read_text("utf-8")
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert "| a / b | 1.05 | 1.04 to 1.06 | at most 1.03, **missed** | 1 |" in text
