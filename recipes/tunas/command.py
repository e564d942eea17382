"""What the two commands share: arguments, the loop over what is missing, and where the figures go."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sartor.errors import SartorError
from sartor.run import ENVIRONMENT, RunFolder
from sartor.storage import to_json, write_atomically
from slimmable.work import Machine
from tunas.pieces import Piece
from tunas.sizes import SIZES
from tunas.work import Job
from tunas.worklist import run

PUBLISHED = Path(__file__).resolve().parents[1] / "results"

Found = dict[str, Any]


def carry_out(
    given: argparse.Namespace,
    name: str,
    make_job: Callable[[], Job],
    collect: Callable[[Job], Found],
    document: Callable[[Found], str],
    draw: Callable[[Found, Path], None] | None = None,
) -> int:
    """Does the pieces that are missing, then writes ``{name}_results.json``, tables and a picture; the exit code."""
    try:
        job = make_job()
        with RunFolder.create(given.out, {"recipe": "tunas", **job.to_json()}) as folder:

            def results() -> Found:
                return {**collect(job), "environment": folder.read_json(ENVIRONMENT)}

            def write(found: Found, where: Path, prefix: str) -> str:
                text = document(found)
                write_atomically(where / f"{prefix}_results.json", (to_json(found, indent=1) + "\n").encode())
                write_atomically(where / f"{prefix}_tables.md", text.encode())
                return text

            def report(piece: Piece, content: Found, done: int, total: int) -> None:
                print(progress_line(piece, content, done, total), flush=True)
                write(results(), given.out, name)  # tables to look at while the rest goes on

            if not given.tables_only:
                run(job, given.workers, report)
            found = results()
            print(write(found, given.out, name))
            places = [(given.out, name)]
            if given.publish:
                places.append((PUBLISHED, f"tunas_{name}_{given.size}"))
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


def machine_of(given: argparse.Namespace) -> Machine:
    """Where the pieces run."""
    return Machine(given.device, given.precision, given.threads, given.data)


def seeds_of(given: argparse.Namespace) -> tuple[int, ...]:
    """The seeds asked for, or the size's own."""
    return SIZES[given.size].seeds if given.seeds is None else tuple(given.seeds)


def shared_arguments(description: str | None) -> argparse.ArgumentParser:
    """The arguments of both commands."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True, help="the results folder, one for both commands")
    parser.add_argument("--size", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds of whole searches (default: the size's own)")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="torch threads per process")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--data", type=Path, help="the pictures, where the size does not know its own")
    parser.add_argument("--tables-only", action="store_true", help="train nothing, write the tables of what is there")
    parser.add_argument("--publish", action="store_true", help="also write the results into recipes/results")
    return parser
