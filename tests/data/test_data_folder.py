"""Folders of pictures: layouts, the cache that survives interruption, crops in worker processes, corrupt files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sartor.data import Augmentation, BatchStream, Normalisation, Pictures, RaggedImages, load, ordered_batches
from sartor.data import cache as cache_module
from sartor.errors import RequestError


def picture(path: Path, height: int, width: int, seed: int, *, grey: bool = False) -> None:
    """A smooth random picture, so that resizing and JPEG keep it recognisable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4) if grey else (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=95)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Three classes of five training and two test pictures of different sizes."""
    root = tmp_path / "photos"
    for c, name in enumerate(["ant", "bee", "cow"]):
        for k in range(5):
            picture(root / "train" / name / f"{k}.jpg", 60 + 7 * k, 90 - 6 * k + c, seed=10 * c + k)
        for k in range(2):
            picture(root / "val" / name / f"{k}.png", 70, 100, seed=100 + 10 * c + k)
    return root


def load_large(root: Path, **changes: Any) -> Pictures:
    return load("folder", root, image_size=48, cache=root.parent / "cache", **changes)


def test_large_pictures(large: Path) -> None:
    """The shorter side becomes 8/7 of the image size, proportions stay, and val/ is the test set."""
    got = load_large(large)
    assert isinstance(got.train.images, RaggedImages)
    assert got.test is not None
    assert (len(got.train), len(got.test), got.train.image_size, got.train.channels) == (15, 6, 48, 3)
    assert got.train.class_names == ("ant", "bee", "cow")
    assert got.train.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert set(got.train.images.shapes.min(axis=1)) == {55}
    assert got.train.images[0].shape == (55, round(90 * 55 / 60), 3)
    exact = np.asarray(Image.open(large / "train" / "bee" / "2.jpg").resize((got.train.images.shapes[7][1], 55)))
    assert np.abs(got.train.images[7].astype(int) - exact).mean() < 3


def test_workers_and_restart_give_the_same_cache(large: Path) -> None:
    """Decoding by worker processes gives the same bytes, reports progress, and a second load decodes nothing."""
    seen: list[tuple[int, int]] = []
    first = load(
        "folder", large, image_size=48, cache=large.parent / "a", workers=2, progress=lambda *p: seen.append(p)
    )
    second = load("folder", large, image_size=48, cache=large.parent / "b")
    assert isinstance(first.train.images, RaggedImages)
    assert isinstance(second.train.images, RaggedImages)
    assert np.array_equal(first.train.images.pixels, second.train.images.pixels)
    assert seen == [(15, 15), (6, 6)]
    load("folder", large, image_size=48, cache=large.parent / "a", progress=lambda *p: seen.append(p))
    assert len(seen) == 2


def test_normalisation_from_the_index(large: Path) -> None:
    """The sums kept with each picture give the same normalisation as the pixels."""
    images = load_large(large).train.images
    assert isinstance(images, RaggedImages)
    rows = np.array([1, 4, 9])
    values = np.concatenate([images[r].reshape(-1, 3) for r in rows]) / 255
    found = Normalisation.of(images, rows)
    assert np.allclose(found.mean, values.mean(axis=0), rtol=1e-12)
    assert np.allclose(found.std, values.std(axis=0), rtol=1e-12)


def test_batches_of_large_pictures(large: Path) -> None:
    """Random resized crops are reproducible, also by worker processes; evaluation sees the centre."""
    data = load_large(large).train
    images = data.images
    assert isinstance(images, RaggedImages)
    norm = Normalisation.of(images)
    augmentation = Augmentation.standard(data)
    assert augmentation.resized_crop == (0.08, 1.0)
    plain = BatchStream(images, data.labels, np.arange(15), 6, augmentation, norm, seed=1)
    with BatchStream(images, data.labels, np.arange(15), 6, augmentation, norm, seed=1, workers=2) as parallel:
        for step in (0, 3):
            a, b = plain.batch(step), parallel.batch(step)
            assert a[0].shape == (6, 3, 48, 48)
            assert np.array_equal(a[0].numpy(), b[0].numpy())
    centres = next(ordered_batches(images, data.labels, np.array([7, 2]), 2, norm, workers=1))[0]
    middle = images[7][3:51, (images.shapes[7][1] - 48) // 2 :][:, :48]
    assert np.allclose(centres[0].permute(1, 2, 0).numpy(), middle * norm.scale + norm.shift, atol=1e-5)


def test_subset_decodes_only_what_it_takes(large: Path) -> None:
    """A subset of classes and pictures reads no other file: a corrupt one elsewhere does not matter."""
    (large / "train" / "cow" / "3.jpg").write_bytes(b"no picture")
    got = load_large(large, classes=["ant", "bee"], pictures_per_class=2)
    assert len(got.train) == 4


def test_an_interrupted_build_goes_on(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped between jobs, or in the middle of writing, a build goes on after the last complete picture."""
    monkeypatch.setattr(cache_module, "_JOB_PICTURES", 4)
    whole = load("folder", large, image_size=48, cache=large.parent / "whole").train.images
    assert isinstance(whole, RaggedImages)

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_large(large, progress=stop)
    (partial,) = (large.parent / "cache").glob("*.partial")
    # The kill came while the next pixels and half a record were being written.
    with (partial / "pixels.bin").open("ab") as pixels, (partial / "index.bin").open("ab") as index:
        pixels.write(b"x" * 1000)
        index.write(b"y" * 20)
    steps: list[int] = []
    resumed = load_large(large, progress=lambda done, total: steps.append(done)).train.images
    assert isinstance(resumed, RaggedImages)
    assert np.array_equal(resumed.pixels, whole.pixels)
    assert np.array_equal(resumed.sums, whole.sums)
    assert steps[0] == 12
    assert not partial.exists()


