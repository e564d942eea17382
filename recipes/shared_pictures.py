"""CIFAR-10 and CIFAR-100 from sheets of tiles, through the same interface as every other data set.

A sheet is one picture that holds thousands of 32x32 tiles row by row, in class order: few files, lossless for
CIFAR-100, nearly so for CIFAR-10 (say so beside any accuracy). The sheets are not part of this project; recipes and
benchmarks find them in the folder that SARTOR_SHARED_DATA names (default: ``../shared/data`` beside the repository).
Decoding takes seconds, so the arrays are kept in the user's cache folder.

A subset as a file for a job:

    python recipes/shared_pictures.py cifar100 --classes 20 --pictures-per-class 250 --image-size 16 --out FILE.npz
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sartor.data import Pictures, load, register_source
from sartor.data.cache import default_cache_folder
from sartor.data.sources import SOURCES, Listing, LoadOptions, array_split
from sartor.errors import RequestError, SartorError

SIDE = 32


@dataclass(frozen=True)
class Sheets:
    """How a data set is spread over sheets: each holds ``tiles`` pictures in class order, the same number of each."""

    train: tuple[str, ...]
    test: str
    tiles: int
    test_tiles: int
    names: str
    origin: str


SHEETS = {
    "cifar10": Sheets(
        tuple(f"cifar10_train_{k}.avif" for k in range(5)),
        "cifar10_test.avif",
        10_000,
        10_000,
        "cifar10",
        "CIFAR-10, A. Krizhevsky 2009, near-lossless copy (PSNR 37.1 dB)",
    ),
    "cifar100": Sheets(
        ("cifar100_train_a.webp", "cifar100_train_b.webp"),
        "cifar100_test.webp",
        25_000,
        10_000,
        "cifar100",
        "CIFAR-100, A. Krizhevsky 2009, lossless copy",
    ),
}


def shared_data_folder() -> Path:
    """Where the sheets are expected."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("SARTOR_SHARED_DATA", default))


def load_cifar10(
    folder: Path | None = None,
    *,
    image_size: int | None = None,
    classes: int | Sequence[int | str] | None = None,
    pictures_per_class: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> Pictures:
    """CIFAR-10 from the sheets in ``folder`` (default: ``shared_data_folder()``); arguments as ``sartor.data.load``."""
    return load(
        "cifar10_sheets",
        folder or shared_data_folder(),
        image_size=image_size,
        classes=classes,
        pictures_per_class=pictures_per_class,
        seed=seed,
        cache=cache,
    )


def load_cifar100(
    folder: Path | None = None,
    *,
    image_size: int | None = None,
    classes: int | Sequence[int | str] | None = None,
    pictures_per_class: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> Pictures:
    """CIFAR-100 (fine classes) from the sheets in ``folder``; arguments as ``sartor.data.load``."""
    return load(
        "cifar100_sheets",
        folder or shared_data_folder(),
        image_size=image_size,
        classes=classes,
        pictures_per_class=pictures_per_class,
        seed=seed,
        cache=cache,
    )


def tiles(path: Path, count: int) -> NDArray[np.uint8]:
    """The first ``count`` tiles of a sheet: uint8 ``[count, 32, 32, 3]``."""
    try:
        sheet = np.asarray(Image.open(path).convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise RequestError(f"sheet {path}: it cannot be read ({error})") from error
    rows, columns = sheet.shape[0] // SIDE, sheet.shape[1] // SIDE
    if rows * columns < count:
        raise RequestError(f"sheet {path}: expected at least {count} tiles of {SIDE}x{SIDE}, found {rows * columns}")
    cut = sheet[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3).swapaxes(1, 2)
    return cut.reshape(-1, SIDE, SIDE, 3)[:count]


def _listing(name: str, path: Path | None, options: LoadOptions) -> Listing:
    sheets = SHEETS[name]
    folder = (path or shared_data_folder()) / "images"
    missing = [f for f in (*sheets.train, sheets.test, "labels.json") if not (folder / f).is_file()]
    if missing:
        raise RequestError(f"data {name!r}: {folder} lacks {', '.join(missing)}; set SARTOR_SHARED_DATA to its parent")
    names = tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8"))[sheets.names])
    stored = _decoded(name, folder, options.cache or default_cache_folder())
    train, test = (np.load(stored / f"{part}.npy", mmap_mode="r") for part in ("train", "test"))
    per_sheet = np.repeat(np.arange(len(names)), sheets.tiles // len(names))
    train_labels = np.tile(per_sheet, len(sheets.train))
    test_labels = np.repeat(np.arange(len(names)), sheets.test_tiles // len(names))
    return Listing(
        name, sheets.origin, names, array_split(train, train_labels, name), array_split(test, test_labels, name)
    )


def _decoded(name: str, folder: Path, cache: Path) -> Path:
    """The folder with ``train.npy`` and ``test.npy``, decoded at the first call; complete or absent, never half."""
    sheets = SHEETS[name]
    digest = hashlib.sha256()
    for file in (*sheets.train, sheets.test):
        status = (folder / file).stat()
        digest.update(f"{file} {status.st_size} {status.st_mtime_ns};".encode())
    target = cache / f"{name}-sheets-{digest.hexdigest()[:16]}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        partial_folder = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=cache))
        try:
            np.save(
                partial_folder / "train.npy", np.concatenate([tiles(folder / f, sheets.tiles) for f in sheets.train])
            )
            np.save(partial_folder / "test.npy", tiles(folder / sheets.test, sheets.test_tiles))
            if not target.is_dir():
                partial_folder.rename(target)
        finally:
            shutil.rmtree(partial_folder, ignore_errors=True)
    return target


for _name in SHEETS:
    if f"{_name}_sheets" not in SOURCES:
        register_source(f"{_name}_sheets", partial(_listing, _name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes a subset as ``.npz`` for ``sartor run`` (source ``arrays``)."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("name", choices=sorted(SHEETS))
    parser.add_argument("--folder", type=Path, help="folder of the shared data (default: SARTOR_SHARED_DATA)")
    parser.add_argument("--classes", type=int, help="number of classes drawn from the seed")
    parser.add_argument("--pictures-per-class", type=int, help="training pictures per class")
    parser.add_argument("--image-size", type=int, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    given = parser.parse_args(arguments)
    loader = load_cifar10 if given.name == "cifar10" else load_cifar100
    try:
        pictures = loader(
            given.folder,
            image_size=given.image_size,
            classes=given.classes,
            pictures_per_class=given.pictures_per_class,
            seed=given.seed,
        )
        _write(pictures, given.out)
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    test_count = 0 if pictures.test is None else len(pictures.test)
    print(f"{given.out}: {len(pictures.train)} training and {test_count} test pictures")
    return 0


def _write(pictures: Pictures, out: Path) -> None:
    if out.suffix != ".npz":
        raise RequestError(f"--out must end in .npz, got {out}")
    arrays = {"x_train": pictures.train.images, "y_train": pictures.train.labels}
    if pictures.test is not None:
        arrays |= {"x_test": pictures.test.images, "y_test": pictures.test.labels}
    try:
        np.savez_compressed(out, class_names=np.array(pictures.train.class_names), **arrays)
    except OSError as error:
        raise RequestError(f"{out} cannot be written ({error})") from error


if __name__ == "__main__":
    raise SystemExit(main())
