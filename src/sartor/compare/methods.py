"""Which methods a comparison on a table knows, and how each is set up for a number of queries.

The one rule, the same for all tables (docs/methods.md):

* every method is given the rows within the budgets and nothing else of the table;
* losses are counted in the running spread of the method's own queries, never the table's;
* what a paper states per step of its own run is scaled to the queries at hand (:func:`settings_for`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from sartor.compare.oracle import Oracle
from sartor.errors import RequestError
from sartor.methods import registry
from sartor.methods.method import Method

BASELINE = "random"
ON_TRAINING = ("ows", "aows", "tunas", "fpnas", "ms_ranas", BASELINE)
ON_TABLES = (*ON_TRAINING[:-1], "evolution", BASELINE)

# Methods that need what no table has, with the reason.
NOT_ON_TABLES: Mapping[str, str] = {
    "ms_ranas": "it learns by the gradient of mixtures of operations, and a table knows single networks only",
}


def check_names(given: Sequence[str], known: Sequence[str] = ON_TABLES) -> tuple[str, ...]:
    """The methods asked for, each once, and random search, which every comparison carries.

    Raises:
        RequestError: an unknown name; says which was meant.
    """
    known = tuple(dict.fromkeys([*known, *registry.names()]))
    for name in given:
        if ":" in name:
            registry.method_class(name)
        elif name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RequestError(
                f"unknown method {name!r}; known are {', '.join(known)}, and one's own as package.module:Class{hint}"
            )
    return tuple(dict.fromkeys([*given, BASELINE]))


def not_applicable(name: str) -> str | None:
    """Why a method cannot be compared on a table; None where it can."""
    return NOT_ON_TABLES.get(name)


def make(name: str, oracle: Oracle, seed: int) -> Method:
    """A fresh method for one search."""
    return _class_of(name)(oracle.space, [oracle.platform], settings_for(name, oracle.queries), seed)


def settings_for(name: str, queries: int) -> Any:
    """The settings of a method that may look at so many networks; None for those of one's own: their defaults.

    Half of the queries of OWS and AOWS check the best networks that their tables predict. Evolution keeps a fifth of
    them alive, at most 50, and draws a quarter of these. The rates of TuNAS and FP-NAS scale by themselves with the
    root of the number of samples.
    """
    if name in ("ows", "aows"):
        return registry.method_class(name).settings_type(check=0.5, within_budgets=True)  # type: ignore[attr-defined]
    if name == "tunas":
        from sartor.methods.tunas import TuNASSettings

        return TuNASSettings(reward="hard")
    if name == "fpnas":
        from sartor.methods.fpnas import FPNASSettings

        return FPNASSettings()
    if name == "evolution":
        from sartor.compare.evolution import EvolutionSettings

        population = max(4, min(50, queries // 5))
        return EvolutionSettings(population=population, tournament=max(2, population // 4))
    return None


def _class_of(name: str) -> type[Method]:
    if name == "evolution":
        from sartor.compare.evolution import Evolution

        return Evolution
    return registry.method_class(name)
