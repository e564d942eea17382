"""Several processes train one network: their averages, and a whole run under torch's launcher."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sartor import world

# Trains a network without batch norm for three steps on the slice of this process, and writes down its weights: in a
# file of its own, because the lines of two processes on one pipe can run into each other.
TRAINING = """
import json
import sys
from pathlib import Path
import numpy as np
import torch
from sartor import world
from sartor.blueprint import Block, Blueprint
from sartor.data import Augmentation, BatchStream, Normalisation
from sartor.stack import Stack
from sartor.runtime import prepare
from sartor.train.loop import NoStore
from sartor.train.networks import train_slimmable
from sartor.train.settings import FinalTraining

torch.set_num_threads(1)
world.join()
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 255, (32, 8, 8, 3), dtype=np.uint8), rng.integers(0, 4, 32)
norm = Normalisation.of(images)
stream = BatchStream(images, labels, np.arange(32), 8, Augmentation(pad=1, flip=True), norm, 0,
                     rank=world.rank(), world_size=world.size())

def blueprint(width):
    stack = Stack(3, 8).conv("conv", width, kernel=3, bias=True).activation().global_pool().linear("linear", 4)
    return Blueprint((Block("all", ("pictures",), stack),), 3, 8)

settings = FinalTraining(epochs=0.75, batch_size=8, dropout=0.0, learning_rate=0.05)
networks = {"small": blueprint(4), "middle": blueprint(6), "large": blueprint(8)}
store = NoStore()
trained = train_slimmable(networks, dict.fromkeys(networks, 1.0), stream, settings, prepare("cpu"), store)
weights = torch.cat([p.detach().reshape(-1) for p in trained.network.parameters()])
result = {"rank": world.rank(), "weights": weights.tolist(), "loss": store.records[-1]["loss"]}
Path(sys.argv[1], f"{world.size()}-{world.rank()}.json").write_text(json.dumps(result))
world.leave()
"""


def launch(processes: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command under torch's launcher."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", str(port)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *launcher, *command], capture_output=True, text=True, timeout=240, env=environment, check=False
    )


def test_one_process_is_its_own_average() -> None:
    """Without a launcher nothing is exchanged and nothing changes."""
    assert (world.rank(), world.size(), world.launched()) == (0, 1, False)
    values = np.array([1.0, np.nan])
    np.testing.assert_array_equal(world.average(values), values)
    tensor = torch.arange(3.0)
    world.average_([tensor])
    assert tensor.tolist() == [0.0, 1.0, 2.0]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    """Without batch norm two processes with half a batch each end with the weights and losses of one process."""
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, timeout=120, check=True)
    together = launch(2, str(script), str(tmp_path))
    assert together.returncode == 0, together.stderr
    expected = json.loads((tmp_path / "1-0.json").read_text())
    found = [json.loads((tmp_path / f"2-{rank}.json").read_text()) for rank in (0, 1)]
    assert [f["rank"] for f in found] == [0, 1]
    for process in found:
        np.testing.assert_allclose(process["weights"], expected["weights"], atol=1e-6)
        assert process["loss"] == pytest.approx(expected["loss"], abs=1e-6)


@pytest.mark.slow
def test_a_run_under_the_launcher(tmp_path: Path) -> None:
    """Two processes make one run folder with one result, and the second leaves no trace."""
    job = tmp_path / "job.yaml"
    job.write_text(
        """
name: two
data: {source: digits, augmentation: none}
space: {name: mobilenet_v1, multiplier: 0.25, divisor: 4, min_width: 0.5, levels: 2}
method: aows
platforms: [{name: watch, macs: 300k}, {name: phone, macs: 900k}]
search: {epochs: 0.5, batch_size: 32}
train: {epochs: 0.5, batch_size: 32, dropout: 0.0}
export: {verification_pictures: 8, latency_repeats: 10}
evaluation: {calibration_pictures: 64, cloud: 3}
threads: 1
"""
    )
    done = launch(2, "-m", "sartor", "run", str(job), "--out", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [p["name"] for p in document["platforms"]] == ["watch", "phone"]
    assert all(p["onnx_top1_agreement"] == 1.0 for p in document["platforms"])
    assert document["images_trained"]["search"] % 32 == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["job.yaml", "run"]
