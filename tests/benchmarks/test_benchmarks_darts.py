"""The benchmark of a gradient search's step: both sides compute the same network, and figures are written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import darts_step
import measure
import workload

SMALL = {**darts_step.SCALE.space, "layers": 3, "channels": 4, "nodes": 2}
TINY = replace(darts_step.SCALE, space=SMALL, image_size=16, batch_size=4, pairs=6)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Figures of tests do not replace the real ones."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    return tmp_path


def test_the_textbook_network_is_the_supernet() -> None:
    """Equal weights and an equal architecture give equal logits."""
    work = workload.Workload(TINY)
    network = darts_step.TextbookNetwork(work.space).train()
    for name, parameter in network.operations.named_parameters():
        block, *_, layer, kind = name.split(".")
        with torch.no_grad():
            parameter.copy_(getattr(work.supernet.bank.layer(block, layer), kind))
    alpha = [torch.softmax(network.alpha[d.name], dim=0) for d in work.space.decisions]
    work.supernet.recompute_branches = False
    torch.testing.assert_close(network(work.x), work.supernet(work.x, alpha), atol=1e-3, rtol=1e-3)


def test_steps_move_architecture_and_weights() -> None:
    """Of either side, at every step."""
    ours, textbook = darts_step.Search(TINY), darts_step.Textbook(TINY)
    before = ours.method.relaxation.values.copy(), [p.detach().clone() for p in textbook.alpha]
    weights = [p.detach().clone() for p in (*ours.evaluator.supernet.parameters(), *textbook.weights)]
    ours.step()
    textbook.step()
    assert (ours.method.relaxation.values != before[0]).any()
    assert all((old != new).any() for old, new in zip(before[1], textbook.alpha, strict=True))
    now = (*ours.evaluator.supernet.parameters(), *textbook.weights)
    assert sum((old != new).any().item() for old, new in zip(weights, now, strict=True)) > 0.9 * len(weights)


def test_without_nni_the_textbook_way_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], results: Path
) -> None:
    """Two ratios are written, of time and of memory."""
    monkeypatch.setenv("SARTOR_NNI_PYTHON", str(results / "nowhere"))
    figures = darts_step.main(TINY)
    assert "NNI is not here" in capsys.readouterr().out
    assert [f.name.split(":")[0] for f in figures] == ["search step", "peak memory"]
    assert len(json.loads((results / "darts_step.json").read_text())["figures"]) == 2
