"""Quantities with units: exact values, refusals that say what is allowed, and the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.errors import RequestError
from sartor.quantities import KINDS, format_quantity, kind_of, parse


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("macs", "12.2M", 12_200_000),
        ("macs", "12.21 M", 12_210_000),
        ("macs", 12213248, 12_213_248),
        ("macs", "12_213_248", 12_213_248),
        ("macs", 1.22e7, 12_200_000),
        ("macs", "1.22e7", 12_200_000),
        ("params", "1.5G", 1_500_000_000),
        ("params", "238.772k", 238_772),
        ("params", ".5K", 500),
        ("peak_memory_bytes", "512KiB", 524_288),
        ("peak_memory_bytes", "1MB", 1_000_000),
        ("peak_memory_bytes", "1.5 MiB", 1_572_864),
        ("peak_memory_bytes", "7B", 7),
        ("latency_ms", "57ms", 57.0),
        ("latency_ms", "0.4s", 400.0),
        ("latency_ms", "38us", 0.038),
        ("latency_ms", "38µs", 0.038),
        ("latency_ms", 2, 2.0),
    ],
)
def test_parse_is_exact(kind: str, text: str | int | float, value: float) -> None:
    """A quantity is the number a person means, to the last digit, with the type of its kind."""
    parsed = parse(kind, text)
    assert parsed == value
    assert isinstance(parsed, float if kind == "latency_ms" else int)


@pytest.mark.parametrize(
    ("kind", "text", "parts"),
    [
        ("macs", "57ms", ["macs", "'57ms'", "'ms' is a unit of time", "12.2M"]),
        ("macs", "512KiB", ["'KiB' is a unit of size", "k, M, G or T"]),
        ("macs", "12.2MFLOPs", ["one MAC is two FLOPs"]),
        ("macs", "12.2m", ["'m'", "did you mean 'M'"]),
        ("latency_ms", "12.2M", ["'M' is a unit of count", "ns, us, ms or s"]),
        ("peak_memory_bytes", "512K", ["'K' is a unit of count", "KiB", "KB"]),
        ("peak_memory_bytes", "3ms", ["'ms' is a unit of time"]),
        ("macs", "1.5", ["not whole"]),
        ("macs", "12,2M", ["not a number", "decimal point"]),
        ("macs", "", ["not a number"]),
        ("macs", "M", ["not a number"]),
        ("macs", "-3M", ["positive"]),
        ("macs", 0, ["positive"]),
        ("macs", "1e400", ["at most 1e18"]),
        ("macs", "1e400000000", ["unknown unit"]),
        ("latency_ms", float("nan"), ["positive and finite"]),
        ("latency_ms", float("inf"), ["positive and finite"]),
        ("macs", True, ["got True"]),
        ("macs", None, ["got None"]),
        ("mac", "1M", ["unknown cost 'mac'", "did you mean macs"]),
    ],
)
def test_wrong_quantities_say_what_is_allowed(kind: str, text: object, parts: list[str]) -> None:
    """A refused quantity is quoted together with its kind and the units that are allowed."""
    with pytest.raises(RequestError) as caught:
        parse(kind, text)  # type: ignore[arg-type]
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("macs", 12_200_000, "12.2M"),
        ("macs", 12_213_248, "12.21M"),
        ("macs", 999_999, "1M"),
        ("macs", 999, "999"),
        ("params", 1_500_000_000, "1.5G"),
        ("peak_memory_bytes", 524_288, "512KiB"),
        ("peak_memory_bytes", 1_000_000, "976.6KiB"),
        ("latency_ms", 57.0, "57ms"),
        ("latency_ms", 0.03812, "0.03812ms"),
        ("latency_ms", 1234.56, "1235ms"),
        ("macs", 0, "0"),
    ],
)
def test_format(kind: str, value: float, text: str) -> None:
    """Quantities print with the largest fitting unit and four significant digits."""
    assert format_quantity(kind, value) == text


@given(kind=st.sampled_from(sorted(KINDS)), value=st.integers(1, 10**15))
def test_exact_format_parses_back(kind: str, value: int) -> None:
    """Printed exactly, a quantity parses back to the same number."""
    assert parse(kind, format_quantity(kind, value, digits=None)) == value


def test_kind_names_a_label() -> None:
    """Every kind has words for axis labels."""
    assert kind_of("macs").label == "MACs"
