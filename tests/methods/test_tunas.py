"""TuNAS: what a step does, what the policy learns from it, the schedules, and the answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.reinforce import Controller
from sartor.methods.rewards import Reward
from sartor.methods.tunas import TuNAS, TuNASSettings
from sartor.platforms import Platform
from sartor.policy import Policy
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing.evaluators import OnlyTheContract, evaluator_for, platforms_for
from sartor.testing.examples import small_space

Array = NDArray[Any]


def blocks() -> SearchSpace:
    """Two optional layers with a kernel and a width each, and a width of their own: 1,728 rows."""
    decisions, templates = [], []
    for i, side in ((1, 8), (2, 8)):
        decisions += [
            Decision(f"layer{i}", ("layer", "skip")),
            Decision(f"kernel{i}", (3, 5, 7), when=(f"layer{i}", ("layer",))),
            Decision(f"expansion{i}", (1, 2, 3, 4), "width", when=(f"layer{i}", ("layer",))),
        ]
        names = tuple(d.name for d in decisions[-3:])
        templates.append(Template(f"block{i}", ("filters", *names), _block(side)))
    decisions.insert(0, Decision("filters", (4, 8, 12), "width"))
    stem = Template("stem", ("filters",), lambda w: Stack(3, 8).conv("conv", w, kernel=3).batch_norm().activation())
    head = Template("head", ("filters",), lambda w: Stack(w, 8).global_pool().linear("linear", 5))
    return SearchSpace("blocks", decisions, [stem, *templates, head], image_size=8)


def _block(side: int) -> Any:
    def resolve(filters: int, layer: str, kernel: int, expansion: int) -> Stack:
        start = Stack(filters, side)
        if layer == "skip":
            return start
        body = start.conv("expand", filters * expansion).batch_norm().activation()
        body = body.depthwise(f"depthwise_k{kernel}", kernel=kernel).batch_norm(f"norm_k{kernel}").activation()
        return start.residual(body.conv("project", filters).batch_norm("norm"))

    return resolve


SPACE = blocks()
ROWS = np.array(list(itertools.product(*[range(n) for n in SPACE.sizes])))
MACS = SPACE.cost("macs")
OPS = [d.kind == "op" for d in SPACE.decisions]


def platform(quantile: float = 0.5, name: str = "phone") -> Platform:
    return Platform(name, {"macs": int(np.quantile(MACS(ROWS), quantile))})


class Watched:
    """An evaluator that stands still: it answers 0.5, remembers what it was asked, and moves when told."""

    trains = True

    def __init__(self, progress: float = 0.0, step: float = 0.01) -> None:
        self.progress, self.step = progress, step
        self.calls: list[tuple[str, list[Any]]] = []

    def train(self, passes: Sequence[Any], combine: str = "sum", temperature: float = 1.0) -> Array:
        self.calls.append(("train", list(passes)))
        return np.full(len(passes), np.nan)

    def score(self, selections: Sequence[Any]) -> tuple[Array, Array]:
        self.calls.append(("score", list(selections)))
        self.progress += self.step
        return np.full(len(selections), 0.7), np.full(len(selections), 0.5)


# ---------------------------------------------------------------- what is learnt


def expected_reward(policy: Policy, reward: Array) -> float:
    """The mean reward by enumeration, from the logits alone."""
    logs = sum(policy.logits[d][ROWS[:, d]] for d in range(len(SPACE.sizes)))
    probability = np.exp(logs - np.logaddexp.reduce(logs))
    return float(probability @ reward)


def test_the_update_is_the_gradient_of_the_expected_reward() -> None:
    """All rows once are the uniform policy's expectation: the step is Adam's along the exact gradient."""
    policy = Policy(SPACE, [[d.name] for d in SPACE.decisions], active_only=True)
    controller = Controller(policy, Reward("absolute", -0.1, TuNAS(SPACE, [platform()]).budgets[0]), 0.95)
    canonical = SPACE.canonical(ROWS)
    quality = 0.5 + 0.1 * np.sin(canonical @ np.arange(1, 8))
    reward = controller.reward(ROWS, quality)
    exact = np.zeros(policy.logits.shape)
    for d, o in itertools.product(range(len(SPACE.sizes)), range(max(SPACE.sizes))):
        if o < SPACE.sizes[d]:
            values = []
            for sign in (1, -1):
                moved = np.zeros(exact.shape)
                moved[d, o] = sign * 1e-5
                policy.logits = moved
                values.append(expected_reward(policy, reward))
            exact[d, o] = (values[0] - values[1]) / 2e-5
    policy.logits = np.zeros(exact.shape)
    each = (reward - reward.mean())[:, None, None] * policy.gradients(ROWS)
    np.testing.assert_allclose(each.mean(axis=0), exact, atol=1e-9)
    controller.learn(ROWS, np.zeros(ROWS.shape, dtype=bool), quality, rate=0.01)
    # Adam's first step: the gradient over the root of the mean square (not of the square of the mean).
    step = 0.01 * each.mean(axis=0) / (np.sqrt((each**2).mean(axis=0)) + 1e-8)
    found = np.where(np.isfinite(policy.logits), policy.logits, 0.0)
    np.testing.assert_allclose(found, step, atol=1e-12)
    assert np.abs(found).max() > 1e-4


def test_two_steps_of_baseline_and_adam_by_hand() -> None:
    """Momentum 0.95, debiased, the new reward inside; second moments with 0.999, no first moment."""
    controller = flipping()
    policy = controller.policy
    first, second = np.array([[0]]), np.array([[1]])
    no = np.zeros((1, 1), dtype=bool)
    metrics = controller.learn(first, no, np.array([0.5]), rate=1.0)
    assert metrics["reward"] == 0.5 and metrics["quality"] == 0.5
    assert (policy.logits == 0).all()  # the baseline is the reward itself
    controller.learn(second, no, np.array([0.8]), rate=0.1)
    baseline = (0.95 * 0.05 * 0.5 + 0.05 * 0.8) / (0.95 * 0.05 + 0.05)
    gradient = (0.8 - baseline) * np.array([-0.5, 0.5])
    square = 0.001 * gradient**2 / (1 - 0.999**2)
    np.testing.assert_allclose(policy.logits[0], 0.1 * gradient / (np.sqrt(square) + 1e-8), rtol=1e-12)


def flipping(**settings: float) -> Controller:
    """A controller for a space of one decision with two options."""
    space = SearchSpace("coin", [Decision("coin", ("a", "b"), "op")], [Template("t", ("coin",), _coin)], image_size=4)
    budgets = TuNAS(space, [Platform("p", {"macs": 10_000})]).budgets[0]
    return Controller(Policy(space, active_only=True), Reward("hard", -0.1, budgets), 0.95, **settings)


def _coin(side: str) -> Stack:
    return Stack(3, 4).conv("conv" + side, 1, kernel=1 if side == "a" else 3).global_pool().linear("linear", 2)


def test_an_entropy_bonus_climbs_the_entropy() -> None:
    """In expectation it adds rate times weight times the exact gradient of the entropy of networks."""
    policy = Policy(SPACE, active_only=True)
    policy.logits = np.random.default_rng(0).normal(size=policy.logits.shape)
    start = np.where(np.isfinite(policy.logits), policy.logits, 0.0)
    probability = np.exp(Policy.log_probability(_plain(start), ROWS))
    rows = ROWS[np.random.default_rng(1).choice(len(ROWS), 40_000, p=probability)]
    budgets = TuNAS(SPACE, [platform()]).budgets[0]
    controller = Controller(policy, Reward("hard", -1e-300, budgets), 0.95, entropy_weight=0.5)
    controller.learn(rows, np.zeros(rows.shape, dtype=bool), np.full(len(rows), 0.5), rate=0.1)
    moved = np.where(np.isfinite(policy.logits), policy.logits, 0.0) - start
    for d, o in ((0, 1), (1, 0), (2, 2), (6, 3)):
        entropies = []
        for sign in (1, -1):
            shifted = start.copy()
            shifted[d, o] += sign * 1e-4
            policy.logits = shifted
            entropies.append(policy.entropy_nats)
        slope = (entropies[0] - entropies[1]) / 2e-4
        assert moved[d, o] == pytest.approx(0.1 * 0.5 * slope, abs=0.1 * 0.5 * 0.03)


def test_an_entropy_bonus_leaves_a_uniform_policy_alone() -> None:
    """There every sample is as surprising as the mean one: the exact entropy is the bonus's baseline."""
    controller = flipping(entropy_weight=10.0)
    controller.learn(np.array([[0]]), np.zeros((1, 1), dtype=bool), np.array([0.5]), rate=1.0)
    np.testing.assert_allclose(controller.policy.logits, 0.0, atol=1e-12)


