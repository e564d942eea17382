"""The two commands of a method: its searches against random networks, and against each other."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sartor.errors import RequestError
from searches import comparison, contrasts, histogram
from searches.experiment import Experiment
from searches.machine import machine_arguments, machine_of
from searches.pieces import Piece
from searches.pieces import comparison as plan_comparison
from searches.recipe import Draw, Found, Recipe, carry_out
from searches.sizes import Size
from searches.work import Job, do_piece


def compare(experiment: Experiment, description: str | None, arguments: Sequence[str] | None) -> int:
    """Whole searches against random networks of the same cost: the command ``cifar.py`` of a method."""
    parser = shared_arguments(experiment, description)
    parser.add_argument("--space", help="the space to search (default: the size's own)")
    parser.add_argument("--randoms", type=int, help="random networks (default: the size's own)")
    parser.add_argument("--short-only", action="store_true", help="leave out the second, longer training")
    parser.add_argument("--teacher", help="a trained network (.safetensors, .onnx) that networks alone learn from too")
    given = parser.parse_args(arguments)

    def make() -> Recipe[Piece]:
        size = experiment.sizes[given.size]
        size.make_space(given.space)  # an unknown space is refused before anything else
        randoms = size.randoms if given.randoms is None else given.randoms
        long = size.long is not None and not given.short_only
        plan = plan_comparison(experiment.main, seeds_of(size, given), randoms, long=long)
        job = Job(given.out, experiment, size, tuple(plan), machine_of(given), given.space, given.teacher)
        return recipe_of(job, "cifar", comparison.collect, comparison.document, partial(_draw_histogram, experiment))

    return carry_out(given, make)


def ablate(
    experiment: Experiment, description: str | None, arguments: Sequence[str] | None, draw: Draw | None = None
) -> int:
    """Searches that differ in one thing, their answers trained alike: the command ``ablations.py`` of a method."""
    parser = shared_arguments(experiment, description)
    names = experiment.ablations
    parser.add_argument("--variants", nargs="+", choices=sorted(names), default=list(names))
    given = parser.parse_args(arguments)

    def make() -> Recipe[Piece]:
        size = experiment.sizes[given.size]
        # The main searches of cifar.py with its seeds: mostly there already, and all of them are compared.
        main = experiment.compared([experiment.main], size.seeds) if experiment.with_main else []
        plan = [*main, *experiment.compared(given.variants, seeds_of(size, given))]
        job = Job(given.out, experiment, size, tuple(dict.fromkeys(plan)), machine_of(given))
        return recipe_of(job, "ablations", contrasts.collect, contrasts.document, draw)

    return carry_out(given, make)


def recipe_of(
    job: Job,
    name: str,
    collect: Callable[[Job], Found],
    document: Callable[[Found, Experiment], str],
    draw: Draw | None,
) -> Recipe[Piece]:
    """The pieces of a job, and the figures ``name`` of them."""
    return Recipe(
        configuration={"recipe": job.experiment.name, **job.to_json()},
        plan=job.plan,
        do=partial(do_piece, job),
        needs=job.needs,
        collect=partial(collect, job),
        document=lambda found: document(found, job.experiment),
        draw=draw,
        prefix=f"{name}_",
        published=f"{job.experiment.name}_{name}_{job.size.name}_",
    )


def seeds_of(size: Size, given: argparse.Namespace) -> tuple[int, ...]:
    """The seeds asked for, or the size's own.

    Raises:
        RequestError: one below 0.
    """
    seeds = size.seeds if given.seeds is None else tuple(given.seeds)
    if min(seeds) < 0:
        raise RequestError(f"seeds {list(seeds)}: give at least one, and none below 0")
    return seeds


def shared_arguments(experiment: Experiment, description: str | None) -> argparse.ArgumentParser:
    """The arguments of both commands."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="the results folder, one for both commands")
    parser.add_argument("--size", choices=sorted(experiment.sizes), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds of whole searches (default: the size's own)")
    machine_arguments(parser, "the pictures, where the size does not know its own")
    return parser


def _draw_histogram(experiment: Experiment, found: Found, folder: Path, prefix: str) -> None:
    """The picture, once there is a network of both kinds."""
    groups = [found["networks"][name].values() for name in ("random", experiment.main)]
    random, searched = ([n["test_accuracy"] for n in group] for group in groups)
    if random and searched:
        title = f"{found['space']}: random networks and searched ones of the same cost"
        histogram.draw(random, searched, title, folder / f"{prefix}figure1.png")
