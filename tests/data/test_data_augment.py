"""The batched augmentations equal slow ones that handle one picture at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sartor.data import Augmentation, ImageSet, load
from sartor.data.augment import Draws, crop_and_flip, cut_out, resized_crop_boxes
from sartor.data.crops import crop_resize
from sartor.errors import RequestError


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("pad", [0, 1, 4])
def test_crop_and_flip_equals_one_by_one(channels: int, pad: int) -> None:
    """Padding, cropping and mirroring a batch by gathers equals doing it picture by picture."""
    rng = np.random.default_rng(pad)
    pixels = rng.integers(0, 256, (20, 9, 9, channels), dtype=np.uint8)
    shifts = rng.integers(0, 2 * pad + 1, (20, 2))
    flips = rng.random(20) < 0.5
    got = crop_and_flip(torch.from_numpy(pixels), pad, torch.from_numpy(shifts), torch.from_numpy(flips))
    for row, (top, left) in enumerate(shifts):
        padded = np.pad(pixels[row], ((pad, pad), (pad, pad), (0, 0)))
        expected = padded[top : top + 9, left : left + 9]
        if flips[row]:
            expected = expected[:, ::-1]
        assert np.array_equal(got[row].numpy(), expected)


def test_cut_out_equals_one_by_one() -> None:
    """Cutout clears the clipped square around each centre and nothing else."""
    x = torch.randn(12, 10, 10, 3, generator=torch.Generator().manual_seed(0))
    holes = np.random.default_rng(0).integers(0, 10, (12, 2))
    got = cut_out(x.clone(), 4, torch.from_numpy(holes))
    for row, (down, across) in enumerate(holes):
        expected = x[row].clone()
        expected[max(0, down - 2) : down + 2, max(0, across - 2) : across + 2] = 0
        assert torch.equal(got[row], expected)


def test_draws_have_their_ranges() -> None:
    """Shifts take all 2 pad + 1 values, half of the pictures are mirrored, centres lie in the picture."""
    draws = Draws.sample(Augmentation(pad=2, flip=True), 4000, 8, np.random.default_rng(0))
    assert set(draws.shifts.ravel()) == set(range(5))
    assert set(draws.holes.ravel()) == set(range(8))
    assert 0.46 < draws.flips.mean() < 0.54
    still = Draws.sample(Augmentation(), 100, 8, np.random.default_rng(0))
    assert not still.shifts.any()
    assert not still.flips.any()


def test_resized_crop_boxes_lie_inside_with_area_and_ratio() -> None:
    """Every box lies in its picture, with the asked share of the area and ratio (up to rounding)."""
    rng = np.random.default_rng(0)
    shapes = rng.integers(200, 400, (500, 2))
    boxes = resized_crop_boxes(shapes, (0.2, 0.5), rng.random((500, 10, 4)))
    corner, size = boxes[:, :2], boxes[:, 2:]
    assert (corner >= 0).all()
    assert (corner + size <= shapes).all()
    share = size.prod(axis=1) / shapes.prod(axis=1)
    ratio = size[:, 1] / size[:, 0]
    assert share.min() > 0.19
    assert share.max() < 0.51
    assert ratio.min() > 0.73
    assert ratio.max() < 1.36
    assert np.unique(corner[:, 0]).size > 50


def test_resized_crop_falls_back_to_the_centre() -> None:
    """In a picture too long for any allowed ratio the largest centred box is taken."""
    boxes = resized_crop_boxes(np.array([[10, 1000]]), (1.0, 1.0), np.full((1, 10, 4), 0.5))
    assert boxes.tolist() == [[0, 493, 10, 13]]


def test_crop_resize_copies_boxes_of_the_right_size() -> None:
    """A box that needs no resizing is copied exactly, mirrored where asked; others average over their area."""
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    boxes = np.array([[3, 5, 16, 16], [3, 5, 16, 16], [0, 0, 30, 40]])
    got = crop_resize([picture] * 3, boxes, np.array([False, True, False]), 16)
    assert np.array_equal(got[0], picture[3:19, 5:21])
    assert np.array_equal(got[1], picture[3:19, 5:21][:, ::-1])
    assert abs(got[2].mean() - picture.mean()) < 3


def test_standard_choice() -> None:
    """Small pictures are padded by an eighth and mirrored, digits are never mirrored."""
    digits = load("digits").train
    assert Augmentation.standard(digits) == Augmentation(pad=1, flip=False)
    photos = ImageSet(np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]), ("a", "b"), "photos", "made up")
    assert Augmentation.standard(photos) == Augmentation(pad=4, flip=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pad": -1}, "must not be negative"),
        ({"resized_crop": (0.0, 1.0)}, "0 < smallest"),
        ({"resized_crop": (0.5, 1.2)}, "0 < smallest"),
        ({"resized_crop": (0.5, 1.0), "pad": 4}, "replaces pad"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """Settings that contradict themselves are one clear sentence."""
    with pytest.raises(RequestError, match=message):
        Augmentation(**settings)
