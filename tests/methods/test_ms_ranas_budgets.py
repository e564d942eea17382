"""Budgets in MS-RANAS: the expected cost of derived cells, what it pulls towards, and which exit serves whom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.methods.mixture.cells import Cells
from sartor.methods.mixture.cost_pull import CostPull
from sartor.methods.mixture.exits import Service
from sartor.methods.mixture.expected_cost import ExpectedCost, choice_probabilities
from sartor.methods.mixture.relaxation import Relaxation
from sartor.methods.mixture.settings import MSRANASSettings
from sartor.methods.ms_ranas import MSRANAS
from sartor.platforms import Platform
from sartor.policy import Policy
from sartor.space import SearchSpace
from sartor.testing.mixtures import QuadraticEvaluator, cell_space

# Three exits, 540 cells of either kind: small enough to be listed.
SPACE = cell_space(2, ("skip_connect", "sep_conv_3x3"), layers=("normal", "normal", "reduction"))
CELLS = Cells(SPACE)
Array = NDArray[Any]


def every_row(cells: Cells) -> Array:
    """All valid rows of the space."""
    columns: list[int] = [d for node in cells.nodes for d in node]
    rows = np.zeros((1, 0), np.int64)
    for choices in cells.rows:
        rows = np.hstack([np.repeat(rows, len(choices), axis=0), np.tile(choices, (len(rows), 1))])
    return rows[:, np.argsort(columns)]


ROWS = every_row(CELLS)


def macs_quantile(share: float, exit: int) -> int:
    return int(np.quantile(SPACE.cost("macs", exit=exit)(ROWS), share))


def relaxed(cells: Cells = CELLS, seed: int = 0, none: bool = True, edge_weights: bool = False) -> Relaxation:
    """A mixture that has decided a little."""
    rng = np.random.default_rng(seed)
    found = Relaxation(cells, none=none, edge_weights=edge_weights, rng=rng)
    found.values = rng.standard_normal(found.values.shape)
    return found


def tangled_cost() -> FactorCost:
    """A cost with tables over one decision, over one node, and over decisions of several nodes and cells."""
    rng = np.random.default_rng(3)
    scopes = [(0,), (1, 2), (0, 7), (3, 4, 9), tuple(range(4)), (5, 8)]
    tables = [rng.integers(0, 100, [SPACE.sizes[d] for d in scope]) for scope in scopes]
    return FactorCost(SPACE.sizes, [Factor(s, t) for s, t in zip(scopes, tables, strict=True)], 17, "sum", "tangled")


# ---------------------------------------------------------------------- expected cost


def test_every_row_is_listed() -> None:
    """The rows of the nodes, joined, are exactly those that keep the rules."""
    assert len(np.unique(ROWS, axis=0)) == len(ROWS) == SPACE.cardinality == 48**2
    assert SPACE.valid(ROWS).all()


@pytest.mark.parametrize(
    "cost", [SPACE.cost("macs"), SPACE.cost("params", exit=1), tangled_cost()], ids=lambda c: c.name
)
@pytest.mark.parametrize("options", [{}, {"edge_weights": True}, {"none": False}], ids=str)
def test_expected_cost_is_that_of_all_derived_cells(cost: FactorCost, options: Any) -> None:
    """The mean and its gradient by log weights are those of a plain sum over all rows, whatever the cost's tables."""
    logs = relaxed(**options).log_weights()
    likelihood = np.exp(logs[np.arange(len(SPACE.sizes)), ROWS].sum(axis=1))
    p = likelihood / likelihood.sum()
    value, gradient = ExpectedCost(CELLS, cost)(choice_probabilities(CELLS, logs))
    costs = cost(ROWS)
    assert value == pytest.approx(p @ costs, rel=1e-12)
    for d, size in enumerate(SPACE.sizes):
        for option in range(size):
            covariance = p @ ((ROWS[:, d] == option) * costs) - (p @ (ROWS[:, d] == option)) * (p @ costs)
            assert gradient[d, option] == pytest.approx(covariance, abs=1e-9 * value)


def test_expected_cost_is_the_ruled_policy_s() -> None:
    """On the same logits it is the exact expectation of the policy that obeys the rules, found by elimination."""
    space = cell_space(4)
    found = relaxed(Cells(space))
    policy = Policy(space)
    policy.logits = found.log_weights()
    cost = space.cost("macs")
    value, _ = ExpectedCost(found.cells, cost)(choice_probabilities(found.cells, found.log_weights()))
    assert value == pytest.approx(policy.expectation(cost), rel=1e-12)


