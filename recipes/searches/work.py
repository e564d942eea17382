"""One piece of work: from its name to one JSON file, through checkpoints from which a killed piece goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sartor.data import Augmentation, IndexSets, Pictures, make_index_sets
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import fit_alone
from sartor.run import RunFolder
from sartor.runtime import prepare
from sartor.space import SearchSpace
from sartor.storage import to_json, write_atomically
from sartor.train.settings import FinalTraining
from searches.experiment import Experiment
from searches.machine import ClockedStore, Machine
from searches.networks import best, costs_of, random_network
from searches.pieces import BEST_RANDOM, RANDOM, Piece
from searches.sizes import PLATFORM, Size, Target
from searches.worklist import Named, piece_path, read_piece

# Of the metrics of a search, in this many parts.
_CURVES = (
    "cost_ratio",
    "entropy_nats",
    "quality",
    "loss",
    "policy_rate",
    "samples_per_step",
    "effective_samples",
    "mode_accuracy",
)
_PARTS = 20
_READ: dict[Any, Pictures] = {}
Found = dict[str, Any]
_SPLIT_SEED = 0  # every piece has the same pictures for teaching, steering and choosing


@dataclass(frozen=True)
class Job:
    """What all pieces of one results folder share.

    ``space`` is that of the main searches (None: the size's own); ``teacher`` the file of a trained network from which
    networks alone learn beside the labels.
    """

    results: Path
    experiment: Experiment
    size: Size
    plan: tuple[Piece, ...]
    machine: Machine = field(default_factory=Machine)
    space: str | None = None
    teacher: str | None = None

    def needs(self, piece: Piece) -> tuple[Piece, ...]:
        """The pieces whose results a piece starts from."""
        if piece.network == RANDOM and self.size.matched:
            return (self.match(piece),)
        return self.experiment.needs(piece, self.plan)

    def match(self, piece: Piece) -> Piece:
        """The search whose answer a random network costs as much as."""
        searches = [p for p in self.plan if p.kind == "search" and p.network == self.experiment.main]
        return searches[piece.number % len(searches)]

    def target(self, space: SearchSpace) -> Target:
        """What networks of a space should cost."""
        return self.size.targets[space.name]

    def make_space(self, network: str, searched: bool = False) -> SearchSpace:
        """The space that a variant searches, or that random networks come from; ``searched`` as in ``Size``."""
        variant = self.experiment.variant(network)
        return self.size.make_space(variant.space or self.space, variant.options, searched)

    def to_json(self) -> dict[str, Any]:
        """By which a results folder is recognised; the machine is no part of it."""
        teacher = {} if self.teacher is None else {"teacher": self.teacher}
        return {"size": self.size.to_json(), "space": self.space or self.size.space, **teacher}


def do_piece(job: Job, piece: Piece) -> dict[str, Any]:
    """Does a piece, from its last checkpoint if there is one, and writes its result whole or not at all.

    Raises:
        RequestError: the pictures are missing, the disk refuses, or the piece is in work elsewhere.
    """
    setting = make_setting(job, piece)
    act = partial(_search, setting) if piece.kind == "search" else partial(_train, setting, job, piece)
    return finish(job.results, piece, piece.kind, job.to_json(), setting, act)


def finish(
    results: Path,
    piece: Named,
    stage: str,
    configuration: Mapping[str, Any],
    setting: Setting,
    act: Callable[[ClockedStore], Found],
) -> Found:
    """Does what ``act`` does in a folder of the piece's own, and writes what it found, where, and how long it took.

    Raises:
        RequestError: the disk refuses, or the piece is in work elsewhere.
    """
    with RunFolder.create(results / "work" / piece.file, {**configuration, "piece": piece.file}) as folder:
        store = ClockedStore(folder, stage)
        found = act(store)
        text = to_json({"piece": piece.file, **found, "device": str(setting.runtime.device), **store.times})
        write_atomically(piece_path(results, piece), (text + "\n").encode())
        folder.remove_checkpoint(store.checkpoint)
    done: Found = json.loads(text)
    return done


def make_setting(job: Job, piece: Piece) -> Setting:
    """The setting of a piece. Networks that are compared differ in nothing but their layers and the seed."""
    size, machine = job.size, job.machine
    runtime = prepare(machine.device, machine.precision, machine.threads)
    searched = piece.kind == "search"
    everything = piece.kind == "long" or (size.alone is not None and not searched)
    pictures = _pictures(size, machine.data, searched)
    space, final = job.make_space(piece.network, searched), job.make_space(piece.network)
    variant, target = job.experiment.variant(piece.network), job.target(space)
    augmentation = size.augmentation if searched or size.alone is None else size.alone.augmentation
    return Setting(
        space=space,
        pictures=pictures,
        index_sets=_index_sets(size, pictures, everything),
        platforms=(target.platform(),),
        method_name=size.method,
        method_settings=variant.settings_of(size),
        search=dataclasses.replace(size.search, epochs=variant.epochs(size)),
        train=_training(job, piece, target),
        augmentation=augmentation or Augmentation.standard(pictures.train),
        runtime=runtime,
        seed=piece.number,
        calibration_pictures=size.calibration_pictures,
        evaluation_batch=size.evaluation_batch,
        cloud=0,
        deploy=final if final.num_classes != space.num_classes else None,
    )


def _training(job: Job, piece: Piece, target: Target) -> FinalTraining:
    """How a network alone is trained."""
    size = job.size
    train = size.short
    if piece.kind == "long" and size.long is not None:
        train = dataclasses.replace(size.long, dropout=target.dropout)
    # The search ends with a look at the teacher, which is for the pictures of the training.
    return train if piece.kind == "search" else dataclasses.replace(train, teacher=job.teacher)


def _pictures(size: Size, path: Path | None, searched: bool) -> Pictures:
    """Read once per process: a piece brings a size of its own."""
    kept = (size.source, size.image_size, tuple(sorted(size.data_of(searched).items())), path)
    if kept not in _READ:
        _READ.clear()
        _READ[kept] = size.load_pictures(path, searched)
    return _READ[kept]


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
        "sampled": sampled(lines),
        "first_entropy_nats": lines[0]["entropy_nats"],
        "last_entropy_nats": lines[-1]["entropy_nats"],
        "curves": curves(lines),
        "warnings": searched.method.warnings(),
        "trace": searched.method.trace(),
    }


def sampled(lines: Sequence[Mapping[str, Any]]) -> int | None:
    """Architectures drawn in all, by a method that says how many it draws: a line is about the steps since the last."""
    if "samples_per_step" not in lines[0]:
        return None
    steps = np.diff([0, *(line["step"] for line in lines)])
    return round(float(np.dot(steps, [line["samples_per_step"] for line in lines])))


def curves(lines: Sequence[Mapping[str, Any]], names: Sequence[str] = _CURVES) -> dict[str, list[float | None]]:
    """Means of the metrics over each of twenty parts of a search, in order; the last is what it came to."""
    parts = np.array_split(np.arange(len(lines)), min(_PARTS, len(lines)))
    found: dict[str, list[float | None]] = {}
    for name in names:
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
    """The choices that a training trains: found by its search, changed from what was found, or random."""
    target = job.target(space)
    if piece.network == RANDOM and not job.size.matched:
        return random_network(space, target, piece.number)
    started_from = [read_piece(job.results, need) for need in job.needs(piece)]
    known = [content for content in started_from if content is not None]
    if len(known) < len(started_from):
        raise RuntimeError(f"{piece.file} was started before what it needs was done")
    if piece.network == RANDOM:
        cost = known[0]["choice"]["costs"][target.cost]
        return random_network(space, target.moved_to(cost), piece.number)
    values: dict[str, Any] = (
        best(known)["architecture"] if piece.network == BEST_RANDOM else known[0]["choice"]["architecture"]
    )
    change = job.experiment.variant(piece.network).change
    return values if change is None else change(values)
