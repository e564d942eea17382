"""Decisions, rules, counts and samples, against brute force."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sartor import spaces
from sartor.decisions import Decision, Rule, Template
from sartor.errors import RequestError
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing import small_space


def plain_space(decisions: list[Decision], rules: list[Rule] | None = None) -> SearchSpace:
    """Decisions and rules around a network that hardly matters."""
    template = Template("all", tuple(d.name for d in decisions), lambda *_: Stack(3, 1).conv("conv", 2))
    return SearchSpace("plain", decisions, [template], image_size=1, rules=rules or [])


def all_rows(space: SearchSpace) -> np.ndarray[Any, Any]:
    """Every row, valid or not."""
    return np.asarray(list(itertools.product(*[range(n) for n in space.sizes])))


def brute_valid(space: SearchSpace, rules: list[Rule]) -> np.ndarray[Any, Any]:
    """The rows that keep every rule, by calling the rules on option values."""

    def keeps(row: np.ndarray[Any, Any]) -> bool:
        values = {d.name: d.options[i] for d, i in zip(space.decisions, row, strict=True)}
        return all(rule.allowed(*[values[n] for n in rule.scope]) for rule in rules)

    return np.asarray([row for row in all_rows(space) if keeps(row)])


# ---------------------------------------------------------------------- counts and samples


def test_counts_of_the_ruled_space_by_hand() -> None:
    """Two widths; steps 3 * 2 * 2 ways; a pooling at the end fixes the tail; inert options count once."""
    space = small_space("ruled")
    with_pool, without = 2 * 2, 2 * 2 + 4  # (step1, step2 | step3 = pool), (step3 = conv) + (step3 = skip)
    assert space.cardinality == 2 * (with_pool * 6 + without * 12)
    shapes = 1 + 2 + 2  # (3, 1) has no gate
    assert space.distinct == 2 * (with_pool * shapes + without * (1 + shapes))


def test_distinct_counts_different_blueprints() -> None:
    """Distinct is the number of blueprints that really differ, found by building every one."""
    for name in ("ruled", "two_exits"):
        space = small_space(name)
        rows = all_rows(space)[space.valid(all_rows(space))]
        assert len(rows) == space.cardinality
        assert len({space.architecture(row).blueprint for row in rows}) == space.distinct
        assert len(np.unique(space.canonical(rows), axis=0)) == space.distinct


@pytest.mark.parametrize("seed", range(40))
def test_random_spaces_against_brute_force(seed: int) -> None:
    """Validity, cardinality, distinct and canonical rows of random rules and conditions."""
    space, rules = random_space(np.random.default_rng(seed))
    expected = brute_valid(space, rules)
    rows = all_rows(space)
    assert (rows[space.valid(rows)].tolist()) == expected.tolist()
    assert space.cardinality == len(expected)
    canonical = {brute_canonical(space, row) for row in expected}
    assert space.distinct == len(canonical)
    if len(expected):
        assert {tuple(r) for r in space.canonical(expected).tolist()} == canonical
        samples = space.sample(20, np.random.default_rng(seed))
        assert space.valid(samples).all()


def random_space(rng: np.random.Generator) -> tuple[SearchSpace, list[Rule]]:
    """Up to six decisions, some conditional, and up to three rules over those that never are inert."""
    decisions: list[Decision] = []
    for i in range(int(rng.integers(2, 7))):
        options = tuple(range(10, 10 + int(rng.integers(1, 4))))
        when = None
        if decisions and rng.random() < 0.4:
            parent = decisions[int(rng.integers(len(decisions)))]
            when = (parent.name, tuple(o for o in parent.options if rng.random() < 0.5))
        decisions.append(Decision(f"d{i}", options, when=when))
    free = [d.name for d in decisions if d.when is None]
    rules = []
    for _ in range(int(rng.integers(0, 4))):
        scope = tuple(str(n) for n in rng.permutation(free)[: int(rng.integers(1, 4))])
        forbidden = {tuple(rng.integers(10, 13, size=len(scope)).tolist()) for _ in range(2)}
        rules.append(Rule(scope, lambda *values, bad=forbidden: values not in bad))
    return plain_space(decisions, rules), rules


def brute_canonical(space: SearchSpace, row: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """The row with inert decisions at 0, followed one decision after the other."""
    active: dict[str, bool] = {}
    for decision, i in zip(space.decisions, row, strict=True):
        active[decision.name] = True
        if decision.when is not None:
            parent = space.decisions[space.index[decision.when[0]]]
            value = parent.options[row[space.index[parent.name]]]
            active[decision.name] = active[parent.name] and value in decision.when[1]
        assert 0 <= i < len(decision.options)
    return tuple(int(i) if active[d.name] else 0 for d, i in zip(space.decisions, row, strict=True))


@pytest.mark.parametrize("name", ["ruled", "two_exits"])
def test_samples_are_uniform(name: str) -> None:
    """Every valid row is drawn equally often (chi-square within five standard deviations)."""
    space = small_space(name)
    rows = space.sample(30_000, np.random.default_rng(0))
    counts = np.unique(rows, axis=0, return_counts=True)[1]
    n = space.cardinality
    assert len(counts) == n
    chi_square = ((counts - len(rows) / n) ** 2).sum() / (len(rows) / n)
    assert abs(chi_square - (n - 1)) < 5 * np.sqrt(2 * n)


def test_sampling_without_a_valid_row_is_refused() -> None:
    """Rules that contradict each other leave nothing to draw, and that is said."""
    space = plain_space([Decision("a", (1, 2))], [Rule(("a",), lambda a: a > 2)])
    assert space.cardinality == 0
    with pytest.raises(RequestError):
        space.sample(1, np.random.default_rng(0))


# ---------------------------------------------------------------------- architectures


def test_a_row_that_breaks_a_rule_is_refused() -> None:
    """Rows, encoded values and JSON that break a rule make no architecture."""
    space = small_space("ruled")
    row = [0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(RequestError, match="breaks a rule of ruled"):
        space.architecture(row)
    values = {d.name: d.options[0] for d in space.decisions}
    with pytest.raises(RequestError, match="breaks a rule of ruled"):
        space.from_dict({"space": "ruled", "choices": values})


def test_architectures_of_different_spaces_differ() -> None:
    """The same row of a space with other options is another architecture; of the same options, the same."""
    row = [0] * 14
    ten, again, five = (spaces.create("mobilenet_v1", num_classes=n).architecture(row) for n in (10, 10, 5))
    assert ten == again
    assert len({ten, again, five}) == 2


def test_an_architecture_prints_its_choices() -> None:
    """The printed form names the space and every choice."""
    space = small_space("channel_bench_macro")
    assert str(space.smallest) == "channel_bench_macro(32-192-192-192-64-384-256)"
    assert repr(space) == "SearchSpace(channel_bench_macro, 7 decisions, 1.64e+04 architectures)"


def test_values_off_the_grid_resolve() -> None:
    """A blueprint takes values that are no options, by the same templates."""
    space = small_space("grouped")
    blueprint = space.blueprint({"stem": 3, "hidden": 12})
    assert [layer.out_channels for layer in blueprint.layers if layer.kind == "conv"] == [3, 3, 12, 12]


# ---------------------------------------------------------------------- definitions that are refused


def test_impossible_decisions_are_refused() -> None:
    """No options, equal options, descending widths."""
    for options in ((), (1, 1)):
        with pytest.raises(ValueError, match="'a' needs distinct options"):
            Decision("a", options)
    with pytest.raises(ValueError, match="its options must ascend"):
        Decision("a", (8, 4), "width")


def test_impossible_spaces_are_refused() -> None:
    """Names twice, a condition on a later decision, a rule on an inert one, a rule that is too large."""
    a, b = Decision("a", (1, 2)), Decision("b", (1, 2), when=("a", (2,)))
    with pytest.raises(ValueError, match="decision names must be unique"):
        plain_space([a, a])
    with pytest.raises(ValueError, match="b must come after the decision a"):
        plain_space([b, a])
    with pytest.raises(ValueError, match="can be inert: b"):
        plain_space([a, b], [Rule(("a", "b"), lambda *_: True)])
    many = [Decision(f"d{i}", tuple(range(101))) for i in range(3)]
    with pytest.raises(ValueError, match="more than 1,000,000 cells"):
        plain_space(many, [Rule(("d0", "d1", "d2"), lambda *_: True)])
    with pytest.raises(ValueError, match="template names must be unique"):
        SearchSpace("x", [a], [Template("t", (), lambda: Stack(3, 1))] * 2, image_size=1)
