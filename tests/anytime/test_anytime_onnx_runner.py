"""Exported stages run in onnxruntime like the network in PyTorch, and stop like it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import sartor
from sartor.anytime import AnytimePredictor, OnnxRunner
from sartor.blueprint import Blueprint
from sartor.data import Normalisation
from sartor.errors import RequestError
from sartor.export import ModelCard, preprocess


@pytest.fixture
def runner(folder: Path) -> OnnxRunner:
    """A runner of the exported stages."""
    return OnnxRunner(folder)


@pytest.fixture
def predictor(blueprint: Blueprint, network: nn.Module) -> AnytimePredictor:
    """The same network in PyTorch."""
    return AnytimePredictor(network, blueprint, normalisation=Normalisation((0.3,), (0.35,)))


@pytest.fixture
def x(runner: OnnxRunner, digits: NDArray[np.uint8]) -> Any:
    """Prepared digits."""
    return runner.prepare(digits)


def test_predictions_are_those_of_pytorch(
    runner: OnnxRunner, predictor: AnytimePredictor, digits: NDArray[np.uint8]
) -> None:
    """On real digits, one at a time and in batches, single exits and ensembles, from the raw picture on."""
    for count in (1, 7):
        for ensemble in (False, True):
            ours = runner.predict(runner.prepare(digits[:count]), ensemble=ensemble)
            theirs = predictor.predict(predictor.prepare(digits[:count]), ensemble=ensemble)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
                assert (a.exit, a.macs) == (b.exit, b.macs)


def test_pictures_are_prepared_as_the_card_says(runner: OnnxRunner, digits: NDArray[np.uint8], card: ModelCard) -> None:
    """The runner's own preparation is that of sartor.export."""
    np.testing.assert_allclose(runner.prepare(digits), preprocess(digits, card), atol=1e-6)
    np.testing.assert_array_equal(runner.prepare(digits[..., 0]), runner.prepare(digits))


