"""Can weight sharing be trusted? Ranks of architectures in a supernet against their ranks when trained alone.

    python recipes/weight_sharing/correlation.py --size cpu --out runs/weight-sharing --publish
    python recipes/weight_sharing/correlation.py --size smoke --out runs/weight-sharing-smoke

Fifty networks drawn uniformly from a space of 46,656 are trained alone, ten of them twice (``--twice 50``: all), on
5,000 pictures. The same networks are judged in supernets that were trained in four ways at equal cost on the same
pictures: by uniform single paths, by the sandwich rule, with TuNAS's warm-ups, and by FP-NAS. Spearman's and Kendall's
correlations stand beside the ceiling that the noise of trainings leaves, and beside what MACs alone would tell.

Sizes stand in weight_sharing/sizes.py. The results folder is the state: killed, the same command goes on; more
``--seeds`` or ``--twice`` add to it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from searches.machine import machine_arguments, machine_of
from searches.recipe import Recipe, carry_out
from weight_sharing import figures
from weight_sharing.pieces import Piece, plan
from weight_sharing.sizes import SHARINGS, SIZES
from weight_sharing.work import Job, do_piece


def main(arguments: Sequence[str] | None = None) -> int:
    """Ranks of architectures in supernets against their ranks alone."""
    given = _parser().parse_args(arguments)
    return carry_out(given, lambda: _recipe(given))


def _recipe(given: argparse.Namespace) -> Recipe[Piece]:
    size = SIZES[given.size]
    job = Job(given.out, size, machine_of(given))
    pieces = plan(size, given.sharings, size.seeds if given.seeds is None else given.seeds, given.twice)
    return Recipe(
        configuration={"recipe": "weight_sharing", **job.to_json()},
        plan=pieces,
        do=partial(do_piece, job),
        needs=lambda _: (),
        collect=lambda: figures.collect(job, pieces),
        document=figures.document,
        draw=figures.draw,
        prefix="correlation_",
        published=f"weight_sharing_{size.name}_",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the results folder")
    parser.add_argument("--size", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, help="of supernets (default: the size's own)")
    parser.add_argument("--twice", type=int, help="networks trained alone a second time (default: the size's own)")
    parser.add_argument("--sharings", nargs="+", choices=list(SHARINGS), default=list(SHARINGS), help="default: all")
    machine_arguments(parser, "a folder with the published archive in place of the shared sheets")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
