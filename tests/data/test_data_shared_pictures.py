"""The recipes' adapter for sheets of tiles: through the same interface, exact, and instant the second time."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from sartor.data import Normalisation, Pictures, load
from sartor.data.sources import SOURCES
from sartor.errors import RequestError


@pytest.fixture(scope="module")
def shared_pictures() -> ModuleType:
    """The recipe as a module, the same one for all tests of a process: it registers its sources once."""
    recipes = str(Path(__file__).parents[2] / "recipes")
    if recipes not in sys.path:
        sys.path.insert(0, recipes)
    return importlib.import_module("shared_pictures")


@pytest.fixture(scope="module")
def cifar100(shared_pictures: ModuleType, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """CIFAR-100 from the shared sheets."""
    pictures: Pictures = shared_pictures.load_cifar100(shared_data, cache=tmp_path_factory.mktemp("cache"))
    return pictures


def small_sheets(module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A made-up data set of 10 classes on two sheets of 40 tiles and one of 20, sheets padded to whole rows."""
    tiles = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    (folder / "images").mkdir(parents=True)
    for name, part in {"a.png": tiles[:40], "b.png": tiles[40:80], "t.png": tiles[80:]}.items():
        padded = np.concatenate([part, np.zeros((-len(part) % 7, 32, 32, 3), np.uint8)])
        sheet = padded.reshape(-1, 7, 32, 32, 3).swapaxes(1, 2).reshape(-1, 7 * 32, 3)
        Image.fromarray(sheet).save(folder / "images" / name)
    (folder / "images" / "labels.json").write_text(json.dumps({"cifar10": [f"class {c}" for c in range(10)]}))
    sheets = module.Sheets(("a.png", "b.png"), "t.png", 40, 20, "cifar10", "made up")
    monkeypatch.setitem(module.SHEETS, "cifar10", sheets)
    return tiles


def test_sheets_are_cut_into_tiles(
    shared_pictures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tile comes back with its class; the second load reads the cache; a missing sheet is named."""
    tiles = small_sheets(shared_pictures, tmp_path / "data", monkeypatch)
    got = shared_pictures.load_cifar10(tmp_path / "data", cache=tmp_path / "cache")
    assert np.array_equal(got.train.images, tiles[:80])
    assert np.array_equal(got.test.images, tiles[80:])
    assert got.train.labels.tolist() == [c for _ in range(2) for c in range(10) for _ in range(4)]
    assert got.test.labels.tolist() == [c for c in range(10) for _ in range(2)]
    monkeypatch.setattr(shared_pictures, "tiles", None)
    again = shared_pictures.load_cifar10(tmp_path / "data", cache=tmp_path / "cache")
    assert np.array_equal(again.train.images, got.train.images)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    (tmp_path / "data" / "images" / "b.png").unlink()
    with pytest.raises(RequestError, match=r"lacks b\.png"):
        shared_pictures.load_cifar10(tmp_path / "data", cache=tmp_path / "cache")


def test_the_command_writes_a_job_file(
    shared_pictures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The .npz that the command writes loads as the source "arrays"; wrong requests exit with 2."""
    small_sheets(shared_pictures, tmp_path / "data", monkeypatch)
    monkeypatch.setenv("SARTOR_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "subset.npz"
    options = ["cifar10", "--folder", str(tmp_path / "data"), "--image-size", "16", "--out"]
    assert shared_pictures.main([*options, str(out), "--classes", "3", "--pictures-per-class", "5"]) == 0
    got = load("arrays", out)
    assert (got.train.num_classes, got.train.image_size, len(got.train)) == (3, 16, 15)
    assert got.test is not None
    assert len(got.test) == 6
    assert all(name.startswith("class ") for name in got.train.class_names)
    assert shared_pictures.main([*options, str(out), "--classes", "11"]) == 2
    assert shared_pictures.main([*options, str(tmp_path / "subset.txt")]) == 2


def test_registered_as_sources(shared_pictures: ModuleType) -> None:
    """The sheets are sources like any other once the recipe is imported."""
    assert {"cifar10_sheets", "cifar100_sheets"} <= set(SOURCES)


def test_cifar100_counts(cifar100: Pictures) -> None:
    """50,000 and 10,000 pictures, 500 and 100 of each of 100 classes, named."""
    assert cifar100.test is not None
    assert np.bincount(cifar100.train.labels).tolist() == [500] * 100
    assert np.bincount(cifar100.test.labels).tolist() == [100] * 100
    assert cifar100.train.class_names[:2] == ("apple", "aquarium_fish")


def test_normalisation_of_cifar100(cifar100: Pictures) -> None:
    """The published constants of CIFAR-100's training pictures (summed in floating point; ours are exact sums)."""
    found = Normalisation.of(cifar100.train.images)
    assert np.allclose(found.mean, [0.50707515924, 0.48654887332, 0.44091784338], atol=2e-11, rtol=0)
    assert np.allclose(found.std, [0.26733428587, 0.25643846293, 0.27615047132], atol=2e-11, rtol=0)
