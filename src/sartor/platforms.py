"""Platforms: the budgets a network must meet, and how much each platform matters.

The Chinese restaurant process draws weights for experiments; the six weightings and seven targets of
Table 1 of "Optimizing Slimmable Networks for Multiple Target Platforms" are constants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.quantities import parse

# A larger margin is taken for a percentage.
_LARGEST_MARGIN = 1.0

# Names become file names: letters, digits and . _ - are safe on every system.
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")

# Rejection sampling gives up after this many draws: an outcome rarer than 1 in 20,000 is a wrong request.
_MAX_TRIES = 51_200
_BATCH = 512

# Table 1: platforms #1 to #7 are the uniform width multipliers, in MACs of MobileNetV1 for 32x32 pictures and
# 100 classes. The ends are always trained (the sandwich), hence their fixed quarter each.
TARGET_WIDTHS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
TARGET_MACS = (3354112, 7341312, 12213248, 19018496, 26577408, 36200704, 46446592)
WEIGHTINGS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "S": (0.25, 0.005, 0.010, 0.045, 0.130, 0.310, 0.25),
        "RS": (0.25, 0.310, 0.130, 0.045, 0.010, 0.005, 0.25),
        "U": (0.25, 0.100, 0.100, 0.100, 0.100, 0.100, 0.25),
        "M": (0.25, 0.025, 0.0625, 0.325, 0.0625, 0.025, 0.25),
        "L": (0.25, 0.005, 0.010, 0.020, 0.040, 0.425, 0.25),
        "RL": (0.25, 0.425, 0.040, 0.020, 0.010, 0.005, 0.25),
    }
)


@dataclass(frozen=True, eq=True)
class Platform:
    """Something to ship to: one or more budgets and an importance.

    Args:
        name: also the name of its files, hence letters, digits and ``. _ -`` only.
        budgets: the most that each cost may be, such as ``{"macs": "12.2M"}``; strings are parsed.
        weight: the importance, positive; only ratios between platforms matter.
        device: the device of a ``latency_ms`` budget.
        latency_margin: the share by which predictions of that device may be too low: what is predicted, times 1 + this
            share, keeps the budget. Default: what the device's error report says (its ``margin_90``), else 0.

    Raises:
        RequestError: naming the platform and the field.
    """

    name: str
    budgets: Mapping[str, int | float]
    weight: float = 1.0
    device: str | None = None
    latency_margin: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise RequestError(
                f"platform name {self.name!r}: it names files, so it takes 1 to 64 letters, digits, '.', '_' "
                "or '-', starting with a letter or digit and not ending in a dot"
            )
        if not self.budgets:
            raise RequestError(f"platform {self.name!r} has no budget: give at least one, such as macs: 12.2M")
        try:
            budgets = {kind: parse(kind, value) for kind, value in self.budgets.items()}
        except RequestError as error:
            raise RequestError(f"platform {self.name!r}: {error}") from None
        object.__setattr__(self, "budgets", MappingProxyType(budgets))
        object.__setattr__(self, "weight", _positive(self.weight, f"platform {self.name!r}: weight"))
        if "latency_ms" in budgets and not self.device:
            raise RequestError(f"platform {self.name!r}: a latency_ms budget needs a device to be measured on")
        if self.latency_margin is not None:
            object.__setattr__(self, "latency_margin", self._checked_margin(self.latency_margin))

    def _checked_margin(self, margin: Any) -> float:
        if "latency_ms" not in self.budgets:
            raise RequestError(f"platform {self.name!r}: a latency_margin belongs to a latency_ms budget; give one")
        number = isinstance(margin, int | float | np.number) and not isinstance(margin, bool)
        if not number or not 0 <= margin <= _LARGEST_MARGIN:
            raise RequestError(
                f"platform {self.name!r}: latency_margin is {margin!r}, it must be a share from 0 to "
                f"{_LARGEST_MARGIN:g} of the prediction (5 % are 0.05)"
            )
        return float(margin)

    def __hash__(self) -> int:
        budgets = tuple(sorted(self.budgets.items()))
        return hash((self.name, budgets, self.weight, self.device, self.latency_margin))

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only mapping cannot be pickled, and platforms travel to worker processes.
        return Platform, (self.name, dict(self.budgets), self.weight, self.device, self.latency_margin)


def check_platforms(platforms: Iterable[Platform]) -> tuple[Platform, ...]:
    """The platforms as a tuple: at least one, and no two with the same file name (whatever the case)."""
    checked = tuple(platforms)
    if not checked:
        raise RequestError("no platforms: give at least one, with a name and a budget")
    seen: dict[str, str] = {}
    for platform in checked:
        if platform.name.lower() in seen:
            first = seen[platform.name.lower()]
            raise RequestError(f"two platforms share a file name: {first!r} and {platform.name!r}; rename one")
        seen[platform.name.lower()] = platform.name
    return checked


def normalised_weights(platforms: Iterable[Platform]) -> NDArray[np.float64]:
    """The platforms' weights, divided by their sum, in the order given."""
    weights = np.array([platform.weight for platform in check_platforms(platforms)])
    return np.asarray(weights / weights.sum(), dtype=np.float64)


