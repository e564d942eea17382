"""Writing the file: what is in it, what it leaves alone, and what a kill leaves behind."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export_networks import SmallNetwork, reference_logits, settled
from numpy.typing import NDArray
from torch import nn

from sartor.errors import RequestError
from sartor.export import ModelCard, export_onnx, preprocess, verify
from sartor.export.onnx_file import Exporter


def run(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pictures": inputs})[0]  # type: ignore[no-any-return]


def test_the_file_computes_the_network(
    exported: Path, digits: NDArray[np.uint8], card: ModelCard, logits: NDArray[np.float32]
) -> None:
    """On real digits the file's logits equal PyTorch's, for batches of 1, 7 and 200: the batch is dynamic."""
    inputs = preprocess(digits, card)
    for count in (1, 7, 200):
        np.testing.assert_allclose(run(exported, inputs[:count]), logits[:count], atol=1e-5)


def test_one_file_with_its_weights_and_card(exported: Path, card: ModelCard) -> None:
    """The folder holds one file; names, operator set and metadata are as documented."""
    assert [p.name for p in exported.parent.iterdir()] == ["watch.onnx"]
    model = onnx.load(exported, load_external_data=False)
    assert [i.name for i in model.graph.input] == ["pictures"]
    assert [o.name for o in model.graph.output] == ["logits"]
    assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer)
    assert model.opset_import[0].version == 18
    metadata = {p.key: p.value for p in model.metadata_props}
    assert ModelCard.from_metadata(metadata, exported) == card
    assert json.loads(metadata["sartor.costs"])["macs"] == 150_000


def test_batch_norm_is_folded_and_no_path_leaks(exported: Path) -> None:
    """No batch normalisation and no Identity is left, and nothing says where the code lay."""
    model = onnx.load(exported)
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"BatchNormalization", "Identity", "Dropout"}
    content = exported.read_bytes()
    assert b".py" not in content
    assert os.fsencode(Path(__file__).parent) not in content


@pytest.mark.parametrize("training", [False, True])
def test_exporting_leaves_the_network_untouched(card: ModelCard, tmp_path: Path, training: bool) -> None:
    """Mode, parameters, statistics, gradients and torch's random state are as before; the file is in eval mode."""
    network = settled(SmallNetwork()).train(training)
    network.stem[0].weight.grad = torch.ones_like(network.stem[0].weight)  # type: ignore[index, union-attr]
    network.head.eval()  # type: ignore[union-attr]
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    random_state = torch.get_rng_state()
    path = export_onnx(network, card, tmp_path / "net.onnx")
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert network.stem[0].weight.grad.eq(1).all()  # type: ignore[index, union-attr]
    inputs = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(run(path, inputs), expected, atol=1e-5)


