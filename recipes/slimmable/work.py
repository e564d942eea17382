"""One piece of work: from its name to one JSON file, through checkpoints from which a killed piece goes on."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from sartor.blueprint import Blueprint
from sartor.data import Augmentation, Pictures, make_index_sets
from sartor.methods.ows import OWS
from sartor.pipeline.search import search
from sartor.pipeline.setting import Setting
from sartor.pipeline.training import fit, fit_alone
from sartor.run import RunFolder
from sartor.runtime import prepare
from sartor.storage import to_json, write_atomically
from searches.machine import ClockedStore, Machine
from searches.worklist import piece_path, read_piece
from slimmable.pieces import UNIFORM, Piece
from slimmable.sizes import SIZES, Size, original_blueprints, platforms

_SAMPLED_PARTS = 10


def do_piece(results: Path, size_name: str, piece: Piece, machine: Machine) -> dict[str, Any]:
    """Does a piece, from its last checkpoint if there is one, and writes its result whole or not at all.

    Raises:
        RequestError: the pictures are missing, the disk refuses, or the piece is in work elsewhere.
    """
    size = SIZES[size_name]
    setting = make_setting(size, piece, machine)
    configuration = {"size": size.to_json(), "piece": piece.file}
    with RunFolder.create(results / "work" / piece.file, configuration) as folder:
        store = ClockedStore(folder, piece.kind)
        found = _search(setting, store) if piece.kind == "search" else _train(setting, piece, results, store)
        text = to_json(
            {
                "piece": piece.name,
                "seed": piece.seed,
                "size": size.name,
                **found,
                **store.times,
                "device": str(setting.runtime.device),
            }
        )
        write_atomically(piece_path(results, piece), (text + "\n").encode())
        if piece.kind != "search":  # what a search observed can be solved anew
            folder.remove_checkpoint(store.checkpoint)
    content: dict[str, Any] = json.loads(text)
    return content


def make_setting(size: Size, piece: Piece, machine: Machine) -> Setting:
    """The setting of a piece. Pieces of one seed see the same pictures in the same order.

    All training pictures teach; the test pictures judge (the paper's "validation accuracy"). Nothing is selected by
    them: a search observes training losses alone.
    """
    runtime = prepare(machine.device, machine.precision, machine.threads)
    pictures = _pictures(size.name, machine.data)
    space = size.make_space()
    row = piece.search_row if piece.kind == "search" else piece.sampling
    chosen = platforms(space, row or UNIFORM)
    if piece.platform is not None:
        chosen = tuple(p for p in chosen if p.name == piece.platform)
    by_weight = piece.sampling not in (None, UNIFORM)
    assert pictures.test is not None
    return Setting(
        space=space,
        pictures=pictures,
        index_sets=make_index_sets(
            pictures.train.labels, test_labels=pictures.test.labels, seed=piece.seed, train_on_all=True
        ),
        platforms=chosen,
        method_name="aows" if piece.system == "AOWS" else "ows",
        method_settings=size.aows if piece.system == "AOWS" else size.ows,
        search=size.search,
        train=dataclasses.replace(size.train, sampling="weight" if by_weight else "uniform"),
        augmentation=Augmentation.standard(pictures.train),
        runtime=runtime,
        seed=piece.seed,
        calibration_pictures=size.calibration_pictures,
        evaluation_batch=size.evaluation_batch,
        cloud=0,
    )


@functools.cache
def _pictures(size_name: str, path: Path | None) -> Pictures:
    """Read once per process."""
    return SIZES[size_name].load_pictures(path)


def _search(setting: Setting, store: ClockedStore) -> dict[str, Any]:
    searched = search(setting, store)
    assert isinstance(searched.method, OWS)
    return {
        "choices": {name: choice.to_dict() for name, choice in searched.choices.items()},
        "images": searched.images,
        "tables": searched.method.tables(),
        "sampled_macs": _sampled_macs(setting, searched.method),
    }


def _sampled_macs(setting: Setting, method: OWS) -> list[dict[str, float]]:
    """The MACs of the networks that the search drew, part by part: what the adaptive sampling has come to."""
    rows, _ = method.observations.window(1.0)
    macs = setting.space.cost("macs")(rows)
    parts = np.array_split(macs, min(_SAMPLED_PARTS, len(macs)))
    return [
        {"mean": float(p.mean()), "q05": float(np.quantile(p, 0.05)), "q95": float(np.quantile(p, 0.95))} for p in parts
    ]


def _train(setting: Setting, piece: Piece, results: Path, store: ClockedStore) -> dict[str, Any]:
    blueprints = _blueprints(setting, piece, results)
    train = fit_alone if piece.kind == "alone" else fit
    fitted = train(setting, blueprints, lambda _: store)
    return {
        "accuracies": {name: values["test_accuracy"] for name, values in fitted.accuracies.items()},
        "macs": {name: blueprint.macs for name, blueprint in blueprints.items()},
        "params": {name: blueprint.params for name, blueprint in blueprints.items()},
        "images": fitted.images,
    }


def _blueprints(setting: Setting, piece: Piece, results: Path) -> dict[str, Blueprint]:
    """The networks to train, by platform: the original ones, or those that the search found."""
    if piece.system == "Slim":
        originals = original_blueprints(setting.space)
        return {p.name: originals[p.name] for p in setting.platforms}
    found = read_piece(results, piece.needs[0])
    if found is None:
        raise RuntimeError(f"{piece.file} was started before {piece.needs[0].file} was done")
    choices = found["choices"]
    return {p.name: setting.space.blueprint(choices[p.name]["architecture"], p.name) for p in setting.platforms}
