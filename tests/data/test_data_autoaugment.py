"""Policies: operations written out by hand, draws that follow from seed and step, and their place in the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sartor.config import Job
from sartor.data import Augmentation, BatchStream, Normalisation, RaggedImages, load
from sartor.data.augment import Draws, crop_and_flip, cut_out
from sartor.data.autoaugment import CIFAR10, IMAGENET, POLICIES, RANDAUGMENT, Changes, draw_policy, draw_randaugment
from sartor.data.operations import NAMES, OPERATIONS, change
from sartor.errors import RequestError

Pixels = NDArray[np.uint8]
SIDE = 12
PICTURE: Pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
IMAGES: Pixels = np.random.default_rng(1).integers(0, 256, (40, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = np.arange(40)


def done(name: str, magnitude: float = 0.0, picture: Pixels = PICTURE) -> Pixels:
    """A picture after one operation."""
    return change(picture[None], np.array([[NAMES.index(name)]]), np.array([[magnitude]]))[0]


def sampled(source: Callable[[int, int], tuple[float, float]]) -> Pixels:
    """The picture whose pixel (x, y) is the one at ``source(x, y)``, black outside."""
    out = np.zeros_like(PICTURE)
    for y in range(SIDE):
        for x in range(SIDE):
            column, row = source(x, y)
            if 0 <= column < SIDE and 0 <= row < SIDE:
                out[y, x] = PICTURE[int(row), int(column)]
    return out


# ---------------------------------------------------------------- operations by hand


def test_shears_and_translations_by_hand() -> None:
    """Nearest neighbours, from the middle of each pixel, black from outside; 0.3 moves a row by 0.3 of its height."""
    for slope in (0.3, -0.17):
        expected = sampled(lambda x, y, slope=slope: (np.floor(x + 0.5 + slope * (y + 0.5)), y))
        assert np.array_equal(done("shear_x", slope), expected)
        expected = sampled(lambda x, y, slope=slope: (x, np.floor(y + 0.5 + slope * (x + 0.5))))
        assert np.array_equal(done("shear_y", slope), expected)
    for pixels in (5.9, -3.2):
        assert np.array_equal(done("translate_x", pixels), sampled(lambda x, y, p=pixels: (x - int(p), y)))
        assert np.array_equal(done("translate_y", pixels), sampled(lambda x, y, p=pixels: (x, y - int(p))))


def test_rotation_by_hand() -> None:
    """Counter-clockwise about the middle of the picture."""
    sine, cosine, middle = np.sin(np.radians(23)), np.cos(np.radians(23)), SIDE / 2

    def source(x: int, y: int) -> tuple[float, float]:
        across, down = x + 0.5 - middle, y + 0.5 - middle
        return np.floor(cosine * across - sine * down + middle), np.floor(sine * across + cosine * down + middle)

    assert np.array_equal(done("rotate", 23), sampled(source))


def test_tables_of_values_by_hand() -> None:
    """Invert, posterize, solarize and autocontrast look every value up."""
    assert np.array_equal(done("invert"), 255 - PICTURE)
    assert np.array_equal(done("posterize", 5), PICTURE & 0b11111000)
    assert np.array_equal(done("solarize", 100.5), np.where(PICTURE < 100.5, PICTURE, 255 - PICTURE))
    narrow = (PICTURE // 3 + 50).astype(np.uint8)
    low, high = narrow.min(axis=(0, 1)).astype(float), narrow.max(axis=(0, 1)).astype(float)
    stretched = (narrow - low) * 255 / (high - low)
    assert np.abs(done("autocontrast", picture=narrow) - stretched).max() <= 1


def test_equalising_spreads_values_evenly() -> None:
    """After equalising, the values of each channel are about uniformly distributed, in the same order."""
    dark = (np.random.default_rng(3).random((64, 64, 3)) ** 3 * 255).astype(np.uint8)
    flat = done("equalize", picture=dark)
    assert dark.mean() < 70 and abs(flat.mean() - 127) < 4
    for channel in range(3):
        order = np.argsort(dark[..., channel], axis=None, kind="stable")
        assert (np.diff(flat[..., channel].ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("side", [24, 100])
def test_a_channel_of_one_value_stays_as_it_is(side: int) -> None:
    """Nothing can be stretched or spread where there is one value; the other channels are."""
    picture = np.full((side, side, 3), (7, 0, 255), np.uint8)
    assert np.array_equal(done("autocontrast", picture=picture), picture)
    assert np.array_equal(done("equalize", picture=picture), picture)
    picture[: side // 2, :, 1] = 40
    for name in ("autocontrast", "equalize"):
        out = done(name, picture=picture)
        assert np.array_equal(out[..., ::2], picture[..., ::2]) and out[0, 0, 1] == 255


def test_enhancements_by_hand() -> None:
    """Factors 1 + m away from black, the mean grey, the grey picture, and the blurred one; m = 0 changes nothing."""
    grey = np.asarray(Image.fromarray(PICTURE).convert("L"), dtype=float)[..., None]
    mean = np.full_like(grey, int(grey.mean() + 0.5))
    blurred = PICTURE.astype(float)
    window = sum(np.roll(blurred, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    blurred[1:-1, 1:-1] = (window + 4 * blurred)[1:-1, 1:-1] / 13
    starts = {"brightness": np.zeros_like(grey), "contrast": mean, "color": grey, "sharpness": blurred}
    for name, start in starts.items():
        assert np.array_equal(done(name, 0.0), PICTURE)
        for more in (0.9, -0.4):
            expected = (start + (1 + more) * (PICTURE - start)).clip(0, 255)
            assert np.abs(done(name, more) - expected).max() <= 2, name


def test_grey_pictures_have_one_channel() -> None:
    """Every operation keeps the shape of grey pictures, and colour has nothing to change there."""
    grey = PICTURE[..., :1]
    for name, operation in OPERATIONS.items():
        assert done(name, operation.magnitude(0.7, SIDE), grey).shape == grey.shape
    assert np.array_equal(done("color", 0.7, grey), grey)
    assert np.array_equal(done("invert", picture=grey), 255 - grey)


def test_magnitudes_of_the_paper() -> None:
    """The strongest: slopes of 0.3, 150 of 331 pixels, 30 degrees, 4 bits, all values inverted, factors 0.1 and 1.9."""
    strongest = {name: operation.magnitude(1.0, 331) for name, operation in OPERATIONS.items()}
    assert strongest["shear_x"] == strongest["shear_y"] == 0.3
    assert strongest["translate_x"] == strongest["translate_y"] == 150.0
    assert (strongest["rotate"], strongest["posterize"], strongest["solarize"]) == (30.0, 4, 0.0)
    assert {strongest[name] for name in ("brightness", "color", "contrast", "sharpness")} == {0.9}
    assert OPERATIONS["translate_x"].magnitude(1.0, 32) == pytest.approx(14.5, abs=0.01)


# ---------------------------------------------------------------- draws


def test_the_policies_have_25_sub_policies_of_two_operations() -> None:
    """Every entry names an operation, a probability and a magnitude from 0 to 9."""
    for policy in (CIFAR10, IMAGENET):
        assert len(policy) == 25
        for name, probability, level in (step for pair in policy for step in pair):
            assert name in OPERATIONS and 0 <= probability <= 1 and level in range(10)


def test_operations_happen_with_their_probabilities() -> None:
    """Each sub-policy for one picture in 25; its operations as often as it says, half of them the other way."""
    policy = ((("rotate", 0.7, 2), ("translate_x", 0.3, 9)), (("invert", 0.1, 0), ("posterize", 1.0, 9)))
    drawn = draw_policy(policy, 20_000, 32, np.random.default_rng(0))
    names = np.array(NAMES)[drawn.operations]
    share = {
        name: float((names == name).mean(axis=0).max()) for name in ("rotate", "translate_x", "invert", "posterize")
    }
    assert share == pytest.approx({"rotate": 0.35, "translate_x": 0.15, "invert": 0.05, "posterize": 0.5}, abs=0.01)
    degrees = drawn.magnitudes[:, 0][names[:, 0] == "rotate"]
    assert set(np.round(np.abs(degrees), 6)) == {np.round(30 * 2 / 9, 6)} and abs((degrees > 0).mean() - 0.5) < 0.02
    assert set(drawn.magnitudes[:, 1][names[:, 1] == "posterize"]) == {4.0}  # never negative


def test_randaugment_draws_uniformly_at_one_magnitude() -> None:
    """Each of 14 operations equally often in every place, at magnitude 9 of 30; some go the other way."""
    drawn = draw_randaugment(3, 9, 14_000, 32, np.random.default_rng(0))
    assert drawn.operations.shape == (14_000, 3) and len(RANDAUGMENT) == 14
    for place in range(3):
        counts = np.bincount(drawn.operations[:, place], minlength=len(NAMES))
        assert counts[NAMES.index("invert")] == 0 and counts[counts > 0].min() > 850
    degrees = drawn.magnitudes[drawn.operations == NAMES.index("rotate")]
    assert set(np.round(np.abs(degrees), 6)) == {9.0} and abs((degrees > 0).mean() - 0.5) < 0.03


def test_a_policy_leaves_the_other_draws_alone() -> None:
    """Crops, flips and holes are the same with and without a policy, and a policy's draws whatever the crop."""

    def drawn(**settings: Any) -> Draws:
        return Draws.sample(Augmentation(**settings), 50, SIDE, np.random.default_rng([7, 1]))

    plain, policy = drawn(pad=2, flip=True), drawn(pad=2, flip=True, autoaugment="cifar10")
    for name in ("shifts", "flips", "holes", "boxes"):
        assert np.array_equal(getattr(plain, name), getattr(policy, name))
    other = drawn(resized_crop=(0.2, 1.0), autoaugment="cifar10")
    assert policy.changes is not None and other.changes is not None and plain.changes is None
    assert np.array_equal(policy.changes.operations, other.changes.operations)
    assert np.array_equal(policy.changes.magnitudes, other.changes.magnitudes)


