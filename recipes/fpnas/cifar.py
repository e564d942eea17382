"""Does the search beat chance? Whole searches against random networks of the same cost, all trained alike.

    python recipes/fpnas/cifar.py --size cpu --workers 2 --out runs/fpnas-cifar
    python recipes/fpnas/cifar.py --size s1_plus --data IMAGENET --device cuda --out runs/fpnas-s1-plus
    python recipes/fpnas/cifar.py --size l1 --data IMAGENET --device cuda --teacher b4.onnx --out runs/fpnas-l1
    python recipes/fpnas/cifar.py --size smoke --out runs/fpnas-smoke

The paper compares with other searches; this asks first whether there is anything to be found. The whole search is
repeated from several seeds; every answer and N random networks of the same MACs (within 5 % of one of the answers, in
turn) are trained alone with the same recipe. Means, spreads, and the difference with its 95 % interval go to
cifar_results.json and cifar_tables.md in the results folder, beside a histogram.

The results folder is the state: killed, the same command goes on, from the last checkpoint of the pieces in work; with
more ``--seeds`` or ``--randoms`` it adds what is missing. ``--publish`` also writes into recipes/results.

Sizes (fpnas/sizes.py holds every number, with the reasons for those that are not the paper's):
  s1 to s4, s1_plus to s4_plus, l0 to l2
         the paper's (Tables 6 to 8): a search on 100 classes of ImageNet for the target in MACs at that size of
         pictures, then the answer alone for 420 epochs on all pictures; ``--teacher`` a file of EfficientNet-B4 for
         the distilled ones. Not run: they need GPUs and ImageNet (a folder with ``train`` and ``val``).
  cpu    CIFAR-10 at 16 pixels, about half an hour on two cores.
  cpu_fine  the same with two blocks a row, for ablations.py.
  smoke  every step once on the built-in digits; its figures mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from fpnas.variants import EXPERIMENT
from searches.command import compare


def main(arguments: Sequence[str] | None = None) -> int:
    """Whole searches against random networks of the same cost."""
    return compare(EXPERIMENT, main.__doc__, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
