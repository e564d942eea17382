"""What the paper reports: Wang & Blaschko, "Optimizing Slimmable Networks for Multiple Target Platforms"."""

from __future__ import annotations

from collections.abc import Mapping

from slimmable.pieces import COLUMNS

_TABLE2 = {
    "S": (65.03, 66.14, 66.50, 66.48, 66.30, 66.62),
    "RS": (63.70, 63.48, 65.22, 64.52, 65.16, 65.31),
    "U": (64.44, 64.44, 65.96, 65.96, 65.94, 65.94),
    "M": (64.57, 65.24, 66.14, 65.55, 65.48, 65.85),
    "L": (65.10, 65.72, 66.55, 66.25, 66.28, 66.56),
    "RL": (63.48, 64.10, 65.03, 64.83, 64.39, 64.53),
}
# Weighted top-1 accuracy on CIFAR-100 in percent; single runs.
TABLE2: Mapping[str, Mapping[str, float]] = {
    row: dict(zip(COLUMNS, values, strict=True)) for row, values in _TABLE2.items()
}
# Stand-alone networks, weighted by U: original (Slim) and OWS configurations.
TABLE3: Mapping[str, float] = {"Slim": 63.46, "OWS": 64.31}
# Section 4.3: layers of 14 with the same width in platforms #6 and #7, found by OWS.
SHARED_P6_P7 = 8
