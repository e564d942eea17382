"""Proof in a fresh process: it passes what is right and catches what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from torch import nn

from sartor.errors import RequestError, VerificationError
from sartor.export import ModelCard, export_onnx, verify
from sartor.export.onnx_file import write_model
from sartor.export.parameters import count_parameters
from sartor.export.verification import compare_logits

Uint8 = NDArray[np.uint8]
Float32 = NDArray[np.float32]


def with_metadata(path: Path, target: Path, **entries: object) -> Path:
    """A copy of an exported file with other values on its card."""
    model = onnx.load(path)
    metadata = {p.key: p.value for p in model.metadata_props}
    metadata |= {f"sartor.{key}": json.dumps(value) for key, value in entries.items()}
    onnx.helper.set_model_props(model, metadata)
    return write_model(model, target)


def test_a_right_file_passes(exported: Path, digits: Uint8, logits: Float32, network: nn.Module) -> None:
    """200 real digits agree; parameters, bytes and latency are plausible and countable by hand."""
    found = verify(exported, digits, logits, repeats=20)
    assert found.max_abs_diff < 1e-5
    assert found.top1_agreement == 1.0
    assert found.pictures == 200
    # Three folded batch norms of 8, 8 and 16 channels leave a bias of two vectors.
    assert found.params == sum(p.numel() for p in network.parameters()) - (8 + 8 + 16)
    assert found.file_bytes == exported.stat().st_size
    low, high = found.latency_spread_ms
    assert 0 < low <= found.latency_ms <= high < 50
    assert found.latency_repeats == 20
    assert json.loads(json.dumps(found.to_dict()))["latency_spread_ms"] == [low, high]


def test_picture_files_pass(exported: Path, digits: Uint8, logits: Float32, tmp_path: Path) -> None:
    """From PNG files on, the same: decoding happens in the fresh process too."""
    files = [tmp_path / f"{i}.png" for i in range(20)]
    for file, digit in zip(files, digits, strict=False):
        Image.fromarray(digit[:, :, 0]).save(file)
    assert verify(exported, files, logits[:20], repeats=10).top1_agreement == 1.0


def test_the_worker_never_imports_torch(exported: Path, digits: Uint8, tmp_path: Path) -> None:
    """The process that judges knows no torch, nor does importing the package bring it."""
    np.save(tmp_path / "pictures.npy", digits[:3])
    request = {"path": str(exported), "pictures": None, "repeats": 10}
    (tmp_path / "request.json").write_text(json.dumps(request))
    subprocess.run([sys.executable, "-m", "sartor.export.worker", str(tmp_path)], check=True)
    answer = json.loads((tmp_path / "answer.json").read_text())
    assert answer["imported_torch"] is False
    assert np.load(tmp_path / "logits.npy").shape == (3, 10)


def test_a_tampered_weight_is_caught(exported: Path, digits: Uint8, logits: Float32, tmp_path: Path) -> None:
    """One convolution with other numbers fails, with figures and a likely reason."""
    model = onnx.load(exported)
    weight = next(t for t in model.graph.initializer if t.dims[:] == [16, 8, 1, 1])
    values = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[::-1]), weight.name))
    tampered = write_model(model, tmp_path / "tampered.onnx")
    with pytest.raises(VerificationError, match=r"largest difference .* Likely reason: .*weights"):
        verify(tampered, digits, logits, repeats=10)


def test_one_slightly_changed_number_is_caught(exported: Path, digits: Uint8, logits: Float32, tmp_path: Path) -> None:
    """A single bias off by 0.01 is more than rounding."""
    model = onnx.load(exported)
    bias = next(t for t in model.graph.initializer if t.dims[:] == [10])
    values = numpy_helper.to_array(bias).copy()
    values[4] += 0.01
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    with pytest.raises(VerificationError, match="disagrees"):
        verify(write_model(model, tmp_path / "off.onnx"), digits, logits, repeats=10)


def test_wrong_normalisation_on_the_card_is_caught(
    exported: Path, digits: Uint8, logits: Float32, tmp_path: Path
) -> None:
    """Right weights with the mean of another data set fail: the check starts from raw pictures."""
    other = with_metadata(exported, tmp_path / "mean.onnx", mean=[0.5])
    with pytest.raises(VerificationError, match="preprocessing"):
        verify(other, digits, logits, repeats=10)


def test_an_unpruned_file_is_caught(
    exported: Path, digits: Uint8, logits: Float32, tmp_path: Path, card: ModelCard
) -> None:
    """A file with more parameters than its network, or far fewer, is not plausible."""
    true_params = card.costs["params"]
    for params in (true_params / 10, true_params * 10):
        other = with_metadata(exported, tmp_path / "size.onnx", costs={"params": params})
        with pytest.raises(VerificationError, match="another network was exported"):
            verify(other, digits, logits, repeats=10)


def test_weights_stored_twice_are_caught(exported: Path, digits: Uint8, logits: Float32, tmp_path: Path) -> None:
    """A file much larger than its parameters need is not plausible."""
    model = onnx.load(exported)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(50_000, dtype=np.int64), "ballast"))
    with pytest.raises(VerificationError, match="stored twice"):
        verify(write_model(model, tmp_path / "fat.onnx"), digits, logits, repeats=10)


def test_a_broken_file_is_no_crash(digits: Uint8, logits: Float32, tmp_path: Path) -> None:
    """Garbage in place of the model is a verification error; a missing file is the user's."""
    garbage = tmp_path / "garbage.onnx"
    garbage.write_bytes(b"\x00garbage")
    with pytest.raises(VerificationError, match="not an ONNX file"):
        verify(garbage, digits, logits)
    with pytest.raises(RequestError, match=r"absent\.onnx does not exist"):
        verify(tmp_path / "absent.onnx", digits, logits)