def count_calls(runner: OnnxRunner, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The stages whose sessions are run from now on."""
    calls: list[int] = []

    class Counted:
        def __init__(self, position: int, session: Any) -> None:
            self.position, self.session = position, session

        def __getattr__(self, name: str) -> Any:
            return getattr(self.session, name)

        def run(self, *arguments: Any) -> Any:
            calls.append(self.position)
            return self.session.run(*arguments)

        def run_with_iobinding(self, binding: Any) -> None:
            calls.append(self.position)
            self.session.run_with_iobinding(binding)

    monkeypatch.setattr(runner, "sessions", [Counted(k, s) for k, s in enumerate(runner.sessions)])
    return calls


@pytest.mark.parametrize("count", [1, 3])
def test_stopping_runs_no_further_stage(
    runner: OnnxRunner, x: Any, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not asking, an exit, a MACs budget, a confidence and a deadline each end the run before the next stage."""
    calls = count_calls(runner, monkeypatch)
    few = x[:count]
    next(runner.predict(few))
    assert calls == [0]
    spent = [cost["anytime_macs"] for cost in runner.exits]
    sure = [p.confidence.min() for p in runner.predict(few)]
    runner.stage_ms[count] = (1.0, 1e6, 1.0)
    for limits, expected in (
        ({"exit": 1}, [0, 1]),
        ({"macs": spent[1]}, [0, 1]),
        ({"macs": spent[1] - 1}, [0]),
        ({"confidence": sure[0]}, [0]),
        ({"deadline_ms": 1e5}, [0]),
        ({"macs": spent[0] - 1}, []),
    ):
        calls.clear()
        assert [p.exit for p in runner.predict(few, **limits)] == expected  # type: ignore[arg-type]
        assert calls == expected


def test_runs_at_the_same_time_do_not_disturb_each_other(runner: OnnxRunner, x: Any) -> None:
    """Two pictures whose runs alternate, and one left half way, keep their own tensors; memory is used again."""
    alone = [[p.probabilities for p in runner.predict(x[i : i + 1])] for i in range(2)]
    assert len(runner._idle) == 1
    abandoned = runner.predict(x[5:6])
    next(abandoned)
    together = list(zip(runner.predict(x[0:1]), runner.predict(x[1:2]), strict=True))
    for k, (a, b) in enumerate(together):
        np.testing.assert_array_equal(a.probabilities, alone[0][k])
        np.testing.assert_array_equal(b.probabilities, alone[1][k])
    abandoned.close()  # type: ignore[attr-defined]
    assert len(runner._idle) == 3


def test_kept_predictions_do_not_change(runner: OnnxRunner, x: Any) -> None:
    """Probabilities looked at after another picture has gone through the same memory are those of their own."""
    at_once = [p.probabilities for p in runner.predict(x[0:1])]
    kept = list(runner.predict(x[0:1]))
    others = [p.probabilities for p in runner.predict(x[1:2])]
    for expected, ours, other in zip(at_once, kept, others, strict=True):
        np.testing.assert_array_equal(ours.probabilities, expected)
        assert not np.allclose(ours.probabilities, other)


def test_classify_drops_pictures_that_left(runner: OnnxRunner, predictor: AnytimePredictor, x: Any) -> None:
    """Batches shrink from exit to exit, with the answers of PyTorch."""
    every = [p.confidence for p in runner.predict(x)]
    thresholds = [float(np.median(every[0])), float(np.median(every[1])), -math.inf]
    ours, theirs = runner.classify(x, thresholds), predictor.classify(torch.from_numpy(x), thresholds)
    assert set(ours.exits.tolist()) == {0, 1, 2}
    agree = ours.exits == theirs.exits  # the picture at the median itself may go either way by rounding
    assert agree.mean() >= 0.97
    np.testing.assert_allclose(ours.probabilities[agree], theirs.probabilities[agree], atol=1e-5)


def test_thresholds_by_mean_cost(runner: OnnxRunner) -> None:
    """The largest solved budget within the asked one; closed exits are infinite; too small a budget is refused."""
    assert runner.thresholds(29_999) == [0.6, 0.7, -math.inf]
    assert runner.thresholds(1e9) == [math.inf, 0.8, -math.inf]
    with pytest.raises(RequestError, match="there are 20000, 30000"):
        runner.thresholds(19_999)


def test_the_folder_alone_is_enough(
    folder: Path, digits: NDArray[np.uint8], runner: OnnxRunner, tmp_path: Path
) -> None:
    """Without Sartor on the path, the copied folder predicts the same, and loads no torch."""
    device = tmp_path / "device"
    shutil.copytree(folder, device)
    np.save(tmp_path / "digit.npy", digits[:1])
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "sys.modules['sartor'] = None\n"  # importing it fails, as where it is not installed
        "import numpy as np\n"
        "from onnx_runner import OnnxRunner, RequestError\n"
        "runner = OnnxRunner('.')\n"
        "x = runner.prepare(np.load('../digit.npy'))\n"
        "print([p.labels.tolist() + p.confidence.round(4).tolist() for p in runner.predict(x)])\n"
        "try:\n    runner.predict(x, exit=9)\nexcept RequestError as error:\n    print(error)\n"
        "print('torch' in sys.modules)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=device, env=environment, capture_output=True, text=True, check=True
    )
    found, refused, torch_loaded = done.stdout.splitlines()
    expected = [p.labels.tolist() + p.confidence.round(4).tolist() for p in runner.predict(runner.prepare(digits[:1]))]
    assert json.loads(found) == expected
    assert "exits 0 to 2" in refused and torch_loaded == "False"


def test_load_anytime_opens_a_folder(folder: Path) -> None:
    """The folder, or its anytime.json, makes a runner."""
    assert isinstance(sartor.load_anytime(folder), OnnxRunner)
    assert isinstance(sartor.load_anytime(folder / "anytime.json"), OnnxRunner)


def test_pictures_that_do_not_fit_are_refused(runner: OnnxRunner) -> None:
    """Type and shape are named."""
    with pytest.raises(RequestError, match=r"float32 \[B, 1, 8, 8\] as prepare\(\) makes them, got float64"):
        runner.predict(np.zeros((1, 1, 8, 8)))
    with pytest.raises(RequestError, match=r"uint8 of shape \[B, 8, 8, 1\], got uint8 of shape \[1, 9, 9, 1\]"):
        runner.prepare(np.zeros((1, 9, 9, 1), np.uint8))


def test_broken_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    """A missing description, a missing or damaged stage, another kind and another version are each said."""
    with pytest.raises(RequestError, match="cannot be read"):
        OnnxRunner(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "stage1.onnx").write_bytes(b"no model")
    with pytest.raises(RequestError, match=r"stage1.onnx: this is no ONNX file"):
        OnnxRunner(copy)
    (copy / "stage1.onnx").unlink()
    with pytest.raises(RequestError, match="copy the whole folder"):
        OnnxRunner(copy)
    for content, words in (
        ("{", "damaged"),
        ('{"kind": "other"}', "does not describe"),
        ('{"kind": "sartor-anytime", "format_version": 9}', "format version 9"),
    ):
        (copy / "anytime.json").write_text(content)
        with pytest.raises(RequestError, match=words):
            OnnxRunner(copy)
