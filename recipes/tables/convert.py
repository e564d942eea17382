"""Two published benchmarks as files for ``sartor compare --table``.

    python recipes/tables/convert.py --out FOLDER

NAS-Bench-Macro (6,561 networks of eight layers) and the MobileNet half of Channel-Bench-Macro (16,384 width settings
of seven layers), all trained on CIFAR-10, three runs each. The published tables are found in the shared data folder;
what this writes is made from them and stays outside the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder of all recipes, when run as a script

import numpy as np

from sartor.compare.table import Table, write_table
from sartor.errors import RequestError, SartorError
from shared_pictures import shared_data_folder


def nas_bench_macro(out: Path, folder: Path | None = None) -> Table:
    """Writes NAS-Bench-Macro to ``out``: identity, kernel 3 with expansion 3, kernel 5 with expansion 6 per layer."""
    text = _published(folder, "nasbench_macro_cifar10.json").read_text(encoding="utf-8")
    entries = json.loads(text)
    return write_table(
        out,
        [[int(digit) for digit in key] for key in entries],
        [entry["test_acc"] for entry in entries.values()],
        {
            "macs": np.array([int(entry["flops"]) for entry in entries.values()]),
            "params": np.array([int(entry["params"]) for entry in entries.values()]),
        },
        [f"layer{i}" for i in range(8)],
    )


def channel_bench_macro(out: Path, folder: Path | None = None) -> Table:
    """Writes the MobileNet half of Channel-Bench-Macro to ``out``: four widths for each of seven layers."""
    with np.load(_published(folder, "channel_bench_macro.npz")) as published:
        return write_table(
            out,
            published["width"].astype(np.int64) - 1,
            published["mobilenet_acc"].astype(np.float64),
            {"macs": published["mobilenet_flops"], "params": published["mobilenet_params"]},
            [f"width{i}" for i in range(7)],
        )


CONVERTERS: dict[str, Callable[[Path, Path | None], Table]] = {
    "nas_bench_macro": nas_bench_macro,
    "channel_bench_macro": channel_bench_macro,
}


def _published(folder: Path | None, name: str) -> Path:
    path = (folder or shared_data_folder()) / "tables" / name
    if not path.is_file():
        raise RequestError(f"{path}: the benchmark's table is missing; set SARTOR_SHARED_DATA to the shared folder")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, help="folder of the shared data (default: SARTOR_SHARED_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="where the tables go")
    given = parser.parse_args(arguments)
    try:
        for name, convert in CONVERTERS.items():
            table = convert(given.out / f"{name}.npz", given.folder)
            print(f"{given.out / name}.npz: {len(table)} rows")
    except SartorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
