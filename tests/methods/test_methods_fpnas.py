"""FP-NAS: its estimator against enumeration, its cost term, its samples, and its two distributions."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.methods.evaluator import TableEvaluator
from sartor.methods.fpnas import FPNAS, FPNASSettings
from sartor.methods.policy_method import share_of_rate
from sartor.platforms import Platform
from sartor.policy import Policy
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.train.optimiser import learning_rate
from sartor.train.settings import FinalTraining, SearchTraining

OPTIONS = (4, 8, 12, 16)


def small_space() -> SearchSpace:
    """Three decisions of four options, the first two of which are one joint choice: 64 networks."""
    decisions = [Decision(f"width{i}", OPTIONS, "width") for i in range(3)]
    templates = [
        Template("stem", ("width0",), lambda w: Stack(3, 4).conv("conv", w)),
        Template("middle", ("width0", "width1"), lambda a, b: Stack(a, 4).conv("conv", b)),
        Template("last", ("width1", "width2"), lambda a, b: Stack(a, 4).conv("conv", b)),
        Template("head", ("width2",), lambda w: Stack(w, 4).global_pool().linear("linear", 2)),
    ]
    groups = [["width0", "width1"], ["width2"]]
    return SearchSpace("small", decisions, templates, image_size=4, groups=groups)


SPACE = small_space()
ROWS = np.array(list(itertools.product(range(4), repeat=3)))
LOSSES = np.random.default_rng(0).normal(1.0, 0.5, len(ROWS))
ROOMY = Platform("roomy", {"macs": 10**9})


class Scores:
    """An evaluator of shared weights that knows every loss, and what it was asked to do."""

    trains = True
    progress = 0.0

    def __init__(self, step: float = 0.0) -> None:
        self.step, self.combined = step, [("", 0.0)]

    def train(self, passes: Any, combine: str = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        self.combined.append((combine, sum(p.weight for p in passes)))
        self.progress += self.step
        return np.full(len(passes), np.nan)

    def score(self, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        losses = LOSSES[[int(np.ravel_multi_index(tuple(r), (4, 4, 4))) for r in rows]]
        return losses, 1 - losses


def method(platform: Platform = ROOMY, **settings: Any) -> FPNAS:
    return FPNAS(SPACE, [platform], FPNASSettings(warmup=0.0, **settings), seed=0)


def mean_update(samples: int, repeats: int, **settings: Any) -> NDArray[np.float64]:
    """The mean gradient that alpha gets at the uniform start, over many steps that do not move it."""
    found = method(samples=samples, distribution="factorised", rate=1e-300, rate_rule="paper", **settings)
    policy, seen = found.policies[0], []
    gradient = policy.gradient
    policy.gradient = lambda rows, weights: seen.append(g := gradient(rows, weights)) or g  # type: ignore[assignment,func-returns-value]
    for _ in range(repeats):
        found.step(Scores())
    return np.asarray(np.mean(seen, axis=0))


def exact_update() -> NDArray[np.float64]:
    """The gradient of log E[p(y | A)] at the uniform start, by enumeration."""
    policy = Policy(SPACE, [[d.name] for d in SPACE.decisions])
    likelihood = np.exp(-LOSSES)
    return policy.gradient(ROWS, likelihood / likelihood.sum())


def test_the_estimator_approaches_the_exact_gradient() -> None:
    """One sample says nothing, more say more, and many nearly all of the gradient of the averaged likelihood."""
    exact = exact_update()

    def share(samples: int, repeats: int) -> float:
        return float((mean_update(samples, repeats) * exact).sum() / (exact**2).sum())

    shares = [share(1, 2000), share(4, 1500), share(64, 400)]
    assert abs(shares[0]) < 0.15 and 0.5 < shares[1] < 0.9 and 0.93 < shares[2] < 1.05


def test_centred_weights_change_no_expectation() -> None:
    """Subtracting the mean of m_k keeps the expected update, up to the share 1/K that goes with it."""
    plain, centred = mean_update(32, 500), mean_update(32, 500, centred=True)
    np.testing.assert_allclose(centred, plain, atol=0.3 * np.abs(plain).max())


def test_no_cost_where_nothing_exceeds_the_target() -> None:
    """c_k is 0, not 0 / 0, where every sample fits; and shares of 1 in all where some exceed."""
    rows = ROWS[:5]
    assert method()._cost_weights(0, rows).tolist() == [0.0] * 5
    costs = SPACE.cost("macs")(rows)
    tight = Platform("tight", {"macs": int(np.sort(costs)[2])})
    weights = method(tight)._cost_weights(0, rows)
    assert weights.sum() == pytest.approx(1.0) and ((weights > 0) == (costs > tight.budgets["macs"])).all()
    raw = method(tight, cost_normalised=False)._cost_weights(0, rows)
    np.testing.assert_allclose(raw, np.maximum(0, costs / tight.budgets["macs"] - 1))


def test_above_target_is_pushed_away_from() -> None:
    """With equal likelihoods the policy moves towards networks within the target."""
    platform = Platform("tight", {"macs": int(np.quantile(SPACE.cost("macs")(ROWS), 0.3))})
    found = method(
        platform, samples=8, temperature=1e9, cost_weight=2.0, rate=0.05, rate_rule="paper", distribution="factorised"
    )
    before = found.policies[0].expectation(SPACE.cost("macs"))
    for _ in range(200):
        found.step(Scores())
    assert found.policies[0].expectation(SPACE.cost("macs")) < 0.6 * before


@pytest.mark.parametrize(("scale", "expected"), [(0.25, 1), (0.5, 2), (2.0, 8), (14 / np.log(64), 14)])
def test_samples_follow_the_entropy(scale: float, expected: int) -> None:
    """K = max(1, floor(scale H)), with H = ln 64 at the start; a fixed K does not follow."""
    assert method(entropy_scale=scale + 1e-12).passes_per_step == expected
    assert method(entropy_scale=scale, samples=5).passes_per_step == 5


def test_a_table_is_asked_for_two_at_least() -> None:
    """One sample with centred weights teaches nothing: on a table K is at least 2, with shared weights 1."""
    found = method(entropy_scale=0.01)
    assert found.passes_per_step == 1 and found.step(Scores())["samples_per_step"] == 1
    evaluator = TableEvaluator(ROWS, 50 - LOSSES, 40, np.random.default_rng(0))
    assert found.step(evaluator)["samples_per_step"] == 2
    assert np.abs(found.policies[0].logits).max() > 0


def test_fewer_samples_as_the_policy_decides() -> None:
    """Samples per step fall with the entropy, down to one."""
    found, counts = method(entropy_scale=2.0, rate=0.3, rate_rule="paper", temperature=0.1), []
    for _ in range(60):
        counts.append(found.step(Scores())["samples_per_step"])
    assert counts[0] == 8 and counts[-1] == 1


def test_conversion_changes_nothing_at_its_moment() -> None:
    """Factorised becomes joint at its share of the search: same entropy, probabilities, mode; a fresh Adam."""
    found = method(distribution="mixed", conversion=0.5, rate=0.05, rate_rule="paper", samples=4)
    evaluator = Scores(step=0.1)
    while evaluator.progress < 0.5 - 1e-9:
        found.step(evaluator)
    before, probabilities = found.policies[0], found.policies[0].log_probability(ROWS)
    found._convert(0.5)
    after = found.policies[0]
    assert len(before.groups) == 3 and after.groups == SPACE.groups and found.optimisers[0].steps == 0
    np.testing.assert_allclose(after.log_probability(ROWS), probabilities, atol=1e-12)
    assert after.entropy_nats == pytest.approx(before.entropy_nats, abs=1e-12)
    assert (after.mode() == before.mode()).all()


def test_warm_up_trains_evenly_and_leaves_the_policy() -> None:
    """In the warm-up samples weigh the same and alpha stays uniform; then likelihoods decide."""
    found = FPNAS(SPACE, [ROOMY], FPNASSettings(warmup=0.45, samples=4), seed=0)
    evaluator = Scores(step=0.1)
    for _ in range(5):
        found.step(evaluator)
    assert found.policies[0].entropy_nats == pytest.approx(np.log(64))
    assert evaluator.combined[1:] == [("sum", 1.0)] * 5
    found.step(evaluator)
    assert evaluator.combined[-1][0] == "likelihood"
    assert found.policies[0].entropy_nats < np.log(64)


def test_rates_sum_to_what_was_asked() -> None:
    """However many steps, and from wherever learning starts, the rates add up; growth is exponential."""
    for growth in (1.0, 10.0):
        edges = np.sort(np.random.default_rng(1).random(50))
        edges = np.concatenate([[0.0], edges, [1.0]])
        parts = [share_of_rate(150.0, growth, 0.25, a, b) for a, b in itertools.pairwise(edges)]
        assert sum(parts) == pytest.approx(150.0) and parts[0] == 0.0
    last, first = share_of_rate(1.0, 10.0, 0.0, 0.999, 1.0), share_of_rate(1.0, 10.0, 0.0, 0.0, 0.001)
    assert last / first == pytest.approx(10.0, rel=0.01)


def test_a_short_search_learns_faster() -> None:
    """The paper's rate at its number of steps; a hundredth of the steps learn ten times as fast."""
    found = method()
    assert found._rate(0.0, 1 / 8640) == pytest.approx(0.016)
    assert found._rate(0.0, 100 / 8640) == pytest.approx(0.16)
    assert found._rate(0.2, 0.8 / 8640) == pytest.approx(0.016)
    assert method(rate_rule="paper")._rate(0.0, 0.1) == 0.016


