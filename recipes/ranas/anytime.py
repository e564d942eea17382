"""Figures 9 and 10: the any-time network of the cells found, against MSDNet and random cells, all trained alike.

    python recipes/ranas/anytime.py --size cpu --workers 2 --out runs/ranas-anytime --publish
    python recipes/ranas/anytime.py --size full --device cuda --workers 4 --data ARCHIVES --out runs/ranas-anytime-full
    python recipes/ranas/anytime.py --size smoke --out runs/ranas-smoke

A search per seed, then its cells in a network with exits on every layer but the first, trained on all of them at once.
Beside it, from as many seeds, an MSDNet with as many exits and MACs, and random cells of these MACs. CIFAR-100 is
trained with the cells of CIFAR-10 (the paper does not say whether it did so) and with cells of its own. Every network
is judged exit by exit on the test pictures, by single exits and by running means of exits, and by the area under its
curve over one range of any-time MACs (what a run computes that may be stopped at every exit).

Networks trained with pictures held back (sizes cpu and smoke) also show batches on a budget: thresholds solved on those
pictures for ten mean costs, and what they come to on the test pictures.

Sizes (ranas/sizes.py holds every number):
  full   the paper's: CIFAR at 32 x 32, three scales, seven layers, two nodes; search 50 epochs of half of the pictures
         against the other half, training 600 epochs; not stated and ours: 32 channels (16 in search), batches,
         MSDNet as published. Not run yet: it needs a GPU.
  cpu    searches and trainings of at most four minutes of one core.
  smoke  every step on the digits; its figures mean nothing.

The results folder is the state: killed, the same command goes on; more ``--seeds``, ``--randoms`` or ``--trainings``
add what is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of all recipes, when run as a script

from ranas import anytime_figures
from ranas.pieces import MSDNET, RANDOM, Piece, Search, Study, Training
from ranas.recipe import recipe_of
from ranas.sizes import ANYTIME
from ranas.work import Job
from searches.machine import machine_arguments, machine_of
from searches.recipe import Recipe, carry_out

# The paper cuts pictures out in the search and in the training of its any-time networks; our short ones do without.
_WITH_CUTOUT = ("full",)


def study(cutout: bool) -> Study:
    """What is compared; the first matter most."""
    sets = ("cifar10", "cifar100")
    own = {data: Training(cells=data, data=data, cutout=cutout) for data in sets}
    rivals = {
        f"{data}_{cells}": Training(cells=cells, data=data, cutout=cutout)
        for data in sets
        for cells in (MSDNET, RANDOM)
    }
    transferred = Training(cells="cifar10", data="cifar100", cutout=cutout)
    trainings = {**own, **rivals, "cifar100_transferred": transferred}
    return Study(
        searches={data: Search(data=data, cutout=cutout) for data in sets},
        trainings={name: trainings[name] for name in anytime_figures.GROUPS},
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Any-time networks of found cells, of random cells, and MSDNet."""
    given = _parser().parse_args(arguments)
    return carry_out(given, lambda: _recipe(given))


def _recipe(given: argparse.Namespace) -> Recipe[Piece]:
    size = ANYTIME[given.size]
    job = Job(given.out, study(size.name in _WITH_CUTOUT), size, machine_of(given))
    randoms = size.randoms if given.randoms is None else given.randoms
    plan = job.study.plan(given.trainings, given.seeds or size.seeds, randoms)
    return recipe_of("anytime", job, plan, anytime_figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the results folder")
    parser.add_argument("--size", choices=sorted(ANYTIME), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, help="of searches and trainings (default: the size's own)")
    parser.add_argument("--randoms", type=int, help="networks of random cells per data set (default: the size's own)")
    names = list(anytime_figures.GROUPS)
    parser.add_argument("--trainings", nargs="+", choices=names, default=names, help="which (default: all)")
    machine_arguments(parser, "a folder with both published archives in place of the shared sheets")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
