"""Latency budgets: what was promised, what was measured, and what became of a miss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sartor.report import words


@dataclass(frozen=True)
class LatencyRow:
    """The latency of one platform's network. Shares are fractions of the budget; None: not measured."""

    platform: str
    device: str
    budget_ms: float
    margin: float
    margin_origin: str
    predicted_ms: float
    measured_ms: float | None
    noise: float | None
    missed: bool
    scale: float
    first_predicted_ms: float | None  # of an answer that missed and was solved again
    first_measured_ms: float | None
    how: str  # runtime, threads, batch
    notes: tuple[str, ...]

    @property
    def off(self) -> float | None:
        """By which share the prediction is above the measurement (below it: negative)."""
        return None if self.measured_ms is None else self.predicted_ms / self.measured_ms - 1


def latency_rows(result: Mapping[str, Any]) -> tuple[LatencyRow, ...]:
    """One row per platform with a latency budget and a promise, in the result's order."""
    return tuple(_row(p["name"], p["latency"], p.get("onnx")) for p in result["platforms"] if p.get("latency"))


def _row(name: str, latency: Mapping[str, Any], onnx: str | None) -> LatencyRow:
    first = latency.get("first") or {}
    runtime = latency.get("runtime_here") or latency.get("runtime") or {}
    threads, batch = latency.get("threads", 1), latency.get("batch", 1)
    how = f"{runtime.get('name', 'unknown runtime')} {runtime.get('version', '')}".strip()
    return LatencyRow(
        platform=name,
        device=device_name(latency["device"]),
        budget_ms=latency["budget_ms"],
        margin=latency["margin"],
        margin_origin=_ORIGINS[latency.get("margin_from")],
        predicted_ms=latency["predicted_ms"],
        measured_ms=latency.get("measured_ms"),
        noise=latency.get("noise"),
        missed=bool(latency.get("missed")),
        scale=latency.get("scale", 1.0),
        first_predicted_ms=first.get("predicted_ms"),
        first_measured_ms=first.get("measured_ms"),
        how=f"{how}, {threads} {'thread' if threads == 1 else 'threads'}, batch {batch}",
        notes=tuple(_notes(latency)),
    )


_ORIGINS = {"platform": "of the platform", "device": "90 % of the device's errors", None: "its errors are not known"}


def device_name(device: str) -> str:
    """A device as people call it: of a file, its name without the folders."""
    return PurePath(device.replace("\\", "/")).name


def _notes(latency: Mapping[str, Any]) -> list[str]:
    found = []
    first = latency.get("first")
    if first:
        found.append(
            f"the first network took {words.quantity('latency_ms', first['measured_ms'])} "
            f"({words.quantity('latency_ms', first['predicted_ms'])} predicted) and missed; this one was solved with "
            f"predictions multiplied by {latency['scale']:.4g}"
        )
    if latency.get("unsolved"):
        found.append(f"not solved again: {latency['unsolved']}")
    if latency.get("reason"):
        found.append(latency["reason"])
    here, there = latency.get("runtime_here") or {}, latency.get("runtime") or {}
    if here.get("version") != there.get("version") and here:
        found.append(f"measured in {here['name']} {here['version']}, the device's file is of {there.get('version')}")
    return [words.sentence(text) for text in found]