def test_only_chosen_pictures_change() -> None:
    """Pictures without an operation are copied, the pixels handed in stay as they are, and order matters."""
    invert, posterize, nothing = (NAMES.index(name) for name in ("invert", "posterize", "identity"))
    operations = np.array([[nothing, nothing], [invert, posterize], [posterize, invert]])
    before = IMAGES.copy()
    out = change(IMAGES[:3], operations, np.full((3, 2), 4.0))
    assert np.array_equal(IMAGES, before) and np.array_equal(out[0], IMAGES[0])
    assert np.array_equal(out[1], (255 - IMAGES[1]) & 0xF0)
    assert np.array_equal(out[2], 255 - (IMAGES[2] & 0xF0))


# ---------------------------------------------------------------- in the pipeline


def stream(**changes: Any) -> BatchStream:
    settings: dict[str, Any] = {
        "images": IMAGES,
        "labels": LABELS,
        "indices": np.arange(40),
        "batch_size": 16,
        "augmentation": Augmentation(pad=2, flip=True, cutout=3, autoaugment="cifar10"),
        "normalisation": Normalisation.of(IMAGES),
        "seed": 7,
    }
    return BatchStream(**{**settings, **changes})


def same(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_crop_flip_policy_normalisation_cutout() -> None:
    """A batch is what these steps make of its pictures, in this order, one after another."""
    found, augmentation = stream(), Augmentation(pad=2, flip=True, cutout=3, autoaugment="cifar10")
    x, y = found.batch(3)
    draws = Draws.sample(augmentation, 16, SIDE, np.random.default_rng([7, 1, 3]))
    assert draws.changes is not None
    shifts, flips = torch.from_numpy(draws.shifts), torch.from_numpy(draws.flips)
    pixels = crop_and_flip(torch.from_numpy(IMAGES[y.numpy()]), 2, shifts, flips).numpy()
    for row in range(16):
        for number, magnitude in zip(draws.changes.operations[row], draws.changes.magnitudes[row], strict=True):
            picture = OPERATIONS[NAMES[number]].apply(Image.fromarray(pixels[row]), float(magnitude))
            pixels[row] = np.asarray(picture)
    norm = Normalisation.of(IMAGES)
    expected = torch.from_numpy(pixels.astype(np.float32) * norm.scale + norm.shift)
    cut_out(expected, 3, torch.from_numpy(draws.holes))
    torch.testing.assert_close(x.permute(0, 2, 3, 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"autoaugment": "imagenet"}, {"randaugment": (2, 9)}])
