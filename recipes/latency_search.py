"""A search with latency budgets on this machine, to the end; and what MACs get wrong.

    python recipes/latency_search.py --out FOLDER                  # about five minutes on one core
    python recipes/latency_search.py --out FOLDER --publish        # writes recipes/results/latency_search.*

1. `sartor profile` of a small MobileNetV1 space (32x32 pixels, half widths, five levels per layer), `--minutes` long.
2. A run of OWS on the built-in digits with three latency budgets on that table: searched, trained, exported, and the
   exported files measured again. Asked: within the budget, and within 5 % of the prediction.
3. Networks of equal MACs (within 0.5 %): the fastest and the slowest that the table predicts, found by the exact
   solver, and others between them, all measured.
4. The same networks in every runtime that is installed (onnxruntime, PyTorch, OpenVINO), with their ranks.

Started again, it goes on; what was measured is kept in FOLDER. Measure on a quiet machine: the noise of the table and
of every network stands beside the figures. Networks of 3 and 4 are timed as a profile does it, with made-up weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latency_figures import Row, markdown, order_rows, runtime_of, search_rows, summary
from sartor import environment, mrf, report, spaces
from sartor.config import Job
from sartor.costs.devices import device_cost, device_margin
from sartor.costs.factors import Factor, FactorCost
from sartor.errors import MissingDependencyError
from sartor.methods.sampling import sample_window
from sartor.pipeline import run_job
from sartor.profiling import runtimes
from sartor.profiling.graphs import network_graph
from sartor.profiling.networks import Bench, Measured, Shipped
from sartor.profiling.plan import Plan, Settings
from sartor.profiling.session import profile
from sartor.progress import Progress
from sartor.run import RunFolder
from sartor.seeds import numpy_generator
from sartor.space import SearchSpace
from sartor.storage import to_json, write_atomically

RESULTS, NAME = Path(__file__).resolve().parent / "results", "latency_search"
PICTURES = {"num_classes": 10, "image_size": 32, "in_channels": 1}
OPTIONS: dict[str, Any] = {"multiplier": 0.5, "levels": 5, "layout": "cifar"}
# Where the budgets lie between the smallest and the largest network of the space, as predicted.
SHARES = {"watch": 0.15, "phone": 0.4, "tablet": 0.7}
EQUAL = 0.0025  # on either side: all MACs lie within 0.5 %


def main(words: Sequence[str] | None = None) -> None:
    """Does what is not done yet, and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=2.0, help="of the profile")
    parser.add_argument("--seconds", type=float, default=3.0, help="per network that is measured afterwards")
    parser.add_argument("--epochs", type=float, default=5.0, help="of the search and of the training")
    parser.add_argument("--networks", type=int, default=8, help="of equal MACs")
    parser.add_argument("--levels", type=int, default=OPTIONS["levels"], help="widths per layer")
    parser.add_argument("--publish", action="store_true", help="write the results into recipes/results")
    given = parser.parse_args(words)
    progress = Progress(lines=True)
    options = {**OPTIONS, "levels": given.levels}
    space = spaces.create("mobilenet_v1", **PICTURES, **options)
    given.out.mkdir(parents=True, exist_ok=True)
    device = given.out.resolve() / "device.json"
    table = profile(
        Plan(space, Settings(minutes=given.minutes)), runtimes.create("onnxruntime"), device, progress=progress
    )
    result, metrics = searched(space, str(device), options, given, progress)
    networks = equal_networks(space, str(device), given.networks)
    measured = orders(space, networks, given.out / "orders", given.seconds, progress)
    found = {
        "environment": environment.describe(threads=1, gpu=False),
        "space": {"name": space.name, "options": space.options},
        "table": summary(table),
        "search": search_rows(result),
        "equal_macs": order_rows(space, str(device), networks, measured),
        "runtimes": {name: None if one is None else runtime_of(one) for name, one in measured.items()},
    }
    folder = RESULTS if given.publish else given.out
    write_atomically(folder / f"{NAME}.json", (to_json(found) + "\n").encode())
    write_atomically(folder / f"{NAME}.md", markdown(found).encode())
    report.write_png(report.build(result, metrics), "latency", folder / f"{NAME}.png", scale=1.0)
    print(markdown(found))


