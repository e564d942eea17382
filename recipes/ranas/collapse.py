"""Collapse shown and mended: searches between skips and separable convolutions alone.

    python recipes/ranas/collapse.py --size cpu --workers 2 --out runs/ranas-collapse --publish
    python recipes/ranas/collapse.py --size smoke --out runs/ranas-smoke-collapse

The operations are {skip_connect, sep_conv_3x3} (the space S2 of RobustDARTS), without ``none``. The plain search, and
the remedies that Sartor has: weights that learn alone at first (``warmup``), a skip beside every edge whose weight
fades (``auxiliary``), a cap on the skips of the derived cell (``skip_cap``), and an end of the search once the
validation loss becomes sharp (``stop_eigenvalue``). Counted are the skips of the derived normal cell, over the search
and at its end; its cells are then trained. The rule ``stop_skips`` has no place here: between two operations half of
the edges are skips from the start.

Sizes stand in ranas/sizes.py. The results folder is the state: killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of all recipes, when run as a script

from ranas import collapse_figures
from ranas.pieces import Piece, Search, Study, Training
from ranas.recipe import recipe_of
from ranas.sizes import COLLAPSE, Size
from ranas.work import Job
from searches.machine import machine_arguments, machine_of
from searches.recipe import Recipe, carry_out


def study(size: Size) -> Study:
    """The plain search and the remedies."""
    half = size.space["nodes"]  # of the edges that are kept, two per node
    searches = {
        "plain": Search(),
        "warmup": Search(settings={"warmup": 0.5}),
        "auxiliary": Search(settings={"auxiliary_skip": True}),
        "skip_cap": Search(settings={"skip_cap": half}),
        "stop_eigenvalue": Search(settings={"stop_eigenvalue": 1.3}),
    }
    return Study(searches=searches, trainings={name: Training(cells=name) for name in searches})


NAMES = tuple(study(COLLAPSE["smoke"]).searches)


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches that collapse to skips, and searches that do not."""
    given = _parser().parse_args(arguments)
    return carry_out(given, lambda: _recipe(given))


def _recipe(given: argparse.Namespace) -> Recipe[Piece]:
    size = COLLAPSE[given.size]
    job = Job(given.out, study(size), size, machine_of(given))
    plan = job.study.plan(given.remedies, given.seeds or size.seeds, 0)
    if given.searches_only:
        plan = tuple(piece for piece in plan if piece.kind == "search")
    return recipe_of("collapse", job, plan, collapse_figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the results folder")
    parser.add_argument("--size", choices=sorted(COLLAPSE), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, help="of searches and trainings (default: the size's own)")
    parser.add_argument("--remedies", nargs="+", choices=NAMES, default=NAMES, help="which searches (default: all)")
    parser.add_argument("--searches-only", action="store_true", help="train no cells")
    machine_arguments(parser, "a folder with the published archive in place of the shared sheets")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