@pytest.mark.parametrize("options", [{}, {"edge_weights": True}, {"none": False}], ids=str)
def test_the_cost_reaches_alpha(options: Any) -> None:
    """The gradient in alpha and the edges' weights is that of finite differences."""
    found, cost = relaxed(**options), ExpectedCost(CELLS, SPACE.cost("macs"))
    start = found.values

    def expected(values: Array) -> float:
        found.values = values
        return cost(choice_probabilities(CELLS, found.log_weights()))[0]

    numeric = [(expected(start + e) - expected(start - e)) / 2e-5 for e in 1e-5 * np.eye(len(start))]
    found.values = start
    gradient = found.log_pullback(cost(choice_probabilities(CELLS, found.log_weights()))[1])
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("options", [{"edge_weights": True}, {"none": False, "edge_weights": True}], ids=str)
def test_log_weights_have_a_way_back(options: Any) -> None:
    """Whatever is asked of log weights, also what the rule of two edges per node rules out."""
    found = relaxed(**options)
    start = found.values
    asked = np.random.default_rng(0).standard_normal((len(SPACE.sizes), max(SPACE.sizes)))

    def value(values: Array) -> float:
        found.values = values
        return float((asked * found.log_weights()).sum())

    numeric = [(value(start + e) - value(start - e)) / 2e-5 for e in 1e-5 * np.eye(len(start))]
    found.values = start
    np.testing.assert_allclose(found.log_pullback(asked), numeric, atol=1e-7)


