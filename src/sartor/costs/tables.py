"""Look-up tables: what every block of a space takes on a device, added up along the network.

A table holds one entry per block key (:mod:`sartor.costs.keys`) in whole nanoseconds, what each call takes whatever it
computes, and, where whole networks were measured too, a correction fitted to them. A block that does nothing costs
nothing; a block without an entry stops with its key.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.costs.correction import Correction
from sartor.costs.factors import Factor, FactorCost
from sartor.costs.keys import Piece, network_pieces, template_pieces
from sartor.errors import RequestError

if TYPE_CHECKING:
    from sartor.blueprint import Blueprint
    from sartor.space import SearchSpace

FORMAT = "sartor latency table"
FORMAT_VERSION = 1

# How the entries of a table came to be.
KINDS = {"table": "blocks measured one by one", "pairwise": "fitted to whole networks"}

_REQUIRED = (
    *("kind", "unit", "device", "runtime", "threads", "dtype", "batch", "image_size", "date", "repeats"),
    *("space", "call_ns", "entries", "noise"),
)


class MissingEntryError(RequestError):
    """A block of the space has no entry."""


@dataclass(frozen=True)
class Entry:
    """What one block takes.

    ``low_ns`` and ``high_ns`` are the 10th and 90th percentile over its ``visits``; ``interpolated``: it was not
    measured, but follows from others.
    """

    ns: int
    low_ns: int | None = None
    high_ns: int | None = None
    visits: int = 0
    interpolated: bool = False

    def to_list(self) -> list[Any]:
        """As in a file: nanoseconds, spread, visits; just the nanoseconds where it was not measured."""
        return [self.ns] if self.interpolated else [self.ns, self.low_ns, self.high_ns, self.visits]

    @classmethod
    def from_list(cls, data: Any) -> Entry:
        """The inverse of :meth:`to_list`."""
        return cls(int(data[0]), interpolated=True) if len(data) == 1 else cls(*data)


@dataclass(frozen=True)
class LatencyTable:
    """A device's table for one space.

    Args:
        kind: one of ``KINDS``.
        device: name, processor and system.
        runtime: its name and version.
        threads, dtype, batch, image_size: what was measured; latencies are those of one call with ``batch`` pictures.
        date: when.
        repeats: timed samples of one visit.
        space: name and options of the space it was made for.
        call_ns: what a call takes, whatever it computes.
        entries: block key -> entry.
        noise: how quiet the machine was (see :mod:`sartor.profiling.noise`).
        correction: turns the sum into what whole networks take.
        errors: what the predictions of networks that the table has not seen were off (see
            :mod:`sartor.profiling.errors`).
    """

    kind: str
    device: Mapping[str, Any]
    runtime: Mapping[str, str]
    threads: int
    dtype: str
    batch: int
    image_size: int
    date: str
    repeats: int
    space: Mapping[str, Any]
    call_ns: int
    entries: Mapping[str, Entry]
    noise: Mapping[str, Any]
    correction: Correction | None = None
    errors: Mapping[str, Any] = field(default_factory=dict)

    @property
    def constant(self) -> int:
        """Nanoseconds that every network takes."""
        return self.call_ns if self.correction is None else self.correction.constant

    @property
    def margin(self) -> float | None:
        """The share by which a prediction is too low for one network in ten; None where it was not measured."""
        found = self.errors.get("corrected" if self.correction else "raw", {}).get("margin_90")
        return None if found is None else float(found)

    def ns(self, piece: Piece) -> int:
        """Nanoseconds of one block; zero where it does nothing.

        Raises:
            MissingEntryError: the table has none for it.
        """
        key = piece.key
        if key is None:
            return 0
        if key not in self.entries:
            raise MissingEntryError(f"there is no entry for {key!r}")
        measured = self.entries[key].ns
        return measured if self.correction is None else self.correction.ns(measured, piece)

    def network_ns(self, blueprint: Blueprint) -> int:
        """Nanoseconds of one network, which need not be one of the space.

        Raises:
            RequestError: one of its blocks has no entry, or it reads pictures of another size.
        """
        check_size(self.device["name"], self.image_size, blueprint.image_size)
        return self.constant + sum(map(self.ns, network_pieces(blueprint)))

    def cost(self, space: SearchSpace) -> FactorCost:
        """The latency of a space's networks as a sum of factors in whole nanoseconds.

        Raises:
            RequestError: another picture size, or blocks without entries; the first missing key is named.
        """
        check_size(self.device["name"], self.image_size, space.image_size)
        return summed_cost(space, self.ns, self.constant, f"{self.device['name']} (made for {self.space['name']})")

    def uncorrected(self) -> LatencyTable:
        """The same entries as plain sums."""
        return dataclasses.replace(self, correction=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["entries"] = {key: entry.to_list() for key, entry in self.entries.items()}
        plain["correction"] = None if self.correction is None else self.correction.to_dict()
        return {"format": FORMAT, "version": FORMAT_VERSION, "unit": "ns", **plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: object = "the table") -> LatencyTable:
        """The inverse of :meth:`to_dict`; ``source`` names the file in errors.

        Raises:
            RequestError: another version or unit, or something is missing.
        """
        if data.get("version") != FORMAT_VERSION:
            raise RequestError(
                f"{source}: this is version {data.get('version')!r} of a latency table, version {FORMAT_VERSION} is "
                "read; make it again with sartor profile"
            )
        missing = [name for name in _REQUIRED if name not in data]
        if missing:
            raise RequestError(f"{source}: a latency table needs {', '.join(missing)}; make it again")
        if data["unit"] != "ns":
            raise RequestError(f"{source}: latencies must be in ns, this table has unit {data['unit']!r}")
        try:
            return cls._checked(data)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise RequestError(f"{source}: this latency table is damaged ({error}); make it again") from error

    @classmethod
    def _checked(cls, data: Mapping[str, Any]) -> LatencyTable:
        if data["kind"] not in KINDS:
            raise ValueError(f"unknown kind {data['kind']!r}")
        known = {f.name: data[f.name] for f in dataclasses.fields(cls) if f.name in data}
        known["entries"] = {key: Entry.from_list(entry) for key, entry in data["entries"].items()}
        negative = next((key for key, entry in known["entries"].items() if entry.ns < 0), None)
        if negative is not None:
            raise ValueError(f"{negative!r} takes {known['entries'][negative].ns} ns")
        correction = data.get("correction")
        known["correction"] = None if correction is None else Correction.from_dict(correction)
        for name, part in (("device", "name"), ("space", "name"), ("runtime", "name"), ("runtime", "version")):
            known[name][part]
        for name in ("threads", "batch", "image_size", "call_ns", "repeats"):
            known[name] = int(known[name])
        return cls(**known)


def summed_cost(space: SearchSpace, price: Callable[[Piece], int], constant: int, source: str) -> FactorCost:
    """A sum of factors from the price of every block.

    Raises:
        RequestError: ``price`` raises :class:`MissingEntryError` for some; says how many, and shows the first.
    """
    prices: dict[str, int] = {}
    missing: dict[str, str] = {}
    factors = []
    for position, template in enumerate(space.templates):
        scope, pieces = template_pieces(space, position)
        values = []
        for piece in pieces:
            key = None if piece is None else piece.key
            if piece is None or key is None:
                values.append(0)
                continue
            if key not in prices:
                try:
                    prices[key] = price(piece)
                except MissingEntryError as error:
                    missing.setdefault(key, f"{template.name}: {error}")
                    prices[key] = 0
            values.append(prices[key])
        table = np.asarray(values, dtype=np.int64).reshape([space.sizes[d] for d in scope])
        factors.append(Factor(scope, table))
    if missing:
        raise MissingEntryError(
            f"device {source}: {len(missing)} of the {len(prices)} different blocks of space {space.name!r} have no "
            f"entry. The first: {next(iter(missing.values()))}. Make a table for this space: sartor profile "
            f"{space.name} --out T.json"
        )
    return FactorCost(space.sizes, factors, constant, "sum", "latency_ns")


def check_size(device: str, known: int, asked: int) -> None:
    """Refuses latencies at another picture size.

    Raises:
        RequestError: the sizes differ.
    """
    if known != asked:
        raise RequestError(
            f"device {device!r} has latencies at {known}x{known} pixels, not at {asked}x{asked}. Set "
            f"deploy_image_size: {known}, or make a table for {asked}: sartor profile ... --option image_size={asked}"
        )
