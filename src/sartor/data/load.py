"""From a source to the pictures of a job: choose classes and pictures from a seed, then read and resize them once."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sartor.data.images import ImageSet, Indices, Pictures, check_labels
from sartor.data.sources import find_source
from sartor.data.sources.listing import Listing, LoadOptions, Progress, Split
from sartor.data.splits import stratified_split
from sartor.errors import RequestError

# Where a source has no test pictures, this share is split off, always the same ones whatever the seed of the run:
# runs with different seeds are judged on the same pictures.
TEST_FRACTION = 0.2
_TEST_SEED = 0
# Rows of the training and of the test pictures.
Rows = tuple[Indices, Indices]
_SMALLEST_SIDE = 8
_LARGEST_SIDE = 1024


def load(
    source: str,
    path: Path | str | None = None,
    *,
    image_size: int | None = None,
    classes: int | Sequence[int | str] | None = None,
    pictures_per_class: int | None = None,
    test_fraction: float = TEST_FRACTION,
    seed: int = 0,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress | None = None,
    rows: Rows | None = None,
) -> Pictures:
    """The training and test pictures of a source.

    Args:
        source: a registered name: ``digits``, ``cifar10``, ``cifar100``, ``folder``, ``arrays``.
        path: the archive, file or folder; the digits have none.
        image_size: side of the squares a network sees; pictures are resized to it once. Default: as stored.
        classes: how many classes to draw from ``seed`` (kept in their order), or which ones by name or number
            (renumbered in the order given). Default: all.
        pictures_per_class: how many training pictures of each class to draw from ``seed``; more include fewer. Test
            pictures are never thinned out. Default: all.
        test_fraction: where the source has no test pictures, the share split off for them, stratified, and the same
            for every seed; 0 for none.
        seed: of the subset.
        cache: folder for decoded pictures (source ``folder``). Default: the user's cache folder.
        workers: processes that decode pictures (source ``folder``).
        progress: called as ``progress(done, total)`` while pictures are decoded.
        rows: only these of the training and of the test pictures, counted as they come without it.

    Raises:
        RequestError: an unknown source, missing or damaged files, labels that do not fit, an empty class, or a
            subset that asks for more than there is.
    """
    options = LoadOptions(cache, workers, progress)
    found = find_source(source)(None if path is None else Path(path), options)
    _check_request(image_size, pictures_per_class, test_fraction, found.name)
    train, test = _splits(found, test_fraction)
    chosen = choose_classes(found.class_names, classes, seed, found.name)
    note = _subset_note(classes, pictures_per_class, seed)
    train_rows = choose_rows(train.labels, chosen, pictures_per_class, seed, found.name)
    if rows is not None:
        train_rows = train_rows[rows[0]]
    subset = replace(found, class_names=tuple(found.class_names[c] for c in chosen), origin=found.origin + note)
    train_set = _read(subset, train, train_rows, chosen, image_size, complete=rows is None)
    if test is None or (rows is not None and not len(rows[1])):
        return Pictures(train_set, None)
    test_rows = np.flatnonzero(np.isin(test.labels, chosen))
    if not len(test_rows):
        raise RequestError(f"data {found.name!r}: none of the test pictures belongs to the classes that are used")
    if rows is not None:
        test_rows = test_rows[rows[1]]
    return Pictures(train_set, _read(subset, test, test_rows, chosen, image_size, complete=False))


def choose_classes(
    class_names: Sequence[str], classes: int | Sequence[int | str] | None, seed: int, where: str
) -> list[int]:
    """The numbers of the classes asked for: all, a number of them drawn from ``seed``, or by name or number."""
    total = len(class_names)
    if classes is None:
        return list(range(total))
    if isinstance(classes, int):
        if not 2 <= classes <= total:
            raise RequestError(f"data {where!r}: classes must be from 2 to {total}, got {classes}")
        return sorted(np.random.default_rng([seed, 0xC1A55]).permutation(total)[:classes].tolist())
    chosen = [_class_number(class_names, c, where) for c in classes]
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise RequestError(f"data {where!r}: classes must be at least two different ones, got {list(classes)}")
    return chosen


def choose_rows(
    labels: Indices, chosen: Sequence[int], pictures_per_class: int | None, seed: int, where: str
) -> Indices:
    """The rows of the chosen classes, ascending; of each class ``pictures_per_class`` drawn from ``seed``.

    A class's draw depends on no other class, and a larger number includes a smaller one.
    """
    if pictures_per_class is None:
        return np.flatnonzero(np.isin(labels, chosen))
    parts = []
    for c in chosen:
        rows = np.flatnonzero(labels == c)
        if len(rows) < pictures_per_class:
            raise RequestError(
                f"data {where!r}: pictures_per_class is {pictures_per_class}, but class number {c} has only "
                f"{len(rows)} training pictures; ask for at most that many"
            )
        parts.append(np.random.default_rng([seed, 0x9071, c]).permutation(rows)[:pictures_per_class])
    return np.sort(np.concatenate(parts))


def _splits(found: Listing, test_fraction: float) -> tuple[Split, Split | None]:
    """The training and test pictures with checked labels; the test pictures split off where there are none."""
    labels = check_labels(found.train.labels, found.train.count, found.class_names, found.name)
    train = replace(found.train, labels=labels)
    if found.test is not None:
        where = f"{found.name} (test)"
        test = check_labels(found.test.labels, found.test.count, found.class_names, where, allow_empty=True)
        return train, replace(found.test, labels=test)
    count = round(test_fraction * len(labels))
    if count == 0:
        return train, None
    test_rows, train_rows = stratified_split(labels, [count, len(labels) - count], _TEST_SEED)
    return _part(train, train_rows), _part(train, test_rows)


def _part(split: Split, rows: Indices) -> Split:
    return Split(split.labels[rows], len(rows), lambda indices, size: split.read(rows[indices], size))


def _read(
    found: Listing, split: Split, rows: Indices, chosen: Sequence[int], image_size: int | None, *, complete: bool
) -> ImageSet:
    """The pictures at ``rows``; ``complete`` ones show every class."""
    new_number = np.full(max(chosen) + 1, -1, np.int64)
    new_number[np.array(chosen)] = np.arange(len(chosen))
    return ImageSet(
        split.read(rows, image_size),
        new_number[split.labels[rows]],
        found.class_names,
        found.name,
        found.origin,
        flippable=found.flippable,
        allow_empty_classes=not complete,
    )


def _class_number(class_names: Sequence[str], wanted: int | str, where: str) -> int:
    if isinstance(wanted, str) and wanted in class_names:
        return list(class_names).index(wanted)
    if isinstance(wanted, int) and 0 <= wanted < len(class_names):
        return wanted
    if isinstance(wanted, str):
        close = difflib.get_close_matches(wanted, class_names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise RequestError(f"data {where!r}: there is no class {wanted!r}{hint}")
    raise RequestError(f"data {where!r}: there is no class number {wanted}, allowed are 0 to {len(class_names) - 1}")


def _check_request(image_size: int | None, pictures_per_class: int | None, test_fraction: float, where: str) -> None:
    if image_size is not None and not _SMALLEST_SIDE <= image_size <= _LARGEST_SIDE:
        raise RequestError(
            f"data {where!r}: image_size must be from {_SMALLEST_SIDE} to {_LARGEST_SIDE} pixels, got {image_size}"
        )
    if pictures_per_class is not None and pictures_per_class < 1:
        raise RequestError(f"data {where!r}: pictures_per_class must be at least 1, got {pictures_per_class}")
    if not 0 <= test_fraction < 1:
        raise RequestError(f"data {where!r}: test_fraction must be from 0 to below 1, got {test_fraction}")


def _subset_note(classes: int | Sequence[int | str] | None, pictures_per_class: int | None, seed: int) -> str:
    """What of the data set was left out, for the report."""
    parts = []
    if classes is not None:
        parts.append(f"{classes if isinstance(classes, int) else len(classes)} classes")
    if pictures_per_class is not None:
        parts.append(f"{pictures_per_class} training pictures per class")
    return f" (subset: {', '.join(parts)}, seed {seed})" if parts else ""