def _plain(logits: Array) -> Policy:
    policy = Policy(SPACE)
    policy.logits = logits
    return policy


@pytest.mark.parametrize("quantile", [0.25, 0.75])
def test_a_constant_quality_drives_the_cost_to_the_target(quantile: float) -> None:
    """From above and from below: with the absolute reward the expected cost ends at T0 (facts, section 10)."""
    phone = platform(quantile)
    method = TuNAS(SPACE, [phone], seed=1)
    before = method.policies[0].expectation(MACS) / phone.budgets["macs"]
    assert before > 1.3 if quantile < 0.5 else before < 0.8
    evaluator = TableEvaluator(ROWS, np.full(len(ROWS), 60.0), 600, np.random.default_rng(0))
    while not evaluator.done:
        method.step(evaluator)
    assert method.policies[0].expectation(MACS) / phone.budgets["macs"] == pytest.approx(1, abs=0.04)


def test_quality_decides_among_architectures_of_one_cost() -> None:
    """Where one kernel is three points better than the others the policy prefers it in both layers."""
    better = 60 + 3.0 * (ROWS[:, 2] == 1) + 3.0 * (ROWS[:, 5] == 1)
    method = TuNAS(SPACE, [platform(0.6)], TuNASSettings(rate_sum=150), seed=0)
    evaluator = TableEvaluator(ROWS, better, 1500, np.random.default_rng(0), noise_points=0.5)
    while not evaluator.done:
        method.step(evaluator)
    assert method.policies[0].mode()[[2, 5]].tolist() == [1, 1]


