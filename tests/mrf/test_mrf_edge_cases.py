"""The edge cases of the notes on AOWS (8.4), units, wrong numbers, and the official bisection's pitfalls."""

from __future__ import annotations

import numpy as np
import pytest
from mrf_graphs import TABLE_1_MACS, concave_scores, mobilenet_channels, mobilenet_costs

from sartor.costs.factors import Factor, FactorCost
from sartor.errors import InfeasibleBudgetError, RequestError
from sartor.mrf import Budget, Problem, bisection, cheapest, count, k_best, lagrangian, minimise

MACS, PARAMS = mobilenet_costs()
SMALLEST = 2_345_120


def _problem(seed: int, noise: float = 0.0005) -> Problem:
    return Problem(MACS.sizes, concave_scores(MACS.sizes, np.random.default_rng(seed), noise))


def test_the_chain_has_the_published_sizes() -> None:
    """185 options, 2,396 pairwise cells with the fixed ends, 3.74e15 rows, cheapest and dearest (reference 1.2)."""
    assert MACS.sizes == (6, 11, *[14] * 12)
    ends = MACS.sizes[0] + MACS.sizes[-1]
    assert sum(MACS.sizes) == 185
    assert sum(f.table.size for f in MACS.factors) + ends == 2_396
    assert count(_problem(0)) == 6 * 11 * 14**12
    assert cheapest(_problem(0), MACS).costs["macs"] == SMALLEST
    assert MACS(np.array([[n - 1 for n in MACS.sizes]]))[0] == 102_700_032
    assert mobilenet_channels()[0].tolist() == [8, 16, 24, 32, 40, 48]


def test_case_1_budget_below_the_smallest_network() -> None:
    """It raises, naming budget, limit and the cheapest reachable cost, where the official loop never ends."""
    budget = Budget(MACS, SMALLEST - 1, "macs")
    for solve in (
        lambda: minimise(_problem(0), [budget]),
        lambda: lagrangian(_problem(0), budget),
        lambda: bisection(_problem(0), budget),
        lambda: k_best(_problem(0), [budget], 3),
    ):
        with pytest.raises(InfeasibleBudgetError, match=r"macs <= 2,345,119 .* macs is 2,345,120"):
            solve()
    assert count(_problem(0), [budget]) == 0


def test_case_2_budget_above_the_unconstrained_optimum() -> None:
    """The unconstrained optimum comes back with multiplier 0."""
    free = minimise(_problem(1))
    assert free.multiplier is None
    for limit in (float(MACS(free.row[None])[0]), 1e12, np.inf):
        for found in (
            minimise(_problem(1), [Budget(MACS, limit, "macs")]),
            lagrangian(_problem(1), Budget(MACS, limit, "macs")),
        ):
            assert found.multiplier == 0.0 and found.gap == 0.0
            assert (found.row == free.row).all()


def test_case_3_budget_equal_to_a_configurations_cost() -> None:
    """Equality is feasible, one MAC less is not."""
    problem, budget = _problem(2), Budget(MACS, 12_213_248, "macs")
    best = minimise(problem, [budget])
    exact = minimise(problem, [Budget(MACS, best.costs["macs"], "macs")])
    assert (exact.row == best.row).all()
    below = minimise(problem, [Budget(MACS, best.costs["macs"] - 1, "macs")])
    assert below.score > best.score and below.costs["macs"] < best.costs["macs"]
    assert (minimise(problem, [Budget(MACS, SMALLEST, "macs")]).row == 0).all()


def test_case_4_all_scores_zero() -> None:
    """Among equal scores the cheapest row wins, whatever the budget; then the lowest indices."""
    problem = Problem(MACS.sizes, FactorCost(MACS.sizes, []))
    for budgets in (
        [],
        [Budget(MACS, 5e7, "macs")],
        [Budget(MACS, SMALLEST, "macs")],
        [Budget(PARAMS, 1e6, "params"), Budget(MACS, 5e7, "macs")],
    ):
        assert (minimise(problem, budgets).row == 0).all()
    ten = k_best(problem, [Budget(MACS, 5e7, "macs")], 10)
    assert len({tuple(s.row) for s in ten}) == 10
    assert [s.costs["macs"] for s in ten] == sorted(s.costs["macs"] for s in ten)


