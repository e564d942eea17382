"""Networks that stop: by deadline, budget, confidence or choice, and compute nothing beyond."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from anytime_networks import chain, pictures, settled
from torch import nn

import sartor
from sartor.anytime.predictor import AnytimePredictor
from sartor.anytime.running import StageFacts, StageRunner, softmax
from sartor.blueprint import Blueprint
from sartor.data import Normalisation
from sartor.errors import RequestError
from sartor.pipeline.network_file import NetworkCard

NORMALISATION = Normalisation((0.3,), (0.35,))


@pytest.fixture
def predictor(blueprint: Blueprint, network: nn.Module) -> AnytimePredictor:
    """A predictor on the folder's network."""
    return AnytimePredictor(network, blueprint, normalisation=NORMALISATION, class_names=tuple("0123456789"))


@contextmanager
def counted(network: nn.Module) -> Iterator[list[str]]:
    """The names of the blocks whose layers were called, once per call of a layer with weights."""
    calls: list[str] = []
    hooks = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            block = name.split(".")[1]
            hooks.append(module.register_forward_hook(lambda *_, block=block: calls.append(block)))
    yield calls
    for hook in hooks:
        hook.remove()


def test_predictions_are_those_of_the_network(predictor: AnytimePredictor, network: nn.Module) -> None:
    """Every exit's probabilities, confidence and labels are the softmax of the network's logits."""
    x = pictures(7)
    with torch.no_grad():
        expected = [softmax(logits.numpy()) for logits in network(x)]
    found = list(predictor.predict(x))
    assert [p.exit for p in found] == [0, 1, 2]
    for prediction, probabilities in zip(found, expected, strict=True):
        np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-6)
        np.testing.assert_allclose(prediction.confidence, probabilities.max(axis=1), atol=1e-6)
        assert prediction.labels.tolist() == probabilities.argmax(axis=1).tolist()
    assert [p.macs for p in found] == [c.anytime_macs for c in predictor.exits]
    assert 0 < found[0].elapsed_ms < found[1].elapsed_ms < found[2].elapsed_ms


def test_ensemble_is_the_running_mean(predictor: AnytimePredictor) -> None:
    """With ``ensemble`` exit k gives the mean of the softmaxes of exits 0 to k."""
    x = pictures()
    single = [p.probabilities for p in predictor.predict(x)]
    for k, prediction in enumerate(predictor.predict(x, ensemble=True)):
        np.testing.assert_allclose(prediction.probabilities, np.mean(single[: k + 1], axis=0), atol=1e-12)


def test_nothing_is_computed_beyond_the_last_one_taken(predictor: AnytimePredictor, network: nn.Module) -> None:
    """Layers run when their prediction is asked for, once, and only those that it reads."""
    with counted(network) as calls:
        predictions = predictor.predict(pictures(1))
        assert not calls
        next(predictions)
        assert calls == ["stem0", "stem1", "stem2", "down1_2", "cell1_2", "exit0"]
        next(predictions)
        assert calls[6:] == ["down1_1", "cell1_1", "down2_2", "cell2_2", "exit1"]


def test_a_budget_known_beforehand_runs_what_its_exit_reads(predictor: AnytimePredictor, network: nn.Module) -> None:
    """Within a MACs budget the last affordable exit alone answers, without the heads before it; so with ``exit``."""
    lazy = [c.lazy_macs for c in predictor.exits]
    for limits in ({"macs": lazy[1]}, {"macs": lazy[2] - 1}, {"exit": 1}, {"macs": 1e12, "exit": 1}):
        with counted(network) as calls:
            (only,) = predictor.predict(pictures(1), **limits)  # type: ignore[arg-type]
        assert (only.exit, only.macs) == (1, lazy[1])
        assert "exit0" not in calls and calls.count("exit1") == 1
    assert list(predictor.predict(pictures(1), macs=lazy[0] - 1)) == []
    with torch.no_grad():
        expected = softmax(network(pictures(1))[2].numpy())
    answer = predictor.answer(pictures(1), macs=1e12)
    assert answer is not None
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-6)


def test_a_budget_beside_other_limits_counts_what_is_run(predictor: AnytimePredictor) -> None:
    """With a confidence or an ensemble earlier heads run too, and the budget holds for all that was computed."""
    spent = [c.anytime_macs for c in predictor.exits]
    assert [p.macs for p in predictor.predict(pictures(1), macs=spent[1], ensemble=True)] == spent[:2]
    assert [p.macs for p in predictor.predict(pictures(1), macs=spent[1] - 1, confidence=1.1)] == spent[:1]
    assert [p.exit for p in predictor.predict(pictures(1), exit=1, confidence=1.1)] == [0, 1]


