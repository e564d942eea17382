"""Tables 2 and 3: six weightings x Slim, OWS, AOWS x uniform and weighted sampling, and every network alone.

    python recipes/table2.py --size cpu --rows U RS --seeds 0 1 --table3-seeds 0 --workers 2 --out runs/table2-cpu

The results folder is the state: killed, the same command goes on; with more rows or seeds it adds what is missing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sartor.errors import SartorError
from sartor.run import ENVIRONMENT, RunFolder
from sartor.storage import to_json, write_atomically
from slimmable.figures import draw
from slimmable.markdown import document
from slimmable.pieces import ROWS, Piece, plan
from slimmable.results import collect
from slimmable.schedule import run
from slimmable.sizes import SIZES
from slimmable.work import Machine

PUBLISHED = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what is missing, then writes the tables, the pictures and results.json into the results folder."""
    given = _parser().parse_args(arguments)
    machine = Machine(given.device, given.precision, given.threads, given.data)
    table3_seeds = given.seeds if given.table3_seeds is None else given.table3_seeds
    try:
        pieces = plan(given.rows, given.seeds, table3_seeds)
        with RunFolder.create(given.out, {"recipe": "table2", "size": SIZES[given.size].to_json()}) as folder:
            if not given.tables_only:
                run(pieces, given.out, given.size, machine, given.workers, _report)
            write_results(given, sorted({*given.seeds, *table3_seeds}), folder.read_json(ENVIRONMENT))
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from the last checkpoints", file=sys.stderr)
        return 130
    return 0


def write_results(given: argparse.Namespace, seeds: Sequence[int], environment: dict[str, Any]) -> None:
    """results.json, tables.md and the pictures, of what is done; with ``--publish`` also beside the recipes."""
    found = {**collect(given.out, given.size, given.rows, seeds), "environment": environment}
    _write(found, given.out, "")
    if given.publish:
        _write(found, PUBLISHED, f"table2_{given.size}_")
    print(document(found))


def _write(found: dict[str, Any], folder: Path, prefix: str) -> None:
    write_atomically(folder / f"{prefix}results.json", (to_json(found, indent=1) + "\n").encode())
    write_atomically(folder / f"{prefix}tables.md", document(found).encode())
    draw(found, folder, prefix)


def _report(piece: Piece, found: dict[str, Any], done: int, total: int) -> None:
    accuracies = found.get("accuracies", {}).values()
    shown = f", mean accuracy {sum(accuracies) / len(accuracies):.2f} %" if accuracies else ""
    clock = time.strftime("%H:%M:%S")
    print(f"{clock} {done}/{total} {piece.file}: {found['cpu_seconds']:.0f} s of CPU time{shown}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the results folder")
    parser.add_argument("--size", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="rows of Table 2 (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of Table 2")
    parser.add_argument("--table3-seeds", nargs="*", type=int, help="seeds of Table 3 (default: those of Table 2)")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--threads", type=int, default=1, help="torch threads per process")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--data", type=Path, help="a published CIFAR-100 archive in place of the shared sheets")
    parser.add_argument("--tables-only", action="store_true", help="train nothing, write the tables of what is there")
    parser.add_argument("--publish", action="store_true", help="also write the results into recipes/results")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
