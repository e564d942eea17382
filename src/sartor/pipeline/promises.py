"""What a latency budget promises before anything is trained: a prediction, and the margin between it and the budget.

Neither torch nor pictures are needed here: picking another budget from a finished search promises, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sartor.costs import files
from sartor.costs.devices import LATENCY
from sartor.methods.budgets import margin_of
from sartor.platforms import Platform


@dataclass(frozen=True)
class LatencyPromise:
    """The latency that was predicted for a platform's network.

    Args:
        budget_ms: what the platform allows.
        margin: share by which the latency may turn out above the prediction: ``predicted_ms * (1 + margin)`` is within
            the budget.
        margin_from: who gave it: the ``platform``, or the error report of the ``device``; None where nobody did, and it
            is 0.
        predicted_ms: by the device's model, times ``scale``.
        scale: 1, or how much longer than predicted a network took that missed its budget on this device.
        device: name or path.
        machine, runtime, threads, batch, repeats: what the device's file says about its measurements.
    """

    budget_ms: float
    margin: float
    margin_from: str | None
    predicted_ms: float
    device: str
    scale: float = 1.0
    machine: Mapping[str, str] = field(default_factory=dict)
    runtime: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    batch: int = 1
    repeats: int = 15

    @classmethod
    def of(cls, platform: Platform, costs: Mapping[str, float], scale: float = 1.0) -> LatencyPromise | None:
        """The promise for a network of these ``costs``; None where the platform has no latency budget.

        Raises:
            RequestError: the device's file cannot be read.
        """
        if LATENCY not in platform.budgets or LATENCY not in costs:
            return None
        assert platform.device is not None  # a platform without one is refused
        known = files.file_facts(platform.device) if files.names_file(platform.device) else files.DeviceFacts()
        given = "platform" if platform.latency_margin is not None else "device" if known.margin is not None else None
        return cls(
            budget_ms=float(platform.budgets[LATENCY]),
            margin=margin_of(platform),
            margin_from=given,
            predicted_ms=costs[LATENCY] * scale,
            device=platform.device,
            scale=scale,
            machine=known.machine,
            runtime=known.runtime,
            threads=known.threads,
            batch=known.batch,
            repeats=known.repeats,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}


def tightened(platform: Platform, scale: float) -> Platform:
    """The platform with its latency budget divided by ``scale``, as if predictions of its device were multiplied."""
    budgets = {**platform.budgets, LATENCY: platform.budgets[LATENCY] / scale}
    return dataclasses.replace(platform, budgets=budgets)
