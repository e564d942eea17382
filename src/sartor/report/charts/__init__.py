"""The figures of the report, in the order of the page; adding one is one function and one line here."""

from __future__ import annotations

from collections.abc import Callable

from sartor.report.charts import accuracy, anytime, channels, latency, network, policy, search, systems, training
from sartor.report.charts.frame import Figure
from sartor.report.data import ReportData

FIGURES: dict[str, Callable[[ReportData], Figure | None]] = {
    "accuracy_cost": accuracy.draw,
    "latency": latency.draw,
    "anytime": anytime.draw_curve,
    "batches": anytime.draw_batches,
    "channels": channels.draw_channels,
    "networks": network.draw,
    "choices": channels.draw_choices,
    "search": search.draw,
    "policy": policy.draw_history,
    "policy_end": policy.draw_end,
    "weighted_accuracy": systems.draw,
    "training": training.draw,
}