def test_a_bad_picture_is_the_users_error(exported: Path, logits: Float32, tmp_path: Path) -> None:
    """A picture that cannot be read is named, with the exit code of a wrong request."""
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(RequestError, match=r"bad\.png"):
        verify(exported, [tmp_path / "bad.png"], logits[:1])


def test_a_crashed_worker_shows_its_last_lines(
    exported: Path, digits: Uint8, logits: Float32, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the fresh process dies, its code and its last words are in the error."""
    (tmp_path / "onnxruntime.py").write_text("import sys; sys.exit('the runtime fell over')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(VerificationError, match=r"ended with code 1.*\n.*the runtime fell over"):
        verify(exported, digits, logits)


def test_the_users_folder_is_not_imported(
    exported: Path, digits: Uint8, logits: Float32, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the working folder that is called like a package does not get into the check."""
    (tmp_path / "PIL.py").write_text("raise RuntimeError('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    assert verify(exported, digits[:3], logits[:3], repeats=10).top1_agreement == 1.0


def test_a_hanging_worker_is_stopped(exported: Path, digits: Uint8, logits: Float32) -> None:
    """A check that takes too long ends with an error."""
    with pytest.raises(VerificationError, match=r"longer than 0\.01 s"):
        verify(exported, digits, logits, timeout_seconds=0.01)


def test_the_reference_must_match_the_pictures(exported: Path, digits: Uint8, logits: Float32) -> None:
    """One row of logits per picture, and at least one picture."""
    with pytest.raises(RequestError, match="one row of reference logits per picture"):
        verify(exported, digits, logits[:-1])
    with pytest.raises(RequestError, match="at least one picture"):
        verify(exported, digits[:0], logits[:0])


def test_ties_count_as_agreement_and_swaps_do_not() -> None:
    """Two classes closer than rounding may swap; two that differ by less than the tolerance may not."""
    reference = np.array([[1.0, 1.0 + 5e-5, 0.0]])
    assert compare_logits("f", reference, np.array([[1.0 + 6e-5, 1.0, 0.0]]))[1] == 1.0
    reference = np.array([[1.0, 1.0 + 6e-4, 0.0]])
    with pytest.raises(VerificationError, match=r"same first class for 0.0% of 1 pictures"):
        compare_logits("f", reference, np.array([[1.0 + 7e-4, 1.0, 0.0]]))


def test_the_tolerance_follows_the_scale_of_the_logits() -> None:
    """0.05 is much for a logit of 1 and little for one of 100."""
    compare_logits("f", np.array([[100.0, 1.0]]), np.array([[100.05, 1.05]]))
    with pytest.raises(VerificationError, match=r"0\.05 where 0\.001 is allowed"):
        compare_logits("f", np.array([[1.0, 0.0]]), np.array([[1.05, 0.05]]))


def test_infinite_logits_and_other_shapes_are_caught() -> None:
    """NaN never passes as agreement, on either side; a different number of classes is said."""
    good, bad = np.array([[1.0, 2.0]]), np.array([[np.nan, 2.0]])
    with pytest.raises(VerificationError, match="f gives logits that are not finite"):
        compare_logits("f", good, bad)
    with pytest.raises(VerificationError, match="the network itself"):
        compare_logits("f", bad, good)
    with pytest.raises(VerificationError, match="another network"):
        compare_logits("f", good, np.zeros((1, 3)))


def test_a_constant_batch_is_caught(exported: Path, digits: Uint8, logits: Float32, tmp_path: Path) -> None:
    """A file that mixes the pictures of a batch gives other logits for single pictures: it fails."""
    model = onnx.load(exported)
    mean = onnx.helper.make_node("ReduceMean", ["logits_", "zero"], ["centre"], keepdims=1)
    minus = onnx.helper.make_node("Sub", ["logits_", "centre"], ["logits"])
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, dtype=np.int64), "zero"))
    model.graph.node[-1].output[0] = "logits_"
    model.graph.node.extend([mean, minus])
    mixed = write_model(model, tmp_path / "mixed.onnx")
    centred = np.concatenate([part - part.mean(axis=0) for part in np.split(logits, [64, 128, 192])])
    with pytest.raises(VerificationError, match="batch is not dynamic"):
        verify(mixed, digits, centred, repeats=10)


def test_parameters_are_counted_as_documented(network: nn.Module, card: ModelCard, tmp_path: Path) -> None:
    """Batch norms left in the graph count two vectors, not four; single numbers do not count."""
    weight = numpy_helper.from_array(np.zeros((2, 3, 1, 1), dtype=np.float32), "w")
    vectors = [numpy_helper.from_array(np.ones(2, dtype=np.float32), name) for name in "abmv"]
    bound = numpy_helper.from_array(np.float32(6), "six")
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w"], ["y"]),
        onnx.helper.make_node("BatchNormalization", ["y", "a", "b", "m", "v"], ["z"]),
        onnx.helper.make_node("Clip", ["z", "", "six"], ["out"]),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [], [], [weight, *vectors, bound])
    assert count_parameters(onnx.helper.make_model(graph)) == 6 + 4
    path = export_onnx(network, card, tmp_path / "net.onnx")
    assert count_parameters(onnx.load(path)) == sum(p.numel() for p in network.parameters()) - 32
