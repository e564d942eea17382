"""What keeps a search by gradient from collapsing to skips: early stops, warm-ups, the DARTS- skip, edge weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sartor.errors import RequestError
from sartor.methods.mixture.settings import MSRANASSettings
from sartor.methods.mixture.stability import EigenvalueWatch, dominant_eigenvalue
from sartor.methods.ms_ranas import MSRANAS
from sartor.platforms import Platform
from sartor.space import SearchSpace
from sartor.testing.mixtures import QuadraticEvaluator, cell_space

Array = NDArray[Any]
ROOMY = Platform("roomy", {"macs": 10**12})
REDUCED = cell_space(2, ("skip_connect", "sep_conv_3x3"))
SKIP, SEPARABLE = 1, 2


def make(space: SearchSpace = REDUCED, **settings: Any) -> MSRANAS:
    return MSRANAS(space, [ROOMY], MSRANASSettings(**settings), 0)


class Maturing(QuadraticEvaluator):
    """Convolutions are worth more than skips in the end, but while the weights are young they are worth nothing.

    This is the reason the field gives for the collapse of DARTS: what has no weights is good at once. ``ripe`` is the
    share of the search at which both are worth the same.
    """

    def __init__(self, steps: int, ripe: float, curvature_at: Any = None) -> None:
        super().__init__([np.zeros(3)] * len(REDUCED.sizes), steps, noise=0.02)
        self.ripe, self.curvature_at = ripe, curvature_at

    def gradient(self, selection: Any, order: Any = 1, batch: Any = None) -> tuple[float, list[Array]]:
        self.utilities = [np.array([0.0, 0.05, 0.05 * self.progress / self.ripe])] * len(self.utilities)
        if self.curvature_at is not None:
            self.curvature = self.curvature_at(self.progress)
        return super().gradient(selection, order, batch)


def run(method: MSRANAS, evaluator: QuadraticEvaluator) -> list[dict[str, float]]:
    """The metrics of a search up to its end."""
    seen = []
    while not evaluator.done and not method.stopped:
        seen.append(method.step(evaluator))
    return seen


def skips(method: MSRANAS) -> int:
    return method.cells.skips(np.array(method.choose(ROOMY).architecture.row))


# ---------------------------------------------------------------------- collapse and remedies


def test_the_plain_search_collapses_and_remedies_mend_it() -> None:
    """Where skips are ahead while weights are young, plain DARTS derives skips alone; a warm-up and a cap do not."""
    plain = make()
    run(plain, Maturing(200, ripe=0.8))
    assert skips(plain) == 4 and "collapsed" in plain.warnings()[0]
    warm = make(warmup=0.7)
    run(warm, Maturing(200, ripe=0.8))
    assert skips(warm) == 0 and not warm.warnings()
    capped = make(skip_cap=1)
    run(capped, Maturing(200, ripe=0.8))
    choice = capped.choose(ROOMY)
    assert skips(capped) == 1 and choice.own is not None and "skips of the normal cell" in choice.notes[0]
    assert "the answer has at most 1" in capped.warnings()[0]


def test_too_many_skips_end_the_search() -> None:
    """It ends at the first step whose normal cell derives to that many skips, from the share ``stop_from`` on."""
    for start in (0.2, 0.5):
        method = make(stop_skips=3, stop_from=start)
        seen = run(method, Maturing(200, ripe=0.8))
        assert method.stopped and seen[-1]["skips"] >= 3
        assert len(seen) == 200 * start + 1  # the skips are ahead long before
        assert f"ended at {start:.0%}" in method.warnings()[0] and method.trace()["roomy"]["stopped"]
    ripe = make(stop_skips=3, warmup=0.7)
    assert len(run(ripe, Maturing(200, ripe=0.5))) == 200 and not ripe.stopped


def test_an_ended_search_learns_no_more() -> None:
    """Where steps go on nevertheless, weights are trained and alpha stays."""
    method, evaluator = make(stop_skips=1, stop_from=0.0), Maturing(20, ripe=0.8)
    run(method, evaluator)
    kept = method.relaxation.values
    assert "policy_rate" not in method.step(evaluator)
    np.testing.assert_array_equal(method.relaxation.values, kept)


def test_the_auxiliary_skip_fades() -> None:
    """Every edge has one more skip outside the softmax; its weight falls from 1 to 0, and no cell is derived on it."""
    method, evaluator = make(auxiliary_skip=True), QuadraticEvaluator([np.zeros(3)] * len(REDUCED.sizes), 4)
    asked: list[Array] = []
    trained: list[Array] = []
    gradient, train = evaluator.gradient, evaluator.train
    evaluator.train = lambda passes, *rest: trained.append(np.array(passes[0].selection)) or train(passes, *rest)  # type: ignore[func-returns-value,method-assign]
    evaluator.gradient = lambda s, *rest, **named: asked.append(np.array(s)) or gradient(s, *rest, **named)  # type: ignore[func-returns-value,method-assign]
    run(method, evaluator)
    for step, weight in enumerate((1.0, 0.75, 0.5, 0.25)):
        for vectors in (asked[step], trained[step]):
            np.testing.assert_allclose(vectors.sum(axis=1), 1 + weight)
            np.testing.assert_allclose(vectors[:, SKIP], 1 / 3 + weight, atol=0.03)
    np.testing.assert_allclose(method.relaxation.score_table().sum(axis=1), -2 / 3, atol=0.01)


def test_edge_weights_are_one_softmax_per_node() -> None:
    """The vectors of a node's edges add up to 1 together, and cells are derived on the product."""
    method = make(edge_weights=True)
    method.relaxation.values = np.zeros(len(method.relaxation.values))
    assert method.relaxation.edges().tolist() == pytest.approx([1 / 2] * 4 + [1 / 3] * 6)
    method.relaxation.values[-6:] = [0.0, 2.0, 1.0, 2.0, 0.0, 1.0]
    sums = [v.sum() for v in method.relaxation.vectors()]
    assert sum(sums[4:7]) == pytest.approx(1.0) and sum(sums[7:]) == pytest.approx(1.0)
    assert (method.derived()[4:] != 0).tolist() == [False, True, True, True, False, True]


