"""OWS and AOWS: from observations to tables, from tables to answers, and which networks are tried when."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor import mrf, spaces
from sartor.errors import RequestError
from sartor.methods.aows import AOWS, KNOTS, AOWSSettings, temperature
from sartor.methods.budgets import check_reachable
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.method import unary_scores
from sartor.methods.ows import OWS, OWSSettings
from sartor.platforms import TARGET_MACS, Platform
from sartor.space import SearchSpace
from sartor.testing.evaluators import platforms_for, stairs
from sartor.testing.stores import through_a_file

SPACE = stairs()
ROWS = np.array(list(itertools.product(*[range(n) for n in SPACE.sizes])))
EFFECTS = [np.sort(np.random.default_rng(d).uniform(0, 0.01, 3))[::-1] for d in range(4)]
LOSSES = 0.5 + sum(effect[ROWS[:, d]] for d, effect in enumerate(EFFECTS))


def observed(method: OWS, rows: NDArray[Any] = ROWS, values: NDArray[Any] = LOSSES) -> Any:
    """The method after it has seen ``values``."""
    for row, value in zip(rows, values, strict=True):
        method.observations.add(row, float(value), 1.0)
    return method


# ---------------------------------------------------------------- scales


def estimated(estimator: Any, **settings: Any) -> OWS:
    made: OWS = observed(OWS(SPACE, platforms_for(SPACE), OWSSettings(estimator=estimator, **settings)))
    return made


def test_both_estimators_have_the_true_scale_in_their_answers() -> None:
    """On additive data of all combinations the tables behind an answer differ by constants only."""
    ridge, means = estimated("ridge", ridge=1e-9).tables(), estimated("conditional_mean").tables()
    for a, b, effect in zip(ridge, means, EFFECTS, strict=True):
        np.testing.assert_allclose(a - a.mean(), effect - effect.mean(), atol=1e-7)
        np.testing.assert_allclose(b - b.mean(), effect - effect.mean(), atol=1e-7)


@pytest.mark.parametrize("level", [0.01, 0.001, 0.0005])
def test_both_estimators_give_the_same_marginals(level: float) -> None:
    """The temperatures belong to the official tables, a number of decisions smaller: ridge is brought there."""
    found = []
    for method in (estimated("ridge", ridge=1e-9), estimated("conditional_mean")):
        problem = SPACE.problem(unary_scores(SPACE, method.official_tables()))
        found.append(mrf.marginals(problem, level))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    expected = np.exp(-EFFECTS[0] / 4 / level)
    np.testing.assert_allclose(found[0][0], expected / expected.sum(), atol=1e-6)


def test_scores_predict_the_loss() -> None:
    """A row's score is the loss that was observed for it."""
    np.testing.assert_allclose(estimated("ridge", ridge=1e-9).scores()(ROWS), LOSSES, atol=1e-7)


def test_widths_never_tried_are_not_free() -> None:
    """A width that no row had lies between its neighbours: an answer does not take it for its ignorance."""
    seen = ROWS[:, 0] != 1
    method = observed(OWS(SPACE, platforms_for(SPACE)), ROWS[seen], LOSSES[seen])
    table = method.tables()[0]
    assert table[1] == pytest.approx((table[0] + table[2]) / 2)


# ---------------------------------------------------------------- answers


def test_the_answer_is_the_best_row_within_the_budgets() -> None:
    """Over all rows: none within the budgets scores better than the one chosen."""
    method = estimated("ridge")
    for platform in method.platforms:
        fits = np.ones(len(ROWS), dtype=bool)
        for kind, limit in platform.budgets.items():
            fits &= SPACE.cost(kind)(ROWS) <= limit
        choice = method.choose(platform)
        assert choice.score == pytest.approx(method.scores()(ROWS[fits]).min(), abs=1e-12)
        assert choice.gap == 0.0


def cifar() -> SearchSpace:
    return spaces.create("mobilenet_v1", num_classes=100, image_size=32)


