"""What commands ask of a run about its latency budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sartor.errors import RequestError


def missed(result: Mapping[str, Any]) -> str | None:
    """What is wrong with a run of which networks miss their latency budget when measured."""
    names = result.get("missed") or []
    if not names:
        return None
    one = len(names) == 1
    return (
        f"measured on this machine, {'the network of platform' if one else 'the networks of platforms'} "
        f"{', '.join(names)} {'misses its' if one else 'miss their'} latency budget. The files and the report are "
        "written; raise the budget, or the platform's latency_margin, in a new run"
    )


def margin_of(folder: Any, device: str) -> float | None:
    """The margin that a run's platforms ask for on a device, where they agree; None leaves it to the device."""
    platforms = [p for p in folder.configuration["platforms"] if p.get("device") == device and "latency_ms" in p]
    margins = {p.get("latency_margin") for p in platforms}
    return margins.pop() if len(margins) == 1 else None


def device_of(folder: Any) -> str:
    """The one device on which a run has latency budgets."""
    devices = sorted({p["device"] for p in folder.configuration["platforms"] if "latency_ms" in p})
    if len(devices) != 1:
        known = f"has several devices ({', '.join(devices)})" if devices else "has no latency budget"
        raise RequestError(f"{folder.path}: the run {known}; name the device of the latency with --device")
    device: str = devices[0]
    return device
