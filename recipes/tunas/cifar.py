"""Does the search beat chance? Whole searches against random networks of the same cost, all trained alike.

    python recipes/tunas/cifar.py --size cpu --workers 2 --out runs/tunas-cifar
    python recipes/tunas/cifar.py --size full --space mobilenetv3_like --data IMAGENET --device cuda --out runs/tunas-v3
    python recipes/tunas/cifar.py --size smoke --out runs/tunas-smoke

The whole search is repeated from several seeds (never one answer trained several times); every answer and N random
networks from a window around the target are trained alone with the same recipe. Means, spreads, and the difference
with its 95 % interval go to cifar_results.json and cifar_tables.md in
the results folder, beside a picture like the paper's Figure 1.

The results folder is the state: killed, the same command goes on, from the last checkpoint of the pieces in work; with
more ``--seeds`` or ``--randoms`` it adds what is missing. ``--publish`` also writes into recipes/results.

Sizes (tunas/sizes.py holds every number, with the reasons for those that are not the paper's):
  full   the paper's: 224 pixels, 84, 84 or 57 ms on the Pixel 1, 90 epochs of search, of training for validation, 360
         for test; five searches, 50 random networks. Not run: it needs GPUs and the pictures of ImageNet.
  cpu    CIFAR-10 at 24 pixels, about an hour on two cores of which others take a part.
  smoke  every step once on the built-in digits, a minute; its figures mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from searches.command import compare
from tunas.variants import EXPERIMENT


def main(arguments: Sequence[str] | None = None) -> int:
    """Whole searches against random networks of the same cost."""
    return compare(EXPERIMENT, main.__doc__, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