def concave(space: SearchSpace, size: float, seed: int = 0) -> list[NDArray[np.float64]]:
    """Losses per width as a search finds them: falling, ever less steeply, with a little noise."""
    rng = np.random.default_rng(seed)
    tables = []
    for d in space.decisions:
        widths = np.array(d.options) / max(d.options)
        tables.append(size * rng.uniform(0.5, 1.5) * (1 - np.sqrt(widths)) + rng.normal(0, 0.02 * size, len(widths)))
    return tables


def test_solvers_are_ordered_in_quality(monkeypatch: pytest.MonkeyPatch) -> None:
    """All answers keep the budget; exact is never worse than the hull's, and that not than the bisection's."""
    space = cifar()
    scores = {}
    for solver in ("exact", "lagrangian", "bisection"):
        platforms = [Platform(f"p{i}", {"macs": macs}) for i, macs in enumerate(TARGET_MACS)]
        method = OWS(space, platforms, OWSSettings(solver=solver))
        monkeypatch.setattr(method, "tables", lambda: concave(space, 0.1))
        choices = [method.choose(platform) for platform in platforms]
        assert all(c.costs["macs"] <= macs for c, macs in zip(choices, TARGET_MACS, strict=True))
        scores[solver] = np.array([c.score for c in choices])
        use = [c.costs["macs"] / macs for c, macs in zip(choices, TARGET_MACS, strict=True)]
        assert min(use) > 0.8, (solver, use)
    assert (scores["exact"] <= scores["lagrangian"] + 1e-12).all()
    assert (scores["lagrangian"] <= scores["bisection"] + 1e-12).all()
    assert (scores["exact"] < scores["lagrangian"] - 1e-9).any()


def test_two_sums_and_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several budgets of a platform hold together, peak memory among them; the others only with exact."""
    space = cifar()
    budgets = {"macs": 20_000_000, "params": 900_000, "peak_memory_bytes": 200_000}
    platform = Platform("many", budgets)
    check_reachable(space, [platform])
    method = OWS(space, [platform])
    monkeypatch.setattr(method, "tables", lambda: concave(space, 0.1))
    costs = method.choose(platform).costs
    assert set(costs) == set(budgets)
    assert all(costs[kind] <= limit for kind, limit in budgets.items())
    hull = OWS(space, [platform], OWSSettings(solver="lagrangian"))
    with pytest.raises(RequestError, match=r"'many': solver 'lagrangian' takes one summed budget.*macs, params"):
        hull.choose(platform)
    with pytest.raises(RequestError, match=r"'many' has 2 summed budgets \(macs, params\); AOWS samples"):
        AOWS(space, [platform])


def test_impossible_budgets_name_platform_and_cheapest_cost() -> None:
    """Before anything is trained: the platform, its budget, and the least that is reachable."""
    with pytest.raises(RequestError, match=r"platform 'watch': .*macs.*2,345,120"):
        check_reachable(cifar(), [Platform("ok", {"macs": "5M"}), Platform("watch", {"macs": "2M"})])


def test_latency_of_an_unknown_device() -> None:
    """A budget that nothing enforces is refused."""
    platform = Platform("edge", {"latency_ms": 5}, device="pi4")
    with pytest.raises(RequestError, match=r"platform 'edge': no latencies are known of device 'pi4'"):
        OWS(SPACE, [platform]).choose(platform)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 0.0}, "method.window: 0.0"),
        ({"window": 1.5}, "method.window: 1.5"),
        ({"ridge": -1.0}, "method.ridge"),
        ({"random_passes": 0}, "method.random_passes"),
        ({"refresh_steps": 0}, "method.refresh_steps"),
        ({"temperature_knots": ((0.5, 1.0), (0.2, 0.1))}, "method.temperature_knots"),
        ({"temperature_knots": ((0.5, 0.0),)}, "method.temperature_knots"),
        ({"temperature_knots": ()}, "method.temperature_knots"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str) -> None:
    """A setting that no search can have is refused by its name."""
    with pytest.raises(RequestError, match=message):
        AOWSSettings(**settings)


# ---------------------------------------------------------------- the temperature


OFFICIAL = ((5 / 20, 1.0), (6 / 20, 0.01), (10 / 20, 0.001), (1.0, 0.0005))


@pytest.mark.parametrize(
    ("epoch", "level"),
    [
        *[(0, 1.0), (5, 1.0), (5.25, 0.316), (5.5, 0.1), (5.75, 0.0316), (6, 0.01), (7, 0.0056), (8, 0.0032)],
        *[(9, 0.0018), (10, 0.001), (12, 8.7e-4), (15, 7.1e-4), (18, 5.7e-4), (19, 5.4e-4), (20, 0.0005)],
    ],
)
def test_the_official_temperatures(epoch: float, level: float) -> None:
    """Log-linear between the knots of the official code: its values at 20 epochs to two digits."""
    assert temperature(OFFICIAL, epoch / 20) == pytest.approx(level, rel=0.013)


def test_the_papers_fifty_epochs() -> None:
    """The default knots lie at epochs 10, 12.5, 25 and 50 of 50, constant before and log-linear between."""
    assert [50 * share for share, _ in KNOTS] == [10, 12.5, 25, 50]
    assert temperature(KNOTS, 0.0) == temperature(KNOTS, 0.2) == 1.0
    assert temperature(KNOTS, 0.225) == pytest.approx(0.1)
    assert temperature(KNOTS, 0.75) == pytest.approx(np.sqrt(0.001 * 0.0005))


# ---------------------------------------------------------------- sampling


class Draws:
    """Stands in for ``mrf.sample`` and notes what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[dict[str, Any]] = []
        self.real = mrf.sample
        monkeypatch.setattr("sartor.methods.aows.mrf.sample", self)

    def __call__(self, problem: mrf.Problem, **asked: Any) -> NDArray[Any]:
        self.asked.append(asked)
        return self.real(problem, **asked)


