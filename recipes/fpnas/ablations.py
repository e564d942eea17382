"""Samples, distributions and split attention: searches that differ in one thing, their answers trained alike.

    python recipes/fpnas/ablations.py --seeds 0 1 --workers 2 --out runs/fpnas-ablations
    python recipes/fpnas/ablations.py --size cpu_fine --variants joint fixed_14 fine fine_fixed_14 --out runs/fpnas-fine

Our counterparts, on pictures and at small size, of

- Figure 3: samples as the entropy asks (``joint``) against 4, 8 and 14 fixed ones,
- Table 4: the same two in the fine space, where every block chooses for itself: ``entropy_scale`` serves both spaces,
- Figure 4 and Table 5: joint, factorised and mixed distributions, converted at 80/315 and 150/315 of the search,
- Table 7: ``splits`` searches the number of splits; ``splits_2`` and ``splits_4`` put so many into every
  squeeze-excite of what ``mixed_80`` found in the space without them.

The results folder is the state: killed, the same command goes on; more ``--seeds`` or ``--variants`` add to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from fpnas.curves import draw
from fpnas.variants import EXPERIMENT
from searches.command import ablate


def main(arguments: Sequence[str] | None = None) -> int:
    """Searches that differ in one thing, their answers trained alike."""
    return ablate(EXPERIMENT, main.__doc__, arguments, draw)


if __name__ == "__main__":
    raise SystemExit(main())
