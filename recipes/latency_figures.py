"""What a search with latency budgets and networks of equal MACs show: rows as data, and as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.costs.devices import device_cost
from sartor.profiling.errors import spearman
from sartor.profiling.networks import Measured
from sartor.space import SearchSpace

CLOSE = 0.05  # how far a prediction may be from the measurement

Row = NDArray[np.int64]


def summary(table: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be known of the table: how it was measured, and how far it is off."""
    kept = ("runtime", "threads", "batch", "date", "noise")
    machine = {key: value for key, value in table["device"].items() if key != "name"}
    errors = {key: value for key, value in table["errors"].items() if key != "points"}
    return {**{key: table[key] for key in kept}, "machine": machine, "errors": errors}


def search_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per platform: budget, margin, prediction, measurement, and whether both demands are met."""
    rows = []
    for platform in result["platforms"]:
        latency = platform["latency"]
        measured = latency["measured_ms"]
        kept = ("budget_ms", "margin", "predicted_ms", "measured_ms", "noise", "scale", "missed", "reason")
        off = None if measured is None else latency["predicted_ms"] / measured - 1
        first = latency["first"] and {key: latency["first"][key] for key in ("predicted_ms", "measured_ms")}
        rows.append(
            {
                "platform": platform["name"],
                **{key: latency[key] for key in kept},
                "prediction_off": off,
                "close": None if off is None else abs(off) <= CLOSE,
                "first": first,
                "macs": platform["costs"]["macs"],
                "test_accuracy": platform["test_accuracy"],
            }
        )
    return rows


def order_rows(
    space: SearchSpace, device: str, networks: Mapping[str, Row], measured: Mapping[str, Mapping[str, Measured] | None]
) -> dict[str, Any]:
    """Every network with its MACs, its prediction, and in each runtime its latency, noise and rank; and the ranks'
    correlations."""
    rows = np.array(list(networks.values()))
    known = {name: found for name, found in measured.items() if found is not None}
    series = {"predicted": device_cost(space, device)(rows) / 1e6}
    series |= {name: np.array([found[network].ms for network in networks]) for name, found in known.items()}
    ranks = {name: np.argsort(np.argsort(values, kind="stable")) + 1 for name, values in series.items()}
    macs, params = space.cost("macs")(rows), space.cost("params")(rows)
    listed = [
        {
            "network": network,
            "architecture": space.architecture(row).values,
            "macs": int(macs[i]),
            "params": int(params[i]),
            "predicted_ms": float(series["predicted"][i]),
            "measured": {
                name: {"ms": found[network].ms, "noise": found[network].noise, "rank": int(ranks[name][i])}
                for name, found in known.items()
            },
        }
        for i, (network, row) in enumerate(networks.items())
    ]
    names = list(series)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {
        "networks": listed,
        "macs_spread": float(macs.max() / macs.min() - 1),
        "last_over_first": {name: float(values[-1] / values[0]) for name, values in series.items()},
        "spearman": {f"{a}, {b}": spearman(series[a], series[b]) for a, b in pairs},
    }


def runtime_of(found: Mapping[str, Measured]) -> dict[str, Any]:
    """Version and clock of a runtime that measured."""
    one = next(iter(found.values()))
    return {"version": one.runtime["version"], "clock": one.clock}


def markdown(found: Mapping[str, Any]) -> str:
    """The figures as text."""
    table, equal = found["table"], found["equal_macs"]
    errors = table["errors"].get("corrected") or table["errors"].get("raw") or {}
    noise = table["noise"]
    lines = [
        "# A search with latency budgets, and what MACs get wrong",
        "",
        f"MobileNetV1 at {found['space']['options']['image_size']} pixels, {table['runtime']['name']} "
        f"{table['runtime']['version']}, one thread, {table['machine'].get('cpu')}, {table['date']}. The table is off "
        f"{_percent(errors.get('median'))} (median of {errors.get('networks', 0)} other networks; 99th percentile "
        f"{_percent(errors.get('p99'))}), its margin is {_percent(errors.get('margin_90'))}; networks measured twice "
        f"differ by {_percent(noise['network_median'])} (median).",
        "",
        "## Budgets: exported networks, measured",
        "",
        "| platform | budget (ms) | margin | predicted (ms) | measured (ms) | noise | prediction off by | "
        "within the budget | within 5 % of the prediction | first answer (ms) |",
        "|" + " --- |" * 10,
    ]
    for row in found["search"]:
        first = row["first"]
        before = "-" if not first else f"{first['measured_ms']:.4g} ({first['predicted_ms']:.4g} predicted)"
        within = None if row["missed"] is None else not row["missed"]
        lines.append(
            f"| {row['platform']} | {row['budget_ms']:.4g} | {_percent(row['margin'])} | {row['predicted_ms']:.4g} | "
            f"{_number(row['measured_ms'])} | {_percent(row['noise'])} | {_percent(row['prediction_off'], '+')} | "
            f"{_yes(within)} | {_yes(row['close'])} | {before} |"
        )
    ratio = equal["last_over_first"]
    spread = ", ".join(f"{name} {value:.2f}" for name, value in ratio.items())
    correlations = "; ".join(f"{pair}: {value:.2f}" for pair, value in equal["spearman"].items() if value is not None)
    names = list(equal["networks"][0]["measured"])
    missing = [name for name, runtime in found["runtimes"].items() if runtime is None]
    lines += [
        "",
        "## Equal MACs, different latency",
        "",
        f"{len(equal['networks'])} networks whose MACs differ by {_percent(equal['macs_spread'], digits=2)} at most; "
        f"network 1 is the fastest and the last one the slowest that the table predicts, by the exact solver. The last "
        f"over the first: {spread}. Ranks are by latency in each runtime; rank correlations: {correlations}."
        + (f" Not installed here: {', '.join(missing)}." if missing else ""),
        "",
        "| network | MACs | parameters | predicted (ms) | "
        + " | ".join(f"{name} (ms, noise, rank)" for name in names)
        + " |",
        "|" + " --- |" * (4 + len(names)),
    ]
    for row in equal["networks"]:
        cells = [
            f"{one['ms']:.4g}, {_percent(one['noise'])}, {one['rank']}" for one in (row["measured"][n] for n in names)
        ]
        lines.append(
            f"| {row['network']} | {row['macs']:,} | {row['params']:,} | {row['predicted_ms']:.4g} | "
            f"{' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def overview_rows(found: Mapping[str, Any], machine: str) -> list[list[str]]:
    """What stands in recipes/README.md: winners against their budgets and predictions, and networks of equal MACs."""
    winners, equal = found["search"], found["equal_macs"]
    within = sum(not row["missed"] for row in winners)
    furthest = max((row["prediction_off"] for row in winners), key=abs)
    setting = f"{found['space']['name']}, {machine}, one seed"
    command = "`python recipes/latency_search.py --out FOLDER --publish`"
    spread = ", ".join(f"{name} {value:.2f}" for name, value in equal["last_over_first"].items())
    apart = _percent(equal["macs_spread"], digits=2)
    title = f"{len(equal['networks'])} networks of MACs within {apart}: slowest over fastest"
    return [
        [
            "exported networks within their budgets in milliseconds",
            "-",
            f"{within} of {len(winners)}",
            setting,
            command,
        ],
        ["their predictions, furthest from the measurement", "-", _percent(furthest, "+"), "same", ""],
        [title, "-", spread, "same", ""],
    ]


def _percent(share: float | None, sign: str = "", digits: int = 1) -> str:
    return "-" if share is None else f"{100 * share:{sign}.{digits}f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _yes(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "NO"