# ---------------------------------------------------------------------- the dominant eigenvalue


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1)])
def test_power_iteration_finds_the_eigenvalue(signs: tuple[int, int]) -> None:
    """The magnitude of the eigenvalue of largest magnitude, be it negative, from gradients alone; 0 where flat."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.standard_normal((12, 12)))
    values = np.r_[3.0 * signs[0], 1.5 * signs[1], rng.uniform(-1, 1, 10)]
    hessian = basis @ np.diag(values) @ basis.T
    start = rng.standard_normal(12)
    found, direction = dominant_eigenvalue(lambda x: hessian @ x + 5.0, np.ones(12), start / np.linalg.norm(start), 25)
    assert found == pytest.approx(3.0, rel=1e-6)
    assert abs(direction @ basis[:, 0]) == pytest.approx(1.0, abs=1e-6)
    assert dominant_eigenvalue(lambda x: np.ones(12), np.ones(12), start, 5)[0] == 0.0


def watch(**named: Any) -> EigenvalueWatch:
    settings = {"every": 0.04, "window": 5, "delay": 4, "iterations": 1, "start": 0.2, **named}
    return EigenvalueWatch(1.3, **settings, direction=np.ones(1))


def test_the_rule_of_robust_darts() -> None:
    """The mean of 5 values against that mean 4 measurements earlier, which must be no earlier than epoch 10 of 50."""
    values = [1.0] * 10 + [2.3, 2.3, 2.3, 2.3]
    found, told = watch(), []
    for k, value in enumerate(values):
        found.measure(0.04 * k + 1e-9, lambda x, v=value: v * x, np.array([float(k)]))  # type: ignore[misc]
        told.append(found.risen())
    # Means of five: 1.26 at position 10, 1.52 at 11, against 1 at 6 and 7: 11 is the first above 1.3.
    assert [t is not None for t in told] == [False] * 11 + [True] * 3
    moment, alpha = told[11]  # type: ignore[misc]
    assert moment == pytest.approx(0.28) and alpha.tolist() == [7.0]
    early = watch(start=0.32)
    for k, value in enumerate(values[:12]):
        early.measure(0.04 * k + 1e-9, lambda x, v=value: v * x, np.zeros(1))  # type: ignore[misc]
    assert early.risen() is None


def test_measurements_are_as_far_apart_as_asked() -> None:
    """One at the start and then one every 4 % of the search, whatever the number of steps."""
    method, evaluator = make(stop_eigenvalue=1e9), QuadraticEvaluator([np.zeros(3)] * 10, 200, curvature=1.0)
    run(method, evaluator)
    moments = method.trace()["roomy"]["eigenvalues"]["progress"]
    assert len(moments) == 25 and np.allclose(np.diff(moments), 0.04)


def test_what_is_measured_is_the_hessian_in_alpha() -> None:
    """The eigenvalue of the validation loss of one fixed batch, through the softmaxes."""
    method = make(stop_eigenvalue=1e9, eigenvalue_iterations=60)
    rng = np.random.default_rng(0)
    evaluator = QuadraticEvaluator([rng.normal(0, 1, 3) for _ in REDUCED.sizes], 10**6, curvature=1.5, noise=0.5)
    found = method.step(evaluator)["eigenvalue"]
    relaxation, batch = method.relaxation, [g + u for g, u in zip(*_at_zero(evaluator), strict=True)]

    def loss(values: Array) -> float:
        vectors = relaxation.vectors(values=values)
        linear = sum((n - u) @ v for n, u, v in zip(batch, evaluator.utilities, vectors, strict=True))
        return float(linear) + 0.75 * float(sum(v @ v for v in vectors))

    at, step = relaxation.values, 1e-3 * np.eye(len(relaxation.values))
    hessian = [
        [(loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)) / 4e-6 for a in step] for b in step
    ]
    assert found == pytest.approx(np.abs(np.linalg.eigvalsh(hessian)).max(), rel=1e-3)


def _at_zero(evaluator: QuadraticEvaluator) -> tuple[list[Array], list[Array]]:
    return evaluator.gradient([np.zeros(3)] * 10, batch=0)[1], evaluator.utilities


def test_a_sharp_loss_ends_the_search_and_goes_back() -> None:
    """Once the curvature in alpha grows, the search ends at the mixture of four measurements before."""
    sharp = make(stop_eigenvalue=1.3, stop_from=0.1)
    evaluator = Maturing(250, ripe=0.9, curvature_at=lambda p: 0.1 if p < 0.5 else 1.0)
    kept: dict[float, Array] = {}
    while not evaluator.done and not sharp.stopped:
        before = evaluator.progress
        sharp.step(evaluator)
        kept[before] = sharp.relaxation.values
    assert sharp.watch is not None and sharp.stopped
    assert 0.5 <= sharp.watch.moments[-1] <= 0.6
    np.testing.assert_array_equal(sharp.relaxation.values, kept[sharp.watch.moments[-5]])
    assert "dominant eigenvalue" in sharp.warnings()[0]
    calm = make(stop_eigenvalue=1.3, stop_from=0.1)
    run(calm, Maturing(250, ripe=0.9, curvature_at=lambda p: 0.1))
    assert not calm.stopped


def test_stops_look_at_nothing_they_were_not_asked_for() -> None:
    """Without settings there is no watch, no extra gradient, and no end before the end."""
    method, evaluator = make(), Maturing(30, ripe=0.8)
    run(method, evaluator)
    assert method.watch is None and evaluator.batches == 30 and not method.stopped
    with pytest.raises(RequestError, match=r"method\.eigenvalue_every: 0"):
        MSRANASSettings(eigenvalue_every=0)