def test_every_platform_learns_as_fast() -> None:
    """Several platforms take turns in a step; each policy learns at the rate of one that is alone."""

    def rates(count: int) -> dict[str, float]:
        platforms = [Platform(f"p{k}", {"macs": 10**9}) for k in range(count)]
        found = FPNAS(SPACE, platforms, FPNASSettings(warmup=0.0, samples=4), seed=0)
        return found.step(Scores(step=0.01 / count))

    alone, three = rates(1), rates(3)
    assert [three[f"policy_rate/p{k}"] for k in range(3)] == pytest.approx([alone["policy_rate"]] * 3)


def test_a_table_in_any_unit_gives_the_same_answer() -> None:
    """Losses of a table are brought to one spread: accuracy squeezed to a hundredth changes no answer."""

    def answer(scale: float) -> tuple[int, ...]:
        found = FPNAS(SPACE, [ROOMY], FPNASSettings(entropy_scale=2.0), seed=1)
        evaluator = TableEvaluator(ROWS, 50 - scale * LOSSES, 400, np.random.default_rng(0))
        while not evaluator.done:
            found.step(evaluator)
        return found.choose(ROOMY).architecture.row

    assert answer(1.0) == answer(0.01)


def test_a_table_is_solved_better_than_by_chance() -> None:
    """With 600 looks at 64 networks the answer is among the best tenth."""
    found = FPNAS(SPACE, [ROOMY], FPNASSettings(entropy_scale=2.0), seed=0)
    evaluator = TableEvaluator(ROWS, 100 * (1 - LOSSES / 10), 600, np.random.default_rng(0))
    while not evaluator.done:
        found.step(evaluator)
    row = found.choose(ROOMY).architecture.row
    assert LOSSES[int(np.ravel_multi_index(row, (4, 4, 4)))] <= np.quantile(LOSSES, 0.1)


