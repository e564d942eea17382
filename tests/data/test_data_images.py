"""Data sets are checked once: shapes, labels, classes; and the normalisation is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sartor.data import ImageSet, Normalisation, Pictures, load
from sartor.errors import RequestError


def make_set(**changes: Any) -> ImageSet:
    settings: dict[str, Any] = {
        "images": np.zeros((4, 8, 8, 3), np.uint8),
        "labels": np.array([0, 1, 0, 1]),
        "class_names": ("cat", "dog"),
        "name": "pets",
        "origin": "made up",
    }
    return ImageSet(**{**settings, **changes})


def test_properties() -> None:
    """Channels, size and classes come from the arrays; labels become int64."""
    pets = make_set(labels=np.array([0, 1, 0, 1], np.uint8))
    assert (pets.channels, pets.image_size, pets.num_classes, len(pets)) == (3, 8, 2, 4)
    assert pets.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([0, 1, 0, 2])}, r"row 3: label 2 does not fit, allowed are 0 to 1"),
        ({"labels": np.array([0, -1, 0, 1])}, r"row 1: label -1"),
        ({"labels": np.array([0, 1, 0])}, r"4 pictures came with 3 labels"),
        ({"labels": np.array([0.0, 1.0, 0.0, 1.0])}, r"whole numbers"),
        ({"labels": np.array([[0, 1, 0, 1]])}, r"whole numbers of the shape \[n\]"),
        ({"labels": np.array([0, 0, 0, 0])}, r"1 of 2 classes have no picture \('dog'\)"),
        ({"images": np.zeros((4, 8, 8, 3), np.float32)}, r"unsigned 8-bit integers .* got float32"),
        ({"images": np.zeros((4, 3, 8, 8), np.uint8)}, r"got \[4, 3, 8, 8\] \(channels come last"),
        ({"images": np.zeros((4, 8, 8), np.uint8)}, r"got \[4, 8, 8\]"),
        ({"images": np.zeros((4, 8, 9, 3), np.uint8)}, r"8 pixels high and 9 wide"),
        ({"images": np.zeros((0, 8, 8, 3), np.uint8), "labels": np.zeros(0, int)}, r"there are no pictures"),
    ],
)
def test_wrong_sets_are_refused(changes: dict[str, Any], message: str) -> None:
    """Each way a set can be wrong is one sentence that names the data, the row or the shape, and what is allowed."""
    with pytest.raises(RequestError, match=message) as caught:
        make_set(**changes)
    assert "'pets'" in str(caught.value)


def test_a_test_set_may_lack_a_class() -> None:
    """Only sets that steer need every class."""
    assert len(make_set(labels=np.zeros(4, int), allow_empty_classes=True)) == 4


def test_train_and_test_must_agree() -> None:
    """Grey training pictures with RGB test pictures are refused."""
    with pytest.raises(RequestError, match="have channels 3, the test pictures 1"):
        Pictures(make_set(), make_set(images=np.zeros((4, 8, 8, 1), np.uint8)))


def test_digits_are_those_of_scikit_learn() -> None:
    """The packaged array holds scikit-learn's pictures and labels, in order, and nothing is lost in scaling."""
    from sklearn.datasets import load_digits

    oracle = load_digits()
    digits = load("digits", test_fraction=0)
    assert digits.test is None
    assert isinstance(digits.train.images, np.ndarray)
    assert np.array_equal(np.round(digits.train.images[..., 0] * (16 / 255)), oracle.images)
    assert np.array_equal(digits.train.labels, oracle.target)
    assert digits.train.images.max() == 255
    assert not digits.train.flippable
    assert "CC BY 4.0" in digits.train.origin


def test_normalisation_against_numpy() -> None:
    """Mean and standard deviation equal numpy's in float64, over the chosen rows only."""
    images = np.random.default_rng(0).integers(0, 256, (700, 9, 9, 3), dtype=np.uint8)
    images[::2] //= 3
    rows = np.arange(0, 700, 2)
    found = Normalisation.of(images, rows)
    values = images[rows].reshape(-1, 3) / 255
    assert np.allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    assert np.allclose(found.std, values.std(axis=0), rtol=1e-12)
    assert Normalisation.from_json(found.to_json()) == found


def test_normalisation_of_a_constant_channel() -> None:
    """A channel that never changes is divided by one grey level, not by zero."""
    found = Normalisation.of(np.full((2, 8, 8, 1), 7, np.uint8))
    assert found.std == (1 / 255,)