def test_ties_in_score_and_cost_go_to_the_lowest_indices() -> None:
    """The order of the decisions decides, also where the sweep visits them in another order."""
    sizes = (2, 3, 2, 2)
    scores = FactorCost(sizes, [Factor((0, 3), np.array([[1.0, 0.0], [0.0, 1.0]]))])
    cost = FactorCost(sizes, [Factor((1, 2), np.array([[3, 1], [1, 3], [1, 3]]))], 0, "sum", "cost")
    for budgets in ([Budget(cost, 3, "cost")], [Budget(cost, 1, "cost")]):
        assert minimise(Problem(sizes, scores), budgets).row.tolist() == [0, 0, 1, 1]
    assert [s.row.tolist() for s in k_best(Problem(sizes, scores), [Budget(cost, 1, "cost")], 4)] == [
        [0, 0, 1, 1],
        [0, 1, 0, 1],
        [0, 2, 0, 1],
        [1, 0, 1, 0],
    ]


def test_case_6_single_options_and_unequal_counts() -> None:
    """Decisions with one option and decisions that no factor reads cost nothing and are all counted."""
    sizes = (1, 3, 1, 4, 2)
    scores = FactorCost(sizes, [Factor((0, 1), np.array([[3.0, 1.0, 2.0]])), Factor((2,), np.array([5.0]))])
    problem = Problem(sizes, scores)
    assert count(problem) == 24
    assert minimise(problem).row.tolist() == [0, 1, 0, 0, 0]
    assert len(k_best(problem, [], 100)) == 24
    assert minimise(Problem((1,), FactorCost([1], []))).row.tolist() == [0]


def test_case_8_scores_that_do_not_fall_with_width() -> None:
    """Where a narrow network is the best the budget is left unused."""
    rising = FactorCost(MACS.sizes, [Factor((d,), np.arange(n, dtype=float)) for d, n in enumerate(MACS.sizes)])
    found = minimise(Problem(MACS.sizes, rising), [Budget(MACS, 4e7, "macs")])
    assert (found.row == 0).all() and found.multiplier == 0.0


def test_case_9_the_unit_of_a_cost_changes_nothing() -> None:
    """Costs and limits in millionths give the same rows and gaps, with the multiplier in the new unit."""
    fine = FactorCost(MACS.sizes, [Factor(f.scope, f.table * 1_000_000) for f in MACS.factors], 0, "sum", "fine")
    fine_params = FactorCost(PARAMS.sizes, [Factor(f.scope, f.table * 10**6) for f in PARAMS.factors])
    for seed, target in enumerate(TABLE_1_MACS):
        problem = _problem(seed)
        for solve in (
            lambda p, b: minimise(p, [b]),
            lambda p, b: lagrangian(p, b),
            lambda p, b: k_best(p, [b], 5)[-1],
        ):
            plain = solve(problem, Budget(MACS, target, "macs"))
            scaled = solve(problem, Budget(fine, target * 1_000_000, "macs"))
            assert (plain.row == scaled.row).all() and plain.score == scaled.score and plain.gap == scaled.gap
            assert plain.multiplier is not None
            assert scaled.multiplier == pytest.approx(plain.multiplier / 1e6, rel=1e-12)
        limit = float(PARAMS(minimise(problem, [Budget(MACS, target, "macs")]).row[None])[0]) * 0.95
        if limit > 170_000:
            two = minimise(problem, [Budget(MACS, target, "macs"), Budget(PARAMS, limit, "params")])
            scaled = minimise(problem, [Budget(fine, target * 1e6, "macs"), Budget(fine_params, limit * 1e6, "params")])
            assert (two.row == scaled.row).all()


