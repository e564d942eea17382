"""Whole networks timed as they are shipped: on this machine for once, and on a faked clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from profiling_fakes import CALL_NS, FakeClock, FakeRuntime, FakeTimer, block_ns

from sartor.costs.keys import network_pieces
from sartor.errors import RequestError
from sartor.profiling import runner, runtimes
from sartor.profiling.graphs import network_graph
from sartor.profiling.networks import Bench, Shipped, same_machine
from sartor.testing.examples import small_space

SPACE = small_space("channel_bench_macro")
ENDS = {"large": SPACE.largest, "small": SPACE.smallest}
pytest.importorskip("onnxruntime")


@pytest.fixture
def networks(tmp_path: Path) -> dict[str, Shipped]:
    """The largest and the smallest network of a space, in files."""
    found = {}
    for name, row in ENDS.items():
        blueprint = SPACE.architecture(row).blueprint if not hasattr(row, "blueprint") else row.blueprint
        (tmp_path / f"{name}.onnx").write_bytes(network_graph(blueprint))
        found[name] = Shipped(tmp_path / f"{name}.onnx", blueprint, blueprint.build)
    return found


@pytest.mark.parametrize("name", ["onnxruntime", "pytorch"])
def test_this_machine(name: str, networks: dict[str, Shipped], tmp_path: Path) -> None:
    """For real: the larger network takes longer, and the same call again needs no further samples."""
    timings = tmp_path / "T.jsonl"
    bench = Bench.here()
    assert same_machine(bench.machine, runner.machine())
    found = bench.measure(networks, runtimes.create(name), timings, seconds=0.15, repeats=5)
    assert found["large"].ms > found["small"].ms > 0
    assert found["large"].runtime["name"] == name and found["large"].clock == "thread CPU time"
    kept = timings.read_bytes()
    assert bench.measure(networks, runtimes.create(name), timings, seconds=0.15, repeats=5) == found
    assert timings.read_bytes() == kept


def fake_bench(**fakes: Any) -> Bench:
    return Bench({"cpu": "x"}, timer=lambda clock, repeats: FakeTimer(**fakes), clock=FakeClock(0.05))


def test_what_is_measured_is_the_whole_call(networks: dict[str, Shipped], tmp_path: Path) -> None:
    """Without noise the answer is exact, with the fixed cost of the call in it."""
    found = fake_bench().measure(networks, FakeRuntime(), tmp_path / "T.jsonl", seconds=1)
    for name, measured in found.items():
        blocks = sum(map(block_ns, network_pieces(networks[name].blueprint)))
        assert measured.ms == (CALL_NS + blocks) / 1e6
        assert measured.noise == 0 and measured.visits > 1


def test_noise_is_said(networks: dict[str, Shipped], tmp_path: Path) -> None:
    """The share by which odd and even visits differ."""
    found = fake_bench(noise=0.5).measure(networks, FakeRuntime(), tmp_path / "T.jsonl", seconds=1)
    assert all(0 < (measured.noise or 0) < 0.5 for measured in found.values())


def test_timings_of_other_files_are_refused(networks: dict[str, Shipped], tmp_path: Path) -> None:
    """Samples belong to the files that were timed: others of the same names are not taken for them."""
    timings = tmp_path / "T.jsonl"
    fake_bench().measure(networks, FakeRuntime(), timings, seconds=1)
    networks["small"].onnx.write_bytes(networks["large"].onnx.read_bytes())
    with pytest.raises(RequestError, match="holds timings of another plan"):
        fake_bench().measure(networks, FakeRuntime(), timings, seconds=1)


def test_which_machines_are_the_same() -> None:
    """Processor, system and architecture decide; what is not known is the same as nothing."""
    board = {"cpu": "a", "system": "b", "architecture": "c"}
    assert same_machine(board, {**board, "name": "other"})
    for part in board:
        assert not same_machine(board, {**board, part: "other"})
    assert not same_machine({}, {}) and not same_machine(board, {})
