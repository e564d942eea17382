"""Index sets are disjoint, stratified, exact, reproducible, and recognise their data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.data import IndexSets, make_index_sets
from sartor.data.splits import stratified_split
from sartor.errors import RequestError

LABELS = np.random.default_rng(5).permutation(np.repeat(np.arange(7), [10, 20, 30, 40, 50, 61, 89]))  # 300


def test_exact_counts_and_disjoint() -> None:
    """Every part has its exact count, and together with the rest each picture is used exactly once."""
    sets = make_index_sets(LABELS, policy=53, selection=0.1, seed=1)
    assert [len(part) for part in (sets.weights, sets.policy, sets.selection)] == [217, 53, 30]
    every = np.concatenate([sets.weights, sets.policy, sets.selection])
    assert np.array_equal(np.sort(every), np.arange(300))


@pytest.mark.parametrize("seed", range(5))
def test_stratified(seed: int) -> None:
    """Each class of each part holds its proportional share, rounded to a neighbouring whole number."""
    counts = [60, 31]
    sizes = np.bincount(LABELS)
    for count, rows in zip(counts, stratified_split(LABELS, counts, seed), strict=True):
        got = np.bincount(LABELS[rows], minlength=7)
        assert got.sum() == count
        assert np.all(np.abs(got - count * sizes / 300) < 1)


def test_many_parts_use_everything() -> None:
    """Parts that add up to all pictures always exist, whatever the rounding."""
    parts = stratified_split(LABELS, [1, 2, 3, 94, 100, 100], seed=0)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(300))


def test_seed_decides() -> None:
    """The same seed gives the same sets, another seed others."""
    same = [make_index_sets(LABELS, seed=3).selection for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], make_index_sets(LABELS, seed=4).selection)


def test_train_on_all() -> None:
    """With train_on_all the weights take everything and nothing is left to select on."""
    sets = make_index_sets(LABELS, selection=0.2, train_on_all=True, test_labels=np.arange(5))
    assert np.array_equal(sets.weights, np.arange(300))
    assert len(sets.selection) == len(sets.policy) == 0
    assert np.array_equal(sets.test, np.arange(5))


def test_save_and_load(tmp_path: Path) -> None:
    """What is loaded equals what was saved, and accepts its own labels only."""
    sets = make_index_sets(LABELS, policy=20, test_labels=LABELS[:9], seed=2)
    sets.save(tmp_path / "index_sets.json")
    loaded = IndexSets.load(tmp_path / "index_sets.json")
    for part in ("weights", "policy", "selection", "test"):
        assert np.array_equal(getattr(sets, part), getattr(loaded, part))
    loaded.check(LABELS, LABELS[:9])
    with pytest.raises(RequestError, match="other pictures or labels"):
        loaded.check(LABELS[::-1], LABELS[:9])
    with pytest.raises(RequestError, match="other pictures or labels"):
        loaded.check(LABELS, LABELS[:8])
    assert [f.name for f in tmp_path.iterdir()] == ["index_sets.json"]


@pytest.mark.parametrize("content", ["", "{}", '{"format_version": 1}', '{"format_version": 9}', "[1]"])
def test_damaged_files_are_refused(tmp_path: Path, content: str) -> None:
    """A file that is not what save wrote is a clear error."""
    (tmp_path / "sets.json").write_text(content)
    with pytest.raises(RequestError, match=r"sets\.json: (the file is damaged|format version 9)"):
        IndexSets.load(tmp_path / "sets.json")
    with pytest.raises(RequestError, match="cannot be read"):
        IndexSets.load(tmp_path / "none.json")
    with pytest.raises(RequestError, match="cannot be written"):
        make_index_sets(LABELS).save(tmp_path / "none" / "sets.json")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"selection": 301}, "asks for 301 pictures, there are only 300"),
        ({"selection": 1.5}, "fraction from 0.0 to 1.0"),
        ({"policy": -1}, "policy is -1"),
        ({"policy": 0.6, "selection": 0.4}, "weights needs at least one"),
        ({"weights": 250, "selection": 51}, "must be disjoint"),
        ({"weights": 0}, "at least one"),
        ({"selection": True}, "count or a fraction"),
        ({"weights": 10, "train_on_all": True}, "leave one of them out"),
    ],
)
def test_wrong_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    """Sizes that cannot be met are one clear sentence."""
    with pytest.raises(RequestError, match=message):
        make_index_sets(LABELS, **sizes)
