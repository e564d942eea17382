"""What each part of the search is worth: searches that differ in one thing, their answers trained alike.

    python recipes/tunas/ablations.py --size cpu --seeds 0 1 --workers 2 --out runs/tunas-cifar
    python recipes/tunas/ablations.py --size cpu --variants enlarged enlarged_no_warmups --out runs/tunas-cifar

Our counterparts of Table 10 (warm-ups), Finding 4 (operation collapsing), section 4.2 (the growing rate of the policy:
cost of the most probable network against that of the samples), Table 8 (filters searched or doubled) and of a search
four times as long (Table 6). The searches compared have a quarter of the length of those of ``cifar.py``, whose results
folder this takes: its searches are those that are four times as long, and are done here where they are missing. The
histogram of Figure 1 is drawn by ``cifar.py``.

The results folder is the state: killed, the same command goes on; more ``--seeds`` or ``--variants`` add to it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from tunas import contrasts
from tunas.command import carry_out, machine_of, seeds_of, shared_arguments
from tunas.pieces import MAIN
from tunas.pieces import ablations as plan
from tunas.sizes import SIZES
from tunas.variants import ABLATIONS
from tunas.work import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches that differ in one thing, their answers trained alike."""
    parser = shared_arguments(main.__doc__)
    parser.add_argument("--variants", nargs="+", choices=sorted(ABLATIONS), default=list(ABLATIONS))
    given = parser.parse_args(arguments)
    return carry_out(given, "ablations", lambda: _job(given), contrasts.collect, contrasts.document)


def _job(given: argparse.Namespace) -> Job:
    # The main searches of cifar.py with its seeds: mostly there already, and all of them are compared.
    pieces = [*plan([MAIN], SIZES[given.size].seeds), *plan(given.variants, seeds_of(given))]
    return Job(given.out, given.size, tuple(pieces), machine_of(given))


if __name__ == "__main__":
    raise SystemExit(main())
