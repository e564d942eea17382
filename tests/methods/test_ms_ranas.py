"""MS-RANAS's search: the derivation of cells, the way alpha learns, and what it says where it cannot work."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor import mrf, spaces
from sartor.decisions import Decision, Template
from sartor.errors import RequestError
from sartor.methods.method import unary_scores
from sartor.methods.mixture.cells import Cells
from sartor.methods.mixture.relaxation import Relaxation
from sartor.methods.mixture.settings import MSRANASSettings
from sartor.methods.ms_ranas import MSRANAS
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.stack import Stack
from sartor.testing.mixtures import QuadraticEvaluator, cell_space
from sartor.train.settings import FinalTraining, SearchTraining

ROOMY = Platform("roomy", {"macs": 10**12})


def make(space: SearchSpace, seed: int = 0, **settings: Any) -> MSRANAS:
    return MSRANAS(space, [ROOMY], MSRANASSettings(**settings), seed)


def with_alpha(found: MSRANAS, rng: np.random.Generator, spread: float = 1.0) -> MSRANAS:
    found.relaxation.values = spread * rng.standard_normal(found.relaxation.values.shape)
    return found


def top_two(space: SearchSpace, weights: NDArray[np.float64]) -> list[int]:
    """The derivation of the official code, written down from its description: rank edges, keep two, name operations."""
    row = [0] * len(space.decisions)
    nodes: dict[str, list[int]] = {}
    for d, decision in enumerate(space.decisions):
        nodes.setdefault(decision.name.rsplit("_", 1)[0], []).append(d)
    for edges in nodes.values():
        ranked = sorted(edges, key=lambda d: -max(weights[d][1:]))
        for d in ranked[:2]:
            row[d] = 1 + int(np.argmax(weights[d][1:]))
    return row


def utilities(space: SearchSpace, seed: int = 0, scale: float = 0.05) -> list[NDArray[np.float64]]:
    """What every option is worth; ``none`` nothing."""
    rng = np.random.default_rng(seed)
    return [np.r_[0.0, rng.normal(0, scale, size - 1)] for size in space.sizes]


# ---------------------------------------------------------------------- derivation


@pytest.mark.parametrize("nodes", [2, 4])
@pytest.mark.parametrize("edge_weights", [False, True])
def test_without_a_budget_the_solver_is_the_top_two_rule(nodes: int, edge_weights: bool) -> None:
    """Whatever alpha, the answer is that of the official derivation; with edge weights on the product."""
    space = cell_space(nodes)
    for seed in range(20):
        found = with_alpha(make(space, edge_weights=edge_weights), np.random.default_rng(seed))
        weights = found.relaxation.edges()[:, None] * found.relaxation.weights()
        expected = top_two(space, weights)
        assert list(found.choose(ROOMY).architecture.row) == expected
        assert mrf.minimise(space.problem(found.scores())).row.tolist() == expected
        assert found.most_probable()["roomy"].tolist() == expected


def test_none_ranks_edges_and_is_never_derived() -> None:
    """Where none weighs 0.9 an edge ranks behind less certain ones; it stays where the node has no others."""
    space = cell_space(2, layers=("normal",))
    found = make(space)
    weights = np.full((5, 5), 1e-9)
    weights[0] = weights[1] = [0.90, 0.07, 0.01, 0.01, 0.01]
    weights[2] = [0.90, 0.07, 0.01, 0.01, 0.01]
    weights[3] = [0.10, 0.30, 0.20, 0.20, 0.20]
    weights[4] = [0.70, 0.01, 0.27, 0.01, 0.01]
    found.relaxation.values = np.log(weights).reshape(-1)
    assert found.derived().tolist() == [1, 1, 0, 1, 2]


def test_without_none_no_weight_goes_to_it() -> None:
    """On the reduced set {skip, sep3} the mixture is over two operations, and cells are derived as before."""
    space = cell_space(2, ("skip_connect", "sep_conv_3x3"))
    found = with_alpha(make(space, none=False), np.random.default_rng(0))
    weights = found.relaxation.weights()
    assert (weights[:, 0] == 0).all() and np.allclose(weights.sum(axis=1), 1)
    assert len(found.relaxation.values) == 2 * len(space.decisions)
    assert found.derived().tolist() == top_two(space, weights)
    with pytest.raises(RequestError, match=r"method\.none.*'nas_bench_macro'"):
        make(spaces.create("nas_bench_macro"), none=False)


def test_spaces_without_cells() -> None:
    """On a chain of layers every layer takes its heaviest option, and edges of a node there are none."""
    space = spaces.create("nas_bench_macro")
    found = with_alpha(make(space), np.random.default_rng(0))
    assert found.derived().tolist() == found.relaxation.weights().argmax(axis=1).tolist()
    assert make(space, stop_skips=2).cells.normal == list(range(8))
    with pytest.raises(RequestError, match="edge_weights"):
        make(space, edge_weights=True)


def test_the_best_ones_are_brute_force_s() -> None:
    """The finalists are the cells of highest total weight within the budget, in order; a settled one is the answer."""
    space = cell_space(2, ("skip_connect", "sep_conv_3x3", "sep_conv_5x5"), layers=("normal",))
    every = Cells(space).rows
    rows = np.array([[*a, *b] for a in every[0] for b in every[1]])
    costs = space.cost("macs")(rows)
    platform = Platform("half", {"macs": int(np.median(costs))})
    found = with_alpha(MSRANAS(space, [platform], MSRANASSettings(finalists=7)), np.random.default_rng(0))
    scores = found.scores()(rows)
    scores[costs > platform.budgets["macs"]] = np.inf
    expected = rows[np.argsort(scores, kind="stable")[:7]]
    assert np.array(found.finalists()).tolist() == expected.tolist()
    assert len(found.finalists(3)) == 3
    assert found.choose(platform).architecture.row == tuple(expected[0])
    found.settle(found.finalists()[4])
    choice = found.choose(platform)
    assert choice.architecture.row == tuple(expected[4]) and choice.score == pytest.approx(np.sort(scores)[4])
    assert len(choice.notes) == 1 and "selected among the finalists" in choice.notes[0]


# ---------------------------------------------------------------------- learning


@pytest.mark.parametrize("edge_weights", [False, True])
@pytest.mark.parametrize("auxiliary", [0.0, 0.7])
def test_the_way_back_is_the_derivative(edge_weights: bool, auxiliary: float) -> None:
    """The gradient of alpha (and of the edges' weights) is that of finite differences, through both softmaxes."""
    cells, rng = Cells(cell_space(3)), np.random.default_rng(1)
    found = Relaxation(cells, none=True, edge_weights=edge_weights, rng=rng)
    found.values = rng.standard_normal(found.values.shape)
    slopes = [rng.standard_normal(size) for size in cells.space.sizes]

    def loss(values: NDArray[np.float64]) -> float:
        return float(sum(s @ v + 0.5 * v @ v for s, v in zip(slopes, found.vectors(auxiliary, values), strict=True)))

    outer = [s + v for s, v in zip(slopes, found.vectors(auxiliary), strict=True)]
    steps = 1e-5 * np.eye(len(found.values))
    numeric = [(loss(found.values + e) - loss(found.values - e)) / 2e-5 for e in steps]
    np.testing.assert_allclose(found.pullback(outer), numeric, atol=1e-8)


class Constant(QuadraticEvaluator):
    """Gives the same gradient whatever the mixture, and writes down what it was asked."""

    def __init__(self, space: SearchSpace, steps: int = 4) -> None:
        super().__init__(utilities(space), steps)
        self.log: list[tuple[str, Any]] = []

    def gradient(self, selection: Any, order: Any = 1, batch: Any = None) -> tuple[float, list[NDArray[np.float64]]]:
        self.log.append((f"gradient {order}", [v.copy() for v in selection]))
        return super().gradient(selection, order, batch)

    def train(self, passes: Any, combine: Any = "sum", temperature: float = 1.0) -> NDArray[np.float64]:
        self.log.append(("train", [v.copy() for v in passes[0].selection]))
        return super().train(passes, combine, temperature)


def test_alpha_moves_by_adam() -> None:
    """Two steps by hand: moments 0.5 and 0.999, bias corrected, weight decay 0.001 inside the gradient, rate 0.0003."""
    space = cell_space(2)
    found, evaluator = make(space, rate_rule="paper"), Constant(space)
    before = found.relaxation.values
    first, second = np.zeros(len(before)), np.zeros(len(before))
    for t in (1, 2):
        outer = evaluator.gradient(found.relaxation.vectors())[1]
        gradient = found.relaxation.pullback(outer) + 1e-3 * before
        first, second = 0.5 * first + 0.5 * gradient, 0.999 * second + 0.001 * gradient**2
        moved = before - 3e-4 * (first / (1 - 0.5**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        found.step(evaluator)
        np.testing.assert_allclose(found.relaxation.values, moved, rtol=1e-12)
        before = moved


@pytest.mark.parametrize("order", [1, 2])
def test_alpha_moves_before_the_weights(order: Any) -> None:
    """A step asks for the gradient of the asked order, moves alpha, and trains on the mixture of the new alpha."""
    space = cell_space(2)
    found, evaluator = make(space, order=order), Constant(space)
    start = found.relaxation.vectors()
    found.step(evaluator)
    (asked, at), (trained, on) = evaluator.log
    assert (asked, trained) == (f"gradient {order}", "train")
    np.testing.assert_array_equal(np.concatenate(at), np.concatenate(start))
    np.testing.assert_array_equal(np.concatenate(on), np.concatenate(found.relaxation.vectors()))
    assert (np.concatenate(on) != np.concatenate(at)).all()
    assert found.passes_per_step == {1: 2, 2: 5}[order]


def test_alpha_waits_for_the_weights() -> None:
    """During the warm-up nothing but weights is trained, and the mixture stays what it was."""
    space = cell_space(2)
    found, evaluator = make(space, warmup=0.5), Constant(space, steps=4)
    start = found.relaxation.values
    for _ in range(2):
        assert "policy_rate" not in found.step(evaluator)
    assert [name for name, _ in evaluator.log] == ["train", "train"]
    np.testing.assert_array_equal(found.relaxation.values, start)
    assert "policy_rate" in found.step(evaluator)


def test_short_searches_learn_faster() -> None:
    """The rate is the paper's at 19,550 steps, and grows with the root of that over the steps there are."""
    space = cell_space(2)
    for steps, factor in ((19_550, 1.0), (782, 5.0)):
        found, evaluator = make(space), Constant(space, steps)
        assert found.step(evaluator)["policy_rate"] == 3e-4
        assert found.step(evaluator)["policy_rate"] == pytest.approx(factor * 3e-4)
    learnt, evaluator = make(space, warmup=0.75), Constant(space, 3128)
    evaluator.updates = 2400
    learnt.step(evaluator)
    assert learnt.step(evaluator)["policy_rate"] == pytest.approx(5.0 * 3e-4)


@pytest.mark.parametrize(("nodes", "edge_weights", "noise"), [(2, False, 0.0), (2, True, 0.1), (4, False, 0.1)])
def test_the_best_cell_is_found(nodes: int, edge_weights: bool, noise: float) -> None:
    """Where the worth of operations is known, the search derives the best cell; with noise, within a tenth of it."""
    space = cell_space(nodes)
    worth = utilities(space, seed=1)
    scores = unary_scores(space, [-u for u in worth])
    found, evaluator = make(space, edge_weights=edge_weights), QuadraticEvaluator(worth, 300, noise=noise)
    best = mrf.minimise(space.problem(scores))
    assert scores(found.derived()[None])[0] > 0.7 * best.score
    while not evaluator.done:
        found.step(evaluator)
    row = np.array(found.choose(ROOMY).architecture.row)
    assert row.tolist() == best.row.tolist() if noise == 0 else scores(row[None])[0] < 0.9 * best.score


def test_killed_and_resumed_is_undisturbed() -> None:
    """Through JSON in the middle of a search, with everything on: metrics, trace and answer are the same."""
    space = cell_space(2)
    platform = Platform("p", {"macs": int(np.median(space.cost("macs")(space.sample(99, np.random.default_rng(0)))))})
    on = MSRANASSettings(edge_weights=True, auxiliary_skip=True, stop_eigenvalue=5.0, warmup=0.1, eigenvalue_every=0.1)

    def run(kill_at: int | None) -> tuple[list[dict[str, float]], str]:
        found = MSRANAS(space, [platform], on, 3)
        evaluator = QuadraticEvaluator(utilities(space), 40, noise=0.1, curvature=0.3)
        seen = []
        while not evaluator.done:
            seen.append(found.step(evaluator))
            if len(seen) == kill_at:
                state = json.loads(json.dumps([found.state_dict(), evaluator.state_dict()]))
                found, evaluator = (
                    MSRANAS(space, [platform], on, 3),
                    QuadraticEvaluator(utilities(space), 40, noise=0.1, curvature=0.3),
                )
                found.load_state_dict(state[0])
                evaluator.load_state_dict(state[1])
        left = {"trace": found.trace(), "state": found.state_dict(), "choice": found.choose(platform).to_dict()}
        return seen, json.dumps(left)

    undisturbed = run(None)
    for kill_at in (2, 17, 33):
        assert run(kill_at) == undisturbed


# ---------------------------------------------------------------------- what it says


def test_the_trace_is_plain_data() -> None:
    """Snapshots of every decision's weights with entropy, shares and expected cost, one of each per moment."""
    space = cell_space(2)
    found, evaluator = make(space, edge_weights=True), QuadraticEvaluator(utilities(space), 80)
    while not evaluator.done:
        found.step(evaluator)
    trace = json.loads(json.dumps(found.trace()))["roomy"]
    assert 30 <= len(trace["progress"]) <= 42 and trace["progress"][-1] == 1.0
    assert trace["decisions"] == [d.name for d in space.decisions]
    for name in ("probabilities", "entropy_nats", "skip_share", "none_share", "cost_ratio", "edge_weights"):
        assert len(trace[name]) == len(trace["progress"]), name
    assert [len(p) for p in trace["probabilities"][0]] == list(space.sizes)
    assert trace["entropy_nats"][0] == pytest.approx(len(space.sizes) * np.log(5), abs=1e-3)


def test_collapse_is_said() -> None:
    """More than half of the normal cell's edges as skips are a warning with remedies; in the reduction cell not."""
    space = cell_space(2)
    found = make(space)
    for kind, expected in (("reduction", 0), ("normal", 1)):
        weights = np.full((len(space.sizes), 5), 0.1)
        for d, decision in enumerate(space.decisions):
            weights[d, 2 if decision.name.startswith(kind) else 3] = 1.0
        found.relaxation.values = np.log(weights).reshape(-1)
        assert len(found.warnings()) == expected
    assert "4 of its 4 edges are skips" in found.warnings()[0] and "method.skip_cap" in found.warnings()[0]


def test_what_cannot_be_mixed_is_said() -> None:
    """Widths and conditional choices are refused in one sentence that names them."""
    conditional = SearchSpace(
        "gated",
        [Decision("block", ("skip", "conv")), Decision("kernel", (3, 5), when=("block", ("conv",)))],
        [Template("head", (), lambda: Stack(3, 4).global_pool().linear("linear", 2))],
        image_size=4,
    )
    for space, kind in ((spaces.create("mobilenet_v1"), "width"), (conditional, "conditional")):
        with pytest.raises(RequestError, match=f"'{space.name}' cannot be searched by gradient.*{kind}") as caught:
            make(space)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["skip_cap", "stop_skips", "auxiliary_skip"])
def test_remedies_without_a_skip_are_refused(name: str) -> None:
    """What is about skips is not silently ignored where no operation is one."""
    space = cell_space(2, ("max_pool_3x3", "sep_conv_3x3"))
    with pytest.raises(RequestError, match=f"method.{name}.*'cells'"):
        make(space, **{name: True if name == "auxiliary_skip" else 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [("order", 3), ("rate", 0.0), ("warmup", 1.0), ("skip_cap", -1), ("stop_eigenvalue", 1.0), ("finalists", 0)],
)
def test_settings_say_what_is_allowed(name: str, value: Any) -> None:
    """A wrong value is answered with its name and what is allowed."""
    with pytest.raises(RequestError, match=rf"method\.{name}: {value}, allowed is"):
        MSRANASSettings(**{name: value})


def test_the_recipes_are_those_of_darts() -> None:
    """The defaults of both trainings are fields that exist, with the published values."""
    search, final = SearchTraining(**MSRANAS.search_defaults), FinalTraining(**MSRANAS.train_defaults)
    assert (search.epochs, search.batch_size, search.learning_rate, search.final_rate) == (50, 64, 0.025, 0.001)
    assert (final.epochs, final.batch_size, final.learning_rate, final.final_rate) == (600, 96, 0.025, 0.0)
    for training in (search, final):
        assert (training.momentum, training.weight_decay, training.gradient_clip) == (0.9, 3e-4, 5.0)
        assert (training.schedule, training.nesterov, training.optimiser) == ("cosine", False, "sgd")
    assert (final.mode, final.drop_path, final.drop_path_ramp, final.dropout) == ("anytime", 0.2, True, 0.0)


def test_a_mixture_that_hardly_moved_is_said() -> None:
    """After steps that leave the weights nearly uniform there is a warning with what to do; before any, or after more
    than noise has been learnt, there is none."""
    found = make(cell_space(2))
    assert found.warnings() == []
    found.steps = 1
    (sentence,) = found.warnings()
    assert "16.1 of 16.1 nats" in sentence and "method.rate" in sentence
    found.relaxation.values = np.tile([0.0, 0.0, 0.0, 0.0, 1.5], len(found.relaxation.values) // 5)
    assert found.warnings() == []
