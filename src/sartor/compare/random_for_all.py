"""Random search for one architecture that serves all platforms by its exits: the baseline of any-time networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.methods.method import Choice
from sartor.methods.mixture.exits import Service
from sartor.methods.policy_method import costs_of
from sartor.methods.random_search import RandomSearch, RandomSettings
from sartor.methods.sampling import sample_within
from sartor.platforms import Platform, check_platforms


class RandomForAll(RandomSearch):
    """Architectures drawn at random from those that serve every platform; the best observed one wins.

    What is compared is the loss of the last exit. Each platform gets the latest exit within its budgets.
    """

    answers_exits: ClassVar[bool] = True

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: RandomSettings | None = None, seed: int = 0
    ) -> None:
        self.service = Service(space, check_platforms(platforms))
        # One set of candidates, so the rounds of random search are those of one platform.
        super().__init__(space, [self.service.largest], settings, seed)

    def check_reachable(self) -> None:
        self.service.check()

    def _draw(self, k: int, n: int, rng: np.random.Generator, distinct: bool = False) -> NDArray[np.int64]:
        return sample_within(self.space, self.service.budgets, n, rng)

    def choose(self, platform: Platform) -> Choice:
        """The one architecture, and the exit for this platform."""
        if platform not in self.service.platforms or not self.seen[0]:
            raise RequestError(
                f"random search has no answer for platform {platform.name!r}; allow more search.epochs, and ask for "
                "the platforms of its job"
            )
        (observed,) = self.seen
        best = min(observed, key=lambda row: observed[row][0] / observed[row][1])
        total, count = observed[best]
        row = np.array(best)
        exit = self.service.exit_for(row, platform)
        costs = costs_of(row, self.service.own_budgets(platform, exit))
        return Choice(self.space.architecture(best), total / count, costs, exit=exit)
