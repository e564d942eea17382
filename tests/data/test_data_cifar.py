"""CIFAR archives: python and binary versions read alike, and no pickle can run code."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.data import load
from sartor.data.unpickle import safe_unpickle
from sartor.errors import RequestError

RNG = np.random.default_rng(0)
# As Python 2 wrote them: protocol 2, byte strings as str. This is the head of a real CIFAR batch with two pixels.
PYTHON2_BATCH = (
    b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x08trainingq\x03U\x06labelsq\x04]q\x05(K\x06K\x09eU\x04dataq\x06"
    b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01K\x01K\x02\x86"
    b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
    b"U\x02\x07\xf0tbu."
)


def planes(count: int) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 256, (count, 3072), dtype=np.uint8)


def python_folder(root: Path, name: str) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Writes a small data set in the published python version; returns its training pixels and labels."""
    root.mkdir(parents=True, exist_ok=True)
    classes, key = (10, b"labels") if name == "cifar10" else (100, b"fine_labels")
    files = [f"data_batch_{k}" for k in range(1, 6)] if name == "cifar10" else ["train"]
    pixels, labels = [], []
    for file in [*files, "test_batch" if name == "cifar10" else "test"]:
        data, fine = planes(2 * classes), [c % classes for c in range(2 * classes)]
        content = {b"data": data, key: fine, b"filenames": [b"a.png"] * len(fine), b"batch_label": b"x"}
        (root / file).write_bytes(pickle.dumps(content, protocol=2))
        if file in files:
            pixels.append(data)
            labels += fine
    names = [f"class {c}".encode() for c in range(classes)]
    meta = {b"label_names" if name == "cifar10" else b"fine_label_names": names, b"num_vis": 3072}
    (root / ("batches.meta" if name == "cifar10" else "meta")).write_bytes(pickle.dumps(meta, protocol=2))
    return np.concatenate(pixels), labels


def binary_folder(root: Path, name: str) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Writes the same kind of data set in the binary version."""
    root.mkdir(parents=True, exist_ok=True)
    classes = 10 if name == "cifar10" else 100
    files = [f"data_batch_{k}.bin" for k in range(1, 6)] if name == "cifar10" else ["train.bin"]
    pixels, labels = [], []
    for file in [*files, "test_batch.bin" if name == "cifar10" else "test.bin"]:
        data, fine = planes(classes), np.arange(classes, dtype=np.uint8)[:, None]
        head = fine if name == "cifar10" else np.concatenate([fine // 5, fine], axis=1)
        (root / file).write_bytes(np.concatenate([head, data], axis=1).tobytes())
        if file in files:
            pixels.append(data)
            labels += fine[:, 0].tolist()
    text = "\n".join(f"class_{c}" for c in range(classes)) + "\n\n"
    (root / ("batches.meta.txt" if name == "cifar10" else "fine_label_names.txt")).write_text(text)
    return np.concatenate(pixels), labels


def as_pictures(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.stack([np.stack([plane.reshape(32, 32) for plane in row.reshape(3, 1024)], axis=-1) for row in pixels])


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("version", ["python", "binary"])
@pytest.mark.parametrize("packed", [False, True])
def test_published_forms(tmp_path: Path, name: str, version: str, packed: bool) -> None:
    """Both versions of both sets, from a folder or an archive, give the pixels, labels and names that were written."""
    write = python_folder if version == "python" else binary_folder
    pixels, labels = write(tmp_path / "data" / "inner", name)
    path = tmp_path / "data"
    if packed:
        path = tmp_path / "data.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tmp_path / "data", arcname="data")
    got = load(name, path)
    assert np.array_equal(got.train.images, as_pictures(pixels))
    assert got.train.labels.tolist() == labels
    assert got.train.class_names[3].replace("_", " ") == "class 3"
    assert got.test is not None
    assert got.test.num_classes == (10 if name == "cifar10" else 100)


def test_python2_pickles() -> None:
    """A pickle as Python 2 wrote it (byte strings, the old numpy path) is read."""
    batch = safe_unpickle(PYTHON2_BATCH, "batch")
    assert batch[b"labels"] == [6, 9]
    assert batch[b"data"].tolist() == [[7, 240]]


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize(
    "evil",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
        pickle.dumps(np.array([{}], dtype=object), protocol=2),
        pickle.dumps(np.zeros(2, dtype=[("a", "O")]), protocol=2),
        b"\x80\x02cnumpy\ndtype\nU\x01OK\x00K\x01\x87R.",
        PYTHON2_BATCH.replace(b"U\x01|NNN", b"U\x01|]NN"),
        PYTHON2_BATCH.replace(b"U\x02\x07\xf0", b"]"),
    ],
)
def test_malicious_pickles_are_refused(evil: bytes) -> None:
    """Anything beyond numbers, text, lists, dicts and numeric arrays is refused, with the file's name."""
    with pytest.raises(RequestError, match=r"^data_batch_1: "):
        safe_unpickle(evil, "data_batch_1")


def test_malicious_archive_runs_nothing(tmp_path: Path) -> None:
    """A pickle with a call inside an archive is refused and the call is not made."""
    python_folder(tmp_path / "data", "cifar100")
    (tmp_path / "data" / "train").write_bytes(pickle.dumps({b"data": _Evil(tmp_path / "ran")}))
    with pytest.raises(RequestError, match="file train: the pickle asks for"):
        load("cifar100", tmp_path / "data")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3).T, np.arange(4, dtype=">i4"), np.eye(3, dtype=bool)])
def test_numeric_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    """Any order in memory, byte order and shape of a numeric array is read as it was written."""
    got = safe_unpickle(pickle.dumps({"x": array}, protocol=2), "batch")["x"]
    assert got.dtype == array.dtype
    assert np.array_equal(got, array)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train", b"", "file train: the file is damaged"),
        ("train", b"\x80\x02}.", "expected a dict with data and fine_labels"),
        ("train", pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"fine_labels": [0, 1]}), r"\[n, 3072\]"),
        ("train", pickle.dumps({b"data": planes(2), b"fine_labels": [0]}), "2 pictures need as many"),
        ("train", pickle.dumps({b"data": planes(2), b"fine_labels": [0, 0.5]}), "whole numbers"),
        ("train", pickle.dumps({b"data": planes(2), b"fine_labels": [0, 100]}), "label 100 does not fit"),
        ("meta", pickle.dumps({b"fine_label_names": [b"a"]}), "expected 100 class names"),
    ],
)
def test_damaged_batches_are_refused(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    """A batch that does not hold what CIFAR's holds is named, with what is wrong."""
    python_folder(tmp_path, "cifar100")
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RequestError, match=message):
        load("cifar100", tmp_path)


def test_cut_off_files_are_refused(tmp_path: Path) -> None:
    """A cut-off binary file or archive, and a folder of something else, are named."""
    binary_folder(tmp_path / "b", "cifar10")
    file = tmp_path / "b" / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RequestError, match=r"data_batch_3\.bin: its 30729 bytes are not whole records of 3073"):
        load("cifar10", tmp_path / "b")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(tmp_path / "b")
    (tmp_path / "c.tar.gz").write_bytes(stream.getvalue()[:2000])
    with pytest.raises(RequestError, match=r"no readable \.tar\.gz"):
        load("cifar10", tmp_path / "c.tar.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match=r"must hold the files data_batch_1, .* found none"):
        load("cifar10", tmp_path / "empty")