def test_a_resumed_run_sees_the_same_pictures(settings: dict[str, Any]) -> None:
    """Batches follow from seed and step: in any order, made ahead, and shared over ranks."""
    augmentation = Augmentation(pad=1, **settings)
    first = stream(augmentation=augmentation)
    undisturbed = [first.batch(step) for step in range(5)]
    resumed = stream(augmentation=augmentation)
    assert all(same(resumed.batch(step), undisturbed[step]) for step in (3, 4, 0))
    parts = [stream(augmentation=augmentation, rank=rank, world_size=3).batch(4) for rank in range(3)]
    assert same((torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])), undisturbed[4])
    with stream(augmentation=augmentation, prefetch=2) as ahead:
        assert all(same(ahead.batch(step), undisturbed[step]) for step in range(3))
    plain = stream(augmentation=Augmentation(pad=1))
    assert not any(torch.equal(plain.batch(step)[0], undisturbed[step][0]) for step in range(5))


def test_workers_do_the_same_for_pictures_in_memory() -> None:
    """Worker processes change nothing but who does the work; without a policy there is none for them."""
    with stream(workers=2) as helped:
        assert helped.store.pool is not None
        assert all(same(helped.batch(step), stream().batch(step)) for step in range(2))
    with stream(workers=2, augmentation=Augmentation(pad=1)) as idle:
        assert idle.store.pool is None


