"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sartor.quantities import KINDS, format_quantity

MISSING = "not measured"

_METHODS = {
    "ows": "OWS",
    "aows": "AOWS",
    "fpnas": "FP-NAS",
    "tunas": "TuNAS",
    "msranas": "MS-RANAS",
    "random": "random search",
}


def method_name(method: str) -> str:
    """The method as its paper writes it; an unknown one as it is."""
    return _METHODS.get(method.lower().replace("-", "").replace("_", ""), method)


def cost_label(cost: str) -> str:
    """A cost in words, for axes and table heads."""
    return KINDS[cost].label if cost in KINDS else cost.replace("_", " ")


def heading(cost: str) -> str:
    """A cost in words with a capital."""
    label = cost_label(cost)
    return label[0].upper() + label[1:]


def quantity(cost: str, value: float | None) -> str:
    """A cost with its unit; of a kind that Sartor does not know, the plain number."""
    if value is None:
        return MISSING
    if cost not in KINDS:
        return f"{value:,g}"
    # Latencies vary by more than their fourth digit.
    number = format_quantity(cost, value, digits=3 if KINDS[cost].noun == "time" else 4)
    # 12.2M reads as a number, 512KiB and 57ms need their space.
    return number if KINDS[cost].noun == "count" else _spaced(number)


def _spaced(number: str) -> str:
    digits = number.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f"{digits}\N{NO-BREAK SPACE}{number[len(digits) :]}"


def percent(value: float | None, digits: int = 2) -> str:
    """An accuracy that is already in percent."""
    return MISSING if value is None else f"{value:.{digits}f}\N{NO-BREAK SPACE}%"


def about(count: float) -> str:
    """A rough count: one digit below ten, then whole numbers, two digits and a power of ten from a million on."""
    if count >= 1e6:
        return scientific(count)
    return f"{count:.1f}" if count < 10 else f"{float(f'{count:.2g}'):,.0f}"


def points(difference: float) -> str:
    """A difference of two accuracies, signed, in percentage points."""
    return f"{difference:+.2f}".replace("-", "\N{MINUS SIGN}")


def scientific(value: float) -> str:
    """Two digits and a power of ten."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return (
        mantissa
        if value == 0
        else f"{mantissa}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}{power_of_ten(int(exponent))}"
    )


def power_of_ten(exponent: int) -> str:
    """``10`` with a raised exponent."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that fit."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(number_of_bytes: float | None) -> str:
    """A file size."""
    return MISSING if number_of_bytes is None else quantity("peak_memory_bytes", number_of_bytes)


def big_count(text: str) -> str:
    """A count of architectures: in full up to a million, else its first three digits and the power of ten."""
    try:
        count = int(text)
    except ValueError:
        return text
    if count < 1_000_000:
        return f"{count:,}"
    power = len(str(count)) - 1
    return f"{count / 10**power:.2f} \N{MULTIPLICATION SIGN} {power_of_ten(power)}"


def listed(items: Sequence[str]) -> str:
    """``a, b and c``."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def finite(value: Any) -> Any:
    """The value with every NaN and infinity, at any depth, replaced by None (JSON has no word for them)."""
    if isinstance(value, float):
        # A plain one: what numpy prints is no number in a chart's expression.
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
