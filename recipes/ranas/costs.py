"""What exits cost: the 12 % of section 4.3 and the axis of Figures 9 and 10, from exact counts.

    python recipes/ranas/costs.py

Nothing is trained. The paper leaves the network around its cells open; these are counts of "R", the proposed one (see
sartor.spaces.ms_ranas.setting). The cell of the first part is the published one of DARTS, of the second one of two
nodes with separable convolutions and a skip; beside them stand random ones. All cells up to an exit count, as in the
paper.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the folder of all recipes, when run as a script

from sartor import spaces
from sartor.anytime.stages import exit_costs
from sartor.blueprint import Blueprint
from sartor.spaces.ms_ranas.genotypes import DARTS_V2, Genotype, read_genotype
from sartor.spaces.msdnet import msdnet
from sartor.storage import to_json, write_atomically
from searches import text
from searches.recipe import PUBLISHED
from searches.text import table

# Two nodes: node 2 reads both inputs, node 3 the first one and an input or node 2.
TWO_NODES = Genotype(
    normal=(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 1)),
    reduce=(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("max_pool_3x3", 0), ("skip_connect", 2)),
)
# Section 4.3: the first exit's share of the last one's cost; where curves cross MSDNet's (Figures 9 and 10, facts 3.2).
PAPER_SHARE, CROSSINGS = 0.12, {10: 0.7, 100: 0.62}
_ABLATION = {"layers": 5, "nodes": 4, "channels": 16}
_RANDOM = 200


def collect() -> dict[str, Any]:
    """Exact counts of every network in question."""
    ablation = {str(scales): spaces.create("ms_ranas", scales=scales, **_ABLATION) for scales in (1, 2, 3)}
    final = {classes: spaces.create("ms_ranas", num_classes=classes) for classes in CROSSINGS}
    cells = {classes: read_genotype(space, TWO_NODES).blueprint for classes, space in final.items()}
    return {
        "recipe": "ranas_costs",
        "ablation": {scales: exits_of(read_genotype(s, DARTS_V2).blueprint) for scales, s in ablation.items()},
        "final": {str(classes): exits_of(network) for classes, network in cells.items()},
        "msdnet": {str(classes): exits_of(msdnet(num_classes=classes)) for classes in CROSSINGS},
        "random_shares": random_shares(ablation["3"]),
        "paper_share": PAPER_SHARE,
        "crossings": {str(classes): crossing for classes, crossing in CROSSINGS.items()},
    }


def exits_of(network: Blueprint) -> list[dict[str, int]]:
    """MACs and parameters of every exit, by every count."""
    kept = ("macs", "lazy_macs", "anytime_macs", "params")
    return [{key: getattr(cost, key) for key in kept} for cost in exit_costs(network)]


def random_shares(space: Any) -> list[float]:
    """The first exit's share of the last one's MACs, of random cells: 5, 50 and 95 percent."""
    first, last = (space.cost("macs", exit=k) for k in (0, space.exits - 1))
    rows = space.sample(_RANDOM, np.random.default_rng(0))
    return [float(q) for q in np.quantile(first(rows) / last(rows), (0.05, 0.5, 0.95))]


def share(exits: Sequence[Mapping[str, int]], key: str) -> float:
    """The first exit's part of the last one's cost."""
    return exits[0][key] / exits[-1][key]


def document(found: Mapping[str, Any]) -> str:
    """Both tables."""
    shares = [
        [scales, *(f"{100 * share(exits, key):.1f}" for key in ("macs", "params"))]
        for scales, exits in found["ablation"].items()
    ]
    low, middle, high = (100 * q for q in found["random_shares"])
    note = (
        f"The paper: {100 * PAPER_SHARE:.0f} % of the MACs and of the memory, with three scales. Random cells, three "
        f"scales: {middle:.1f} % ({low:.1f} to {high:.1f}) of the MACs."
    )
    header = ["scales", "MACs (%)", "parameters (%)"]
    sections = {
        "The first exit's share of the last one's cost (five layers, 16 channels, four nodes, cells of DARTS)": (
            f"{table(header, shares)}\n\n{note}"
        ),
        "The axis of Figures 9 and 10: 1e8 MACs up to each exit": _axis(found),
    }
    return text.document("Exact counts; nothing is trained.", sections)


def _axis(found: Mapping[str, Any]) -> str:
    lines = []
    for classes, crossing in found["crossings"].items():
        for name, title in (("final", "R"), ("msdnet", "MSDNet, 10 blocks")):
            exits = found[name][classes]
            axis = " ".join(f"{e['macs'] / 1e8:.3f}" for e in exits)
            lines.append([f"CIFAR-{classes}", title, axis, f"{exits[-1]['params'] / 1e6:.2f}", f"{crossing:g}"])
    header = ["", "network", "1e8 MACs per exit, all cells", "M parameters", "the paper's crossing"]
    return table(header, lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Counts, and writes JSON and tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    found = collect()
    shown = document(found)
    write_atomically(given.out / "ranas_costs.json", (to_json(found, indent=1) + "\n").encode())
    write_atomically(given.out / "ranas_costs.md", shown.encode())
    print(shown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