def test_lost_pixels_are_made_again(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If pixels that the index promises are missing (power cut), their pictures are decoded again."""
    monkeypatch.setattr(cache_module, "_JOB_PICTURES", 4)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_large(large, progress=stop)
    (partial,) = (large.parent / "cache").glob("*.partial")
    os.truncate(partial / "pixels.bin", 20_000)
    got = load_large(large).train.images
    whole = load("folder", large, image_size=48, cache=large.parent / "whole").train.images
    assert isinstance(got, RaggedImages)
    assert isinstance(whole, RaggedImages)
    assert np.array_equal(got.pixels, whole.pixels)


def test_changed_files_make_a_new_cache(large: Path) -> None:
    """A replaced picture is noticed by its size or time of change."""
    before = load_large(large).train.images
    picture(large / "train" / "ant" / "0.jpg", 60, 90, seed=999)
    after = load_large(large).train.images
    assert isinstance(before, RaggedImages)
    assert isinstance(after, RaggedImages)
    assert not np.array_equal(before[0], after[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_pictures_are_named(large: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut-off JPEG is named, also by a worker process, and leaves nothing half-built behind."""
    monkeypatch.setattr(cache_module, "_JOB_PICTURES", 4)
    broken = large / "train" / "bee" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:700])
    with pytest.raises(RequestError, match=r"bee.3\.jpg: it cannot be decoded"):
        load_large(large, workers=workers)
    assert not [f for f in (large.parent / "cache").iterdir() if f.is_dir()]


def test_small_squares_become_an_array(tmp_path: Path) -> None:
    """Squares of one small size become one array, resized if asked; without test/ a part is split off."""
    for c in "ab":
        for k in range(10):
            picture(tmp_path / "tiny" / c / f"{k}.png", 16, 16, seed=k, grey=True)
    got = load("folder", tmp_path / "tiny", cache=tmp_path / "cache")
    assert isinstance(got.train.images, np.ndarray)
    assert got.test is not None
    assert got.train.images.shape == (16, 16, 16, 1)
    assert len(got.test) == 4
    assert load("folder", tmp_path / "tiny", cache=tmp_path / "cache", image_size=8).train.image_size == 8
    picture(tmp_path / "tiny" / "a" / "55.png", 16, 16, seed=1)
    with pytest.raises(RequestError, match=r"55\.png: it is in colour"):
        load("folder", tmp_path / "tiny", cache=tmp_path / "cache")


def test_orientation_is_obeyed(tmp_path: Path) -> None:
    """A photo that the camera marked as turned is turned back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for c in "ab":
        (tmp_path / "p" / c).mkdir(parents=True)
        Image.new("RGB", (120, 80)).save(tmp_path / "p" / c / "x.jpg", exif=exif)
    images = load("folder", tmp_path / "p", image_size=48, test_fraction=0, cache=tmp_path / "cache").train.images
    assert isinstance(images, RaggedImages)
    assert images.shapes.tolist() == [[82, 55], [82, 55]]


def test_wrong_folders_are_refused(large: Path, tmp_path: Path) -> None:
    """A missing image size, an empty class, unknown test classes and deep pictures are one clear sentence each."""
    with pytest.raises(RequestError, match="set image_size"):
        load("folder", large, cache=tmp_path / "c")
    (large / "train" / "dog").mkdir()
    with pytest.raises(RequestError, match=r"1 of 4 class folders hold no picture \('dog'\)"):
        load_large(large)
    (large / "train" / "dog").rmdir()
    picture(large / "val" / "elk" / "0.png", 60, 60, seed=0)
    with pytest.raises(RequestError, match="the classes elk are not among"):
        load_large(large)
    (tmp_path / "one" / "class").mkdir(parents=True)
    with pytest.raises(RequestError, match="at least two classes, found 1"):
        load("folder", tmp_path / "one")
    for c in "ab":
        (tmp_path / "deep" / c).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep" / c / "x.png")
    with pytest.raises(RequestError, match=r"x\.png: it has more than 8 bits"):
        load("folder", tmp_path / "deep")


def test_a_cache_that_cannot_be_written(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a folder without permission is one paragraph that says what to do."""
    (large.parent / "file").write_text("in the way")
    with pytest.raises(RequestError, match=r"cannot be written .* SARTOR_CACHE"):
        load("folder", large, image_size=48, cache=large.parent / "file")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RequestError, match="No space left on device"):
        load_large(large)
    monkeypatch.undo()
    assert len(load_large(large).train) == 15