# ---------------------------------------------------------------- one step


def test_the_same_architectures_train_and_are_scored_in_this_order() -> None:
    """Weights first, then the reward with the new weights, as in the official code; losses are averaged."""
    method = TuNAS(SPACE, [platform(0.3, "a"), platform(0.7, "b")], TuNASSettings(samples=3))
    evaluator = Watched(0.5)
    metrics = method.step(evaluator)
    (first, passes), (second, scored) = evaluator.calls
    assert (first, second) == ("train", "score")
    assert [p.selection for p in passes] == scored and len(scored) == 6
    assert sum(p.weight for p in passes) == pytest.approx(1.0)
    assert method.passes_per_step == method.scorings_per_step == 6
    assert metrics["quality"] == metrics["quality/a"] == 0.5
    both = [metrics["cost_ratio/a"], metrics["cost_ratio/b"]]
    assert metrics["cost_ratio"] == pytest.approx(np.mean(both)) and both[0] > both[1]
    assert metrics["entropy_nats"] > 0 and "reward/b" in metrics and metrics["policy_rate"] > 0
    json.dumps(metrics)


def test_a_table_is_neither_trained_nor_warmed_up() -> None:
    """Without weights every query goes to a sample of the policy, and the policy learns from the first step on."""
    method = TuNAS(SPACE, [platform()])
    evaluator = OnlyTheContract(TableEvaluator(ROWS, np.full(len(ROWS), 50.0), 10, np.random.default_rng(0)))
    assert method.step(evaluator)["policy_rate"] > 0
    assert all(isinstance(option, int) for option in evaluator.asked[0])


