"""What the commands share: arguments, the loop over what is missing, and where the figures go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sartor.errors import RequestError, SartorError
from sartor.run import ENVIRONMENT, RunFolder
from sartor.storage import to_json, write_atomically
from searches import comparison, contrasts, histogram
from searches.experiment import Experiment
from searches.machine import machine_arguments, machine_of
from searches.pieces import Piece
from searches.pieces import comparison as plan_comparison
from searches.sizes import Size
from searches.work import Job, do_piece
from searches.worklist import run

PUBLISHED = Path(__file__).resolve().parents[1] / "results"

Found = dict[str, Any]
Draw = Callable[[Found, Path], None]


def compare(experiment: Experiment, description: str | None, arguments: Sequence[str] | None) -> int:
    """Whole searches against random networks of the same cost: the command ``cifar.py`` of a method."""
    parser = shared_arguments(experiment, description)
    parser.add_argument("--space", help="the space to search (default: the size's own)")
    parser.add_argument("--randoms", type=int, help="random networks (default: the size's own)")
    parser.add_argument("--short-only", action="store_true", help="leave out the second, longer training")
    parser.add_argument("--teacher", help="a trained network (.safetensors, .onnx) that networks alone learn from too")
    given = parser.parse_args(arguments)

    def make_job() -> Job:
        size = size_of(experiment, given)
        size.make_space(given.space)  # an unknown space is refused before anything else
        randoms = size.randoms if given.randoms is None else given.randoms
        long = size.long is not None and not given.short_only
        plan = plan_comparison(experiment.main, seeds_of(size, given), randoms, long=long)
        machine = machine_of(given)
        return Job(given.out, experiment, size, tuple(plan), machine, given.space, given.teacher)

    draw = partial(_draw_histogram, experiment)
    return carry_out(given, "cifar", make_job, comparison.collect, comparison.document, draw)


def ablate(
    experiment: Experiment,
    description: str | None,
    arguments: Sequence[str] | None,
    draw: Draw | None = None,
    **defaults: Any,
) -> int:
    """Searches that differ in one thing, their answers trained alike: the command ``ablations.py`` of a method."""
    parser = shared_arguments(experiment, description)
    names = experiment.ablations
    parser.add_argument("--variants", nargs="+", choices=sorted(names), default=list(names))
    given = parser.parse_args(arguments)

    def make_job() -> Job:
        size = size_of(experiment, given)
        # The main searches of cifar.py with its seeds: mostly there already, and all of them are compared.
        main = experiment.compared([experiment.main], size.seeds) if experiment.with_main else []
        plan = [*main, *experiment.compared(given.variants, seeds_of(size, given))]
        return Job(given.out, experiment, size, tuple(dict.fromkeys(plan)), machine_of(given))

    return carry_out(given, "ablations", make_job, contrasts.collect, contrasts.document, draw)


def carry_out(
    given: argparse.Namespace,
    name: str,
    make_job: Callable[[], Job],
    collect: Callable[[Job], Found],
    document: Callable[[Found, Experiment], str],
    draw: Draw | None = None,
) -> int:
    """Does the pieces that are missing, then writes ``{name}_results.json``, tables and a picture; the exit code."""
    try:
        job = make_job()
        with RunFolder.create(given.out, {"recipe": job.experiment.name, **job.to_json()}) as folder:

            def results() -> Found:
                return {**collect(job), "environment": folder.read_json(ENVIRONMENT)}

            def write(found: Found, where: Path, prefix: str) -> str:
                text = document(found, job.experiment)
                write_atomically(where / f"{prefix}_results.json", (to_json(found, indent=1) + "\n").encode())
                write_atomically(where / f"{prefix}_tables.md", text.encode())
                return text

            def report(piece: Piece, content: Found, done: int, total: int) -> None:
                print(progress_line(piece, content, done, total), flush=True)
                write(results(), given.out, name)  # tables to look at while the rest goes on

            if not given.tables_only:
                run(job.results, job.plan, partial(do_piece, job), job.needs, given.workers, report)
            found = results()
            print(write(found, given.out, name))
            places = [(given.out, name)]
            if given.publish:
                places.append((PUBLISHED, f"{job.experiment.name}_{name}_{given.size}"))
                write(found, *places[-1])
            if draw is not None:
                for where, prefix in places:
                    draw(found, where / f"{prefix}_figure1.png")
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoints", file=sys.stderr)
        return 130
    return 0


def progress_line(piece: Piece, content: Found, done: int, total: int) -> str:
    """What a finished piece took. No accuracy: nobody should choose by it before all are there."""
    clock = time.strftime("%H:%M:%S")
    seconds = f"{content['seconds']:.0f} s, {content['cpu_seconds']:.0f} s of CPU time"
    return f"{clock} {done}/{total} {piece.file}: {seconds}"


def size_of(experiment: Experiment, given: argparse.Namespace) -> Size:
    """The size asked for."""
    return experiment.sizes[given.size]


def seeds_of(size: Size, given: argparse.Namespace) -> tuple[int, ...]:
    """The seeds asked for, or the size's own.

    Raises:
        RequestError: one below 0.
    """
    seeds = size.seeds if given.seeds is None else tuple(given.seeds)
    if min(seeds) < 0:
        raise RequestError(f"seeds {list(seeds)}: give at least one, and none below 0")
    return seeds


def shared_arguments(experiment: Experiment, description: str | None, size: str = "cpu") -> argparse.ArgumentParser:
    """The arguments of all commands."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="the results folder, one for both commands")
    parser.add_argument("--size", choices=sorted(experiment.sizes), default=size)
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds of whole searches (default: the size's own)")
    machine_arguments(parser, "the pictures, where the size does not know its own")
    return parser


def _draw_histogram(experiment: Experiment, found: Found, path: Path) -> None:
    """The picture, once there is a network of both kinds."""
    groups = [found["networks"][name].values() for name in ("random", experiment.main)]
    random, searched = ([n["test_accuracy"] for n in group] for group in groups)
    if random and searched:
        title = f"{found['space']}: random networks and searched ones of the same cost"
        histogram.draw(random, searched, title, path)
