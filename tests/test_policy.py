"""Policies: probabilities, entropies, gradients and conversions against enumeration, and Adam by hand."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.costs.factors import Factor, FactorCost
from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.policy import Adam, Policy
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing.examples import small_space

Array = NDArray[Any]


def trees() -> SearchSpace:
    """Two trees of decisions, one of them three deep, and a decision that nothing depends on: 432 rows."""
    decisions = [
        Decision("layer", ("layer", "skip")),
        Decision("kernel", (3, 5, 7), when=("layer", ("layer",))),
        Decision("gate", (False, True), when=("kernel", (5, 7))),
        Decision("other", ("a", "b", "c")),
        Decision("detail", (0, 1, 2), when=("other", ("a", "c"))),
        Decision("width", (8, 16, 24, 32), "width"),
    ]
    templates = [Template("stem", (), lambda: Stack(3, 8).global_pool().linear("linear", 2))]
    return SearchSpace("trees", decisions, templates, image_size=8)


TREES, RULED = trees(), small_space("ruled")
JOINT_TREES = [["layer", "gate"], ["kernel"], ["width", "other"], ["detail"]]  # conditions cross groups
JOINT_RULED = [["width", "step2"], ["step1", "tail"], ["step3"], ["shape", "gate"]]
CASES = [
    pytest.param(TREES, None, id="trees"),
    pytest.param(TREES, JOINT_TREES, id="trees, joint"),
    pytest.param(RULED, [[d.name] for d in RULED.decisions], id="ruled"),
    pytest.param(RULED, None, id="ruled, its groups"),
    pytest.param(RULED, JOINT_RULED, id="ruled, across rules"),
]
each_case = pytest.mark.parametrize(("space", "groups"), CASES)
networks_or_rows = pytest.mark.parametrize("active_only", [False, True], ids=["rows", "networks"])


def rows_of(space: SearchSpace) -> Array:
    """All valid rows."""
    rows = np.array(list(itertools.product(*[range(n) for n in space.sizes])))
    return rows[space.valid(rows)]


def randomised(policy: Policy, seed: int = 0) -> Policy:
    """The policy with random logits."""
    policy.logits = np.random.default_rng(seed).normal(0, 1.5, policy.logits.shape)
    return policy


def enumerated(policy: Policy) -> tuple[Array, Array]:
    """All valid rows and their probabilities, from the logits alone and one row at a time."""
    rows = rows_of(policy.space)
    logs = np.zeros(len(rows))
    for i, row in enumerate(rows):
        for g, group in enumerate(policy.groups):
            cell = 0
            for d in group:
                cell = cell * policy.space.sizes[d] + row[d]
            logs[i] += policy.logits[g, cell]
    return rows, np.exp(logs - np.logaddexp.reduce(logs))


def summed_by_network(policy: Policy, rows: Array, probability: Array) -> Array:
    """Every row's probability replaced by that of its network."""
    _, index = np.unique(policy.space.canonical(rows), axis=0, return_inverse=True)
    index = index.reshape(-1)
    return np.bincount(index, weights=probability)[index]


# ---------------------------------------------------------------- probabilities


@each_case
def test_a_fresh_policy_is_uniform_over_valid_rows(space: SearchSpace, groups: Any) -> None:
    """Zero logits: every row that keeps the rules is as likely as any other."""
    policy = Policy(space, groups)
    logs = policy.log_probability(rows_of(space))
    np.testing.assert_allclose(logs, -np.log(float(space.cardinality)), atol=1e-12)
    assert policy.entropy_nats == pytest.approx(np.log(float(space.cardinality)))


@each_case
@networks_or_rows
def test_log_probabilities_equal_enumeration(space: SearchSpace, groups: Any, active_only: bool) -> None:
    """Of rows, and of networks as the sum over all rows that differ in inert decisions only."""
    policy = randomised(Policy(space, groups, active_only=active_only))
    rows, probability = enumerated(policy)
    if active_only:
        probability = summed_by_network(policy, rows, probability)
    np.testing.assert_allclose(policy.log_probability(rows), np.log(probability), atol=1e-10)


@each_case
@networks_or_rows
def test_entropies_equal_enumeration(space: SearchSpace, groups: Any, active_only: bool) -> None:
    """Of the distribution over rows, or over networks."""
    policy = randomised(Policy(space, groups, active_only=active_only))
    rows, probability = enumerated(policy)
    each = summed_by_network(policy, rows, probability) if active_only else probability
    assert policy.entropy_nats == pytest.approx(-(probability * np.log(each)).sum())


