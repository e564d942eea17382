"""Figure 1: the Chinese restaurant process as a model of market shares, and the mean number of its tables.

20,000 draws of 100 customers. The expected tables follow from a recursion that is exact: 5.79 at discount 0.3 and
strength 0.15 (rows S and RS of Table 1), 3.15 at 0.15 and 0.15 (rows L and RL). The figure shows one draw and the mean
share of each rank; the market shares that the paper draws beside it (StatCounter, October 2020) are not available.

    python recipes/chinese_restaurant.py

Runs on any machine in a second; the figures are in recipes/README.md.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sartor import report
from sartor.errors import SartorError
from sartor.platforms import ChineseRestaurantProcess
from sartor.storage import to_json, write_atomically

CUSTOMERS, DRAWS = 100, 20_000
# Discount and strength of rows S and RS, and of L and RL; the first is also that of Figure 1.
PROCESSES = {"S, RS": (0.3, 0.15), "L, RL": (0.15, 0.15)}
PUBLISHED = Path(__file__).parent / "results"


def measure(draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Mean tables over many draws with its standard error, beside the exact mean and the share with five tables."""
    found = []
    for rows, (discount, strength) in PROCESSES.items():
        process = ChineseRestaurantProcess(discount, strength)
        sizes = process.sample_many(draws, CUSTOMERS, np.random.default_rng(seed))
        tables = (sizes > 0).sum(axis=1)
        found.append(
            {
                "rows": rows,
                "discount": discount,
                "strength": strength,
                "mean_tables": float(tables.mean()),
                "standard_error": float(tables.std(ddof=1) / math.sqrt(draws)),
                "expected_tables": process.expected_tables(CUSTOMERS),
                "share_with_5_tables": float((tables == 5).mean()),
            }
        )
    return {"recipe": "chinese_restaurant", "customers": CUSTOMERS, "draws": draws, "processes": found}


def draw(path: Path, draws: int = DRAWS, seed: int = 0) -> None:
    """The picture like Figure 1."""
    process = ChineseRestaurantProcess(*PROCESSES["S, RS"])
    shares = report.crp_shares(process, CUSTOMERS, np.random.default_rng(seed), draws)
    report.write_crp_png(shares, path, scale=1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the figures as JSON and the picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=PUBLISHED)
    given = parser.parse_args(arguments)
    found = measure()
    try:
        write_atomically(given.out / "chinese_restaurant.json", (to_json(found) + "\n").encode())
        draw(given.out / "figure1.png")
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for p in found["processes"]:
        print(
            f"discount {p['discount']}, strength {p['strength']}: {p['mean_tables']:.3f} ± {p['standard_error']:.3f} "
            f"tables in {found['draws']:,} draws, {p['expected_tables']:.3f} exactly"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
