"""The benchmarks of TuNAS compare equal work, see what recomputation saves, and say so where NNI is absent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import elastic_pass_proxylessnas
import measure
import op_warmup
import peak_memory
import search_step
import workload

SMALL = {"multiplier": 0.125, "layout": "cifar"}
TINY = workload.Scale("proxylessnas", SMALL, image_size=16, num_classes=10, batch_size=4, pairs=6)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Figures of tests do not replace the real ones."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    return tmp_path


def test_paths_of_nni_are_the_same_network() -> None:
    """Kept layers come first in NNI's words, with their kernels and expansions in order."""
    space = workload.Workload(TINY).space
    values = dict(space.largest.values) | {"block3_layer2": "skip", "block3_kernel1": 5, "block3_expansion3": 3}
    row = [d.options.index(values[d.name]) for d in space.decisions]
    path = search_step.nni_path(space.architecture(row))
    assert path["s3_depth"] == 3 and path["s2_depth"] == 4 and path["s7_depth"] == 1
    assert [path[f"s3_i{i}"] for i in range(3)] == ["k5e6", "k7e3", "k7e6"]
    assert len(path) == 6 + 21


def test_search_steps_are_those_of_their_moment() -> None:
    """After the warm-up one network is trained and scored; in it a mixture; an update alone scores nothing."""
    steps = search_step.SearchSteps(TINY)
    scored = steps.evaluator.history.rows
    later = steps({"progress": 0.5})
    assert len(scored) == 1 and 0 < later["policy"] < later["seconds"]
    before = steps.evaluator.images
    steps({"progress": 0.5, "scoring": 4})
    assert steps.evaluator.images - before == (1 + 4) * TINY.batch_size
    steps({"progress": 0.0})
    assert len(scored) == 2, "a mixture is no architecture"
    weights = {n: p.detach().clone() for n, p in steps.evaluator.supernet.named_parameters()}
    steps({"row": search_step.architectures(TINY, 1)[0].row})
    assert steps.evaluator.scorings == 3
    assert any(not torch.equal(weights[n], p) for n, p in steps.evaluator.supernet.named_parameters())


def test_search_step_is_skipped_without_nni(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], results: Path
) -> None:
    """Where NNI's environment is absent the script says so and writes nothing."""
    monkeypatch.setenv("SARTOR_NNI_PYTHON", str(results / "nowhere"))
    assert search_step.main(TINY) == [] and not list(results.iterdir())
    assert "NNI is not here" in capsys.readouterr().out


def test_ratios_of_a_whole_search() -> None:
    """A search has a quarter of steps in the warm-up and three quarters after it; goals are those of the issue."""
    names = ("nni_proxyless", "tunas_later", "tunas_warming", "tunas_scoring_more", "nni_random", "update")
    times = dict(zip(names, (2.0, 0.6, 1.4, 1.0, 0.5, 0.6), strict=True))
    answers = {name: [{"seconds": t, "policy": 0.001}] * 6 for name, t in times.items()}
    whole, later, warming, more, update = search_step.steps_compared(answers)
    np.testing.assert_allclose([f.value for f in (whole, later, warming, more, update)], [0.4, 0.3, 0.7, 0.5, 1.2])
    assert (whole.met, later.met, warming.met, more.met, update.met) == (True, True, None, None, False)


def test_tensor_bytes_end_with_what_is_returned() -> None:
    """What the work returns is still held at the end, what it dropped is not, and the peak saw both."""

    def work() -> torch.Tensor:
        kept = torch.ones(500, 500)
        torch.ones(1000, 1000)
        return kept

    held = peak_memory.tensor_bytes(work)
    assert held[-1] == 1e6 and held.max() == 5e6


def test_op_warmup_sees_recomputation() -> None:
    """With every operation on, recomputation takes less memory and not less work."""
    figures = {f.name: f for f in op_warmup.main([TINY])}
    for what in ("peak", "saved"):
        kept, rerun = (
            figures[f"proxylessnas, {how} recomputation, {what}: all operations / one"] for how in ("without", "with")
        )
        # At this size the head takes a share of the peak that no branch can.
        assert rerun.value < {"peak": 0.9, "saved": 0.5}[what] * kept.value
        assert rerun.goal == op_warmup.GOAL and kept.goal is None
    selection = op_warmup.everything_on(workload.Workload(TINY).space)
    assert sum(np.ndim(entry) for entry in selection) == 1 + 21 + 15


def test_elasticity_on_proxylessnas_runs(results: Path) -> None:
    """Four ratios for the space of TuNAS, in a result file of their own."""
    figures = elastic_pass_proxylessnas.main(TINY)
    assert len(figures) == 4 and all(f.value > 0 for f in figures)
    document = json.loads((results / "elastic_pass_proxylessnas.json").read_text("utf-8"))
    assert document["settings"]["space"] == "proxylessnas"


@pytest.mark.slow
def test_search_step_beside_nni() -> None:
    """Both sides run in turns, NNI's network has our MACs, and every figure is there."""
    if search_step.nni_python() is None:
        pytest.skip("NNI is not here (see benchmarks/README.md)")
    figures = search_step.main(replace(workload.PROXYLESSNAS, image_size=32, batch_size=4, pairs=6))
    assert len(figures) == 5 + 2 + 3 and all(f.value > 0 for f in figures)