@each_case
def test_probabilities_of_cells_and_options_equal_enumeration(space: SearchSpace, groups: Any) -> None:
    """Marginals of groups and of decisions, under the rules; nothing in the padding."""
    policy = randomised(Policy(space, groups))
    rows, probability = enumerated(policy)
    expected = np.tensordot(probability, policy.gradients(rows) + policy.probabilities(), axes=1)
    np.testing.assert_allclose(policy.probabilities(), expected, atol=1e-12)
    np.testing.assert_allclose(policy.probabilities().sum(axis=1), 1.0)
    for d, found in enumerate(policy.decision_probabilities()):
        np.testing.assert_allclose(found, np.bincount(rows[:, d], probability, space.sizes[d]), atol=1e-12)


def test_active_only_is_the_masked_sum_where_decisions_are_independent() -> None:
    """TuNAS (facts, section 3): decisions below a choice that was not made add nothing."""
    policy = randomised(Policy(TREES, active_only=True))
    rows = rows_of(TREES)
    logs = np.stack([np.log(p)[rows[:, d]] for d, p in enumerate(policy.decision_probabilities())], axis=1)
    np.testing.assert_allclose(policy.log_probability(rows), (logs * TREES.active(rows)).sum(axis=1))
    entropies = [-(p * np.log(p)).sum() for p in policy.decision_probabilities()]
    layer, kernel, other = (policy.decision_probabilities()[d] for d in (0, 1, 3))
    likely = [1, layer[0], layer[0] * kernel[1:].sum(), 1, other[0] + other[2], 1]
    assert policy.entropy_nats == pytest.approx(np.dot(likely, entropies))


def test_without_rules_asked_for_the_product_ignores_them() -> None:
    """``ruled=False``: groups stay independent and rows that break a rule have their share."""
    policy = randomised(Policy(RULED, [[d.name] for d in RULED.decisions], ruled=False))
    rows = np.array(list(itertools.product(*[range(n) for n in RULED.sizes])))
    assert np.exp(policy.log_probability(rows)).sum() == pytest.approx(1.0)
    assert np.exp(policy.log_probability(rows_of(RULED))).sum() < 0.9
    assert not RULED.valid(policy.sample(100, np.random.default_rng(0))).all()
    broken = rows[~RULED.valid(rows)]
    assert np.isneginf(Policy(RULED).log_probability(broken)).all()


@each_case
@networks_or_rows
def test_expected_costs_equal_enumeration(space: SearchSpace, groups: Any, active_only: bool) -> None:
    """Exact for factors inside groups, across them and across rules."""
    rng = np.random.default_rng(7)
    scopes = [(0,), (0, 2), (1, 3, 4), (2, 3), (5,)]
    factors = [Factor(s, rng.normal(size=[space.sizes[d] for d in s])) for s in scopes]
    cost = FactorCost(space.sizes, factors, 3.0)
    policy = randomised(Policy(space, groups, active_only=active_only))
    rows, probability = enumerated(policy)
    assert policy.expectation(cost) == pytest.approx((probability * cost(rows)).sum())


# ---------------------------------------------------------------- samples and the most probable


@each_case
def test_samples_follow_the_distribution(space: SearchSpace, groups: Any) -> None:
    """Frequencies of whole rows within five standard deviations; the same generator draws the same rows."""
    policy = randomised(Policy(space, groups))
    rows, probability = enumerated(policy)
    drawn = policy.sample(40_000, np.random.default_rng(1))
    keys = np.ravel_multi_index(drawn.T, space.sizes)
    seen = np.bincount(keys, minlength=int(np.prod(space.sizes)))[np.ravel_multi_index(rows.T, space.sizes)]
    assert seen.sum() == 40_000, "a draw broke a rule"
    spread = np.sqrt(40_000 * probability * (1 - probability))
    assert (np.abs(seen - 40_000 * probability) < 5 * spread + 3).all()
    assert (policy.sample(50, np.random.default_rng(1)) == policy.sample(50, np.random.default_rng(1))).all()
    assert policy.sample(0, np.random.default_rng(1)).shape == (0, len(space.sizes))


@each_case
def test_the_mode_is_the_most_probable_row(space: SearchSpace, groups: Any) -> None:
    """And the minimum of the scores, whose values are -log p; of networks it is the canonical row."""
    for seed in range(5):
        policy = randomised(Policy(space, groups), seed)
        rows, probability = enumerated(policy)
        assert tuple(policy.mode()) == tuple(rows[probability.argmax()])
        np.testing.assert_allclose(policy.scores()(rows), -np.log(probability), atol=1e-10)
        networks = randomised(Policy(space, groups, active_only=True), seed)
        assert tuple(networks.mode()) == tuple(space.canonical(policy.mode()[None])[0])
        np.testing.assert_allclose(networks.scores()(rows), -np.log(probability), atol=1e-10)


