"""A command that does what is missing in its results folder, and writes the figures of what is there."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from sartor.errors import SartorError
from sartor.run import ENVIRONMENT, RunFolder
from sartor.storage import to_json, write_atomically
from searches.worklist import Do, Named, Needs, P, run

PUBLISHED = Path(__file__).resolve().parents[1] / "results"

Found = dict[str, Any]
# Writes pictures of the figures into a folder, their names behind a prefix.
Draw = Callable[[Found, Path, str], object]


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[P]):
    """What a command does.

    ``configuration`` is that of its results folder; ``collect`` makes the figures of all pieces that are done,
    ``document`` Markdown of them. Files begin with ``prefix``, published ones with ``published``.
    """

    configuration: Mapping[str, Any]
    plan: Sequence[P]
    do: Do[P]
    needs: Needs[P]
    collect: Callable[[], Found]
    document: Callable[[Found], str]
    draw: Draw | None
    prefix: str
    published: str

    def write(self, found: Found, folder: Path, prefix: str, pictures: bool = True) -> str:
        """Figures as JSON, as pictures and as Markdown, which is returned."""
        text = self.document(found)
        write_atomically(folder / f"{prefix}results.json", (to_json(found, indent=1) + "\n").encode())
        write_atomically(folder / f"{prefix}tables.md", text.encode())
        if pictures and self.draw is not None:
            self.draw(found, folder, prefix)
        return text


def carry_out(given: argparse.Namespace, make: Callable[[], Recipe[P]]) -> int:
    """Does the pieces that are missing, then writes the figures; the exit code."""
    try:
        recipe = make()
        with RunFolder.create(given.out, dict(recipe.configuration)) as folder:

            def results() -> Found:
                return {**recipe.collect(), "environment": folder.read_json(ENVIRONMENT)}

            def report(piece: P, content: Found, done: int, total: int) -> None:
                print(progress_line(piece, content, done, total), flush=True)
                # Tables to look at while the rest goes on.
                recipe.write(results(), given.out, recipe.prefix, pictures=False)

            if not given.tables_only:
                run(given.out, recipe.plan, recipe.do, recipe.needs, given.workers, report)
            found = results()
            print(recipe.write(found, given.out, recipe.prefix))
            if given.publish:
                recipe.write(found, PUBLISHED, recipe.published)
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoints", file=sys.stderr)
        return 130
    return 0


def progress_line(piece: Named, content: Found, done: int, total: int) -> str:
    """What a finished piece took. No accuracy: nobody should choose by it before all are there."""
    clock = time.strftime("%H:%M:%S")
    seconds = f"{content['seconds']:.0f} s, {content['cpu_seconds']:.0f} s of CPU time"
    return f"{clock} {done}/{total} {piece.file}: {seconds}"
