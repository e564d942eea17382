"""The recipe that compares the predictors, on faked profiles."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from profiling_fakes import FakeClock, FakeRuntime, FakeTimer

from sartor import spaces
from sartor.profiling.plan import Plan, Settings
from sartor.profiling.session import profile

RECIPES = Path(__file__).parents[2] / "recipes"
OPTIONS: dict[str, Any] = {"image_size": 8, "levels": 2, "multiplier": 0.25}


def test_predictors_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From two profiles: three curves whose time grows, judged on the same networks; the table is good in the end."""
    monkeypatch.syspath_prepend(str(RECIPES))
    import latency_predictors

    monkeypatch.setattr(latency_predictors, "SHARES", (0.25, 1.0))
    space = spaces.create("mobilenet_v1", **OPTIONS)
    for predictor in ("table", "pairwise"):
        plan = Plan(space, Settings(predictor, 0.5))
        profile(plan, FakeRuntime(), tmp_path / f"{predictor}.json", timer=FakeTimer(), clock=FakeClock(0.05))
    words = [f"--option={name}={value}" for name, value in OPTIONS.items()]
    monkeypatch.setattr(sys, "argv", ["recipe", "--minutes=0.5", "--measured", f"--out={tmp_path}", *words])
    latency_predictors.main()
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "latency_predictors_mobilenet_v1_8.json").read_text())
    assert printed.startswith("# Latency predictors: mobilenet_v1, fake 1.0, one thread")
    assert set(result["curves"]) == {"table", "pairwise", "linear"}
    for points in result["curves"].values():
        seconds = [point["seconds"] for point in points]
        assert len(points) == 2 and seconds == sorted(seconds)
    judged = {point["raw"]["networks"] for points in result["curves"].values() for point in points}
    assert len(judged) == 1 and judged.pop() > 20
    assert result["curves"]["table"][-1]["raw"]["median"] < 0.05
    assert result["curves"]["table"][0]["entries"]["interpolated"] > 0
    with pytest.raises(SystemExit, match="another plan"):
        monkeypatch.setattr(sys, "argv", ["recipe", "--minutes=0.7", "--measured", f"--out={tmp_path}", *words])
        latency_predictors.main()