def test_the_official_bisection_depends_on_the_unit() -> None:
    """In raw MACs it wastes most of the budget, in cost over target it comes near the hull (reference 5.4)."""
    raw, relative, hull = [], [], []
    for seed, target in enumerate(TABLE_1_MACS):
        problem = _problem(seed)
        best = minimise(problem, [Budget(MACS, target, "macs")])
        worst = minimise(problem, [Budget(MACS, SMALLEST, "macs")])
        span = worst.score - best.score
        found = (
            bisection(problem, Budget(MACS, target, "macs")),
            bisection(problem, Budget(MACS.scaled(1 / target), 1.0, "macs")),
            lagrangian(problem, Budget(MACS, target, "macs")),
        )
        for gaps, solution in zip((raw, relative, hull), found, strict=True):
            gaps.append((solution.score - best.score) / span)
            assert MACS(solution.row[None])[0] <= target
            assert solution.score - solution.gap <= best.score + 1e-12
    assert np.mean(raw) > 0.3 > 0.1 > np.mean(relative) >= np.mean(hull) >= 0


def test_bisection_doubles_its_upper_end() -> None:
    """Where 10 is too small a multiplier the end doubles until the row fits, with a warning after two doublings."""
    table = np.array([0.0, 1000.0])
    problem = Problem((2,), FactorCost([2], [Factor((0,), table)]))
    cost = FactorCost([2], [Factor((0,), np.array([1, 0]))], 0, "sum", "cost")
    with pytest.warns(RuntimeWarning, match="doubled 7 times"):
        found = bisection(problem, Budget(cost, 0, "cost"))
    assert found.row.tolist() == [1] and found.multiplier == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.0005, 0.002])
def test_exact_solver_on_the_real_chain_beats_the_hull_and_is_bounded_by_it(noise: float) -> None:
    """Proven optimal for seven targets, within the Lagrangian's gap, and better than it most of the time."""
    better = 0
    for seed in range(3):
        problem = _problem(seed, noise)
        for target in TABLE_1_MACS:
            budget = Budget(MACS, target, "macs")
            exact, hull = minimise(problem, [budget]), lagrangian(problem, budget)
            assert exact.gap == 0.0 and exact.costs["macs"] <= target
            assert hull.score - hull.gap - 1e-15 <= exact.score <= hull.score
            assert exact.multiplier == hull.multiplier
            better += exact.score < hull.score
    assert better > 8


def test_two_sums_on_the_real_chain() -> None:
    """Both budgets hold, the answer is proven, and a looser second budget gives the one-budget answer."""
    for seed, target in enumerate(TABLE_1_MACS[1:]):
        problem, macs = _problem(seed), Budget(MACS, target, "macs")
        one = minimise(problem, [macs])
        used = float(PARAMS(one.row[None])[0])
        assert (minimise(problem, [macs, Budget(PARAMS, used, "params")]).row == one.row).all()
        two = minimise(problem, [macs, Budget(PARAMS, int(used * 0.8), "params")])
        assert two.gap == 0.0 and two.score > one.score
        assert two.costs["macs"] <= target and two.costs["params"] <= used * 0.8
        swapped = minimise(problem, [Budget(PARAMS, int(used * 0.8), "params"), macs])
        assert (two.row == swapped.row).all()


