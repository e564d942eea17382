"""A comparison on a table as a question: a search looks at accuracies that are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sartor.compare import methods
from sartor.compare.oracle import Oracle, search
from sartor.compare.workers import Piece, Plain
from sartor.errors import RequestError
from sartor.progress import Progress


@dataclass(frozen=True, eq=False)
class TableSearches:
    """Whole searches on a table; a search as plain data is a :class:`sartor.compare.oracle.Searched`."""

    oracle: Oracle

    def identity(self) -> Plain:
        """The table by its content, and what is asked of it."""
        oracle, table = self.oracle, self.oracle.table
        return {
            "table": hashlib.sha256(table.choices.tobytes() + table.accuracy.tobytes()).hexdigest(),
            "budget": dict(oracle.budgets),
            "queries": oracle.queries,
            "noise": oracle.noise_points,
        }

    def settings(self, name: str) -> str:
        """The settings that the one rule gives for so many queries."""
        return repr(methods.settings_for(name, self.oracle.queries))

    def search(self, piece: Piece, progress: Progress) -> Plain:
        """A search of about a second, which shows no progress of its own."""
        name, seed = piece
        return asdict(search(self.oracle, methods.make(name, self.oracle, seed), seed))


def reasons_against(oracle: Oracle, names: Sequence[str]) -> dict[str, str]:
    """Method -> why it cannot be compared on this table; those that can are left out."""
    reasons = {}
    for name in names:
        reason = methods.not_applicable(name)
        if reason is None:
            try:
                methods.make(name, oracle, seed=0)
            except RequestError as error:
                reason = str(error)
        if reason is not None:
            reasons[name] = reason
    return reasons
