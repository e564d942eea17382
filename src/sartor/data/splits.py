"""Index sets: which training pictures teach the weights, steer the policy, select, and which pictures judge.

Data that steers is never data that judges: the sets are disjoint, stratified by class, drawn once from a seed and
kept in the run folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data.images import Indices
from sartor.errors import RequestError

FORMAT_VERSION = 1

# A whole number is a count of pictures, a number with a point is a fraction of the training pictures.
Size = int | float


@dataclass(frozen=True, eq=False)
class IndexSets:
    """Disjoint rows of the training pictures, and all rows of the test pictures. int64, ascending.

    Attributes:
        weights: training rows that teach the shared and the final weights.
        policy: training rows that steer a policy or mixture weights (FP-NAS, TuNAS, DARTS); may be empty.
        selection: training rows on which candidates are compared ("validation"); empty if ``train_on_all``.
        test: rows of the test pictures, used once, for the accuracy that is reported; empty if there are none.
        fingerprint: identifies the labels that the rows index.
        seed: the seed from which the sets were drawn.
    """

    weights: Indices
    policy: Indices
    selection: Indices
    test: Indices
    fingerprint: str
    seed: int

    def save(self, path: Path) -> None:
        """Writes the sets as JSON, whole or not at all.

        Raises:
            RequestError: the folder cannot be written to.
        """
        content: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            **{part: getattr(self, part).tolist() for part in ("weights", "policy", "selection", "test")},
        }
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_text(json.dumps(content), encoding="utf-8")
            partial.replace(path)
        except OSError as error:
            raise RequestError(f"index sets {path}: the file cannot be written ({error})") from error

    @classmethod
    def load(cls, path: Path) -> IndexSets:
        """Reads what ``save`` wrote.

        Raises:
            RequestError: the file is missing, damaged, or of another format version.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format_version"] != FORMAT_VERSION:
                raise RequestError(
                    f"index sets {path}: format version {content['format_version']}, this program reads "
                    f"{FORMAT_VERSION}; start a new run folder"
                )
            parts = {p: np.array(content[p], dtype=np.int64) for p in ("weights", "policy", "selection", "test")}
            return cls(**parts, fingerprint=content["fingerprint"], seed=content["seed"])
        except OSError as error:
            raise RequestError(f"index sets {path}: the file cannot be read ({error})") from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise RequestError(f"index sets {path}: the file is damaged ({error!r}); start a new run folder") from error

    def check(self, labels: Indices, test_labels: Indices | None = None) -> None:
        """Raises RequestError if the sets were made for other labels than these."""
        if self.fingerprint != fingerprint_labels(labels, test_labels):
            raise RequestError(
                "the index sets of this run were made for other pictures or labels (their fingerprints differ); "
                "restore the data as it was, or start a new run folder"
            )


def make_index_sets(
    labels: Indices,
    *,
    test_labels: Indices | None = None,
    weights: Size | None = None,
    policy: Size = 0,
    selection: Size = 0.1,
    seed: int = 0,
    train_on_all: bool = False,
) -> IndexSets:
    """Draws the index sets from the labels ``[n]`` of the training pictures.

    Args:
        labels: classes of the training pictures.
        test_labels: classes of the test pictures, all of which judge; None if there are none.
        weights: how many pictures teach weights, as a count (int) or a fraction (float); None takes all that the
            other sets leave.
        policy: likewise for the policy.
        selection: likewise for the selection.
        seed: the same labels and seed give the same sets.
        train_on_all: every training picture teaches weights, ``selection`` is ignored and stays empty, so there is
            no validation accuracy. A policy set stays disjoint.

    Raises:
        RequestError: a size that is negative, above 1.0, or more pictures than there are.
    """
    if train_on_all and weights is not None:
        raise RequestError(
            f"index sets: train_on_all takes every training picture, but weights is {weights}; leave one of them out"
        )
    wanted = {"policy": policy, "selection": 0 if train_on_all else selection, "weights": weights}
    counts = {part: _count(part, size, len(labels)) for part, size in wanted.items() if size is not None}
    left = len(labels) - counts["policy"] - counts["selection"]
    if weights is None or train_on_all:
        counts["weights"] = left
    if counts["weights"] > left or left < 1 or counts["weights"] < 1:
        raise RequestError(
            f"index sets: policy {counts['policy']}, selection {counts['selection']} and weights {counts['weights']} "
            f"must be disjoint, and there are {len(labels)} training pictures; weights needs at least one"
        )
    parts = stratified_split(labels, list(counts.values()), seed)
    test = np.arange(0 if test_labels is None else len(test_labels))
    rows = dict(zip(counts, parts, strict=True))
    return IndexSets(**rows, test=test, fingerprint=fingerprint_labels(labels, test_labels), seed=seed)


def stratified_split(labels: Indices, counts: Sequence[int], seed: int) -> list[Indices]:
    """Disjoint rows of the given counts, each with the classes in the proportions of ``labels``; ascending.

    Every part has exactly its count; of each class it holds its exact share, rounded to a neighbouring whole number
    (or what the parts before it have left).
    """
    rng = np.random.default_rng([seed, 0x5EED])
    pools = [rng.permutation(np.flatnonzero(labels == c)) for c in range(int(labels.max()) + 1)]
    sizes = np.array([len(pool) for pool in pools])
    used = np.zeros_like(sizes)
    parts = []
    for count in counts:
        take = _apportion(count, sizes, sizes - used)
        rows = [pool[start : start + k] for pool, start, k in zip(pools, used, take, strict=True)]
        parts.append(np.sort(np.concatenate(rows)).astype(np.int64))
        used += take
    return parts


def _apportion(count: int, sizes: NDArray[np.int64], left: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shares of ``count`` in proportion to ``sizes``, at most ``left`` each, by largest remainders."""
    # Exact integer arithmetic, so that every machine rounds alike.
    total = int(sizes.sum())
    take = np.minimum(count * sizes // total, left)
    remainder = count * sizes - take * total
    while (missing := count - int(take.sum())) > 0:
        open_classes = np.flatnonzero(take < left)
        order = open_classes[np.argsort(-remainder[open_classes], kind="stable")]
        take[order[:missing]] += 1
        remainder[order[:missing]] -= total
    return take


def _count(part: str, size: Size, total: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise RequestError(f"index sets: {part} must be a count or a fraction, got {size!r}")
    if size < 0 or (isinstance(size, float) and not size <= 1):
        raise RequestError(
            f"index sets: {part} is {size}; give a count of pictures (a whole number) or a fraction from 0.0 to 1.0"
        )
    count = round(size * total) if isinstance(size, float) else size
    if count > total:
        raise RequestError(f"index sets: {part} asks for {count} pictures, there are only {total} training pictures")
    return count


def fingerprint_labels(labels: Indices, test_labels: Indices | None = None) -> str:
    """A short hash of the labels and their order, by which saved rows recognise their data."""
    digest = hashlib.sha256()
    for part in (labels, np.zeros(0, np.int64) if test_labels is None else test_labels):
        digest.update(f"{len(part)};".encode())
        digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]
