"""Another budget from a finished run: solved at once, trained and exported on request."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_jobs
import pytest

from sartor.errors import InfeasibleBudgetError, RequestError, VerificationError
from sartor.export.session import open_session
from sartor.pipeline import pick
from sartor.pipeline.training import load_weights
from sartor.platforms import Platform
from sartor.run import METHOD, RunFolder

# The gradient of a prefix is a strided view on purpose (see sartor.elastic.layers).
pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

WATCH = Platform("wristband", {"macs": "250k"})


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A finished run that a test may write to."""
    path = tmp_path / "copy"
    shutil.copytree(finished, path)
    return path


def picked(path: Path, platform: Platform, train: bool = False) -> dict[str, Any]:
    with RunFolder.reopen(path, lock=train) as folder:
        return pick(folder, platform, train)


def test_a_pick_keeps_its_budget_and_writes_nothing(finished: Path) -> None:
    """The answer is within the budget, with exact costs, and nothing in the folder changes."""
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
    found = picked(finished, WATCH)
    assert found["name"] == "wristband" and found["budgets"] == {"macs": 250_000}
    assert found["costs"]["macs"] <= 250_000
    space = pipeline_jobs.digits_space()
    assert space.blueprint(found["architecture"]).macs == found["costs"]["macs"]
    assert before == {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}


def test_a_pick_for_a_runs_own_budget_is_the_runs_answer(finished: Path, result: dict[str, Any]) -> None:
    """The same budgets give the same architecture and the same predicted loss as the search did."""
    for platform in result["platforms"]:
        found = picked(finished, Platform("again", platform["budgets"]))
        assert found["architecture"] == platform["architecture"]
        assert found["predicted_loss"] == platform["predicted_loss"]


def test_larger_budgets_are_never_worse(finished: Path) -> None:
    """The predicted loss falls, or stays, as the budget grows."""
    losses = [
        picked(finished, Platform("p", {"macs": macs}))["predicted_loss"] for macs in range(130_000, 900_000, 140_000)
    ]
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(losses))


def test_impossible_picks(finished: Path) -> None:
    """A budget that nothing meets names the cheapest reachable cost."""
    with pytest.raises(InfeasibleBudgetError, match=r"macs.*\d"):
        picked(finished, Platform("tiny", {"macs": 10}))


def test_a_pick_needs_a_search(finished: Path, tmp_path: Path) -> None:
    """A run whose search is not done says what to do; so does one whose method's state is gone."""
    from sartor.config import Job

    configuration = Job.from_dict(pipeline_jobs.job()).resolved()
    with RunFolder.create(tmp_path / "new", configuration), pytest.raises(RequestError, match="search is not done yet"):
        picked(tmp_path / "new", WATCH)
    shutil.copytree(finished, tmp_path / "bare")
    (tmp_path / "bare" / METHOD).unlink()
    with pytest.raises(RequestError, match=f"{METHOD} is missing"):
        picked(tmp_path / "bare", WATCH)


def test_a_pick_is_trained_and_exported(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``train`` the network is trained, judged and exported; killed in the export it goes on; then it is known."""
    from sartor.pipeline import exporting

    def killed(*args: Any, **kwargs: Any) -> Any:
        raise VerificationError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "verify", killed)
        with pytest.raises(VerificationError):
            picked(copy, WATCH, train=True)
    # What is half done belongs to this network: another one of the same name is refused before any training.
    with pytest.raises(RequestError, match="'wristband' was picked before with other budgets"):
        picked(copy, Platform("wristband", {"macs": "700k"}), train=True)
    lines = len(metrics(copy))
    found = picked(copy, WATCH, train=True)
    assert len(metrics(copy)) == lines  # trained once
    assert found["architecture"] == picked(copy, WATCH)["architecture"]
    assert found["test_accuracy"] is not None and found["onnx_top1_agreement"] == 1.0
    space = pipeline_jobs.digits_space()
    load_weights(space.blueprint(found["architecture"]).build(), copy / found["weights"])
    session = open_session(copy / found["onnx"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 1, 8, 8), dtype=np.float32)})
    assert logits.shape == (1, 10)
    assert json.loads(json.dumps(picked(copy, WATCH, train=True))) == json.loads(json.dumps(found))
    for name in ("watch", "Watch"):
        with pytest.raises(RequestError, match="one of the run's own; give another --name"):
            picked(copy, Platform(name, {"macs": "250k"}), train=True)


def metrics(path: Path) -> list[dict[str, Any]]:
    with RunFolder.reopen(path, lock=False) as folder:
        return folder.metrics("pick:wristband")