def test_it_is_uniform_during_the_warm_up() -> None:
    """Until the first knot AOWS tries exactly what OWS tries."""
    platforms = platforms_for(SPACE)
    aows, ows = observed(AOWS(SPACE, platforms, seed=4)), OWS(SPACE, platforms, seed=4)
    for step in range(20):
        aows.steps = ows.steps = step
        assert (aows.sample(3, 0.19) == ows.sample(3, 0.19)).all()
    assert (aows.sample(3, 0.9) != ows.sample(3, 0.9)).any()


@pytest.mark.parametrize(("sampling", "factors"), [("weight", [1, 1, 1]), ("uniform", [2, 1, 2 / 3])])
def test_the_effective_temperature(monkeypatch: pytest.MonkeyPatch, sampling: Any, factors: list[float]) -> None:
    """Platform k's model runs at T nu_k / mu_k: heavy platforms sharper where platforms are drawn uniformly."""
    method = observed(AOWS(SPACE, platforms_for(SPACE), AOWSSettings(platform_sampling=sampling)))  # weights 1, 2, 3
    draws = Draws(monkeypatch)
    for step in range(60):
        method.steps = step
        method.sample(1, 0.5)
    by_multiplier = {round(m, 12): k for k, m in enumerate(method._multipliers)}
    assert len(by_multiplier) == 3
    found = {by_multiplier[round(a["multiplier"], 12)]: a["temperature"] for a in draws.asked}
    assert [found[k] for k in range(3)] == pytest.approx([0.001 * f for f in factors])
    assert all(a["joint"] for a in draws.asked)


