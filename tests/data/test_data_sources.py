"""Loading: seeded subsets, splitting off test pictures, resizing, arrays, and every wrong request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.data import BatchStream, load, register_source
from sartor.data.augment import Augmentation
from sartor.data.decode import to_squares
from sartor.data.normalise import Normalisation
from sartor.data.sources import SOURCES, Listing, LoadOptions, array_split
from sartor.errors import RequestError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 12, 12, 3), dtype=np.uint8)
Y = np.arange(60) % 5


def write_npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_digits_split_is_the_same_for_every_seed() -> None:
    """1,438 training and 359 test digits, stratified; the seed of a run never changes what judges it."""
    a, b = load("digits", seed=0), load("digits", seed=1)
    assert a.test is not None
    assert b.test is not None
    assert (len(a.train), len(a.test)) == (1438, 359)
    assert np.array_equal(a.test.images, b.test.images)
    shares = np.bincount(a.test.labels) / np.bincount(load("digits", test_fraction=0).train.labels)
    assert np.all(np.abs(shares - 0.2) < 0.01)


def test_no_picture_is_in_both_parts() -> None:
    """Training and test digits together are all digits, each once."""
    pictures = load("digits")
    assert pictures.test is not None
    assert isinstance(pictures.train.images, np.ndarray)
    assert isinstance(pictures.test.images, np.ndarray)
    joined = np.concatenate([pictures.train.images, pictures.test.images]).reshape(1797, -1)
    every = load("digits", test_fraction=0).train.images
    assert isinstance(every, np.ndarray)
    assert np.array_equal(np.sort(joined, axis=0), np.sort(every.reshape(1797, -1), axis=0))


def test_seeded_subset() -> None:
    """A subset has the asked classes and counts, is reproducible, and more pictures include fewer."""
    small = load("digits", classes=4, pictures_per_class=10, seed=3)
    again = load("digits", classes=4, pictures_per_class=10, seed=3)
    large = load("digits", classes=4, pictures_per_class=20, seed=3)
    assert small.train.class_names == again.train.class_names == large.train.class_names
    assert np.bincount(small.train.labels).tolist() == [10] * 4
    assert isinstance(small.train.images, np.ndarray)
    assert isinstance(large.train.images, np.ndarray)
    assert np.array_equal(small.train.images, again.train.images)
    rows = {r.tobytes() for r in large.train.images}
    assert all(r.tobytes() in rows for r in small.train.images)
    assert load("digits", classes=4, seed=4).train.class_names != small.train.class_names
    assert "4 classes, 10 training pictures per class, seed 3" in small.train.origin


def test_classes_by_name_and_number() -> None:
    """Named classes are renumbered in the order given; the test pictures follow."""
    chosen = load("digits", classes=["7", 2])
    every = load("digits", test_fraction=0).train
    assert chosen.train.class_names == ("7", "2")
    assert chosen.test is not None
    total = len(chosen.train) + len(chosen.test)
    assert total == int(np.isin(every.labels, [2, 7]).sum())
    assert isinstance(chosen.train.images, np.ndarray)
    assert isinstance(every.images, np.ndarray)
    sevens = {r.tobytes() for r in every.images[every.labels == 7]}
    assert all((row.tobytes() in sevens) == (label == 0) for row, label in zip(*_pairs(chosen.train), strict=True))


def _pairs(pictures: Any) -> tuple[Any, Any]:
    return pictures.images, pictures.labels


def test_resizing_averages_boxes() -> None:
    """Halving the side averages 2x2 boxes (rounded)."""
    got = to_squares(X, 6)
    expected = X.reshape(60, 6, 2, 6, 2, 3).mean(axis=(2, 4))
    assert np.abs(got - expected).max() <= 0.5


def test_resizing_crops_oblongs_to_the_centre() -> None:
    """A picture twice as wide as high keeps its middle."""
    wide = np.zeros((1, 8, 16, 1), np.uint8)
    wide[:, :, 4:12] = 200
    assert (to_squares(wide, 8) == 200).all()


def test_npz_round_trip(tmp_path: Path) -> None:
    """All documented keys are read: train, test, class names, grey pictures without a channel axis."""
    names = np.array(list("abcde"))
    path = write_npz(
        tmp_path / "d.npz", x_train=X[:50], y_train=Y[:50], x_test=X[50:], y_test=Y[50:], class_names=names
    )
    got = load("arrays", path)
    assert got.test is not None
    assert np.array_equal(got.train.images, X[:50])
    assert np.array_equal(got.test.images, X[50:])
    assert got.train.class_names == tuple("abcde")
    grey = load("arrays", write_npz(tmp_path / "g.npz", images=X[..., 0], labels=Y[:, None]), test_fraction=0.5)
    assert grey.train.channels == 1
    assert grey.test is not None
    assert (len(grey.train), len(grey.test)) == (30, 30)
    assert grey.train.class_names == tuple("01234")
    assert load("arrays", path, image_size=8).train.image_size == 8


def test_npy_folder_is_mapped(tmp_path: Path) -> None:
    """A folder of .npy files is memory-mapped and trains without being copied."""
    for name, array in {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    got = load("arrays", tmp_path).train
    assert isinstance(got.images, np.memmap)
    stream = BatchStream(got.images, got.labels, np.arange(60), 8, Augmentation(), Normalisation.of(got.images), 0)
    assert stream.batch(0)[0].shape == (8, 3, 12, 12)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "expected the arrays x_train and y_train, or images and labels; found x"),
        ({"images": X.astype(float), "labels": Y}, "unsigned 8-bit integers"),
        ({"images": X.transpose(0, 3, 1, 2), "labels": Y}, "channels come last"),
        ({"images": X, "labels": Y[:9]}, "60 pictures came with 9 labels"),
        ({"images": X, "labels": Y + 0.5}, "whole numbers"),
        ({"images": X, "labels": Y * 2}, "have no picture"),
        ({"images": X, "labels": Y, "class_names": np.array(["a", "b"])}, "row 2: label 2 does not fit"),
        ({"images": X, "labels": Y, "class_names": np.arange(5)}, "class_names must be text"),
        ({"images": X, "labels": Y, "x_test": X}, "belong together"),
        ({"images": X, "labels": Y.astype(object)}, "'labels': it cannot be read"),
        ({"images": X[:, :, :9], "labels": Y}, "12 pixels high and 9 wide"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    """Arrays that do not fit are one clear sentence; pickled objects are never read."""
    with pytest.raises(RequestError, match=message):
        load("arrays", write_npz(tmp_path / "d.npz", **arrays))


def test_corrupt_npz_is_refused(tmp_path: Path) -> None:
    """A cut-off archive, another kind of file and a missing one are named."""
    path = write_npz(tmp_path / "d.npz", images=X, labels=Y)
    path.write_bytes(path.read_bytes()[:500])
    (tmp_path / "d.txt").write_text("x")
    with pytest.raises(RequestError, match=r"d\.npz: the file is no readable \.npz"):
        load("arrays", path)
    with pytest.raises(RequestError, match=r"expected an \.npz file"):
        load("arrays", tmp_path / "d.txt")
    with pytest.raises(RequestError, match=r"got .*none"):
        load("arrays", tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        ("digit", {}, "did you mean 'digits'"),
        ("digits", {"path": "somewhere"}, "built in and takes no path"),
        ("digits", {"classes": 11}, "classes must be from 2 to 10, got 11"),
        ("digits", {"classes": ["1"]}, "at least two different"),
        ("digits", {"classes": ["1", "1"]}, "at least two different"),
        ("digits", {"classes": ["1", "eleven"]}, "there is no class 'eleven'"),
        ("digits", {"classes": [1, 10]}, "there is no class number 10, allowed are 0 to 9"),
        ("digits", {"pictures_per_class": 0}, "at least 1"),
        ("digits", {"pictures_per_class": 500}, "has only 1.. training pictures"),
        ("digits", {"image_size": 4}, "image_size must be from 8"),
        ("digits", {"test_fraction": 1.0}, "test_fraction"),
        ("cifar10", {}, "needs the path of the published archive"),
        ("folder", {}, "needs the path of a folder"),
        ("arrays", {}, "needs the path of an .npz"),
    ],
)
def test_wrong_requests_are_refused(source: str, settings: dict[str, Any], message: str) -> None:
    """Unknown names get the closest one; numbers out of range get the range."""
    with pytest.raises(RequestError, match=message):
        load(source, **settings)


def test_a_source_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered loader is loaded, split and cut like the built-in ones; a name is taken only once."""
    monkeypatch.setattr("sartor.data.sources.SOURCES", SOURCES.copy())

    def listing(path: Path | None, options: LoadOptions) -> Listing:
        return Listing("noise", "made up", tuple("abcde"), array_split(X, Y, "noise"), None)

    register_source("noise", listing)
    got = load("noise", classes=3, image_size=8)
    assert (got.train.num_classes, got.train.image_size) == (3, 8)
    with pytest.raises(ValueError, match="already registered"):
        register_source("noise", listing)
