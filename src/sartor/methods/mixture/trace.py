"""What a mixture was over the search, as plain data for the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sartor.methods.mixture.relaxation import Relaxation

_SNAPSHOTS = 40


class MixtureTrace:
    """About forty snapshots of softmax(alpha), with what else was read at those moments."""

    def __init__(self) -> None:
        self._moments: list[float] = []
        self._probabilities: list[list[list[float]]] = []
        self._edges: list[list[float]] = []
        self._readings: list[dict[str, float]] = []

    def remember(
        self, progress: float, relaxation: Relaxation, readings: Mapping[str, float], last: bool = False
    ) -> None:
        """Keeps the mixture where it is time to; always at the end of the search."""
        due = not self._moments or progress >= 1 or progress - self._moments[-1] >= 1 / _SNAPSHOTS
        if due or last:
            self._moments.append(progress)
            self._probabilities.append(relaxation.probabilities())
            self._edges.append([round(float(w), 4) for w in relaxation.edges()] if relaxation.edge_weights else [])
            self._readings.append(dict(readings))

    def to_dict(self) -> dict[str, Any]:
        """Lists with one entry per snapshot: ``probabilities`` by decision and option, the readings by their names."""
        names = list(dict.fromkeys(name for readings in self._readings for name in readings))
        found = {name: [readings.get(name) for readings in self._readings] for name in names}
        edges = {"edge_weights": self._edges} if any(self._edges) else {}
        return {"progress": self._moments, "probabilities": self._probabilities, **edges, **found}

    def state_dict(self) -> dict[str, Any]:
        """Plain lists."""
        return {
            "moments": self._moments,
            "probabilities": self._probabilities,
            "edges": self._edges,
            "readings": self._readings,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        self._moments, self._probabilities = list(state["moments"]), list(state["probabilities"])
        self._edges, self._readings = list(state["edges"]), list(state["readings"])
