"""What ``sartor predict`` answers, and what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from sartor.errors import RequestError
from sartor.export import predict


@pytest.fixture
def pictures(digits: NDArray[np.uint8], tmp_path: Path) -> list[Path]:
    """Three digits as PNG files."""
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, digit in zip(files, digits, strict=False):
        Image.fromarray(digit[:, :, 0]).save(file)
    return files


def test_predictions_follow_the_logits(exported: Path, pictures: list[Path], logits: NDArray[np.float32]) -> None:
    """Best first, with the names of the card and the softmax of the logits; plain data on request."""
    predictions = predict(exported, pictures, top=3)
    assert [p.picture for p in predictions] == [str(f) for f in pictures]
    for prediction, row in zip(predictions, logits, strict=False):
        order = np.argsort(-row)[:3]
        assert [score.index for score in prediction.classes] == order.tolist()
        assert prediction.classes[0].name == f"digit {order[0]}"
        softmax = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        assert prediction.classes[0].probability == pytest.approx(softmax[order[0]], abs=1e-5)
    plain = json.loads(json.dumps([p.to_dict() for p in predictions]))
    assert plain[0]["classes"][0]["name"] == predictions[0].classes[0].name


def test_top_is_cut_at_the_number_of_classes(exported: Path, pictures: list[Path]) -> None:
    """All ten classes are the most there is, and their probabilities sum to one; none is an error."""
    (prediction,) = predict(exported, pictures[:1], top=99)
    assert sum(score.probability for score in prediction.classes) == pytest.approx(1)
    assert len(prediction.classes) == 10
    with pytest.raises(RequestError, match="at least 1"):
        predict(exported, pictures, top=0)


def test_wrong_files_are_told_apart(exported: Path, pictures: list[Path], tmp_path: Path) -> None:
    """A missing model, a text file, an ONNX file of someone else, and a missing picture: one sentence each."""
    with pytest.raises(RequestError, match=r"absent\.onnx does not exist"):
        predict(tmp_path / "absent.onnx", pictures)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(RequestError, match=r"text\.onnx is not an ONNX file"):
        predict(tmp_path / "text.onnx", pictures)
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(RequestError, match=r"foreign\.onnx is an ONNX file without a Sartor model card"):
        predict(tmp_path / "foreign.onnx", pictures)
    with pytest.raises(RequestError, match=r"nowhere\.png"):
        predict(exported, [*pictures, tmp_path / "nowhere.png"])


def test_predicting_needs_no_torch(exported: Path, pictures: list[Path]) -> None:
    """The answer comes without importing torch, onnx or onnxscript."""
    code = (
        "import sys; from sartor.export import predict; predict(sys.argv[1], sys.argv[2:]); "
        "print([m for m in ('torch', 'onnx', 'onnxscript') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(exported), *map(str, pictures)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
