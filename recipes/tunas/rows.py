"""The rows of recipes/README.md that stand for TuNAS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from searches import rows
from searches.rows import Row
from searches.text import figure, spread
from tunas import paper
from tunas.variants import EXPERIMENT


def comparison_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """Searched networks against random ones."""
    space = found["space"]
    searched, random = paper.SEARCHED[space][0], paper.RANDOM_1[space]
    best = figure(paper.RANDOM_20[space][0])
    return rows.comparison_rows(
        found,
        EXPERIMENT,
        machine,
        searched=(f"Table 5, searched (`{space}`, %)", figure(searched)),
        random=("Table 1, one random network of the same cost (%)", figure(random)),
        difference=("searched minus random (points, 95 % interval)", f"{searched[0] - random[0]:+.1f}"),
        best=("Table 5, best of 20 random networks by validation (%)", best),
        target=("cost of the most probable networks, from the target (%)", "0.0 ± 0.5"),
    )


def ablation_rows(found: Mapping[str, Any], machine: str) -> list[Row]:
    """One row per question, and what the growing rate is for."""
    kinds = {"growing rate": "enlarged", "kept at its start": "enlarged_low_rate"}
    gaps = [f"{kind} {spread(found['variants'][v]['argmax_from_samples_percent'], 1)}" for kind, v in kinds.items()]
    title = "TuNAS, Section 4.2: cost of the most probable network from that of the last samples (% of the target)"
    last = [title, '"several milliseconds"', "; ".join(gaps), "same", ""]
    return [*rows.ablation_rows(found, EXPERIMENT, machine), last]