def test_padding_is_never_drawn() -> None:
    """Decisions of 2 options beside one of 7, with probabilities next to 0 and 1."""
    decisions = [Decision("few", (0, 1)), Decision("many", tuple(range(7))), Decision("one", ("only",))]
    templates = [Template("stem", (), lambda: Stack(3, 8).global_pool().linear("linear", 2))]
    policy = Policy(SearchSpace("padded", decisions, templates, image_size=8))
    policy.logits = np.array([[40.0, -40, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 40.0], [0.0] * 7])
    rows = policy.sample(2000, np.random.default_rng(0))
    assert (rows == [0, 6, 0]).all()
    assert np.isneginf(policy.logits[0, 2:]).all() and (policy.gradients(rows[:1])[0][0, 2:] == 0).all()
    assert policy.log_probability(rows[:1])[0] == pytest.approx(0, abs=1e-15)


def test_the_largest_uniform_number_draws_a_real_cell() -> None:
    """Probabilities that add up to a little less than 1 leave no gap that ends in the padding."""

    class Largest:
        def random(self, shape: Any) -> Array:
            return np.full(shape, np.nextafter(1.0, 0.0))

    policy = Policy(TREES)
    short = 0
    for seed in range(50):
        randomised(policy, seed)
        short += int((policy.probabilities().cumsum(axis=1)[:, -1] < np.nextafter(1.0, 0.0)).any())
        last = policy.sample(1, Largest())[0]  # type: ignore[arg-type]
        assert (last == np.array(TREES.sizes) - 1).all()
    assert short > 5


# ---------------------------------------------------------------- gradients


@each_case
@networks_or_rows
def test_gradients_equal_finite_differences(space: SearchSpace, groups: Any, active_only: bool) -> None:
    """Of log p of every row, and of weighted sums."""
    policy = randomised(Policy(space, groups, active_only=active_only))
    rows = policy.sample(6, np.random.default_rng(2))
    found, weights = policy.gradients(rows), np.array([1.0, -2.0, 0.5, 3.0, 0.0, -1.0])
    start = np.where(np.isfinite(policy.logits), policy.logits, 0.0)
    for g, o in zip(*np.nonzero(np.isfinite(policy.logits)), strict=True):
        logs = []
        for sign in (1, -1):
            moved = start.copy()
            moved[g, o] += sign * 1e-5
            policy.logits = moved
            logs.append(policy.log_probability(rows))
        np.testing.assert_allclose(found[:, g, o], (logs[0] - logs[1]) / 2e-5, atol=1e-7)
    policy.logits = start
    np.testing.assert_allclose(policy.gradient(rows, weights), np.tensordot(weights, found, axes=1), atol=1e-12)


@each_case
@networks_or_rows
def test_the_expected_score_is_zero(space: SearchSpace, groups: Any, active_only: bool) -> None:
    """Enumerated: sum over rows of p times the gradient of log p, so that a baseline adds no bias."""
    policy = randomised(Policy(space, groups, active_only=active_only))
    rows, probability = enumerated(policy)
    np.testing.assert_allclose(policy.gradient(rows, probability), 0.0, atol=1e-12)


def test_inert_decisions_get_no_gradient() -> None:
    """Below a choice that was not made nothing moves."""
    policy = randomised(Policy(TREES, active_only=True))
    gradient = policy.gradients(np.array([[1, 2, 1, 1, 2, 3]]))[0]  # no layer, and other = b
    assert (gradient[[1, 2, 4]] == 0).all()
    assert (gradient[[0, 3, 5]] != 0).any(axis=1).all()


# ---------------------------------------------------------------- regrouping


@pytest.mark.parametrize(
    ("space", "groups", "joined"),
    [
        (TREES, None, JOINT_TREES),
        (TREES, [["layer"], ["kernel"], ["gate", "width"], ["other"], ["detail"]], [[0, 1, 2, 5], [4, 3]]),
        (RULED, [[d.name] for d in RULED.decisions], RULED.groups),
        (RULED, JOINT_RULED, [list(range(7))]),
    ],
)
@networks_or_rows
def test_joining_groups_changes_nothing(space: SearchSpace, groups: Any, joined: Any, active_only: bool) -> None:
    """Entropy, probabilities and the most probable row are the same before and after (FP-NAS, section 3.3)."""
    policy = randomised(Policy(space, groups, active_only=active_only))
    other = policy.regrouped(joined)
    rows = rows_of(space)
    np.testing.assert_allclose(other.log_probability(rows), policy.log_probability(rows), atol=1e-12)
    assert other.entropy_nats == pytest.approx(policy.entropy_nats, abs=1e-10)
    assert tuple(other.mode()) == tuple(policy.mode())