def test_at_first_everything_is_warmed_up() -> None:
    """p = 1: every operation is the mean of all its options, every width the largest; nothing reaches the policy."""
    method = TuNAS(SPACE, [platform()], TuNASSettings(samples=4))
    evaluator = Watched(0.0, step=0.0)
    for _ in range(3):
        metrics = method.step(evaluator)
    for _, selections in evaluator.calls[1::2]:
        for selection in selections:
            for decision, entry in zip(SPACE.decisions, selection, strict=True):
                if decision.kind == "width":
                    assert entry == len(decision.options) - 1
                else:
                    np.testing.assert_array_equal(entry, np.full(len(decision.options), 1 / len(decision.options)))
    controller = method.controllers[0]
    assert metrics["policy_rate"] == 0 and controller.optimiser.steps == 3
    assert (controller.optimiser.second == 0).all()
    assert controller.baseline[1] == pytest.approx(1 - 0.95**3)
    assert method.policies[0].entropy_nats == method.first_entropy_nats[0]


@pytest.mark.parametrize(
    ("progress", "settings", "op", "width"),
    [
        (0.1, {}, 0.6, 0.6),
        (0.2, {}, 0.2, 0.2),
        (0.25, {}, 0.0, 0.0),
        (0.05, {"op_warmup": 0.1, "filter_warmup": False}, 0.5, 0.0),
        (0.05, {"op_warmup": False, "filter_warmup": 0.2}, 0.0, 0.75),
    ],
)
def test_warmups_fall_linearly(progress: float, settings: dict[str, Any], op: float, width: float) -> None:
    """The share of replaced decisions, each on its own; what is not replaced is the policy's sample."""
    method = TuNAS(SPACE, [platform()], TuNASSettings(samples=50, **settings))
    evaluator = Watched(progress, step=0.0)
    for _ in range(8):
        method.step(evaluator)
    selections = [s for name, asked in evaluator.calls if name == "score" for s in asked]
    ops = np.array([[np.ndim(e) for e, is_op in zip(s, OPS, strict=True) if is_op] for s in selections])
    assert ops.mean() == pytest.approx(op, abs=0.05)
    correlation = np.corrcoef(ops.T)[0, 1] if 0 < op < 1 else 0.0
    assert abs(correlation) < 0.2  # every decision draws for itself
    largest = np.mean([s[0] == 2 for s in selections])  # a third of the samples is the largest anyway
    assert largest == pytest.approx(width + (1 - width) / 3, abs=0.08)


# ---------------------------------------------------------------- schedules


def test_rates_sum_to_the_setting_in_any_number_of_steps() -> None:
    """And the official run's add up to 380: 27,050 steps, of which the first 6,762 are frozen."""
    for growth, frozen in itertools.product((10.0, 1.0), (True, False)):
        method = TuNAS(SPACE, [platform()], TuNASSettings(rate_sum=150, rate_growth=growth))
        for steps in (7, 300, 5000):
            edges = np.linspace(0, 1, steps + 1)
            rates = [method.policy_rate(a, b, frozen) for a, b in itertools.pairwise(edges)]
            assert sum(rates) == pytest.approx(150, rel=1e-9)
    paper = TuNAS(SPACE, [platform()], TuNASSettings(rate_rule="paper"))
    official = [paper.policy_rate(s / 27_050, (s + 1) / 27_050, True) for s in range(27_050)]
    assert sum(official) == pytest.approx(380.6, abs=0.1)


@pytest.mark.parametrize("rule", ["scaled", "paper"])
def test_the_rate_is_zero_for_a_quarter_and_then_grows_tenfold(rule: Any) -> None:
    """It jumps from 0 to the base rate at 25 % and is ten times that at the end (facts, section 10)."""
    method = TuNAS(SPACE, [platform()], TuNASSettings(rate_rule=rule))

    def rate(at: float) -> float:
        return method.policy_rate(at, at + 1e-6, True)

    assert rate(0.0) == rate(0.2499) == 0
    assert rate(0.25) > 0
    assert rate(1 - 1e-6) / rate(0.25) == pytest.approx(10, rel=1e-4)
    assert rate(0.625) / rate(0.25) == pytest.approx(10**0.5, rel=1e-4)
    if rule == "paper":
        assert rate(0.25) == pytest.approx(0.0048)


