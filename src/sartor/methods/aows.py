"""AOWS for several platforms: the supernet trains on widths that its own tables already hold to be good.

Wang & Blaschko, section 3.2. Per step a platform k is drawn with probability nu_k, and the random network of the
sandwich comes from the smoothed Viterbi model of that platform, p(c) ~ exp(-E_k(c) / T_k) with

    E_k(c) = sum_i L_i(c_i) + gamma_k sum_i R_i(c_{i-1}, c_i),        T_k = T nu_k / mu_k.

gamma_k is re-tuned to the budget, so that the factor mu_k / nu_k of equation (4) only changes the temperature.
Equation (5) as printed has slips (facts, section 5.2): its message lacks the factor -T; here it is
m(c_{i+1}) = L_{i+1}(c_{i+1}) - T log sum exp(-(m(c_i) + gamma_k R_i) / T), in log space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sartor import mrf
from sartor.errors import RequestError
from sartor.methods.budgets import budgets_of, forbid_above
from sartor.methods.evaluator import Evaluator
from sartor.methods.method import unary_scores
from sartor.methods.ows import OWS, OWSSettings
from sartor.platforms import Platform, normalised_weights
from sartor.seeds import numpy_generator

# (share of the search, temperature): uniform until the first knot, log-linear between knots. The official code has
# epochs 5, 6, 10, 20 of 20; for the paper's 50 epochs with a warm-up of 10 the middle knots keep their place between
# warm-up and end: 10, 12.5, 25, 50.
KNOTS = ((0.2, 1.0), (0.25, 0.01), (0.5, 0.001), (1.0, 0.0005))

# Those temperatures suit losses of random networks that differ by so many nats (std), as in a young supernet.
SPREAD_NATS = 0.35
# Samples among which a network within the budgets is looked for that is new.
_TRIES = 16


@dataclass(frozen=True, kw_only=True)
class AOWSSettings(OWSSettings):
    """Settings of AOWS beyond those of OWS.

    ``temperature_knots``: pairs (share of the search, temperature); the first one ends the uniform warm-up. They
    belong to the official tables, whose effects are divided by the number of layers.
    ``platform_sampling``: nu, by weight (the paper's RS-AOWS, S-AOWS, ...), by weight among all but the platforms with
    the smallest and the largest budget (``middle``, which the sandwich trains anyway), or uniform. The paper does not
    say which of the first two it means.
    ``sampling``: joint samples of the model, or each layer on its own from its marginal as in the official code.
    ``refresh_steps``: tables and multipliers are renewed every so many steps.
    """

    temperature_knots: tuple[tuple[float, float], ...] = KNOTS
    platform_sampling: Literal["weight", "middle", "uniform"] = "weight"
    sampling: Literal["joint", "marginals"] = "joint"
    refresh_steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = [share for share, _ in self.temperature_knots]
        if len(shares) < 1 or shares != sorted(set(shares)) or any(t <= 0 for _, t in self.temperature_knots):
            raise RequestError(
                f"method.temperature_knots: {self.temperature_knots}: needs pairs of an ascending share of the search "
                "and a positive temperature"
            )
        if self.refresh_steps < 1:
            raise RequestError(f"method.refresh_steps: {self.refresh_steps}, allowed is 1 or more")


class AOWS(OWS):
    """Adaptive optimal width search for several platforms."""

    settings_type: ClassVar[type] = AOWSSettings
    settings: AOWSSettings

    def __init__(
        self, space: Any, platforms: Sequence[Platform], settings: AOWSSettings | None = None, seed: int = 0
    ) -> None:
        super().__init__(space, platforms, settings, seed)
        self.weights = normalised_weights(self.platforms)  # mu
        self.rates = platform_rates(self.platforms, self.settings.platform_sampling)  # nu
        self._budgets = [_model_budgets(space, p, self.settings.within_budgets) for p in self.platforms]
        self._problems: list[mrf.Problem] = []
        self._multipliers: list[float] = []
        self._period, self._fitted = -1, 0  # of the last refresh: when, and from how many observations
        self._unit = 1.0  # of temperatures

    def step(self, evaluator: Evaluator) -> dict[str, float]:
        at = evaluator.progress
        return {**super().step(evaluator), "temperature": temperature(self.settings.temperature_knots, at)}

    def sample(self, n: int, progress: float) -> NDArray[np.int64]:
        """Uniform during the warm-up, then from the smoothed model of a platform drawn by nu."""
        if progress < self.settings.temperature_knots[0][0] or not self.observations.count:
            return super().sample(n, progress)
        rng = numpy_generator(self.seed, "architectures", self.steps)
        self._refresh()
        level = temperature(self.settings.temperature_knots, progress) * self._unit
        rows = [self._draw(int(rng.choice(len(self.rates), p=self.rates)), level, rng) for _ in range(n)]
        return np.concatenate(rows)

    def _draw(self, k: int, level: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """One sample of platform ``k``'s model at temperature ``level``."""
        summed = next((b for b in self._budgets[k] if b.summed), None)
        rows = mrf.sample(
            self._problems[k],
            temperature=level * self.rates[k] / self.weights[k],
            n=_TRIES if self.settings.within_budgets else 1,
            rng=rng,
            cost=None if summed is None else summed.cost,
            multiplier=self._multipliers[k],
            joint=self.settings.sampling == "joint",
        )
        return self._useful(k, np.asarray(rows, dtype=np.int64)) if self.settings.within_budgets else rows

    def _useful(self, k: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first of some samples that is within the budgets and new; a random network where there is none."""
        fits = np.ones(len(rows), dtype=bool)
        for budget in self._budgets[k]:
            fits &= budget.cost(rows) <= budget.limit
        new = [i for i in np.flatnonzero(fits) if rows[i] not in self.looks]
        return rows[new[:1]] if new else super().sample(1, 0.0)

    def _refresh(self) -> None:
        """Renews tables and multipliers at the first step of a period."""
        period = self.steps // self.settings.refresh_steps
        if period != self._period:
            self._period, self._fitted = period, self.observations.count
            self._solve()

    def _solve(self) -> None:
        """Tables from the current window, and the multiplier that each platform's hard problem needs."""
        scores = unary_scores(self.space, self.official_tables(self._fitted))
        if self._everything_counts:  # losses of a table, whose unit is another one
            _, values = self.observations.window(1.0, self._fitted)
            self._unit = float(values.std()) / SPREAD_NATS or 1.0
        self._problems, self._multipliers = [], []
        for budgets in self._budgets:
            rules = (*self.space.rules, *forbid_above(budgets))
            problem = mrf.Problem(
                self.space.sizes, scores, rules, [d.name for d in self.space.decisions], self.space.rows
            )
            summed = next((b for b in budgets if b.summed), None)
            self._problems.append(problem)
            self._multipliers.append(0.0 if summed is None else mrf.lagrangian(problem, summed).multiplier or 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "refresh": [self._period, self._fitted]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._period, self._fitted = state["refresh"]
        if self._period >= 0:  # the tables of the period that was interrupted, not of what was seen since
            self._solve()


def platform_rates(platforms: Sequence[Platform], sampling: str) -> NDArray[np.float64]:
    """How often each platform's model is sampled from (nu), summing to 1."""
    if sampling == "uniform":
        return np.full(len(platforms), 1 / len(platforms))
    weights: NDArray[np.float64] = normalised_weights(platforms)
    if sampling == "weight":
        return weights
    if len(platforms) < 3:
        raise RequestError(
            f"method.platform_sampling: middle leaves out the smallest and the largest of {len(platforms)} platforms; "
            "use weight or uniform"
        )
    kind = next(iter(platforms[0].budgets))
    if any(kind not in p.budgets for p in platforms):
        raise RequestError(f"method.platform_sampling: middle needs a budget in {kind} for every platform")
    order = sorted(range(len(platforms)), key=lambda k: platforms[k].budgets[kind])
    weights[[order[0], order[-1]]] = 0.0
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def temperature(knots: Sequence[tuple[float, float]], progress: float) -> float:
    """The temperature at a share of the search, log-linear between knots and constant beyond them."""
    shares = [share for share, _ in knots]
    return float(np.exp(np.interp(progress, shares, [np.log(t) for _, t in knots])))


def _model_budgets(space: Any, platform: Platform, rejecting: bool) -> list[mrf.Budget]:
    """A platform's budgets, of which the sampling model prices at most one sum; ``rejecting`` keeps the others."""
    budgets = budgets_of(space, platform)
    summed = [b.name for b in budgets if b.summed]
    if len(summed) > 1 and not rejecting:
        raise RequestError(
            f"platform {platform.name!r} has {len(summed)} summed budgets ({', '.join(summed)}); AOWS samples with the "
            "price of one: use method ows, or keep one of them"
        )
    return budgets
