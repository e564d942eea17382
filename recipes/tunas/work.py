"""One piece of work: from its name to one JSON file, through checkpoints from which a killed piece goes on."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import Augmentation, IndexSets, Pictures, make_index_sets
from sartor.methods.tunas import TuNASSettings
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import fit_alone
from sartor.run import RunFolder
from sartor.runtime import prepare
from sartor.space import SearchSpace
from sartor.storage import storage_errors, to_json, write_atomically
from slimmable.work import ClockedStore, Machine
from tunas.networks import best, costs_of, random_network
from tunas.pieces import BEST_RANDOM, MAIN, RANDOM, Piece, needs
from tunas.sizes import PLATFORM, SIZES, Size, Target
from tunas.variants import VARIANTS, Variant

__all__ = ["Job", "Machine", "do_piece", "piece_path", "read_piece"]

# Of the metrics of a search, in this many parts.
_CURVES, _PARTS = ("cost_ratio", "entropy_nats", "quality", "loss", "policy_rate"), 20
_SPLIT_SEED = 0  # every piece has the same pictures for teaching, steering and choosing


@dataclass(frozen=True)
class Job:
    """What all pieces of one results folder share; ``space`` is that of the main searches (None: the size's own)."""

    results: Path
    size_name: str
    plan: tuple[Piece, ...]
    machine: Machine = field(default_factory=Machine)
    space: str | None = None

    @property
    def size(self) -> Size:
        """All numbers."""
        return SIZES[self.size_name]

    def target(self, space: SearchSpace) -> Target:
        """What networks of a space should cost."""
        return self.size.targets[space.name]

    def make_space(self, network: str = MAIN) -> SearchSpace:
        """The space that a variant searches, or that random networks come from."""
        variant = VARIANTS.get(network, Variant())
        return self.size.make_space(variant.space or self.space, variant.options)

    def to_json(self) -> dict[str, Any]:
        """By which a results folder is recognised; the machine is no part of it."""
        return {"size": self.size.to_json(), "space": self.space or self.size.space}


def piece_path(results: Path, piece: Piece) -> Path:
    """Where the result of a piece is kept."""
    return results / "pieces" / f"{piece.file}.json"


def read_piece(results: Path, piece: Piece) -> dict[str, Any] | None:
    """The result of a piece, or None while it is not done."""
    path = piece_path(results, piece)
    with storage_errors(path):
        if not path.exists():
            return None
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def do_piece(job: Job, piece: Piece) -> dict[str, Any]:
    """Does a piece, from its last checkpoint if there is one, and writes its result whole or not at all.

    Raises:
        RequestError: the pictures are missing, the disk refuses, or the piece is in work elsewhere.
    """
    setting = make_setting(job, piece)
    with RunFolder.create(job.results / "work" / piece.file, {**job.to_json(), "piece": piece.file}) as folder:
        store = ClockedStore(folder, piece.kind)
        found = _search(setting, store) if piece.kind == "search" else _train(setting, job, piece, store)
        times = {"seconds": round(store.seconds, 2), "cpu_seconds": round(store.cpu_seconds, 2)}
        content = {"piece": piece.file, **found, **times, "device": str(setting.runtime.device)}
        text = to_json(content)
        write_atomically(piece_path(job.results, piece), (text + "\n").encode())
        folder.remove_checkpoint(store.checkpoint)
    done: dict[str, Any] = json.loads(text)
    return done


def make_setting(job: Job, piece: Piece) -> Setting:
    """The setting of a piece. Networks that are compared differ in nothing but their layers and the seed."""
    size, machine = job.size, job.machine
    runtime = prepare(machine.device, machine.precision, machine.threads)
    pictures = _pictures(job.size_name, machine.data)
    space = job.make_space(piece.network)
    variant = VARIANTS.get(piece.network, Variant())
    share = size.ablation_share if variant.share is None else variant.share
    target = job.target(space)
    train = size.short
    if piece.kind == "long" and size.long is not None:
        train = dataclasses.replace(size.long, dropout=target.dropout)
    return Setting(
        space=space,
        pictures=pictures,
        index_sets=_index_sets(size, pictures, everything=piece.kind == "long"),
        platforms=(target.platform(),),
        method_name="tunas",
        method_settings=_method_settings(size, variant),
        search=dataclasses.replace(size.search, epochs=size.search.epochs * share),
        train=train,
        augmentation=size.augmentation or Augmentation.standard(pictures.train),
        runtime=runtime,
        seed=piece.number,
        calibration_pictures=size.calibration_pictures,
        evaluation_batch=size.evaluation_batch,
        cloud=0,
    )


def _method_settings(size: Size, variant: Variant) -> TuNASSettings:
    assert size.tunas.rate_sum is not None  # every size states it, so that the variants' rates are shares of it
    return dataclasses.replace(size.tunas, rate_sum=size.tunas.rate_sum * variant.rate, **variant.tunas)


@functools.cache
def _pictures(size_name: str, path: Path | None) -> Pictures:
    """Read once per process."""
    return SIZES[size_name].load_pictures(path)


def _index_sets(size: Size, pictures: Pictures, everything: bool) -> IndexSets:
    """Which pictures teach, steer and choose; with ``everything`` all training pictures teach."""
    test_labels = None if pictures.test is None else pictures.test.labels
    labels = pictures.train.labels
    if everything:
        return make_index_sets(labels, test_labels=test_labels, seed=_SPLIT_SEED, train_on_all=True)
    found = make_index_sets(
        labels, test_labels=test_labels, policy=size.policy, selection=size.selection or 0, seed=_SPLIT_SEED
    )
    return found if size.selection is not None else dataclasses.replace(found, selection=found.policy)


def _search(setting: Setting, store: ClockedStore) -> dict[str, Any]:
    searched = search(setting, store)
    lines = store.folder.metrics(store.stage)
    return {
        "choice": searched.choices[PLATFORM].to_dict(),
        "images": searched.images,
        "steps": searched.method.steps,
        "first_entropy_nats": lines[0]["entropy_nats"],
        "last_entropy_nats": lines[-1]["entropy_nats"],
        "curves": curves(lines),
        "warnings": searched.method.warnings(),
        "trace": searched.method.trace(),
    }


def curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Means of the metrics over each of twenty parts of a search, in order; the last is what it came to."""
    parts = np.array_split(np.arange(len(lines)), min(_PARTS, len(lines)))
    found: dict[str, list[float | None]] = {}
    for name in _CURVES:
        columns = [[lines[i][name] for i in part if lines[i].get(name) is not None] for part in parts]
        found[name] = [float(np.mean(c)) if c else None for c in columns]
    return found


def _train(setting: Setting, job: Job, piece: Piece, store: ClockedStore) -> dict[str, Any]:
    values = network_of(setting.space, job, piece)
    blueprint = setting.space.blueprint(values, piece.file)
    fitted = fit_alone(setting, {PLATFORM: blueprint}, lambda _: store)
    return {
        "architecture": values,
        "costs": costs_of(setting.space, job.target(setting.space), values),
        "images": fitted.images,
        **fitted.accuracies[PLATFORM],
    }


def network_of(space: SearchSpace, job: Job, piece: Piece) -> dict[str, Any]:
    """The choices that a training trains: found by its search, or random."""
    if piece.network == RANDOM:
        return random_network(space, job.target(space), piece.number)
    started_from = [read_piece(job.results, need) for need in needs(piece, job.plan)]
    known = [content for content in started_from if content is not None]
    if len(known) < len(started_from):
        raise RuntimeError(f"{piece.file} was started before what it needs was done")
    values: dict[str, Any] = (
        best(known)["architecture"] if piece.network == BEST_RANDOM else known[0]["choice"]["architecture"]
    )
    return values
