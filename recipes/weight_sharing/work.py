"""One piece of work: from its name to one JSON file, through checkpoints from which a killed piece goes on."""

from __future__ import annotations

import dataclasses
import functools
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.data import Augmentation, IndexSets, Pictures, make_index_sets
from sartor.evaluate import evaluate
from sartor.methods.budgets import budgets_of
from sartor.methods.evaluator import TRAINING_COST
from sartor.methods.sampling import sample_distinct
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import fit_alone
from sartor.runtime import prepare
from sartor.seeds import numpy_generator
from searches.machine import ClockedStore, Machine
from searches.work import finish
from weight_sharing.pieces import AGAIN, Piece
from weight_sharing.sizes import SHARINGS, SIZES, UNIFORM, Size

_SEED = 0  # of the networks that are drawn, and of which pictures teach, steer and judge


@dataclass(frozen=True)
class Job:
    """What all pieces of one results folder share."""

    results: Path
    size: Size
    machine: Machine = field(default_factory=Machine)

    def to_json(self) -> dict[str, Any]:
        """By which a results folder is recognised; the machine is no part of it."""
        return {"size": self.size.to_json()}


def do_piece(job: Job, piece: Piece) -> dict[str, Any]:
    """Does a piece, from its last checkpoint if there is one, and writes its result whole or not at all.

    Raises:
        RequestError: the pictures are missing, the disk refuses, or the piece is in work elsewhere.
    """
    setting = make_setting(job, piece)
    act = partial(_share, setting, job.size) if piece.shared else partial(_train, setting, job.size, piece)
    return finish(job.results, piece, "shared" if piece.shared else "alone", job.to_json(), setting, act)


def make_setting(job: Job, piece: Piece) -> Setting:
    """The setting of a piece; supernets differ in nothing but how their paths are drawn and combined, and the seed."""
    size, machine = job.size, job.machine
    pictures = read_pictures(size.name, machine.data)
    sharing = SHARINGS[piece.name if piece.shared else UNIFORM]
    return Setting(
        space=size.make_space(),
        pictures=pictures,
        index_sets=_index_sets(size, pictures),
        platforms=(size.platform(),),
        method_name=sharing.method,
        method_settings=sharing.settings,
        search=dataclasses.replace(size.sharing, policy_batch_size=sharing.policy_batch_size),
        train=size.alone,
        augmentation=Augmentation.standard(pictures.train),
        runtime=prepare(machine.device, machine.precision, machine.threads),
        # Every training of a network alone has a seed of its own: noise that all had in common would not be seen.
        seed=piece.number if piece.shared else 2 * piece.number + (piece.name == AGAIN),
        calibration_pictures=size.calibration_pictures,
        evaluation_batch=size.evaluation_batch,
        cloud=0,
        mode_pictures=0,
    )


@functools.lru_cache(maxsize=1)
def read_pictures(size: str, path: Path | None) -> Pictures:
    """The pictures of a size; read once per process, as a piece brings nothing but its name."""
    return SIZES[size].load_pictures(path)


def _index_sets(size: Size, pictures: Pictures) -> IndexSets:
    """All training pictures teach or steer; those that judge are spread evenly over the test pictures and classes."""
    test_labels = None if pictures.test is None else pictures.test.labels
    found = make_index_sets(pictures.train.labels, test_labels=test_labels, policy=size.policy, selection=0, seed=_SEED)
    return dataclasses.replace(found, test=found.test[:: max(1, len(found.test) // size.test)][: size.test])


def drawn_networks(size: Size) -> NDArray[np.int64]:
    """The architectures ``[networks, D]``: uniform over the space, no two alike."""
    space = size.make_space()
    rng = numpy_generator(_SEED, "architectures")
    return sample_distinct(space, budgets_of(space, size.platform()), size.networks, rng)


def _train(setting: Setting, size: Size, piece: Piece, store: ClockedStore) -> dict[str, Any]:
    architecture = setting.space.architecture(drawn_networks(size)[piece.number])
    fitted = fit_alone(setting, {"all": architecture.blueprint}, lambda _: store)
    return {
        "architecture": architecture.values,
        "macs": architecture.blueprint.macs,
        "params": architecture.blueprint.params,
        "images": fitted.images,
        **fitted.accuracies["all"],
    }


def _share(setting: Setting, size: Size, store: ClockedStore) -> dict[str, Any]:
    """Trains a supernet and judges every network in it, as a run does: batch norms recalibrated for each."""
    searched = search(setting, store, cost=TRAINING_COST * size.passes)
    started = time.process_time()
    judged = []
    calibration, judges = list(setting.calibration_batches()), list(setting.test_batches())
    supernet = searched.supernet
    for row in drawn_networks(size):
        supernet.calibrate(row, calibration)
        supernet.eval()
        judged.append(evaluate(partial(supernet, selection=row), judges))
        supernet.statistics.clear()
    return {
        "accuracies": [found.accuracy for found in judged],
        "losses": [found.loss for found in judged],
        "images": searched.images,
        "steps": searched.method.steps,
        "judging_cpu_seconds": round(time.process_time() - started, 2),
    }