@pytest.mark.parametrize("crop", [{"resized_crop": (0.3, 1.0)}, {"pad": 4}])
def test_larger_pictures_from_a_folder(tmp_path: Path, crop: dict[str, Any]) -> None:
    """Crops of larger pictures are changed after they are cut, the same in this process and in two workers."""
    for name in ("ant", "bee"):
        for k in range(4):
            path = tmp_path / "photos" / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(k).integers(0, 256, (40 + k, 50, 3), dtype=np.uint8)).save(path)
    train = load("folder", tmp_path / "photos", image_size=24, cache=tmp_path / "cache", test_fraction=0.0).train
    assert isinstance(train.images, RaggedImages)
    rest: dict[str, Any] = {
        "images": train.images,
        "labels": train.labels,
        "indices": np.arange(8),
        "batch_size": 8,
        "normalisation": Normalisation.of(train.images),
    }
    augmentation = Augmentation(flip=True, autoaugment="imagenet", **crop)
    alone, plain = (
        stream(augmentation=augmentation, **rest),
        stream(augmentation=Augmentation(flip=True, **crop), **rest),
    )
    with stream(augmentation=augmentation, workers=2, **rest) as helped:
        assert all(same(helped.batch(step), alone.batch(step)) for step in range(2))
    # What no operation touched is the plain crop, so the crops are the same ones.
    draws = Draws.sample(augmentation, 8, 24, np.random.default_rng([7, 1, 0]))
    assert draws.changes is not None
    untouched = (draws.changes.operations == NAMES.index("identity")).all(axis=1)
    assert 0 < untouched.sum() < 8
    assert torch.equal(alone.batch(0)[0][untouched], plain.batch(0)[0][untouched])


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"autoaugment": "svhn"}, "autoaugment must be one of cifar10, imagenet, got 'svhn'"),
        ({"randaugment": (2, 31)}, "a magnitude from 0 to 30, got \\[2, 31\\]"),
        ({"randaugment": (0, 9)}, "a number of operations from 1 on"),
        ({"randaugment": (2, 9), "autoaugment": "cifar10"}, "leave one out"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """A policy that does not exist, or two of them, is one clear sentence."""
    with pytest.raises(RequestError, match=message):
        Augmentation(**settings)


def test_a_job_names_its_policy() -> None:
    """The job file's settings make the augmentation, and a misspelt policy is hinted at."""
    platforms = [{"name": "watch", "macs": "60k"}]

    def job(augmentation: dict[str, Any]) -> Job:
        return Job.from_dict({"platforms": platforms, "data": {"augmentation": augmentation}})

    made = job({"pad": 4, "flip": True, "autoaugment": "cifar10"}).data.make_augmentation(None)  # type: ignore[arg-type]
    assert made == Augmentation(pad=4, flip=True, autoaugment="cifar10")
    assert job({"randaugment": [2, 9]}).data.make_augmentation(None).randaugment == (2, 9)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"did you mean cifar10\?"):
        job({"autoaugment": "cifar"})
    assert set(POLICIES) == {"cifar10", "imagenet"}


def test_changes_are_sliced_by_rows() -> None:
    """The rows of a batch's changes are those of its pictures."""
    drawn = draw_policy(CIFAR10, 10, 32, np.random.default_rng(0))
    part: Changes = drawn.rows(3, 7)
    assert np.array_equal(part.operations, drawn.operations[3:7]) and part.magnitudes.shape == (4, 2)