def searched(
    space: SearchSpace, device: str, options: Mapping[str, Any], given: argparse.Namespace, progress: Progress
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result of the run, and its metrics."""
    training = {"epochs": given.epochs, "batch_size": 64, "learning_rate": 0.1}
    job = {
        "name": NAME,
        "data": {"source": "digits", "image_size": PICTURES["image_size"]},
        "space": {"name": space.name, **options},
        "method": "ows",
        "platforms": platforms(space, device),
        "search": training,
        "train": {**training, "schedule": "cosine", "dropout": 0.0},
        "evaluation": {"cloud": 0},
        "measure": {"seconds": given.seconds},
        "baselines": [],
        "device": "cpu",
        "threads": 1,
    }
    with RunFolder.create(given.out / "run", Job.from_dict(job).resolved(), progress=progress) as folder:
        return run_job(folder), folder.metrics()


def platforms(space: SearchSpace, device: str) -> list[dict[str, Any]]:
    """Budgets between the ends of the space, with room for the margin."""
    assert space.smallest is not None and space.largest is not None
    low, high = device_cost(space, device)(np.array([space.smallest.row, space.largest.row])) / 1e6
    margin = device_margin(device) or 0.0
    limits = {name: (low + share * (high - low)) * (1 + margin) for name, share in SHARES.items()}
    return [{"name": name, "latency_ms": float(f"{ms:.4g}"), "device": device} for name, ms in limits.items()]


def equal_networks(space: SearchSpace, device: str, count: int) -> dict[str, Row]:
    """Networks of equal MACs, from the fastest to the slowest that the table predicts; the ends are the solver's."""
    macs, latency = space.cost("macs"), device_cost(space, device)
    assert space.smallest is not None and space.largest is not None
    ends = macs(np.array([space.smallest.row, space.largest.row])).astype(np.float64)
    middle = float(np.sqrt(ends[0] * ends[1]))
    low, high = int(middle * (1 - EQUAL)), int(middle * (1 + EQUAL))
    budgets = [mrf.Budget(macs, high, "macs"), at_least(macs, low)]
    fastest, slowest = (mrf.minimise(space.problem(latency.scaled(sign)), budgets).row for sign in (1.0, -1.0))
    rng = numpy_generator(0, "networks of equal MACs")
    rows = sample_window(space, mrf.Budget(macs, high, "macs"), low, high, 500, rng)
    rows = rows[np.argsort(latency(rows), kind="stable")]
    between = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)[1:-1]]
    return {f"network {i}": row for i, row in enumerate([fastest, *between, slowest], start=1)}


def at_least(cost: FactorCost, low: int) -> mrf.Budget:
    """A budget from below: what is missing from the dearest is a sum, too, and must not be much."""
    dearest = cost.constant + sum(int(f.table.max()) for f in cost.factors)
    missing = FactorCost(cost.sizes, [Factor(f.scope, f.table.max() - f.table) for f in cost.factors])
    return mrf.Budget(missing, dearest - low, f"missing {cost.name}")


def orders(
    space: SearchSpace, networks: Mapping[str, Row], folder: Path, seconds: float, progress: Progress
) -> dict[str, dict[str, Measured] | None]:
    """What the networks take in every runtime; None where it is not installed."""
    shipped = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, row in networks.items():
        blueprint = space.architecture(row).blueprint
        path = folder / f"{name.replace(' ', '_')}.onnx"
        path.write_bytes(network_graph(blueprint))
        shipped[name] = Shipped(path, blueprint, blueprint.build)
    found: dict[str, dict[str, Measured] | None] = {}
    for name in runtimes.RUNTIMES:
        try:
            runtime = runtimes.create(name)
        except MissingDependencyError:
            found[name] = None
            continue
        found[name] = Bench.here().measure(
            shipped, runtime, folder / f"{name}.timings.jsonl", seconds=seconds, progress=progress
        )
    return found


if __name__ == "__main__":
    main()