def test_confidence_stops(predictor: AnytimePredictor, network: nn.Module) -> None:
    """The run ends at the first exit where all pictures are sure enough; one threshold, or one per exit."""
    x = pictures(3)
    least = [p.confidence.min() for p in predictor.predict(x)]
    with counted(network) as calls:
        assert [p.exit for p in predictor.predict(x, confidence=least[0])] == [0]
        assert "exit1" not in calls
    assert [p.exit for p in predictor.predict(x, confidence=[1.1, least[1], 0])] == [0, 1]
    assert len(list(predictor.predict(x, confidence=1.1))) == 3


def test_classify_sends_each_picture_to_its_exit(predictor: AnytimePredictor, network: nn.Module) -> None:
    """Each picture leaves at the first exit where it is sure enough, and is then computed no further."""
    x = pictures(64)
    every = [p.confidence for p in predictor.predict(x)]
    thresholds = [float(np.median(every[0])), float(np.median(every[1])), -math.inf]
    sizes = []
    hook = network.blocks["exit2"].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))  # type: ignore[index, union-attr]
    found = predictor.classify(x, thresholds)
    hook.remove()
    expected = np.array([next(k for k in range(3) if every[k][i] >= thresholds[k]) for i in range(64)])
    assert found.exits.tolist() == expected.tolist() and len(set(expected)) == 3
    assert sizes == [int((expected == 2).sum())]
    for k, prediction in enumerate(predictor.predict(x)):
        rows = expected == k
        np.testing.assert_allclose(found.probabilities[rows], prediction.probabilities[rows], atol=1e-6)
    assert found.mean_macs == pytest.approx(np.mean([predictor.exits[k].anytime_macs for k in expected]))
    single = predictor.classify(x[:1], thresholds)
    assert single.exits.tolist() == expected[:1].tolist()


def test_classify_by_the_ensemble(predictor: AnytimePredictor) -> None:
    """Running means keep to the pictures that are still there."""
    x = pictures(32)
    every = [p.confidence for p in predictor.predict(x, ensemble=True)]
    thresholds = [float(np.median(every[0])), float(np.median(every[1])), 0.0]
    found = predictor.classify(x, thresholds, ensemble=True)
    for k, prediction in enumerate(predictor.predict(x, ensemble=True)):
        rows = found.exits == k
        np.testing.assert_allclose(found.probabilities[rows], prediction.probabilities[rows], atol=1e-6)
        assert (every[k][rows] >= thresholds[k]).all()


class TimedStages(StageRunner):
    """Four stages that take as long as they are told on a clock of their own, to test deadlines alone."""

    def __init__(self, stage_ms: list[float]) -> None:
        super().__init__([StageFacts(k, (), (), 1) for k in range(4)])
        self.takes_ms, self.started, self.now_ms = stage_ms, 0, 0.0
        self.clock = lambda: self.now_ms / 1e3

    def _start(self, x: object, plan: object) -> TimedStages:  # type: ignore[override]
        self.started = 0
        return self

    def stage(self, position: int) -> object:
        self.started += 1
        self.now_ms += self.takes_ms[position]
        return np.zeros((1, 2))

    def keep(self, rows: object) -> None: ...

    def close(self) -> None: ...


def test_a_deadline_starts_no_stage_that_would_miss_it() -> None:
    """A stage is started only if its measured time still fits."""
    runner = TimedStages([10, 10, 40, 10])
    runner.stage_ms[1] = (12, 12, 42, 12)
    assert [p.exit for p in runner.predict([0], deadline_ms=61)] == [0, 1]
    assert runner.started == 2, "20 ms are gone, and 42 more are too many for 61"
    assert [p.exit for p in runner.predict([0], deadline_ms=62)] == [0, 1, 2]
    assert [p.exit for p in runner.predict([0], deadline_ms=11)] == [] and runner.started == 0
    assert len(list(runner.predict([0], deadline_ms=500))) == 4


def test_what_was_never_measured_is_measured_first() -> None:
    """A deadline for a new batch size measures every stage before the deadline's clock starts."""
    runner = TimedStages([10, 20, 30, 40])
    predictions = list(runner.predict([0, 1], deadline_ms=60))
    np.testing.assert_allclose(runner.stage_ms[2], [10, 20, 30, 40])
    assert [p.exit for p in predictions] == [0, 1, 2]
    np.testing.assert_allclose([p.elapsed_ms for p in predictions], [10, 30, 60])


def test_measuring_ends_in_time() -> None:
    """Slow networks are measured ten times, after three to warm up, and no more than was asked for."""
    runner = TimedStages([100, 100, 100, 100])
    runner.measure([0], max_seconds=0.1)
    assert runner.now_ms == pytest.approx(13 * 400)
    runner.now_ms = 0.0
    runner.measure([0], repeats=20, max_seconds=1e6)
    assert runner.now_ms == pytest.approx(23 * 400)


