"""One piece of work: from its name to one JSON file, through checkpoints from which a killed piece goes on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import shared_pictures
from ranas.pieces import MSDNET, RANDOM, Piece, Search, Study, Training
from ranas.sizes import Size
from sartor.blueprint import Blueprint
from sartor.data import Augmentation, IndexSets, Pictures, load, make_index_sets
from sartor.pipeline.answers import fit_anytime
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import fit_alone
from sartor.runtime import prepare
from sartor.space import SearchSpace
from sartor.spaces.ms_ranas.genotypes import write_genotype
from searches.machine import ClockedStore, Machine
from searches.networks import random_network
from searches.sizes import PLATFORM
from searches.work import curves, finish
from searches.worklist import read_piece

# What is kept of the metrics of a search.
_CURVES = ("loss", "validation_loss", "skips", "skip_share", "none_share", "entropy_nats", "cost_ratio", "eigenvalue")
_SPLIT_SEED = 0  # every piece has the same pictures for teaching, steering and choosing


@dataclass(frozen=True)
class Job:
    """What all pieces of one results folder share; ``data``: the folder of published archives."""

    results: Path
    study: Study
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
    act = partial(_search, setting) if piece.kind == "search" else partial(_train, setting, job, piece)
    return finish(job.results, piece, piece.kind, job.to_json(), setting, act)


def make_setting(job: Job, piece: Piece) -> Setting:
    """The setting of a piece; networks that are compared differ in nothing but what their names say, and the seed."""
    size, machine, searched = job.size, job.machine, piece.kind == "search"
    own: Search | Training = job.study.searches[piece.name] if searched else job.study.trainings[piece.name]
    pictures = read_pictures(size.sources[own.data], size.image_size, machine.data)
    space = size.make_space(pictures, {} if searched else own.space)
    plain = Augmentation.standard(pictures.train)
    return Setting(
        space=space,
        pictures=pictures,
        index_sets=_index_sets(size, pictures, searched),
        platforms=(size.target.platform(),),
        method_name="ms_ranas",
        method_settings=dataclasses.replace(size.settings, **(own.settings if isinstance(own, Search) else {})),
        search=size.search,
        train=size.train,
        augmentation=dataclasses.replace(plain, cutout=size.cutout if own.cutout else 0),
        runtime=prepare(machine.device, machine.precision, machine.threads),
        seed=piece.number,
        calibration_pictures=size.calibration_pictures,
        cloud=0,
        mode_pictures=0,
        search_space=size.make_space(pictures, {**size.search_space, **own.space}) if searched else None,
    )


@functools.lru_cache(maxsize=1)
def read_pictures(source: str, image_size: int, path: Path | None) -> Pictures:
    """The pictures of a source; read once per process, as a piece brings nothing but its name."""
    if source.endswith("_sheets") and path is None:
        return load(source, shared_pictures.shared_data_folder(), image_size=image_size)
    return load(source.removesuffix("_sheets"), path, image_size=image_size)


def _index_sets(size: Size, pictures: Pictures, searched: bool) -> IndexSets:
    """Half of the pictures that teach networks steer the search, the other half teaches its weights (DARTS)."""
    test_labels = None if pictures.test is None else pictures.test.labels
    found = make_index_sets(
        pictures.train.labels,
        test_labels=test_labels,
        policy=(len(pictures.train.labels) - size.selection) // 2,
        selection=size.selection,
        seed=_SPLIT_SEED,
    )
    if searched:
        return found
    together = np.sort(np.concatenate([found.weights, found.policy]))
    return dataclasses.replace(found, weights=together, policy=found.policy[:0])


def _search(setting: Setting, store: ClockedStore) -> dict[str, Any]:
    searched = search(setting, store)
    choice, method = searched.choices[PLATFORM], searched.method
    (trace,) = method.trace().values()
    return {
        "choice": choice.to_dict(),
        "genotype": write_genotype(choice.architecture),
        "images": searched.images,
        "steps": method.steps,
        "curves": curves(store.folder.metrics(store.stage), _CURVES),
        "probabilities": dict(zip(trace["decisions"], trace["probabilities"][-1], strict=True)),
        "stopped": trace["stopped"],
        "warnings": method.warnings(),
    }


def _train(setting: Setting, job: Job, piece: Piece, store: ClockedStore) -> dict[str, Any]:
    values, network = network_of(setting.space, job, piece)
    about = {
        "architecture": values,
        "classes": setting.space.num_classes,
        "macs": network.macs,
        "params": network.params,
    }
    if network.exits > 1:
        fitted = fit_anytime(setting, network, {}, lambda _: store)
        assert fitted.anytime is not None
        return {**about, "images": fitted.images, **fitted.anytime.to_dict()}
    fitted = fit_alone(setting, {PLATFORM: network}, lambda _: store)
    return {**about, "images": fitted.images, **fitted.accuracies[PLATFORM]}


def network_of(space: SearchSpace, job: Job, piece: Piece) -> tuple[Mapping[str, Any] | None, Blueprint]:
    """The choices of a training and its network; an MSDNet has no choices."""
    cells = job.study.trainings[piece.name].cells
    if cells == MSDNET:
        return None, job.size.make_msdnet(space)
    if cells == RANDOM:
        values = random_network(space, job.size.target, piece.number)
    else:
        (need,) = job.study.needs(piece)
        found = read_piece(job.results, need)
        if found is None:
            raise RuntimeError(f"{piece.file} was started before {need.file} was done")
        values = found["choice"]["architecture"]
    return values, space.blueprint(values, piece.file)
