"""Cutout in a batch: where the square lies, what it is filled with, and that it disturbs nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sartor.data import Augmentation, BatchStream, Normalisation
from sartor.data.augment import Draws, cut_out

SIDE, COUNT = 8, 64
# No pixel has the mean colour, so that a filled one can be told.
IMAGES = (np.random.default_rng(0).integers(0, 2, (COUNT, SIDE, SIDE, 3)) * 200 + 20).astype(np.uint8)
NORM = Normalisation.of(IMAGES)


def batch(augmentation: Augmentation, step: int = 0, seed: int = 7) -> Tensor:
    """Pictures ``[B, S, S, C]`` of one step."""
    stream = BatchStream(IMAGES, np.arange(COUNT), np.arange(COUNT), COUNT, augmentation, NORM, seed)
    return stream.batch(step)[0].permute(0, 2, 3, 1)


def holes(pictures: Tensor) -> Tensor:
    """Which pixels ``[B, S, S]`` are filled: exactly 0 in every channel."""
    return (pictures == 0).all(-1)


@pytest.mark.parametrize("length", [1, 3, 4, 16])
def test_a_hole_in_every_picture(length: int) -> None:
    """Each picture has one clipped square of zeros, the mean colour after normalisation, and is as ever elsewhere."""
    plain, cut = batch(Augmentation()), batch(Augmentation(cutout=length))
    found = holes(cut)
    assert not holes(plain).any() and torch.equal(cut[~found], plain[~found])
    rng = np.random.default_rng([7, 1, 0])
    centres = Draws.sample(Augmentation(cutout=length), COUNT, SIDE, rng).holes
    for picture, (row, column) in zip(found, centres, strict=True):
        expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        top, left = row - length // 2, column - length // 2
        expected[max(0, top) : top + length, max(0, left) : left + length] = True
        assert torch.equal(picture, expected) and picture.any()


def test_the_fill_is_the_mean_not_black() -> None:
    """Undone, the normalisation shows the mean colour of the pictures in the hole."""
    cut = batch(Augmentation(cutout=4))
    colours = (cut * torch.tensor(NORM.std) + torch.tensor(NORM.mean))[holes(cut)]
    torch.testing.assert_close(colours, torch.tensor(NORM.mean).float().expand_as(colours))


@pytest.mark.parametrize(
    ("centre", "pixels"), [((0, 0), 4), ((0, 4), 8), ((7, 7), 9), ((7, 4), 12), ((4, 4), 16), ((1, 1), 9)]
)
def test_clipped_at_the_border(centre: tuple[int, int], pixels: int) -> None:
    """An even square reaches half its side above and left of the centre, and what is outside is gone."""
    x = torch.ones(1, SIDE, SIDE, 3)
    assert int(holes(cut_out(x, 4, torch.tensor([centre]))).sum()) == pixels


def test_centres_are_uniform_over_all_pixels() -> None:
    """Border pixels are centres as often as others, so that the visible hole is often smaller."""
    draws = Draws.sample(Augmentation(cutout=4), 64_000, SIDE, np.random.default_rng(0))
    counts = np.bincount(draws.holes @ np.array([SIDE, 1]), minlength=SIDE**2)
    assert len(counts) == SIDE**2 and counts.min() > 850 and counts.max() < 1150


def test_crops_and_flips_stay_the_same() -> None:
    """A training with cutout sees the crops and flips of one without it; steps and seeds have holes of their own."""
    settings = {"pad": 2, "flip": True}
    plain, cut = batch(Augmentation(**settings)), batch(Augmentation(**settings, cutout=3))
    found = holes(cut)
    assert torch.equal(cut[~found], plain[~found])
    others = [batch(Augmentation(cutout=3), step, seed) for step, seed in ((0, 7), (1, 7), (0, 8))]
    first, step, seed = (holes(other) for other in others)
    assert not torch.equal(first, step) and not torch.equal(first, seed)
    assert len({tuple(picture.flatten().tolist()) for picture in first}) > 20
