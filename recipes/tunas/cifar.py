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

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

from tunas import comparison, histogram
from tunas.command import carry_out, machine_of, seeds_of, shared_arguments
from tunas.pieces import comparison as plan
from tunas.sizes import SIZES
from tunas.work import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Whole searches against random networks of the same cost."""
    parser = shared_arguments(main.__doc__)
    parser.add_argument("--space", help="the space to search (default: the size's own)")
    parser.add_argument("--randoms", type=int, help="random networks (default: the size's own)")
    parser.add_argument("--short-only", action="store_true", help="leave out the second, longer training")
    given = parser.parse_args(arguments)
    return carry_out(given, "cifar", lambda: _job(given), comparison.collect, comparison.document, _draw)


def _job(given: argparse.Namespace) -> Job:
    size = SIZES[given.size]
    size.make_space(given.space)  # an unknown space is refused before anything else
    randoms = size.randoms if given.randoms is None else given.randoms
    pieces = plan(seeds_of(given), randoms, long=size.long is not None and not given.short_only)
    return Job(given.out, given.size, tuple(pieces), machine_of(given), given.space)


def _draw(found: dict[str, Any], path: Path) -> None:
    """The picture, once there is a network of both kinds."""
    random, searched = ([n["test_accuracy"] for n in found["networks"][name].values()] for name in ("random", "tunas"))
    if random and searched:
        title = f"{found['space']}: random networks and searched ones of the same cost"
        histogram.draw(random, searched, title, path)


if __name__ == "__main__":
    raise SystemExit(main())