def test_an_answer_over_budget_is_replaced_and_both_are_told() -> None:
    """Where the mode exceeds a budget, the most probable network within it is the answer; the mode stands beside it."""
    platform = Platform("tight", {"macs": int(np.quantile(SPACE.cost("macs")(ROWS), 0.4))})
    found = method(platform, distribution="joint")
    logits = found.policies[0].logits.copy()
    rng = np.random.default_rng(3)
    logits = np.where(np.isfinite(logits), rng.normal(0, 1, logits.shape), 0.0)
    logits[0, 15] = logits[1, 3] = 9.0  # the largest network
    found.policies[0].logits = logits
    choice = found.choose(platform)
    fits = SPACE.cost("macs")(ROWS) <= platform.budgets["macs"]
    best = ROWS[fits][found.policies[0].log_probability(ROWS[fits]).argmax()]
    assert choice.architecture.row == tuple(best) and choice.costs["macs"] <= platform.budgets["macs"]
    assert choice.own is not None and choice.own.row == (3, 3, 3) and choice.notes
    told = json.loads(json.dumps(choice.to_dict()))["own"]
    assert told["architecture"] == {"width0": 16, "width1": 16, "width2": 16}
    assert told["costs"]["macs"] > platform.budgets["macs"]


@pytest.mark.parametrize("wrong", [{"entropy_scale": 0}, {"samples": 0}, {"warmup": 1.0}, {"temperature": -1}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    """A sentence names the setting, what arrived and what is allowed."""
    with pytest.raises(RequestError, match=f"method.{next(iter(wrong))}: .*allowed is"):
        FPNASSettings(**wrong)
    with pytest.raises(RequestError, match=r"method\.conversion: 2, .*; method\.rate: 0, allowed is more than 0$"):
        FPNASSettings(conversion=2, rate=0)


def test_the_recipes_are_the_papers() -> None:
    """Rates at the batches of the paper: 0.8 for 2,048 pictures; 0.2 after 5 epochs, times 0.9875 in each."""
    search, train = SearchTraining(**FPNAS.search_defaults), FinalTraining(**FPNAS.train_defaults)
    assert learning_rate(search, 0.0, 2048) == pytest.approx(0.8)
    assert (search.epochs, search.optimiser, search.schedule) == (315, "sgd", "cosine")
    assert learning_rate(train, 2.5, 4096) == pytest.approx(0.1)
    assert learning_rate(train, 419.9, 4096) == pytest.approx(0.2 * 0.9875**419)
    assert (train.mode, train.optimiser, train.momentum, train.nesterov) == ("standalone", "rmsprop", 0.9, False)
    assert train.label_smoothing and train.weight_average and train.drop_path


@pytest.mark.parametrize(
    ("budget", "decided", "warned"), [(0.9, (0, 0, 0), True), (0.9, (3, 3, 2), False), (1.5, (0, 0, 0), False)]
)
def test_an_answer_far_below_its_budget_is_said(budget: float, decided: tuple[int, ...], warned: bool) -> None:
    """A decided policy whose answer leaves a quarter of a budget unused is a warning, unless the space ends there."""
    platform = Platform("phone", {"macs": int(budget * SPACE.cost("macs")(ROWS).max())})
    found = method(platform, distribution="factorised")
    logits = found.policies[0].logits.copy()
    logits[np.arange(3), decided] += 9.0
    found.policies[0].logits = logits
    sentences = found.warnings()
    assert len(sentences) == warned
    if warned:
        assert "'phone'" in sentences[0] and "of its budget" in sentences[0] and "method.warmup" in sentences[0]
