"""Spaces as plain data, for people and for programs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import yaml

from sartor import mrf, spaces
from sartor.config.check import Problems, check
from sartor.config.read import options_type
from sartor.costs import devices
from sartor.costs.factors import FactorCost
from sartor.errors import RequestError
from sartor.space import SearchSpace


def all_spaces() -> list[dict[str, Any]]:
    """Every space with its size at default options. Counts are text: they may exceed what JSON numbers hold."""
    rows = []
    for name in spaces.names():
        built = spaces.create(name)
        module = inspect.getmodule(spaces.builder(name))
        about = (inspect.getdoc(module) or "").partition("\n")[0]
        rows.append(
            {
                "name": name,
                "about": about,
                "decisions": len(built.decisions),
                "cardinality": str(built.cardinality),
            }
        )
    return rows


def space(name: str, options: Sequence[str]) -> dict[str, Any]:
    """One space with ``options`` such as ``image_size=224``.

    Raises:
        RequestError: the space or an option is unknown or impossible.
    """
    built = spaces.create(name, **space_options(name, options))
    return {
        "name": built.name,
        "options": built.options,
        "cardinality": str(built.cardinality),
        "distinct": str(built.distinct),
        "exits": built.exits,
        "decisions": [
            {"name": d.name, "kind": d.kind, "options": list(d.options), "when": d.when} for d in built.decisions
        ],
        "costs": {kind: _range(built, built.cost(kind)) for kind in built.cost_names},
        "references": {
            reference: {kind: getattr(a.blueprint, kind) for kind in COSTS} for reference, a in built.references.items()
        },
        "latency_ms": _latencies(built),
    }


COSTS = ("macs", "params", "peak_memory_bytes")


def space_options(name: str, options: Sequence[str]) -> dict[str, Any]:
    """Options of a space as they are given on the command line, such as ``image_size=224``.

    Raises:
        RequestError: one of them is unknown or impossible.
    """
    given = {}
    for text in options:
        key, equals, value = text.partition("=")
        if not equals:
            raise RequestError(f"--option {text}: expected a name and a value, such as image_size=224")
        try:
            given[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise RequestError(f"--option {text}: the value is no YAML; quote it") from None
    problems = Problems("--option")
    checked: Any = check(options_type(name), given, "", problems, f" of space {name}")
    problems.stop()
    return {key: value for key, value in asdict(checked).items() if value is not None}


def _latencies(built: SearchSpace) -> dict[str, Any]:
    """Predicted latencies on every device that knows this space: the fastest, the slowest, and known networks."""
    found = {}
    for device in devices.names():
        try:
            cost = devices.device_cost(built, device)
        except RequestError:
            continue
        ends = {end: nanoseconds * devices.MS_PER_NS for end, nanoseconds in _range(built, cost).items()}
        ms = built.cost(devices.LATENCY, device=device)
        known = {name: float(ms(np.array([a.row]))[0]) for name, a in built.references.items()}
        found[device] = {**ends, "references": known}
    return found


def _range(built: SearchSpace, cost: FactorCost) -> dict[str, int]:
    """The cheapest and the dearest valid architecture, exactly."""
    least = mrf.cheapest(built.problem(), cost).row
    return {"cheapest": int(cost(np.array([least]))[0]), "dearest": _dearest(built, cost)}


def _dearest(built: SearchSpace, cost: FactorCost) -> int:
    """The largest sum is the least of the negated factors; the largest maximum is the best of them one by one."""
    groups = [cost.factors] if cost.reduction == "sum" else [(factor,) for factor in cost.factors]
    found = []
    for factors in groups:
        negated = FactorCost(cost.sizes, factors).scaled(-1.0)
        row = mrf.minimise(built.problem(negated), []).row
        found.append(int(cost(np.array([row]))[0]))
    return max(found)
