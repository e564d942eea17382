"""How searches differ from the main one, and the questions that their differences answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from searches.sizes import Size

Values = dict[str, Any]
# A mean and its spread, in percent, as the papers print them; None where there is but one.
Figure = tuple[float, float | None]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """How one search differs from the main one.

    ``space`` None: that of the experiment; ``settings`` of the method replace those of the size, ``factors`` multiply
    them; ``options`` are further options of the space. ``share``: the search's length as a part of ``Size.search``
    (None: ``Size.ablation_share``).

    ``derived``: not a search, but what the search of that name found, changed by ``change`` from its choices to those
    of ``space``.
    """

    space: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    share: float | None = None
    derived: str | None = None
    change: Callable[[Values], Values] | None = None

    def settings_of(self, size: Size) -> Any:
        """The method's settings at a size."""
        multiplied = {name: factor * getattr(size.settings, name) for name, factor in self.factors.items()}
        return dataclasses.replace(size.settings, **multiplied, **self.settings)

    def epochs(self, size: Size) -> float:
        """The length of the search at a size."""
        return size.search.epochs * (size.ablation_share if self.share is None else self.share)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the network ``changed`` was searched for: its accuracy minus that of ``base``; the paper's beside it.

    ``published``: the paper's accuracies with the change and without it.
    """

    title: str
    changed: str
    base: str
    published: tuple[Figure, Figure] | None = None