def test_groups_are_never_split() -> None:
    """A joint choice has no factors to go back to; and every decision belongs to one group."""
    with pytest.raises(RequestError, match="layer, gate are one group"):
        Policy(TREES, JOINT_TREES).regrouped([[d.name] for d in TREES.decisions])
    with pytest.raises(RequestError, match="exactly once; not so for width"):
        Policy(TREES, [["layer", "kernel", "gate", "other", "detail"]])
    with pytest.raises(RequestError, match="no decision 'kernels'"):
        Policy(TREES, [["kernels"]])
    with pytest.raises(RequestError, match="1,679,616 joint options"):
        wide = [Decision(f"d{i}", tuple(range(6))) for i in range(8)]
        Policy(SearchSpace("wide", wide, TREES.templates, image_size=8), [[d.name for d in wide]])


# ---------------------------------------------------------------- state


@each_case
def test_state_is_plain_and_complete(space: SearchSpace, groups: Any) -> None:
    """Through JSON and into a policy with other groups: the same distribution, bit by bit."""
    policy = randomised(Policy(space, groups))
    other = Policy(space, [[d.name for d in space.decisions]])
    other.load_state_dict(json.loads(json.dumps(policy.state_dict())))
    assert other.groups == policy.groups
    assert (other.logits == policy.logits).all()
    assert other.entropy_nats == policy.entropy_nats


def test_logits_are_replaced_and_not_written() -> None:
    """What is computed from them cannot go stale; what is no number does not enter."""
    policy = Policy(TREES)
    with pytest.raises(ValueError, match="read-only"):
        policy.logits[0, 0] = 1.0
    with pytest.raises(ValueError, match="must be"):
        policy.logits = np.zeros((2, 2))
    with pytest.raises(ValueError, match="finite"):
        policy.logits = np.full(policy.logits.shape, np.nan)


# ---------------------------------------------------------------- Adam


def test_adam_steps_by_hand() -> None:
    """Two steps with both moments: 0.1 times a bias-corrected mean over a root, epsilon outside it."""
    adam = Adam((2,), beta1=0.9, beta2=0.99, epsilon=0.1)
    first = adam.change(np.array([1.0, -2.0]), 0.1)
    np.testing.assert_allclose(first, [-0.1 * 1 / (1 + 0.1), 0.1 * 2 / (2 + 0.1)])
    second = adam.change(np.array([3.0, 0.0]), 0.2)
    mean = np.array([0.9 * 0.1 * 1 + 0.1 * 3, 0.9 * 0.1 * -2]) / (1 - 0.81)
    square = np.array([0.99 * 0.01 * 1 + 0.01 * 9, 0.99 * 0.01 * 4]) / (1 - 0.9801)
    np.testing.assert_allclose(second, -0.2 * mean / (np.sqrt(square) + 0.1))


def test_adam_takes_the_mean_of_squares() -> None:
    """The official second moment: of gradients 1 and -3 the mean square 5, and not the square of the mean, 1."""
    adam = Adam((1,), beta1=0.0, epsilon=0.0)
    np.testing.assert_allclose(adam.change(np.array([-1.0]), 1.0, np.array([5.0])), [1 / np.sqrt(5)])


def test_adams_moments_move_at_rate_zero() -> None:
    """While a policy is frozen nothing changes, and the second moment is what was seen meanwhile."""
    adam = Adam((1,), beta1=0.0, epsilon=0.0)
    assert adam.change(np.array([4.0]), 0.0) == 0
    np.testing.assert_allclose(adam.change(np.array([2.0]), 1.0), -2 / np.sqrt((0.999 * 16 + 4) / 1.999))


def test_adam_resumes() -> None:
    """Through JSON: the next step is the same."""
    adam, again = Adam((3,)), Adam((1,))
    rng = np.random.default_rng(0)
    for _ in range(3):
        adam.change(rng.normal(size=3), 0.1)
    again.load_state_dict(json.loads(json.dumps(adam.state_dict())))
    gradient = rng.normal(size=3)
    assert (adam.change(gradient, 0.1) == again.change(gradient, 0.1)).all()


def test_a_decided_policy_still_tells_improbable_networks_apart() -> None:
    """Log-probabilities of networks stay finite where probabilities underflow."""
    space = small_space("mobilenetv3_like")
    policy = Policy(space, [[d.name] for d in space.decisions], active_only=True)
    policy.logits = np.where(np.isfinite(policy.logits), -900.0 * np.arange(policy.logits.shape[1]), 0.0)
    rows = np.array([space.largest.row, space.smallest.row])
    found = policy.log_probability(rows)
    assert np.isfinite(found).all() and found[0] < -900
