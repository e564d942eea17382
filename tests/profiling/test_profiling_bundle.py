"""Bundles: made, run by a Python that knows nothing of Sartor, collected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sartor.costs.devices import device_cost
from sartor.costs.files import read_table
from sartor.costs.keys import space_pieces
from sartor.errors import RequestError
from sartor.profiling import runner
from sartor.profiling.bundle import collect_bundle, write_bundle
from sartor.profiling.plan import Plan, Settings
from sartor.testing.examples import small_space

SPACE = small_space("channel_bench_macro")
SETTINGS = Settings(minutes=0.02, held_out=4, corrections=10, uniform_widths=2, repeats=2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was run, in a folder of its own, without Sartor."""
    folder = tmp_path_factory.mktemp("device") / "bundle"
    write_bundle(Plan(SPACE, SETTINGS), folder)
    # -I and an import that fails: nothing of Sartor can be used by accident.
    code = (
        "import sys, runpy; sys.modules['sartor'] = None; sys.argv = ['run.py']; "
        "runpy.run_path('run.py', {}, '__main__')"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Bring this folder back" in done.stderr
    return folder


def test_a_bundle_becomes_a_table(bundle: Path, tmp_path: Path) -> None:
    """What comes back is a device for the space, with an entry for every block."""
    out = tmp_path / "board.json"
    document = collect_bundle(bundle, out, SPACE.name)
    table = read_table(out)
    assert set(table.entries) == set(space_pieces(SPACE))
    assert document["runtime"]["name"] == "onnxruntime"
    assert (device_cost(SPACE, str(out))(SPACE.sample(3, np.random.default_rng(0))) > 0).all()


def test_a_bundle_holds_what_it_needs(bundle: Path) -> None:
    """One file per job, the plan, and the runner as it is."""
    plan = json.loads((bundle / "plan.json").read_text())
    assert [job["id"] for job in plan["jobs"]] == Plan(SPACE, SETTINGS).jobs
    assert all((bundle / job["file"]).is_file() for job in plan["jobs"])
    assert (bundle / "run.py").read_bytes() == Path(runner.__file__).read_bytes()


def test_wrong_folders_are_refused(bundle: Path, tmp_path: Path) -> None:
    """A folder that is there, that is no bundle, that was not run, or is of another space or plan."""
    out = tmp_path / "T.json"
    with pytest.raises(RequestError, match="there already"):
        write_bundle(Plan(SPACE, SETTINGS), bundle)
    with pytest.raises(RequestError, match=r"plan\.json is missing"):
        collect_bundle(tmp_path, out)
    with pytest.raises(RequestError, match="is for space 'channel_bench_macro', not 'mobilenet_v1'"):
        collect_bundle(bundle, out, "mobilenet_v1")
    fresh = tmp_path / "fresh"
    write_bundle(Plan(SPACE, SETTINGS), fresh)
    with pytest.raises(RequestError, match=r"no timings yet; copy the folder to the device and run: python run\.py"):
        collect_bundle(fresh, out)
    (fresh / "timings.jsonl").write_text("")
    with pytest.raises(RequestError, match="nothing was measured yet"):
        collect_bundle(fresh, out)
    plan = json.loads((fresh / "plan.json").read_text())
    (fresh / "timings.jsonl").write_bytes((bundle / "timings.jsonl").read_bytes())
    (fresh / "plan.json").write_text(json.dumps({**plan, "settings": {**plan["settings"], "seed": 5}}))
    with pytest.raises(RequestError, match="do not belong to what this version"):
        collect_bundle(fresh, out)
    (fresh / "plan.json").write_text("{")
    with pytest.raises(RequestError, match="this is no JSON"):
        collect_bundle(fresh, out)
    assert not out.exists()


def test_rounds_visit_all_in_another_order() -> None:
    """The first round keeps the order; later ones shuffle what it reached; jobs that are visited once stay out."""
    jobs = [f"job {i}" for i in range(10)]

    def rounds(schedule: runner.Schedule, count: int) -> list[list[str]]:
        found: dict[int, list[str]] = {}
        for _ in range(count):
            names = schedule.next()
            if names is None:
                break
            found.setdefault(schedule.round, []).extend(names)
            schedule.note({"round": schedule.round, "seconds": 1.0, "visits": dict.fromkeys(names)})
        return list(found.values())

    first, second, third = rounds(runner.Schedule(jobs, 100, group_size=4), 9)
    assert first == jobs and sorted(second) == sorted(third) == jobs
    assert second != jobs and second != third
    cut, again = rounds(runner.Schedule(jobs, 6, essential=1, group_size=2), 5)[:2]
    assert cut == jobs[:4] and sorted(again) == cut  # a third of six seconds
    some = runner.Schedule(jobs, 100, again={"job 3", "job 7"})
    assert sorted(rounds(some, 4)[1]) == ["job 3", "job 7"]
    none = runner.Schedule(jobs, 100, again=set())
    assert rounds(none, 9) == [jobs]
    essential = rounds(runner.Schedule(jobs, 0.5, essential=9, group_size=4), 9)
    assert essential == [jobs]


def test_timers_time_calls_in_turn() -> None:
    """Every call is timed as often as asked, in turn with the others, after calls that are not timed."""
    asked: list[str] = []
    timer = runner.Timer("thread CPU time", repeats=3, warmup=2, sample_ns=1)
    found = timer([lambda: asked.append("a"), lambda: asked.append("b")])
    assert [len(samples) for samples in found] == [3, 3]
    assert "".join(asked) == "aaa" + "bbb" + "aabb" * 3
    assert all(ns >= 0 for samples in found for ns in samples)