@pytest.mark.parametrize(("steps", "total"), [(20_288, 380.0), (3_000, 146.1), (300, 46.2)])
def test_short_searches_have_a_smaller_sum(steps: int, total: float) -> None:
    """Without a setting the sum follows the root of the number of steps, from the official run's 380 down."""
    method = TuNAS(SPACE, [platform()], TuNASSettings())
    edges = np.linspace(0.25, 1, steps + 1)
    rates = [method.policy_rate(a, b, True) for a, b in itertools.pairwise(edges)]
    assert sum(rates) == pytest.approx(total, abs=0.1)


def test_a_search_spends_the_whole_sum() -> None:
    """On a table, with steps of several samples that do not divide the queries; the last ones go unanswered."""
    method = TuNAS(SPACE, [platform()], TuNASSettings(samples=7, rate_sum=12.0))
    evaluator = TableEvaluator(ROWS, np.full(len(ROWS), 50.0), 100, np.random.default_rng(0))
    rates = []
    while not evaluator.done:
        rates.append(method.step(evaluator)["policy_rate"])
    assert sum(rates) == pytest.approx(12.0)
    assert len(rates) == 15 and evaluator.spent == 100


def test_many_platforms_at_the_end_of_a_table() -> None:
    """A platform that got no answer keeps its policy; nothing becomes NaN."""
    method = TuNAS(SPACE, [platform(0.3, "a"), platform(0.7, "b")], TuNASSettings(samples=2))
    evaluator = TableEvaluator(ROWS, np.full(len(ROWS), 50.0), 6, np.random.default_rng(0))
    method.step(evaluator)
    kept = method.policies[1].state_dict()
    metrics = method.step(evaluator)
    assert method.policies[1].state_dict() == kept
    assert metrics["quality"] == metrics["quality/a"] == 0.5 and np.isfinite(metrics["loss"])
    assert "quality/b" not in metrics and "entropy_nats/b" in metrics


# ---------------------------------------------------------------- the answer


def test_an_argmax_above_the_budget_is_reported_beside_the_answer() -> None:
    """The answer is the most probable row within the budget, by enumeration; both are canonical."""
    phone = platform(0.4)
    method = TuNAS(SPACE, [phone])
    exceeded = 0
    for seed in range(12):
        policy = method.policies[0]
        policy.logits = np.random.default_rng(seed).normal(0, 1, policy.logits.shape)
        choice = method.choose(phone)
        own = tuple(SPACE.canonical(np.array([[p.argmax() for p in policy.decision_probabilities()]]))[0])
        fits = MACS(ROWS) <= phone.budgets["macs"]
        best = ROWS[fits][
            _plain(np.where(np.isfinite(policy.logits), policy.logits, 0)).log_probability(ROWS[fits]).argmax()
        ]
        if MACS(np.array([own]))[0] > phone.budgets["macs"]:
            exceeded += 1
            assert choice.own is not None and choice.own.row == own
            assert choice.own_costs == {"macs": MACS(np.array([own]))[0]}
            assert choice.architecture.row == tuple(SPACE.canonical(best[None])[0])
        else:
            assert choice.own is None and choice.architecture.row == own
        row = np.array([choice.architecture.row])
        assert choice.costs["macs"] == MACS(row)[0] <= phone.budgets["macs"]
        assert choice.score == pytest.approx(-policy.log_probability(row)[0])
    assert 2 < exceeded < 11


