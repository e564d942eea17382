"""Exits judged one by one and together, and timed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from anytime_networks import chain, pictures, settled
from torch import Tensor, nn

from sartor.anytime.budgeted import leave_at, run_batch
from sartor.anytime.evaluation import evaluate_exits, exit_logits, exit_table, measure_exits
from sartor.anytime.predictor import AnytimePredictor
from sartor.blueprint import Blueprint
from sartor.evaluate import evaluate


def batches() -> list[tuple[Tensor, Tensor]]:
    """Two batches of unequal size with random labels."""
    x, y = pictures(24), torch.randint(0, 10, (24,), generator=torch.Generator().manual_seed(1))
    return [(x[:16], y[:16]), (x[16:], y[16:])]


def test_every_exit_is_evaluated_like_a_network(network: nn.Module) -> None:
    """Accuracy and loss of each exit are those of evaluate() on that exit alone."""
    found = evaluate_exits(network, batches())
    for k in range(3):
        alone = evaluate(lambda x, k=k: network(x)[k], batches())  # type: ignore[misc]
        assert found.single.accuracies[k] == pytest.approx(alone.accuracy)
        assert found.single.losses[k] == pytest.approx(alone.loss, rel=1e-5)
    assert found.single.predictions.shape == found.ensemble.confidences.shape == (3, 24)


def test_ensembles_by_hand() -> None:
    """The mean of the softmaxes decides: two unsure exits outvote a third, and confidences are those of the mean."""
    probabilities = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3]], dtype=torch.float64)  # exits x classes
    logits = [p.log()[None] for p in probabilities]
    found = evaluate_exits(lambda _: tuple(logits), [(torch.zeros(1, 1, 1, 1), torch.tensor([1]))])
    assert found.single.predictions[:, 0].tolist() == [0, 1, 0]
    assert found.ensemble.predictions[:, 0].tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.ensemble.confidences[:, 0], [0.6, 0.65, 1.6 / 3], rtol=1e-6)
    np.testing.assert_allclose(found.ensemble.losses, [-math.log(p) for p in (0.4, 0.65, 1.6 / 3)], rtol=1e-6)
    assert found.single.accuracies == (0, 100, 0) and found.ensemble.accuracies == (0, 100, 100)
    assert found.correct(ensemble=True)[:, 0].tolist() == [False, True, True]


def test_sources_of_logits_are_interchangeable(blueprint: Blueprint, network: nn.Module) -> None:
    """The network, its stages and the predictor's logits are judged alike; a network with one exit has one row."""
    expected = evaluate_exits(network, batches())
    for forward in (network.stages, AnytimePredictor(network, blueprint).logits):
        found = evaluate_exits(forward, batches())  # type: ignore[arg-type]
        np.testing.assert_allclose(found.single.confidences, expected.single.confidences, atol=1e-6)
    assert evaluate_exits(settled(chain()), batches()).single.predictions.shape == (1, 24)


def test_confidences_feed_budgeted_batches(blueprint: Blueprint, network: nn.Module) -> None:
    """What was stored realises exactly what classifying picture by picture gives."""
    found, predictor = evaluate_exits(network, batches()), AnytimePredictor(network, blueprint)
    thresholds = [float(np.median(found.single.confidences[0])), float(found.single.confidences[1].max()), -math.inf]
    costs = [c.anytime_macs for c in predictor.exits]
    batch = run_batch(found.single.confidences, found.correct(), costs, thresholds)
    x = torch.cat([x for x, _ in batches()])
    classified = predictor.classify(x, [t - 1e-9 for t in thresholds])
    assert classified.exits.tolist() == leave_at(found.single.confidences, thresholds).tolist()
    assert batch.mean_cost == classified.mean_macs
    assert batch.accuracy == pytest.approx(100 * (classified.probabilities.argmax(1) == found.labels).mean())


def test_confidences_are_not_rounded_to_one() -> None:
    """Sure pictures keep an order: confidences are taken in float64, where float32 knows only 1."""
    logits = torch.tensor([[20.0, 0.0], [21.0, 0.0], [22.0, 0.0]])
    found = evaluate_exits(lambda _: logits, [(torch.zeros(3, 1, 1, 1), torch.zeros(3, dtype=torch.int64))])
    assert len(set(found.single.confidences[0].tolist())) == 3
    assert len(set(torch.softmax(logits, 1)[:, 0].tolist())) < 3


def test_logits_of_all_exits(network: nn.Module) -> None:
    """All batches of all exits in one array ``[K, n, N]``."""
    logits = exit_logits(network, [x for x, _ in batches()])
    with torch.no_grad():
        expected = torch.stack(network(pictures(24))).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert logits.dtype == np.float32


def test_every_exit_is_timed(blueprint: Blueprint, network: nn.Module) -> None:
    """Later exits take longer; an exit foreseen takes no longer than one that was reached step by step."""
    times = measure_exits(network, blueprint, pictures(16), repeats=10)
    medians = [t.anytime.median_ms for t in times]
    assert [t.exit for t in times] == [0, 1, 2] and 0 < medians[0] < medians[2]
    assert times[2].lazy.median_ms < 1.5 * medians[2]


def test_table_of_exits_is_plain_data(blueprint: Blueprint, network: nn.Module) -> None:
    """Costs, accuracies and times of every exit go to JSON."""
    found = evaluate_exits(network, batches())
    rows = exit_table(blueprint, found, measure_exits(network, blueprint, pictures(2), repeats=10))
    assert json.loads(json.dumps(rows)) == rows
    assert [row["anytime_macs"] for row in rows] == sorted(row["anytime_macs"] for row in rows)
    assert [row["accuracy"] for row in rows] == list(found.single.accuracies)
    assert json.loads(json.dumps(found.to_dict()))["pictures"] == 24


def test_no_pictures_are_refused(network: nn.Module) -> None:
    """Nothing to evaluate on is an error, not an accuracy of zero."""
    with pytest.raises(ValueError, match="no picture"):
        evaluate_exits(network, [])
