"""What is promised of a latency before anything is trained, from the device's file and the platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import latency_jobs
import numpy as np
import pipeline_jobs
import pytest
from latency_jobs import MARGIN

import sartor
from sartor import data
from sartor.costs.devices import device_cost
from sartor.data import Augmentation
from sartor.pipeline.promises import LatencyPromise, tightened
from sartor.platforms import Platform
from sartor.train.settings import FinalTraining, SearchTraining

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")


def test_a_promise_has_the_facts_of_the_file(tmp_path: Path) -> None:
    """Margin and machine are those of the file; a platform's own margin is its own; plain data comes back."""
    device = latency_jobs.written(tmp_path)
    asked: dict[str, Any] = {"name": "p", "budgets": {"latency_ms": 2.0}, "device": device}
    promise = LatencyPromise.of(Platform(**asked), {"latency_ms": 1.5}, scale=1.2)
    assert promise is not None
    assert (promise.predicted_ms, promise.scale, promise.budget_ms) == (1.5 * 1.2, 1.2, 2.0)
    assert (promise.margin, promise.margin_from) == (MARGIN, "device")
    assert promise.machine == latency_jobs.MACHINE and promise.repeats == 4
    assert LatencyPromise(**promise.to_dict()) == promise
    own = LatencyPromise.of(Platform(**asked, latency_margin=0.0), {"latency_ms": 1.5})
    assert own is not None and (own.margin, own.margin_from) == (0.0, "platform")
    nobody = LatencyPromise.of(Platform("p", {"latency_ms": 2}, device="pixel1_tunas"), {"latency_ms": 1.5})
    assert nobody is not None and (nobody.margin, nobody.margin_from, dict(nobody.machine)) == (0.0, None, {})
    assert LatencyPromise.of(Platform("p", {"macs": 5}), {"macs": 4}) is None


def test_a_tighter_platform_keeps_all_else() -> None:
    """Only the latency budget is divided."""
    platform = Platform("p", {"latency_ms": 3.0, "macs": 7}, 2.0, "pixel1_tunas", 0.1)
    assert tightened(platform, 1.5) == Platform("p", {"latency_ms": 2.0, "macs": 7}, 2.0, "pixel1_tunas", 0.1)


def test_search_in_python_promises(tmp_path: Path) -> None:
    """``sartor.search`` keeps the margin and says what it predicted."""
    device = latency_jobs.written(tmp_path)
    space = pipeline_jobs.digits_space()
    platform = Platform("phone", {"latency_ms": 0.5}, device=device)
    answer = sartor.search(
        "ows",
        space=space,
        data=data.load("digits", pictures_per_class=10),
        platforms=[platform],
        search_training=SearchTraining(epochs=1, batch_size=16),
        final_training=FinalTraining(epochs=0.1, batch_size=16, dropout=0.0),
        augmentation=Augmentation(),
        threads=1,
        device="cpu",
    )["phone"]
    assert answer.latency is not None
    ns = int(device_cost(space, device)(np.array([answer.architecture.row]))[0])
    assert answer.latency.predicted_ms == answer.choice.costs["latency_ms"] == pytest.approx(ns / 1e6)
    assert answer.latency.predicted_ms * (1 + MARGIN) <= 0.5