@overload
def weighted_accuracy(accuracies: Sequence[float], weights: Sequence[float] | NDArray[Any]) -> float: ...
@overload
def weighted_accuracy(accuracies: Sequence[float | None], weights: Sequence[float] | NDArray[Any]) -> float | None: ...
def weighted_accuracy(accuracies: Sequence[float | None], weights: Sequence[float] | NDArray[Any]) -> float | None:
    """Mean of the accuracies under the weights (normalised here); None if one accuracy is unknown.

    It is what Table 2 reports: the sum over platforms of the importance mu_k times the accuracy.
    """
    if len(accuracies) != len(weights):
        raise RequestError(f"{len(accuracies)} accuracies but {len(weights)} weights: give one weight per platform")
    checked = [_positive(weight, "weight") for weight in weights]
    if not checked:
        raise RequestError("a weighted accuracy needs at least one platform")
    total = 0.0
    for accuracy, weight in zip(accuracies, checked, strict=True):
        if accuracy is None:
            return None
        total += weight * accuracy
    return total / math.fsum(checked)


@dataclass(frozen=True)
class ChineseRestaurantProcess:
    """Two-parameter Chinese restaurant process (section 3.1), a model of market shares.

    With ``t`` customers seated at ``|B|`` tables, the next one opens a new table with probability
    ``(strength + discount |B|) / (t + strength)`` and joins table ``b`` with probability
    ``(|b| - discount) / (t + strength)``. The paper writes alpha for ``discount`` and theta for ``strength``;
    its sentence swaps the two names, its formula does not.
    """

    discount: float
    strength: float

    def __post_init__(self) -> None:
        discount, strength = self.discount, self.strength
        if not all(isinstance(x, int | float) and math.isfinite(x) for x in (discount, strength)):
            raise RequestError(f"discount and strength must be finite numbers, got {discount!r} and {strength!r}")
        if discount >= 1:
            raise RequestError(f"discount must be below 1, got discount={discount} (with strength={strength})")
        if discount >= 0 and strength <= -discount:
            raise RequestError(f"strength must exceed -discount, got strength={strength} and discount={discount}")
        if discount < 0:
            tables = -strength / discount
            if round(tables) < 1 or not math.isclose(tables, round(tables), rel_tol=1e-9):
                raise RequestError(
                    f"with a negative discount, strength must be -discount times a whole number of tables, "
                    f"got discount={discount} and strength={strength}"
                )

    @property
    def max_tables(self) -> int | None:
        """How many tables there can be: None unless the discount is negative."""
        return round(-self.strength / self.discount) if self.discount < 0 else None

    def sample(self, customers: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The sizes of the tables, in the order in which they were opened; they sum to ``customers``."""
        sizes = self.sample_many(1, customers, rng)[0]
        return np.trim_zeros(sizes, "b")

    def sample_many(self, draws: int, customers: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Table sizes of independent draws ``[draws, tables]``, padded with zeros, in order of opening."""
        customers = _whole(customers, "customers")
        rows = np.arange(draws)
        sizes = np.zeros((draws, 8), dtype=np.int64)
        sizes[:, 0] = 1
        tables = np.ones(draws, dtype=np.int64)
        for seated in range(1, customers):
            if tables.max() == sizes.shape[1]:
                sizes = np.pad(sizes, ((0, 0), (0, 8)))
            # A point on [0, seated + strength): tables first, what lies beyond them opens a new one.
            point = rng.random(draws) * (seated + self.strength)
            reach = np.cumsum(np.where(sizes > 0, sizes - self.discount, 0.0), axis=1)
            chosen = np.minimum((point[:, None] >= reach).sum(axis=1), tables)
            if self.max_tables is not None:  # at the last table only rounding can point beyond it
                chosen = np.minimum(chosen, self.max_tables - 1)
            sizes[rows, chosen] += 1
            tables += chosen == tables
        return sizes[:, : tables.max()]

    def expected_tables(self, customers: int) -> float:
        """The exact mean number of tables."""
        customers = _whole(customers, "customers")
        mean = 1.0  # the chance of a new table is linear in their number, so the mean alone recurs
        for seated in range(1, customers):
            mean += (self.strength + self.discount * mean) / (seated + self.strength)
        return mean

    def weights(
        self,
        n_tables: int,
        customers: int = 100,
        peak: Literal["first", "last"] | int = "last",
        scale: float | None = None,
        ends: tuple[float, float] | None = None,
        *,
        rng: np.random.Generator,
    ) -> tuple[float, ...]:
        """Platform weights from a draw with exactly ``n_tables`` tables, by rejection in bounded tries.

        Args:
            n_tables: how many weights to draw.
            customers: 100 in the paper.
            peak: where the largest share goes; the others fall off with the distance from it.
            scale: what the drawn weights sum to; by default what ``ends`` leave of 1.
            ends: fixed weights put before and after the drawn ones (0.25, 0.25 in Table 1).
            rng: the source of randomness.

        Raises:
            RequestError: if such draws do not occur, or the weights would not sum to 1.
        """
        n_tables = _whole(n_tables, "n_tables")
        shares = np.sort(self._draw_with(n_tables, customers, rng))[::-1] / customers
        total = _scale(scale, ends)
        centre = {"first": 0, "last": n_tables - 1}.get(peak, peak) if isinstance(peak, str) else peak
        if not isinstance(centre, int) or not 0 <= centre < n_tables:
            raise RequestError(f"peak must be 'first', 'last' or an index from 0 to {n_tables - 1}, got {peak!r}")
        nearest = sorted(range(n_tables), key=lambda place: (abs(place - centre), place))
        placed = dict(zip(nearest, (float(share) * total for share in shares), strict=True))
        drawn = tuple(placed[place] for place in range(n_tables))
        return drawn if ends is None else (float(ends[0]), *drawn, float(ends[1]))

    def _draw_with(self, n_tables: int, customers: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Table sizes of the first draw that has exactly ``n_tables`` tables."""
        for _ in range(0, _MAX_TRIES, _BATCH):
            sizes = self.sample_many(_BATCH, customers, rng)
            hits = np.flatnonzero((sizes > 0).sum(axis=1) == n_tables)
            if len(hits):
                return np.trim_zeros(sizes[hits[0]], "b")
        raise RequestError(
            f"no draw with exactly {n_tables} tables in {_MAX_TRIES:,} tries: discount={self.discount} and "
            f"strength={self.strength} give {self.expected_tables(customers):.2f} tables on average for "
            f"{customers} customers; change n_tables or the parameters"
        )


def _scale(scale: float | None, ends: tuple[float, float] | None) -> float:
    """What the drawn weights sum to, checked against the ends."""
    if ends is None:
        return 1.0 if scale is None else _positive(scale, "scale")
    fixed = sum(_positive(end, "ends") for end in ends)
    total = 1.0 - fixed if scale is None else _positive(scale, "scale")
    if total <= 0 or not math.isclose(total + fixed, 1.0, abs_tol=1e-9):
        raise RequestError(f"weights must sum to 1, got ends {ends} and scale {scale if scale is not None else total}")
    return total


def _positive(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < math.inf:
        raise RequestError(f"{what} must be a positive number, got {value!r}")
    return float(value)


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise RequestError(f"{what} must be a whole number of at least 1, got {value!r}")
    return int(value)
