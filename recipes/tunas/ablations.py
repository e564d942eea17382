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

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from searches.command import ablate
from tunas.variants import EXPERIMENT


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches that differ in one thing, their answers trained alike."""
    return ablate(EXPERIMENT, main.__doc__, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