@pytest.mark.parametrize(("sampling", "shares"), [("weight", [1 / 6, 2 / 6, 3 / 6]), ("uniform", [1 / 3] * 3)])
def test_platforms_are_drawn_by_nu(monkeypatch: pytest.MonkeyPatch, sampling: Any, shares: list[float]) -> None:
    """Which platform's model a sample comes from: by weight, or uniformly."""
    method = observed(AOWS(SPACE, platforms_for(SPACE), AOWSSettings(platform_sampling=sampling)))
    method._refresh()
    drawn: list[int] = []
    monkeypatch.setattr(method, "_draw", lambda k, level, rng: drawn.append(k) or np.zeros((1, 4), dtype=np.int64))
    for step in range(3_000):
        method.steps = step
        monkeypatch.setattr(method, "_period", step // 10)
        method.sample(1, 0.5)
    assert np.bincount(drawn) / 3_000 == pytest.approx(shares, abs=0.03)


def test_samples_approach_the_budget_as_it_cools(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CIFAR space the mean cost falls towards the budget, and is 1.0 to 1.3 times it at the last knot."""
    space = cifar()
    budget = TARGET_MACS[3]
    method = AOWS(space, [Platform("one", {"macs": budget})])
    method.observations.add([0] * 14, 0.0, 0.0)
    monkeypatch.setattr(method, "official_tables", lambda count: concave(space, 0.01))
    means = []
    for share in (0.21, 0.26, 0.5, 1.0):
        rows = []
        for step in range(150):
            method.steps = step
            monkeypatch.setattr(method, "_period", step // 10)
            if not method._problems:
                method._solve()
            rows.append(method.sample(1, share)[0])
        means.append(float(np.mean(space.cost("macs")(np.array(rows)))) / budget)
    assert means == sorted(means, reverse=True)
    assert means[0] > 1.6 and 0.95 < means[-1] < 1.3


def test_joint_and_official_sampling_share_their_marginals() -> None:
    """Drawing networks whole or every layer on its own gives each width equally often; only pairs differ."""
    counts, pairs = [], []
    platform = Platform("one", {"macs": int(np.median(SPACE.cost("macs")(ROWS)))})
    for sampling in ("joint", "marginals"):
        method = observed(AOWS(SPACE, [platform], AOWSSettings(sampling=sampling)))
        method._refresh()
        rng = np.random.default_rng(0)
        rows = np.concatenate([method._draw(0, 0.0004, rng) for _ in range(1_500)])
        counts.append(np.stack([np.bincount(rows[:, d], minlength=3) / len(rows) for d in range(4)]))
        neighbours = np.corrcoef(rows.T)[[0, 1, 2], [1, 2, 3]]
        pairs.append(np.abs(neighbours).max())
        model = mrf.marginals(method._problems[0], 0.0004, SPACE.cost("macs"), method._multipliers[0])
        np.testing.assert_allclose(counts[-1], np.stack(model), atol=0.05)
    np.testing.assert_allclose(counts[0], counts[1], atol=0.06)
    assert pairs[0] > 0.15 > 0.08 > pairs[1]


def test_a_maximum_is_never_broken_by_a_sample() -> None:
    """Cells above a memory budget are not sampled, at any temperature."""
    memory = SPACE.cost("peak_memory_bytes")
    limit = int(np.quantile(memory(ROWS), 0.3))
    method = observed(AOWS(SPACE, [Platform("small", {"peak_memory_bytes": limit})]))
    rng = np.random.default_rng(0)
    method._refresh()
    rows = np.concatenate([method._draw(0, 1.0, rng) for _ in range(100)])
    assert (memory(rows) <= limit).all()


def test_killed_in_the_middle_of_a_period_it_draws_the_same() -> None:
    """Tables and multipliers are those of the period's start, also in the process that goes on within it."""
    settings = AOWSSettings(refresh_steps=10, temperature_knots=((0.05, 1.0), (0.1, 0.001)))

    def steps(method: AOWS, evaluator: TableEvaluator, n: int) -> list[tuple[int, ...]]:
        for _ in range(n):
            method.step(evaluator)
        return list(evaluator.history.rows)

    def fresh() -> tuple[AOWS, TableEvaluator]:
        table = TableEvaluator(ROWS, 100 * (1 - LOSSES), 60, np.random.default_rng(0))
        return AOWS(SPACE, platforms_for(SPACE), settings), table

    method, evaluator = fresh()
    expected = steps(method, evaluator, 40)
    for killed_at in (15, 19, 20):
        before, after = fresh(), fresh()
        steps(*before, killed_at)
        for old, new in zip(before, after, strict=True):
            new.load_state_dict(through_a_file(old.state_dict()))
        assert steps(*after, 40 - killed_at) == expected


def test_tables_are_renewed_at_the_start_of_a_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ``refresh_steps`` steps the tables are fitted anew, and not in between."""
    method = observed(AOWS(SPACE, platforms_for(SPACE), AOWSSettings(refresh_steps=5)))
    fitted: list[int] = []
    tables = method.official_tables
    monkeypatch.setattr(method, "official_tables", lambda count: fitted.append(method.steps) or tables(count))
    for step in range(12, 28):
        method.steps = step
        method.sample(1, 0.5)
    assert fitted == [12, 15, 20, 25]
