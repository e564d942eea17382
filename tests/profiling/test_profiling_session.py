"""Profiles from start to end on a faked clock: exact tables, resuming, time limits, the three predictors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from profiling_fakes import CALL_NS, FakeClock, FakeRuntime, FakeTimer, block_ns

from sartor.costs.devices import device_cost
from sartor.costs.files import read_table
from sartor.costs.keys import space_pieces
from sartor.errors import RequestError
from sartor.profiling.plan import CALL, Plan, Settings
from sartor.profiling.session import check_out, profile, timings_path
from sartor.testing.examples import small_space

SPACE = small_space("channel_bench_macro")


def run(out: Path, settings: Settings, **fakes: Any) -> dict[str, Any]:
    """A profile of the small space."""
    plan = Plan(SPACE, settings)
    timer = fakes.get("timer") or FakeTimer()
    return profile(plan, fakes.get("runtime") or FakeRuntime(), out, timer=timer, clock=fakes.get("clock", FakeClock()))


def test_without_noise_everything_is_exact(tmp_path: Path) -> None:
    """With time enough every block is measured, the call taken off, and the sum is what networks take."""
    out = tmp_path / "T.json"
    document = run(out, Settings(minutes=7))
    table = read_table(out)
    pieces = space_pieces(SPACE)
    assert {key: entry.ns for key, entry in table.entries.items()} == {k: block_ns(p) for k, p in pieces.items()}
    assert table.call_ns == CALL_NS
    assert not any(entry.interpolated for entry in table.entries.values())
    assert document["errors"]["raw"]["worst"] == 0
    assert document["errors"]["raw"]["spearman"] == pytest.approx(1)
    assert document["errors"]["raw"]["networks"] == 104
    assert document["errors"]["corrected"]["worst"] < 0.002
    assert document["noise"] == {
        "clock": "thread CPU time",
        "network_median": 0.0,
        "network_p99": 0.0,
        "visit_spread": 0.0,
        "noisy": False,
    }
    assert table.device["name"] == "T" and table.runtime == {"name": "fake", "version": "1.0"}
    rows = SPACE.sample(5, np.random.default_rng(0))
    assert (device_cost(SPACE, str(out))(rows) == table.cost(SPACE)(rows)).all()
    assert out.with_suffix(".svg").read_text().count("<circle") == 104 + 2


def test_corrections_are_judged_on_other_networks(tmp_path: Path) -> None:
    """Networks that take more than their blocks: the plain sum is off by that, the corrected one is not."""
    document = run(tmp_path / "T.json", Settings(minutes=7), runtime=FakeRuntime(factor=1.25))
    assert document["errors"]["raw"]["median"] == pytest.approx(0.2, abs=0.01)
    assert document["errors"]["raw"]["margin_90"] == pytest.approx(0.25, abs=0.01)
    assert document["errors"]["corrected"]["worst"] < 0.01
    plan = Plan(SPACE, Settings())
    judges = {tuple(row) for name in ("held_out", "uniform_width") for row in plan.rows[name]}
    assert not judges & {tuple(row) for row in plan.rows["correction"]}
    assert len(judges) == 104


@pytest.mark.parametrize("stop", [1, 7, 23])
def test_resumed_equals_uninterrupted(tmp_path: Path, stop: int) -> None:
    """Killed between or inside groups, and again: the samples and the table are those of an undisturbed run."""
    settings = Settings(minutes=2, held_out=20, corrections=12)
    whole = run(tmp_path / "whole" / "T.json", settings, timer=FakeTimer(0.2))
    out = tmp_path / "killed" / "T.json"
    clock = FakeClock()
    with pytest.raises(KeyboardInterrupt):
        run(out, settings, timer=FakeTimer(0.2, stop_after=stop), clock=clock)
    assert not out.exists()
    with timings_path(out).open("a") as file:
        file.write('{"round": 0, "seconds": 4')  # cut short by the kill
    second = FakeTimer(0.2, stop_after=stop + 3)
    second.asked = stop
    with pytest.raises(KeyboardInterrupt):
        run(out, settings, timer=second)
    third = FakeTimer(0.2)
    third.asked = stop + 3
    resumed = run(out, settings, timer=third)
    lines = [timings_path(p).read_text().splitlines()[1:] for p in (tmp_path / "whole" / "T.json", out)]
    seconds = [[json.loads(line).pop("seconds") for line in part] for part in lines]
    assert seconds[0] == pytest.approx(seconds[1])
    assert [[v["ns"] for v in json.loads(line)["visits"].values()] for line in lines[0]] == [
        [v["ns"] for v in json.loads(line)["visits"].values()] for line in lines[1]
    ]
    for name in ("date", "device"):
        whole.pop(name), resumed.pop(name)
    assert resumed == whole


def test_finished_profiles_measure_nothing_more(tmp_path: Path) -> None:
    """The same command on a finished profile builds the same table from its samples; more minutes go on."""
    out = tmp_path / "T.json"
    first = run(out, Settings(minutes=1))
    runtime = FakeRuntime()
    assert run(out, Settings(minutes=1), runtime=runtime) == first
    assert runtime.opened == []
    run(out, Settings(minutes=2), runtime=runtime)
    assert runtime.opened


def test_short_of_time_the_rest_is_interpolated(tmp_path: Path) -> None:
    """A third of the time goes to the first visits; what is not reached is interpolated and marked, not far off."""
    out = tmp_path / "T.json"
    document = run(out, Settings(minutes=0.7, held_out=10, corrections=10))
    table = read_table(out)
    pieces = space_pieces(SPACE)
    interpolated = {key for key, entry in table.entries.items() if entry.interpolated}
    assert 0 < len(interpolated) < len(pieces) == len(table.entries)
    assert document["errors"]["entries"] == {
        "measured": len(pieces) - len(interpolated),
        "interpolated": len(interpolated),
    }
    off = [abs(table.entries[key].ns / block_ns(pieces[key]) - 1) for key in interpolated]
    assert np.median(off) < 0.1
    visits = [entry.visits for entry in table.entries.values() if not entry.interpolated]
    assert min(visits) >= 2


@pytest.mark.parametrize("predictor", ["pairwise", "linear"])
def test_models_of_networks(tmp_path: Path, predictor: Any) -> None:
    """The two models that are fitted to networks meet others, without a block being timed; both are devices."""
    out = tmp_path / "T.json"
    runtime = FakeRuntime()
    document = run(out, Settings(predictor, minutes=4, held_out=30), runtime=runtime)
    assert runtime.opened == []
    assert document["errors"]["raw"]["median"] < 0.03
    assert document["errors"]["corrected"]["median"] < 0.03
    assert document["kind"] == predictor
    rows = SPACE.sample(20, np.random.default_rng(5))
    expected = [FakeRuntime().open_network(SPACE.architecture(row).blueprint) for row in rows]
    assert device_cost(SPACE, str(out))(rows) == pytest.approx(expected, rel=0.15)


def test_noise_is_found_out(tmp_path: Path) -> None:
    """A machine on which the same networks differ from visit to visit is called noisy."""
    document = run(tmp_path / "T.json", Settings(minutes=6), timer=FakeTimer(2.0))
    assert document["noise"]["noisy"] is True
    assert document["noise"]["network_median"] > 0.03


def test_plans_are_drawn_from_their_seed() -> None:
    """The same settings plan the same jobs; another seed, batch or space another plan."""
    plan = Plan(SPACE, Settings())
    assert plan.digest == Plan(SPACE, Settings(minutes=3)).digest
    others = [
        Plan(SPACE, Settings(seed=1)),
        Plan(SPACE, Settings(), batch=4),
        Plan(SPACE, Settings(held_out=9)),
        Plan(small_space("nas_bench_macro"), Settings()),
    ]
    assert len({plan.digest, *[other.digest for other in others]}) == 5
    assert plan.jobs[0] == CALL and len(set(plan.jobs)) == len(plan.jobs)
    assert set(plan.jobs) == {CALL, *plan.pieces, *plan.networks}


def test_timings_of_another_plan_are_in_the_way(tmp_path: Path) -> None:
    """Samples of another plan, runtime or thread count are never mixed in."""
    out = tmp_path / "T.json"
    run(out, Settings(minutes=0.2))
    with pytest.raises(RequestError, match=r"T\.timings\.jsonl holds timings of another plan .*move it away"):
        run(out, Settings(minutes=0.2, seed=1))
    timings_path(out).write_text("not json\n{}\n")
    with pytest.raises(RequestError, match=r"line 1: this is no line of timings"):
        run(out, Settings(minutes=0.2))
    timings_path(out).write_text('{"format": "else"}\n{}\n')
    with pytest.raises(RequestError, match="this is no file of timings"):
        run(out, Settings(minutes=0.2))


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    """Impossible minutes, predictors and paths stop before anything is measured."""
    with pytest.raises(RequestError, match="minutes must be above 0"):
        Settings(minutes=0)
    with pytest.raises(RequestError, match="unknown predictor 'guess'; known are table, pairwise, linear"):
        Settings("guess")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"ends in \.json"):
        check_out(tmp_path / "T.txt")
    with pytest.raises(RequestError, match="threads and batch must be at least 1"):
        FakeRuntime(threads=0)
