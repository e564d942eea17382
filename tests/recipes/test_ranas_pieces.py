"""What the recipes of MS-RANAS plan: every training after its search, sizes as the paper has them, fair comparisons."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

from ranas import ablation_figures, ablations, anytime, anytime_figures, collapse
from ranas.pieces import MSDNET, RANDOM, Piece, Study
from ranas.sizes import ABLATIONS, ANYTIME, COLLAPSE, Size
from ranas.work import Job, make_setting, network_of, read_pictures
from sartor.anytime.stages import exit_costs
from sartor.errors import RequestError
from searches.machine import Machine

ANYTIME_STUDY = anytime.study(cutout=True)
STUDIES = {"anytime": ANYTIME_STUDY, "ablations": ablations.study(3), "collapse": collapse.study(COLLAPSE["cpu"])}


def job_of(study: Study, size: Size) -> Job:
    return Job(Path("nowhere"), study, size, Machine(device="cpu"))


def test_every_training_follows_its_search_in_order_of_importance() -> None:
    """The first comparison is complete before the next begins; random cells are numbered, not seeded."""
    plan = ANYTIME_STUDY.plan(anytime_figures.GROUPS, (0, 1), 3)
    files = [piece.file for piece in plan]
    assert files[:4] == ["search-cifar10-0", "search-cifar10-1", "train-cifar10-0", "train-cifar10-1"]
    assert [f for f in files if f.startswith("train-cifar10_random")] == [f"train-cifar10_random-{n}" for n in range(3)]
    assert len(set(files)) == len(files)
    for i, piece in enumerate(plan):
        assert all(need in plan[:i] for need in ANYTIME_STUDY.needs(piece))
    assert ANYTIME_STUDY.needs(Piece("train", "cifar100_transferred", 1)) == (Piece("search", "cifar10", 1),)
    assert ANYTIME_STUDY.needs(Piece("train", "cifar10_msdnet", 1)) == ()


@pytest.mark.parametrize(("seeds", "randoms"), [((), 1), ((-1,), 1), ((0,), -1)])
def test_impossible_plans_are_refused(seeds: tuple[int, ...], randoms: int) -> None:
    """No seeds, or numbers below 0."""
    with pytest.raises(RequestError, match="give seeds"):
        ANYTIME_STUDY.plan(["cifar10"], seeds, randoms)


@pytest.mark.parametrize("name", STUDIES)
def test_every_training_has_cells_that_there_are(name: str) -> None:
    """Of a search of the study, random ones, or it is an MSDNet; every search is used."""
    study = STUDIES[name]
    used = {training.cells for training in study.trainings.values()}
    assert used - {RANDOM, MSDNET} == set(study.searches)


def test_every_question_is_about_trainings_that_there_are() -> None:
    """Both sides of each comparison; and each training but single ones differs from its base in one thing."""
    grid = ablations.study(3)
    for changed, base, title, _ in ablation_figures.QUESTIONS:
        a, b = grid.trainings[changed], grid.trainings[base]
        of_search = grid.searches[a.cells] != grid.searches[b.cells]
        of_training = (a.cutout, a.space) != (b.cutout, b.space)
        assert of_search != of_training, title
    assert {name for a, b, _ in anytime_figures.QUESTIONS for name in (a, b)} == set(anytime_figures.GROUPS)


def test_the_full_sizes_are_the_papers() -> None:
    """Sections 4.1 and 4.4, with the search and training of DARTS."""
    final, ablation = ANYTIME["full"], ABLATIONS["full"]
    assert (final.space["scales"], final.space["layers"], final.space["nodes"]) == (3, 7, 2)
    assert (ablation.space["layers"], ablation.space["channels"], ablation.space["nodes"]) == (5, 16, 4)
    assert (ablation.space["scales"], ablation.space["exits"]) == (1, "last")
    for size in (final, ablation):
        assert (size.search.epochs, size.search.batch_size, size.train.epochs, size.train.batch_size) == (
            50,
            64,
            600,
            96,
        )
        assert (size.settings.rate, size.settings.rate_rule, size.settings.warmup) == (3e-4, "paper", 0.0)
        assert (size.cutout, size.image_size) == (16, 32)
    assert ablations.SCALES["full"] == 3


@pytest.mark.parametrize("name", ["cpu", "smoke"])
def test_compared_networks_cost_the_same_and_answer_within_the_area(name: str) -> None:
    """MSDNet and random cells are within the window of the search's target; all have an exit where areas begin."""
    size = ANYTIME[name]
    sources = {"cifar10": "digits", "cifar100": "digits"}
    job = job_of(ANYTIME_STUDY, dataclasses.replace(size, sources=sources, selection=300))
    space = make_setting(job, Piece("train", "cifar10_random", 0)).space
    assert size.area is not None
    networks = [network_of(space, job, Piece("train", "cifar10_random", n))[1] for n in range(3)]
    for network in [*networks, network_of(space, job, Piece("train", "cifar10_msdnet", 0))[1]]:
        assert size.target.low * 0.98 <= network.macs <= size.target.high * 1.02
        costs = exit_costs(network)
        assert costs[0].anytime_macs <= size.area[0]
        assert costs[-1].anytime_macs < size.area[1]
        assert network.exits == space.exits


def test_pictures_that_teach_steer_and_choose_are_apart() -> None:
    """Half of the pictures of a training teach its search, the other half steers; those held back do neither."""
    job = job_of(ANYTIME_STUDY, ANYTIME["smoke"])
    searched = make_setting(job, Piece("search", "cifar10", 0)).index_sets
    trained = make_setting(job, Piece("train", "cifar10_random", 0)).index_sets
    weights, policy, selection = (
        set(part.tolist()) for part in (searched.weights, searched.policy, searched.selection)
    )
    assert abs(len(weights) - len(policy)) <= 1
    assert not weights & policy
    assert set(trained.weights.tolist()) == weights | policy
    assert set(trained.selection.tolist()) == selection
    assert not selection & (weights | policy)


def test_searches_differ_in_what_their_names_say() -> None:
    """Cutout, exits and scales reach the search, and only where they are named."""
    job = job_of(ablations.study(2), ABLATIONS["smoke"])
    plain, cut, exits, scales = (
        make_setting(job, Piece("search", name, 0)) for name in ("baseline", "cutout", "exits", "scales")
    )
    assert [s.augmentation.cutout for s in (plain, cut, exits, scales)] == [0, 8, 0, 0]
    assert [s.supernet_space.exits for s in (plain, cut, exits, scales)] == [1, 1, 2, 1]
    assert [s.supernet_space.options["scales"] for s in (plain, cut, exits, scales)] == [1, 1, 1, 2]
    assert all(s.space.exits == 1 for s in (plain, cut, exits, scales))
    trained = make_setting(job, Piece("train", "anytime_scales_in_training", 0))
    assert (trained.space.exits, trained.space.options["scales"], trained.augmentation.cutout) == (2, 2, 8)


def test_pictures_are_read_once_for_all_pieces() -> None:
    """Decoding would take longer than a small piece."""
    assert read_pictures("digits", 16, None) is read_pictures("digits", 16, None)


def test_the_published_msdnet_stands_beside_a_search_without_a_target() -> None:
    """In worker processes too, which have copies of the size."""
    size = pickle.loads(pickle.dumps(ANYTIME["full"]))
    pictures = read_pictures("digits", 32, None)
    assert size.make_msdnet(size.make_space(pictures)).exits == 10