def test_a_slow_moment_makes_later_stages_slower() -> None:
    """Stages that take twice as long as measured let the run expect the same of the next ones."""
    runner = TimedStages([20, 20, 20, 20])
    runner.stage_ms[1] = (10, 10, 10, 10)
    assert [p.exit for p in runner.predict([0], deadline_ms=59)] == [0, 1], "10 more would fit, 20 do not"
    assert [p.exit for p in runner.predict([0], deadline_ms=60)] == [0, 1, 2]
    runner.takes_ms = [5, 5, 5, 5]
    assert len(list(runner.predict([0], deadline_ms=24))) == 3, "a fast moment promises nothing"


def test_a_deadline_is_overrun_by_at_most_one_stage() -> None:
    """However slow a stage becomes, the run ends with it."""
    runner = TimedStages([10, 500, 10, 10])
    runner.stage_ms[1] = (10, 10, 10, 10)
    predictions = list(runner.predict([0], deadline_ms=30))
    assert [p.exit for p in predictions] == [0, 1] and predictions[-1].elapsed_ms == pytest.approx(510)


def test_the_callers_time_counts_for_the_deadline() -> None:
    """Whoever takes their time between predictions has less left, but does not make the stages look slow."""
    runner = TimedStages([5, 5, 5, 5])
    runner.stage_ms[1] = (6, 6, 6, 6)
    taken = []
    for prediction in runner.predict([0], deadline_ms=31):
        taken.append(prediction.exit)
        runner.now_ms += 20
    assert taken == [0, 1], "the second starts at 25 and may take 6"


def test_deadline_on_a_network(predictor: AnytimePredictor) -> None:
    """A generous deadline lets a real network through; one that has passed gives no prediction."""
    assert len(list(predictor.predict(pictures(1), deadline_ms=10_000))) == 3
    assert list(predictor.predict(pictures(1), deadline_ms=1e-6)) == []
    assert predictor.answer(pictures(1), deadline_ms=1e-6) is None


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"deadline_ms": 0}, "deadline_ms: needs a number above 0, got 0"),
        ({"macs": -1}, "macs: needs"),
        ({"exit": 3}, "exits 0 to 2"),
        ({"confidence": [0.5, 0.5]}, "one for each of 3 exits"),
        ({"confidence": math.nan}, "confidence"),
    ],
)
def test_limits_out_of_range_are_refused_at_once(predictor: AnytimePredictor, limits: dict, words: str) -> None:  # type: ignore[type-arg]
    """The call itself refuses, before the first prediction is asked for."""
    with pytest.raises(RequestError, match=words):
        predictor.predict(pictures(1), **limits)


def test_pictures_that_do_not_fit_are_refused(predictor: AnytimePredictor) -> None:
    """Shape and type are named; so are thresholds that do not match the exits."""
    with pytest.raises(RequestError, match=r"\[B, 1, 8, 8\] as prepare\(\) makes it, got \[1, 1, 9, 9\]"):
        predictor.predict(torch.zeros(1, 1, 9, 9))
    with pytest.raises(RequestError, match=r"uint8 of shape \[B, 8, 8, 1\], got torch.float32"):
        predictor.prepare(np.zeros((1, 8, 8, 1), np.float32))
    with pytest.raises(RequestError, match="3 exits; got 1 pictures and 2 thresholds"):
        predictor.classify(pictures(1), [0.5, 0.5])


def test_prepared_pictures_are_normalised(predictor: AnytimePredictor) -> None:
    """(pixel / 255 - mean) / std, grey pictures with or without their channel."""
    raw = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
    expected = (torch.from_numpy(raw)[:, None] / 255 - 0.3) / 0.35
    torch.testing.assert_close(predictor.prepare(raw), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(predictor.prepare(raw[..., None]), expected, atol=1e-6, rtol=0)


def test_a_plain_network_is_a_network_with_one_exit() -> None:
    """A chain without exits predicts once."""
    plain = settled(chain())
    (only,) = AnytimePredictor(plain, chain()).predict(pictures(2))
    with torch.no_grad():
        np.testing.assert_allclose(only.probabilities, softmax(plain(pictures(2)).numpy()), atol=1e-6)


def test_load_from_a_file(
    blueprint: Blueprint, network: nn.Module, predictor: AnytimePredictor, tmp_path: Path
) -> None:
    """A file of weights makes the same predictor, with its normalisation and class names; nothing else is needed."""
    from safetensors.torch import save_file

    card = NetworkCard(blueprint, NORMALISATION, tuple("0123456789"))
    path = tmp_path / "anytime.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path, card.to_metadata())
    loaded = sartor.load_anytime(path)
    assert isinstance(loaded, AnytimePredictor)
    raw = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    for ours, theirs in zip(
        predictor.predict(predictor.prepare(raw)), loaded.predict(loaded.prepare(raw)), strict=True
    ):
        np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)
    assert loaded.class_names == tuple("0123456789")
    with pytest.raises(RequestError, match="no such file"):
        sartor.load_anytime(tmp_path / "other.safetensors")