@pytest.mark.parametrize("rule", ["absolute", "hinge"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_the_pull_is_a_rounded_distance(rule: Any, share: float) -> None:
    """It is the slope of |E / target - 1|, less within a tenth of the target; with the hinge from above alone."""
    service = Service(SPACE, [Platform("p", {"macs": macs_quantile(share, 2)})])
    pull, logs = CostPull(CELLS, service, rule, 0.5), relaxed(seed=5).log_weights()

    def distance(logs: Array) -> float:
        above = (pull(logs)[0] or 0.0) - 1
        if rule == "hinge" and above < 0:
            return 0.0
        return above**2 / 0.2 if abs(above) < 0.1 else abs(above) - 0.05

    ratio, pulls = pull(logs)
    gradient = sum((p.strength * p.slope for p in pulls), np.zeros(logs.shape))
    expected = ExpectedCost(CELLS, SPACE.cost("macs"))(choice_probabilities(CELLS, logs / 0.5))[0]
    assert ratio == pytest.approx(expected / macs_quantile(share, 2))
    for d, option in ((0, 1), (3, 2), (6, 0)):
        moved = np.zeros(logs.shape)
        moved[d, option] = 1e-6
        assert gradient[d, option] == pytest.approx((distance(logs + moved) - distance(logs - moved)) / 2e-6, abs=1e-7)


def test_what_everything_fits_pulls_at_nothing() -> None:
    """A target above the dearest architecture cannot be met, and asks for none that is dear."""
    service = Service(SPACE, [Platform("p", {"macs": int(SPACE.cost("macs")(ROWS).max())})])
    ratio, pulls = CostPull(CELLS, service, "absolute", 1.0)(relaxed().log_weights())
    assert ratio is not None and ratio < 1 and not pulls


def worths(seed: int) -> list[Array]:
    """Convolutions are worth more than what costs nothing, so that a budget matters."""
    rng, found = np.random.default_rng(seed), []
    for d in TARGETED.decisions:
        dear = np.array([o.startswith("sep") for o in d.options])
        found.append(np.where(np.array(d.options) == "none", 0.0, rng.normal(0, 0.05, len(d.options)) + 0.05 * dear))
    return found


TARGETED = cell_space(2)


def test_a_target_is_hit() -> None:
    """With the default weight the expected cost ends at the target, and the derived cell near it; not so without."""
    costs = TARGETED.cost("macs")
    limit = int(np.quantile(costs(TARGETED.sample(2000, np.random.default_rng(0))), 0.3))

    def misses(**settings: Any) -> list[tuple[float, float]]:
        found = []
        for seed in range(3):
            method = MSRANAS(TARGETED, [Platform("p", {"macs": limit})], MSRANASSettings(**settings), seed)
            evaluator, metrics = QuadraticEvaluator(worths(seed), 300, noise=0.1, seed=seed), {}
            while not evaluator.done:
                metrics = method.step(evaluator)
            own = costs(method.derived()[None])[0]
            found.append((abs(metrics["cost_ratio"] - 1), abs(own / limit - 1)))
        return found

    pulled, free = np.array(misses()), np.array(misses(cost_weight=0.0))
    assert (pulled[:, 0] < 0.1).all() and pulled[:, 1].mean() < 0.2
    assert free[:, 0].mean() > 0.2 and free[:, 1].mean() > 0.3


def test_the_weight_of_the_cost() -> None:
    """A number scales the slope of the distance; without one the step is 0.3 times as long as that for the loss."""
    platform = Platform("p", {"macs": macs_quantile(0.01, 2)})

    def moved(**settings: Any) -> tuple[Array, MSRANAS]:
        method = MSRANAS(SPACE, [platform], MSRANASSettings(weight_decay=0.0, **settings), 0)
        seen: list[Array] = []

        def change(gradient: Array, rate: float, squares: Array | None = None) -> Array:
            seen.append(gradient)
            return 0.0 * gradient

        method.optimiser.change = change  # type: ignore[method-assign]
        evaluator = QuadraticEvaluator([np.linspace(0, 1, n) for n in SPACE.sizes], 10)
        method.step(evaluator)
        method.step(evaluator)
        return seen[-1], method

    loss = moved(cost_weight=0.0)[0]
    once, method = moved(cost_weight=1.0)
    (pull,) = method.pull(method.relaxation.log_weights())[1]
    np.testing.assert_allclose(once - loss, method.relaxation.log_pullback(pull.slope), atol=1e-12)
    np.testing.assert_allclose(moved(cost_weight=2.5)[0] - loss, 2.5 * (once - loss), atol=1e-12)
    scaled = moved()[0] - loss
    assert np.linalg.norm(scaled) == pytest.approx(0.3 * np.linalg.norm(loss))
    assert scaled @ (once - loss) == pytest.approx(np.linalg.norm(scaled) * np.linalg.norm(once - loss))


# ---------------------------------------------------------------------- answers


def searched(platforms: list[Platform], seed: int = 0, **settings: Any) -> MSRANAS:
    """A method with some alpha."""
    found = MSRANAS(SPACE, platforms, MSRANASSettings(**settings), 0)
    found.relaxation.values = np.random.default_rng(seed).standard_normal(found.relaxation.values.shape)
    return found


@pytest.mark.parametrize("cap", [None, 2])
def test_the_heaviest_cell_within_everything_is_brute_force_s(cap: int | None) -> None:
    """Several platforms, a cap on skips: the one answer is the best of all rows that leave nobody without an exit."""
    large, small = (
        Platform("large", {"macs": macs_quantile(0.6, 2)}),
        Platform("small", {"macs": macs_quantile(0.6, 0)}),
    )
    normal = [i for i, d in enumerate(SPACE.decisions) if d.name.startswith("normal")]
    skip = SPACE.decisions[0].options.index("skip_connect")
    allowed = SPACE.cost("macs")(ROWS) <= large.budgets["macs"]
    allowed &= SPACE.cost("macs", exit=0)(ROWS) <= small.budgets["macs"]
    if cap is not None:
        allowed &= (ROWS[:, normal] == skip).sum(axis=1) <= cap
    replaced = 0
    for seed in range(12):
        method = searched([small, large], seed, skip_cap=cap)
        scores = method.scores()(ROWS)
        best = int(np.where(allowed, scores, np.inf).argmin())
        choices = {p.name: method.choose(p) for p in (small, large)}
        for choice in choices.values():
            assert choice.architecture.row == tuple(ROWS[best])
            assert choice.score == pytest.approx(scores[best])
            own = int(scores.argmin())
            assert (choice.own is None) == allowed[own]
            if choice.own is not None:
                replaced += 1
                assert choice.own.row == tuple(ROWS[own]) and "exceeds" in choice.notes[0]
        assert choices["large"].exit == 2
    assert 4 <= replaced < 24


def test_every_platform_gets_the_latest_exit_that_fits() -> None:
    """The exit, and the cost up to it: the next one would exceed a budget."""
    platforms = [
        Platform("large", {"macs": macs_quantile(0.9, 2)}),
        Platform("middle", {"macs": macs_quantile(0.5, 1), "params": 10**6}),
        Platform("small", {"params": int(np.median(SPACE.cost("params", exit=0)(ROWS)))}),
    ]
    seen = set()
    for seed in range(8):
        method = searched(platforms, seed)
        for platform in platforms:
            choice = method.choose(platform)
            row, exit = np.array([choice.architecture.row]), choice.exit
            assert exit is not None
            for kind, limit in platform.budgets.items():
                assert choice.costs[kind] == SPACE.cost(kind, exit=exit)(row)[0] <= limit
            later = range(exit + 1, SPACE.exits)
            assert all(
                any(SPACE.cost(k, exit=e)(row)[0] > limit for k, limit in platform.budgets.items()) for e in later
            )
            seen.add((platform.name, exit))
    assert ("large", 2) in seen and {("middle", 1), ("middle", 2)} <= seen and ("small", 0) in seen


def test_the_largest_platform_decides() -> None:
    """The one whose tightest budget leaves the most room, in whatever unit and order; it aims the expected cost."""
    params = int(SPACE.cost("params")(ROWS).max())
    tight = Platform("tight", {"macs": macs_quantile(1.0, 2), "params": params // 4})
    roomy = Platform("roomy", {"params": params // 2})
    for platforms in ([tight, roomy], [roomy, tight]):
        method = searched(platforms)
        assert method.service.largest is roomy and list(method.most_probable()) == ["roomy"]
        assert method.pull.budgets[0].limit == params // 2 and list(method.trace()) == ["roomy"]


def test_the_first_exit_fits_the_smallest() -> None:
    """Of the platforms that do not decide, each cost is bounded by the tightest, whatever their order."""
    limits = [macs_quantile(0.9, 0), macs_quantile(0.5, 0), macs_quantile(0.7, 0)]
    others = [Platform(f"p{limit}", {"macs": limit}) for limit in limits]
    for order in (others, others[::-1]):
        service = Service(SPACE, [*order, Platform("large", {"macs": 10**9})])
        assert [b.limit for b in service.budgets] == [10**9, limits[1]]


def test_a_platform_for_early_exits_alone() -> None:
    """Where no architecture fits up to the last exit, the latest exit that one can reach serves."""
    least = [int(SPACE.cost("macs", exit=e)(ROWS).min()) for e in range(3)]
    platform = Platform("p", {"macs": (least[1] + least[2]) // 2})
    method = searched([platform])
    method.check_reachable()
    assert method.service.last == 1
    assert method.choose(platform).exit == 1


def test_what_no_exit_serves_is_refused_before() -> None:
    """A platform below the first exit is named with the cheapest cost there, before anything is searched."""
    least = int(SPACE.cost("macs", exit=0)(ROWS).min())
    with pytest.raises(InfeasibleBudgetError, match=rf"'watch' even at the first exit: macs <= .* macs is {least:,}"):
        searched([Platform("ok", {"macs": 10**9}), Platform("watch", {"macs": least - 1})]).check_reachable()
    method = searched([Platform("ok", {"macs": 10**9}), Platform("watch", {"macs": least})])
    method.check_reachable()
    assert [method.choose(p).exit for p in method.platforms] == [2, 0]
    with pytest.raises(InfeasibleBudgetError, match="skips of the normal cell <= 0"):
        searched([Platform("watch", {"macs": least})], skip_cap=0).check_reachable()


def test_lazy_costs_are_those_of_what_an_exit_reads() -> None:
    """Without the classifiers of earlier exits a budget goes further; only on request."""
    row = ROWS[:1]
    eager, lazy = (int(SPACE.cost("macs", exit=2, lazy=lazy)(row)[0]) for lazy in (False, True))
    assert lazy < eager
    platform = Platform("p", {"macs": lazy})
    assert Service(SPACE, [platform], lazy=True).exit_for(row[0], platform) == 2
    assert Service(SPACE, [platform]).exit_for(row[0], platform) == 1
    choice = searched([platform], lazy_costs=True).choose(platform)
    found = np.array([choice.architecture.row])
    assert choice.costs["macs"] == SPACE.cost("macs", exit=choice.exit, lazy=True)(found)[0]


def test_one_exit_has_no_number() -> None:
    """Where the network has one output, the choice names none."""
    space: SearchSpace = cell_space(2, layers=("normal",))
    method = MSRANAS(space, [Platform("p", {"macs": 10**9})])
    assert method.choose(method.platforms[0]).exit is None


def test_latencies_of_exits_are_not_known() -> None:
    """A latency is that of a whole network on its device: of an earlier exit there is none, which is said."""
    platform = Platform("phone", {"latency_ms": 10}, device="pixel1_tunas")
    with pytest.raises(RequestError, match=r"'phone'.*latenc"):
        searched([platform]).check_reachable()
