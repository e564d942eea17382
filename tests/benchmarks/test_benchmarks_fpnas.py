"""The benchmark of FP-NAS: prefixes run once change no gradient, memory does not grow, and every figure is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import children_per_step
import measure
import run
import workload

SMALL = {"multiplier": 0.125, "depth": 1, "layout": "small"}
TINY = workload.Scale("fbnetv2_f", SMALL, image_size=8, num_classes=5, batch_size=4, pairs=3)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Figures of tests do not replace the real ones, and little is run."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    few = {"SETS": 1, "KS": (1, 2), "KS_OF_MEMORY": (1, 3), "ENTROPIES": (0.3,), "SETTLED_NATS": (2.0,), "FIXED": 14}
    for name, value in few.items():
        monkeypatch.setattr(children_per_step, name, value)
    return tmp_path


@pytest.fixture(scope="module")
def steps() -> children_per_step.Steps:
    return children_per_step.Steps(TINY)


def alike(steps: children_per_step.Steps) -> list[tuple[int, ...]]:
    """Architectures that part early, late and not at all, in no order."""
    space = steps.work.space
    rows = space.canonical(space.sample(5, np.random.default_rng(4)))
    rows[1, 8:], rows[3] = rows[0, 8:], rows[2]
    rows[4, :30] = rows[1, :30]
    return [tuple(row) for row in rows[[2, 4, 0, 3, 1]].tolist()]


def test_prefixes_run_once_change_nothing(steps: children_per_step.Steps) -> None:
    """Gradients and losses are those of the children one by one, from fewer blocks."""
    found = []
    for how in (steps.one_by_one, steps.together):
        how(alike(steps))
        named = steps.work.supernet.named_parameters()
        found.append({name: p.grad.clone() for name, p in named if p.grad is not None})
        steps.clear()
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)
    steps.prefixes.blocks = 0
    losses = steps.prefixes.score(steps.work.x, steps.work.y, alike(steps))
    with torch.no_grad():
        logits = [steps.work.supernet(steps.work.x, row) for row in sorted(alike(steps))]
    expected = [float(torch.nn.functional.cross_entropy(out, steps.work.y)) for out in logits]
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert steps.prefixes.blocks < 0.8 * 5 * len(steps.work.space.templates)


def test_policies_have_their_entropy(steps: children_per_step.Steps) -> None:
    """Random logits are scaled until the entropy is what was asked for."""
    for nats in (30.0, 8.0, 2.0):
        assert steps.policy(nats).entropy_nats == pytest.approx(nats, abs=0.01)
    uniform = sum(np.log(len(d.options)) for d in steps.work.space.decisions)
    assert steps.policy(np.inf).entropy_nats == pytest.approx(uniform)


def test_children_per_step_runs(results: Path) -> None:
    """Every figure is measured, the peak of a step is that of its largest child, and run.py knows the script."""
    figures = children_per_step.main(TINY)
    assert [f.name.split(",")[0] for f in figures] == [
        *("step", "step", "peak of tensors", "peak of tensors"),
        *("training passes", "scoring", "different networks"),
    ]
    assert all(f.value > 0 for f in figures)
    assert all(1.0 <= f.value < 1.05 for f in figures[2:4])
    assert 0 < figures[-1].value < 1
    assert (results / "children_per_step.json").exists() and "children_per_step" in run.NAMES
