"""A scatter plot of predicted against measured latencies as one SVG file, which needs nothing to be drawn or seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_SIZE, _LEFT, _BOTTOM, _TOP = 520, 64, 52, 44
_COLOURS = ("#4c78a8", "#f58518", "#54a24b")

Points = Sequence[tuple[float, float]]


def scatter_svg(series: Mapping[str, Points], title: str) -> str:
    """Points (predicted ms, measured ms) per name, on logarithmic axes, and the line where both are equal."""
    numbers = [value for points in series.values() for point in points for value in point if value > 0]
    low, high = _decades(min(numbers, default=0.1), max(numbers, default=10.0))
    width = _SIZE - _LEFT - 16

    def x(value: float) -> float:
        return _LEFT + width * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))

    def y(value: float) -> float:
        return _SIZE - _BOTTOM - (x(value) - _LEFT) * (_SIZE - _BOTTOM - _TOP) / width

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_SIZE} {_SIZE}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{_escaped(title)}</text>',
    ]
    for tick in _ticks(low, high):
        parts.append(f'<path d="M{x(tick):.1f} {y(low):.1f}V{y(high):.1f}M{x(low):.1f} {y(tick):.1f}H{x(high):.1f}" ')
        parts.append(f'stroke="#e4e4e4"/><text x="{x(tick):.1f}" y="{y(low) + 16:.1f}" text-anchor="middle">{tick:g}')
        parts.append(f'</text><text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    parts.append(f'<path d="M{x(low):.1f} {y(low):.1f}L{x(high):.1f} {y(high):.1f}" stroke="#888"/>')
    for place, (name, points) in enumerate(series.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        for predicted, measured in points:
            parts.append(
                f'<circle cx="{x(predicted):.1f}" cy="{y(measured):.1f}" r="3" fill="{colour}" opacity="0.7"/>'
            )
        parts.append(f'<circle cx="{_LEFT + 10 + 150 * place}" cy="31" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 20 + 150 * place}" y="35">{_escaped(name)}</text>')
    parts.append(f'<text x="{_SIZE / 2}" y="{_SIZE - 14}" text-anchor="middle">predicted latency (ms)</text>')
    parts.append(
        f'<text x="16" y="{_SIZE / 2}" transform="rotate(-90 16 {_SIZE / 2})" text-anchor="middle">measured latency '
        "(ms)</text></svg>\n"
    )
    return "".join(parts)


def _decades(low: float, high: float) -> tuple[float, float]:
    """A range with some room at both ends."""
    return low / 1.15, high * 1.15


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two numbers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
