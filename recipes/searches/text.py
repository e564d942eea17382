"""Figures as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def document(head: str, sections: Mapping[str, str]) -> str:
    """A paragraph, and sections by their titles."""
    return "\n\n".join([head, *(f"### {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def shown(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A figure; a dash for what is not known."""
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def spread(group: Mapping[str, Any], digits: int = 2) -> str:
    """``51.30 ± 0.42``."""
    return shown(group["mean"], digits) + ("" if group["spread"] is None else f" ± {group['spread']:.{digits}f}")


def interval(gap: Mapping[str, Any]) -> str:
    """``+1.20 (0.10 to 2.30)`` with Welch's interval, which single values have not."""
    if gap["mean"] is None:
        return "-"
    if gap["welch"] is None:
        return f"{gap['mean']:+.2f} (no interval)"
    return f"{gap['mean']:+.2f} ({gap['welch'][0]:+.2f} to {gap['welch'][1]:+.2f})"


def figure(value: tuple[float, float | None]) -> str:
    """``76.4 ± 0.1``, as the papers print."""
    mean, deviation = value
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"
