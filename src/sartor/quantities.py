"""Quantities with units, as a user writes them in a job file: ``12.2M``, ``57ms``, ``512KiB``.

A quantity belongs to a *kind*, whose name carries the unit of its plain number: ``macs`` and ``params`` are
counts, ``peak_memory_bytes`` is in bytes, ``latency_ms`` in milliseconds. The arithmetic is decimal, so
``12.2M`` is exactly 12,200,000.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from sartor.errors import RequestError

_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*)?(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)\s*([^\d\s.,+-].*)?")

# Beyond this, 64-bit cost tables overflow, and Decimal would build integers of any length.
_LARGEST = 10**18

_COUNT = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_TIME = {"": Decimal(1), "ns": Decimal("1e-6"), "us": Decimal("1e-3"), "µs": Decimal("1e-3")} | {
    "ms": Decimal(1),
    "s": Decimal(1000),
}


@dataclass(frozen=True)
class Kind:
    """A kind of quantity: the factor of every unit, the units used for printing, and words for people."""

    name: str
    noun: str
    label: str
    units: MappingProxyType[str, int | Decimal]
    printed: tuple[str, ...]
    allowed: str
    whole: bool


def _kind(name: str, noun: str, label: str, units: dict[str, int] | dict[str, Decimal], allowed: str) -> Kind:
    printed = {"count": ("T", "G", "M", "k", ""), "size": ("GiB", "MiB", "KiB", "B"), "time": ("ms",)}[noun]
    return Kind(name, noun, label, MappingProxyType(dict(units)), printed, allowed, whole=noun != "time")


_COUNT_UNITS = "a whole number, or one with k, M, G or T (12.2M)"
_SIZE_UNITS = "a whole number of bytes, or one with B, KB, MB, GB (powers of 1000), KiB, MiB, GiB (powers of 1024)"
_TIME_UNITS = "a number of milliseconds, or one with ns, us, ms or s (57ms)"

KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        "macs": _kind("macs", "count", "MACs", _COUNT, _COUNT_UNITS),
        "params": _kind("params", "count", "parameters", _COUNT, _COUNT_UNITS),
        "peak_memory_bytes": _kind("peak_memory_bytes", "size", "peak memory", _SIZE, _SIZE_UNITS),
        "latency_ms": _kind("latency_ms", "time", "latency", _TIME, _TIME_UNITS),
    }
)


def kind_of(name: str) -> Kind:
    """The kind called ``name``; an unknown name is refused with the closest known one."""
    if name in KINDS:
        return KINDS[name]
    close = difflib.get_close_matches(name, KINDS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise RequestError(f"unknown cost {name!r}: known are {', '.join(KINDS)}{hint}")


def parse(kind: str, value: str | int | float) -> int | float:
    """A quantity of ``kind`` in the kind's own unit: an int for counts and bytes, a float for times.

    ``parse("macs", "12.2M") == 12200000``, ``parse("latency_ms", "0.4s") == 400.0``.

    Raises:
        RequestError: for a unit of another kind, a number that is not positive and finite, or a count that is
            not whole; the message says what is allowed.
    """
    known = kind_of(kind)
    number, unit = _split(known, value)
    if unit not in known.units:
        raise RequestError(f"{kind}: {_wrong_unit(unit, known)}; {kind} takes {known.allowed}, got {value!r}")
    exact = number * known.units[unit]
    if not exact.is_finite() or not 0 < exact <= _LARGEST:
        raise RequestError(f"{kind}: a budget must be positive and finite, at most 1e18, got {value!r}")
    if not known.whole:
        return float(exact)
    if exact != exact.to_integral_value():
        raise RequestError(f"{kind}: {value!r} is {exact.normalize():f}, not whole; {kind} takes {known.allowed}")
    return int(exact)


def format_quantity(kind: str, value: int | float, digits: int | None = 4) -> str:
    """``value`` with the largest fitting unit, rounded to ``digits`` significant digits (None: exactly).

    ``format_quantity("macs", 12213248) == "12.21M"``; with ``digits=None`` it is ``"12.213248M"``, which
    :func:`parse` turns back into the same number. Bytes are printed in powers of 1024, times in milliseconds.
    """
    known = kind_of(kind)
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(int(value))
    if not exact.is_finite():
        return str(value)
    for unit in known.printed:
        # Rounding first, so that 999,999 becomes 1M and not 1000k.
        scaled = _rounded(exact / known.units[unit], digits)
        # Exact bytes take the largest unit that divides them: 1000000B is better than 976.5625KiB.
        divides = digits is not None or known.noun != "size" or scaled == scaled.to_integral_value()
        if (abs(scaled) >= 1 and divides) or unit == known.printed[-1]:
            break
    text = f"{scaled.normalize():f}"
    return f"{text}{unit}"


def _split(kind: Kind, value: str | int | float) -> tuple[Decimal, str]:
    """The exact decimal number and the unit of what the user wrote."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RequestError(f"{kind.name} takes {kind.allowed}, got {value!r}")
    if not isinstance(value, str):
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value), ""
    found = _NUMBER.fullmatch(value.strip())
    try:
        if found is None:
            raise InvalidOperation
        return Decimal(found[1].replace("_", "")), (found[2] or "").strip().replace("\u03bc", "µ")
    except InvalidOperation:
        hint = " (write a decimal point, and _ between thousands)" if "," in value else ""
        raise RequestError(f"{kind.name}: {value!r} is not a number{hint}; {kind.name} takes {kind.allowed}") from None


def _wrong_unit(unit: str, kind: Kind) -> str:
    """What the unit is, if it is not one of ``kind``: of another kind, the wrong case, FLOPs, or unknown."""
    if unit.lower().endswith(("flops", "flop")):
        return f"{unit!r} counts FLOPs, and one MAC is two FLOPs"
    for other in KINDS.values():
        if other.noun != kind.noun and unit in other.units:
            return f"{unit!r} is a unit of {'time' if other.noun == 'time' else other.noun}"
    same = [known for known in kind.units if known.lower() == unit.lower()]
    return f"unknown unit {unit!r}" + (f" (did you mean {same[0]!r}?)" if same else "")


def _rounded(number: Decimal, digits: int | None) -> Decimal:
    if digits is None or number == 0:
        return number
    return round(number, digits - 1 - number.adjusted())
