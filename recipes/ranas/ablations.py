"""Figures 4 to 6: what cutout, exits and scales are worth, in the search and in the training.

    python recipes/ranas/ablations.py --size cpu --workers 2 --out runs/ranas-ablations --publish
    python recipes/ranas/ablations.py --size full --device cuda --workers 4 --data ARCHIVES --out runs/ranas-grid
    python recipes/ranas/ablations.py --size smoke --out runs/ranas-smoke-ablations

Figure 4: searches with one of them each, their cells trained in a network of one scale and one exit, without cutout.
Figures 5 and 6: cells of the same searches in networks with exits, trained with cutout or without, on one scale or
several. The paper has bars without numbers; its sentences give the directions. Sizes stand in ranas/sizes.py (``full``
is the paper's, for a GPU, and was not run; ``cpu`` has pictures of 16 pixels, two nodes, two scales where the paper has
three). The results folder is the state: killed, the same command goes on; ``--trainings`` chooses what is compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of all recipes, when run as a script

from ranas import ablation_figures
from ranas.pieces import Piece, Search, Study, Training
from ranas.recipe import recipe_of
from ranas.sizes import ABLATIONS
from ranas.work import Job
from searches.machine import machine_arguments, machine_of
from searches.recipe import Recipe, carry_out

_EXITS: Mapping[str, Any] = {"exits": "all"}


def study(scales: int) -> Study:
    """The grid; ``scales`` where there are several."""
    several = {"scales": scales}
    searches = {
        "baseline": Search(),
        "cutout": Search(cutout=True),
        "exits": Search(space=_EXITS),
        "scales": Search(space=several),
        "cutout_exits": Search(cutout=True, space=_EXITS),
        "cutout_scales": Search(cutout=True, space=several),
        "cutout_exits_scales": Search(cutout=True, space={**_EXITS, **several}),
    }
    single = {f"single_{name}": Training(cells=name) for name in ("baseline", "cutout", "exits", "scales")}
    anytime = {
        "anytime_cutout_in_search": Training(cells="cutout", space=_EXITS),
        "anytime_cutout": Training(cells="cutout", cutout=True, space=_EXITS),
        "anytime_exits": Training(cells="cutout_exits", cutout=True, space=_EXITS),
        "anytime_scales_in_training": Training(cells="cutout", cutout=True, space={**_EXITS, **several}),
        "anytime_scales": Training(cells="cutout_scales", cutout=True, space={**_EXITS, **several}),
        "anytime_everything": Training(cells="cutout_exits_scales", cutout=True, space={**_EXITS, **several}),
    }
    return Study(searches=searches, trainings={**single, **anytime})


SCALES = {"full": 3, "cpu": 2, "smoke": 2}
NAMES = tuple(study(2).trainings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cutout, exits and scales in the search and in the training."""
    given = _parser().parse_args(arguments)
    return carry_out(given, lambda: _recipe(given))


def _recipe(given: argparse.Namespace) -> Recipe[Piece]:
    size = ABLATIONS[given.size]
    job = Job(given.out, study(SCALES[size.name]), size, machine_of(given))
    plan = job.study.plan(given.trainings, given.seeds or size.seeds, 0)
    return recipe_of("ablations", job, plan, ablation_figures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the results folder")
    parser.add_argument("--size", choices=sorted(ABLATIONS), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, help="of searches and trainings (default: the size's own)")
    parser.add_argument("--trainings", nargs="+", choices=NAMES, default=NAMES, help="which (default: all)")
    machine_arguments(parser, "a folder with the published archive in place of the shared sheets")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