def test_double_precision_networks_are_exported_in_float32(card: ModelCard, tmp_path: Path) -> None:
    """A float64 network stays float64 and gives a float32 file."""
    network = settled(SmallNetwork()).double()
    model = onnx.load(export_onnx(network, card, tmp_path / "net.onnx"))
    assert {t.data_type for t in model.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    assert next(network.parameters()).dtype == torch.float64


EXPORT_IN_A_FRESH_PROCESS = """
import sys
from export_networks import SmallNetwork, settled
from sartor.export import ModelCard, export_onnx

card = ModelCard(
    name="n", mean=(0.0,), std=(1.0,), image_size=8, colour_order="grey", class_names=tuple("0123456789")
)
for exporter in ("torchscript", "dynamo"):
    export_onnx(settled(SmallNetwork()), card, exporter + ".onnx", exporter=exporter)
"""


@pytest.mark.slow
def test_a_fresh_process_exports_in_silence(tmp_path: Path) -> None:
    """Neither exporter writes a banner, a warning or a log line, the first time included."""
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    command = [sys.executable, "-W", "always", "-c", EXPORT_IN_A_FRESH_PROCESS]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert {p.name for p in tmp_path.iterdir()} == {"torchscript.onnx", "dynamo.onnx"}


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_both_exporters_work_in_silence(
    network: nn.Module, card: ModelCard, tmp_path: Path, exporter: Exporter, capfd: Any, recwarn: Any
) -> None:
    """Either exporter of torch gives a file that computes the network, without a word on the terminal."""
    path = export_onnx(network, card, tmp_path / "net.onnx", exporter=exporter)
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    np.testing.assert_allclose(
        run(path, preprocess(pictures, card)), reference_logits(network, pictures, card), atol=1e-5
    )
    content = path.read_bytes()
    assert b".py" not in content


def test_auto_falls_back_to_the_other_exporter(
    network: nn.Module, card: ModelCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A torch without the old exporter still exports; without both, the error names what each said."""
    from sartor.errors import SartorError

    real = torch.onnx.export

    def without_torchscript(*args: Any, dynamo: bool, **options: Any) -> Any:
        if not dynamo:
            raise TypeError("dynamo=False is gone")
        return real(*args, dynamo=dynamo, **options)

    monkeypatch.setattr(torch.onnx, "export", without_torchscript)
    assert onnx.load(export_onnx(network, card, tmp_path / "net.onnx")).graph.node
    with pytest.raises(SartorError, match="torchscript: TypeError: dynamo=False is gone"):
        export_onnx(network, card, tmp_path / "net.onnx", exporter="torchscript")


def test_a_network_that_does_not_fit_its_card_is_refused(card: ModelCard, tmp_path: Path) -> None:
    """Other classes, other channels, and several exits are each said before anything is written."""
    path = tmp_path / "net.onnx"
    with pytest.raises(RequestError, match="10 classes"):
        export_onnx(SmallNetwork(classes=7), card, path)
    with pytest.raises(RequestError, match=r"does not accept pictures of shape \[1, 8, 8\]"):
        export_onnx(SmallNetwork(channels=3), card, path)

    class TwoExits(SmallNetwork):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x), super().forward(x)

    with pytest.raises(RequestError, match="one exit"):
        export_onnx(TwoExits(), card, path)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_request_error(network: nn.Module, card: ModelCard, tmp_path: Path) -> None:
    """A folder that cannot be made is reported with its path; nothing is left behind."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RequestError, match="cannot be written to"):
        export_onnx(network, card, tmp_path / "file" / "net.onnx")


KILLED_WHILE_WRITING = """
import os, signal, sys
import onnx
from pathlib import Path
from sartor.export.onnx_file import write_model

real = os.fsync
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # all written, not yet in its place
write_model(onnx.load(sys.argv[1]), sys.argv[2])
"""


def test_a_kill_leaves_the_old_file_whole(exported: Path, card: ModelCard, tmp_path: Path) -> None:
    """Killed while writing, the file keeps its old content; the next export replaces it and tidies up."""
    target = tmp_path / "net.onnx"
    target.write_bytes(b"the old one")
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(exported), str(target)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"the old one"
    export_onnx(settled(SmallNetwork()), card, target)
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert onnx.load(target).graph.node


def test_colour_networks_round_trip(tmp_path: Path) -> None:
    """Three channels, their own mean and std, another size: verified like the grey one."""
    network = settled(SmallNetwork(channels=3, classes=4), seed=5)
    card = ModelCard(
        name="phone",
        mean=(0.5, 0.4, 0.3),
        std=(0.3, 0.2, 0.1),
        image_size=16,
        colour_order="RGB",
        class_names=("a", "b", "c", "d"),
    )
    path = export_onnx(network, card, tmp_path / "phone.onnx")
    pictures = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), dtype=np.uint8)
    found = verify(path, pictures, reference_logits(network, pictures, card), repeats=10)
    assert found.top1_agreement == 1.0
    assert found.max_abs_diff < 1e-4