def test_platforms_have_policies_of_their_own() -> None:
    """On one table three platforms end at different costs; a fourth one is refused."""
    small, middle, large = (platform(q, f"q{q}") for q in (0.2, 0.5, 0.8))
    method = TuNAS(SPACE, [small, middle, large], seed=0)
    accuracy = 50 + 10 * MACS(ROWS) / MACS(ROWS).max()
    evaluator = TableEvaluator(ROWS, accuracy, 1500, np.random.default_rng(0), noise_points=1.0)
    while not evaluator.done:
        method.step(evaluator)
    choices = [method.choose(p) for p in method.platforms]
    for choice, own in zip(choices, method.platforms, strict=True):
        assert (choice.own_costs or choice.costs)["macs"] == pytest.approx(own.budgets["macs"], rel=0.15)
        assert choice.costs["macs"] <= own.budgets["macs"]
    with pytest.raises(RequestError, match=r"no answer for platform 'other'.*q0\.2, q0\.5, q0\.8"):
        method.choose(platform(0.5, "other"))
    assert set(method.trace()) == {"q0.2", "q0.5", "q0.8"}
    assert method.warnings() == []


def test_an_undecided_policy_is_said() -> None:
    """A search too short to decide ends with a sentence that names the platform and what to do."""
    method = TuNAS(SPACE, [platform()], TuNASSettings(rate_sum=0.5))
    evaluator = TableEvaluator(ROWS, np.full(len(ROWS), 50.0), 50, np.random.default_rng(0))
    while not evaluator.done:
        method.step(evaluator)
    (sentence,) = method.warnings()
    assert "'phone'" in sentence and "nats" in sentence and "rate" in sentence


def test_rules_hold_while_it_learns() -> None:
    """On a space with rules every sample keeps them, on shared weights and on their mixtures."""
    space = small_space("ruled")
    for kind in ("supernet", "table"):
        method = TuNAS(space, platforms_for(space)[1:2], seed=2)
        evaluator: Any = evaluator_for(method, kind)
        while not evaluator.done:
            method.step(evaluator)
        rows = np.array(evaluator.history.rows)
        assert len(rows) > 5 and space.valid(rows).all()
        assert space.valid(np.array([method.choose(method.platforms[0]).architecture.row])).all()


def test_mixtures_reach_the_supernet_and_a_killed_search_goes_on() -> None:
    """On a supernet with operations: state after JSON continues bit by bit."""
    space = small_space("two_exits")
    platforms = platforms_for(space)[1:]

    def run(steps: int, method: TuNAS, evaluator: Any) -> list[dict[str, float]]:
        return [method.step(evaluator) for _ in range(steps)]

    whole = TuNAS(space, platforms, seed=4)
    whole_evaluator = evaluator_for(whole, "supernet")
    expected = run(12, whole, whole_evaluator)
    first, first_evaluator = TuNAS(space, platforms, seed=4), evaluator_for(whole, "supernet")
    found = run(5, first, first_evaluator)
    again = TuNAS(space, platforms, seed=4)
    again.load_state_dict(json.loads(json.dumps(first.state_dict())))
    found += run(7, again, first_evaluator)
    assert found == expected
    assert again.state_dict() == whole.state_dict()
    assert whole_evaluator.cost * 2 == whole_evaluator.total_cost  # 12 of 24 steps: costs are as announced


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "method.samples: 0"),
        ({"cost_exponent": 0.1}, "method.cost_exponent: 0.1 would reward cost"),
        ({"op_warmup": 0.3}, r"method.op_warmup: 0.3; a warm-up must end before .* method.freeze \(0.25\)"),
        ({"op_warmup": 0.1, "freeze": 0.1}, "method.filter_warmup: True"),
        ({"freeze": 1.0}, "freeze 1.0"),
        ({"rate_growth": 0.0}, "rate_growth"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """Each by its name, with what is allowed."""
    with pytest.raises(RequestError, match=message):
        TuNASSettings(**settings)


def test_the_recipes_of_its_trainings_are_settings() -> None:
    """What a job leaves open is the official recipe (facts, section 5.1), and its words exist."""
    from sartor.train.settings import FinalTraining, SearchTraining

    search, final = SearchTraining(**TuNAS.search_defaults), FinalTraining(**TuNAS.train_defaults)
    assert (search.optimiser, search.rmsprop_epsilon, search.label_smoothing) == ("rmsprop", 1.0, 0.1)
    assert search.policy_batch_size == 4 * search.batch_size
    assert final.learning_rate * 4096 / (final.per_pictures or 1) == pytest.approx(2.64)
    assert final.dropout_rate == 0.15
