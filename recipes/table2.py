"""Tables 2 and 3: six weightings x Slim, OWS, AOWS x uniform and weighted sampling, and every network alone.

    python recipes/table2.py --size cpu --rows U RS --seeds 0 1 --table3-seeds 0 --workers 2 --out runs/table2-cpu
    python recipes/table2.py --size full --device cuda --workers 4 --seeds 0 1 2 --out runs/table2
    python recipes/table2.py --size smoke --workers 2 --out runs/table2-smoke

The results folder is the state: killed, the same command goes on; with more rows or seeds it adds what is missing.
``--publish`` also writes tables and pictures into recipes/results, from which overview.py makes the README's table.

Sizes (slimmable/sizes.py holds every number):
  full   the paper's: CIFAR-100 at 32 x 32, 14 levels of width from 0.2 to 1.5, seven targets; search 50 epochs at
         rate 0.1, batch 128, k = 1, AOWS warm-up 10 epochs; final training 300 epochs, rate 0.1 x 0.985 per epoch,
         Nesterov 0.9, decay 5e-4, dropout 0.6 in the largest network only. Not stated by the paper and ours: momentum
         0.9 and decay 1e-5 of the search (AOWS code), temperature knots, pad-and-crop and flip, k = 1 in the final
         training, no distillation there. Not run yet: it needs a GPU.
  cpu    20 classes at 16 x 16 pixels, quarter widths, 10 epochs of search, 10 of final training; all deviations
         with their reasons stand beside its numbers. Rows U and RS with two seeds and Table 3 with one take about 50
         minutes of CPU time on an AMD EPYC, half of that with --workers 2 on two cores.
  smoke  every step once on the built-in digits, a minute; its figures mean nothing.

All training pictures teach and the 10,000 (cpu: 2,000) test pictures judge, as in the paper; no search and no choice
between systems sees them (length and schedule of the cpu size's final training were settled on one uniform network).
One configuration per batch is drawn (the AOWS code: one per picture), loss tables by ridge regression and the exact
solver: sartor's defaults, see sartor.methods.ows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from searches.machine import machine_arguments, machine_of
from searches.recipe import Recipe, carry_out
from slimmable.figures import draw
from slimmable.markdown import document
from slimmable.pieces import ROWS, Piece, plan
from slimmable.results import collect
from slimmable.sizes import SIZES
from slimmable.work import do_piece


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what is missing, then writes the tables, the pictures and results.json into the results folder."""
    given = _parser().parse_args(arguments)
    return carry_out(given, lambda: _recipe(given))


def _recipe(given: argparse.Namespace) -> Recipe[Piece]:
    table3_seeds = given.seeds if given.table3_seeds is None else given.table3_seeds
    seeds = sorted({*given.seeds, *table3_seeds})
    return Recipe(
        configuration={"recipe": "table2", "size": SIZES[given.size].to_json()},
        plan=plan(given.rows, given.seeds, table3_seeds),
        do=partial(do_piece, given.out, given.size, machine=machine_of(given)),
        needs=lambda piece: piece.needs,
        collect=lambda: collect(given.out, given.size, given.rows, seeds),
        document=document,
        draw=draw,
        prefix="",
        published=f"table2_{given.size}_",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the results folder")
    parser.add_argument("--size", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="rows of Table 2 (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of Table 2")
    parser.add_argument("--table3-seeds", nargs="*", type=int, help="seeds of Table 3 (default: those of Table 2)")
    machine_arguments(parser, "a published CIFAR-100 archive in place of the shared sheets")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