def test_budgets_that_fit_alone_but_not_together() -> None:
    """The message says so and gives the cheapest of each with the other met."""
    sizes = (2,)
    up = FactorCost(sizes, [Factor((0,), np.array([1, 5]))], 0, "sum", "up")
    down = FactorCost(sizes, [Factor((0,), np.array([7, 2]))], 0, "max", "down")
    problem = Problem(sizes, FactorCost(sizes, []))
    with pytest.raises(InfeasibleBudgetError, match="alone, but not together") as error:
        minimise(problem, [Budget(up, 3, "up"), Budget(down, 4, "down")])
    assert "with down <= 4 the cheapest reachable up is 5" in str(error.value)
    assert "with up <= 3 the cheapest reachable down is 7" in str(error.value)
    with pytest.raises(InfeasibleBudgetError, match="alone, but not together"):
        minimise(problem, [Budget(up, 1, "up"), Budget(down, 2, "down")])
    with pytest.raises(InfeasibleBudgetError, match="down <= 1 cannot be met: the cheapest reachable down is 2"):
        minimise(problem, [Budget(down, 1, "down")])


def test_numbers_that_are_none_are_refused_by_name() -> None:
    """nan and -inf name their decision; inf forbids the option; everything forbidden is one clear error."""
    names = ("stem", "block")
    for wrong, word in ((np.nan, "not a number"), (-np.inf, "minus infinity")):
        scores = FactorCost((2, 2), [Factor((1,), np.array([0.0, wrong]))])
        with pytest.raises(RequestError, match=f"block is {word}"):
            Problem((2, 2), scores, names=names)
    half = FactorCost((2, 2), [Factor((1,), np.array([np.inf, 3.0])), Factor((0,), np.array([1.0, 0.0]))])
    assert minimise(Problem((2, 2), half)).row.tolist() == [1, 1]
    assert count(Problem((2, 2), half)) == 2
    none = FactorCost((2, 2), [Factor((1,), np.array([np.inf, np.inf]))])
    with pytest.raises(RequestError, match="no architecture keeps all rules"):
        minimise(Problem((2, 2), none))
    with pytest.raises(RequestError, match="no architecture keeps all rules"):
        minimise(Problem((2, 2), half, [Factor((1,), np.array([True, False]))]))


def test_costs_must_be_whole_numbers() -> None:
    """A fractional cost is refused with what to do; a float table of whole numbers is welcome."""
    sizes = (2, 2)
    problem = Problem(sizes, FactorCost(sizes, [Factor((0,), np.array([1.0, 0.0]))]), names=("a", "b"))
    whole = FactorCost(sizes, [Factor((0,), np.array([1.0, 2.0]))], 0, "sum", "ms")
    assert minimise(problem, [Budget(whole, 1, "ms")]).row.tolist() == [0, 0]
    for value, words in ((1.5, "not in whole numbers"), (np.inf, "not a finite number")):
        broken = FactorCost(sizes, [Factor((0,), np.array([1.0, value]))], 0, "sum", "ms")
        with pytest.raises(RequestError, match=f"'ms': the cost of a is {words}"):
            minimise(problem, [Budget(broken, 1, "ms")])


@pytest.mark.parametrize(
    ("budgets", "word"),
    [
        ([Budget(MACS, 1e8, "macs"), Budget(PARAMS, 1e8, "macs")], "different names"),
        ([Budget(FactorCost((2,), []), 1, "tiny")], "other decisions"),
    ],
)
def test_budgets_that_do_not_belong_are_refused(budgets: list[Budget], word: str) -> None:
    """Two budgets of one name and a cost of another space are named in the error."""
    with pytest.raises(RequestError, match=word):
        minimise(_problem(0), budgets)
    with pytest.raises(RequestError, match="not a number"):
        Budget(MACS, np.nan, "macs")


def test_counting_within_a_fine_sum_is_refused() -> None:
    """Near either end of the range it is exact; in the middle of a fine cost the error says what to do."""
    problem = _problem(0)
    assert count(problem, [Budget(MACS, SMALLEST, "macs")]) == 1
    everything = 6 * 11 * 14**12
    assert count(problem, [Budget(MACS, 102_700_031, "macs")]) == everything - 1
    with pytest.raises(RequestError, match="coarser unit"):
        count(problem, [Budget(MACS, 30_000_000, "macs")])
