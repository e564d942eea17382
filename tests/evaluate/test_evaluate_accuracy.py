"""Accuracy and loss over an index set, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from sartor.evaluate import Evaluation, evaluate

LOGITS = torch.tensor([[2.0, 1, 0], [0, 3, 1], [1, 0, 5], [0, 4, 1], [6, 0, 1], [0, 0.5, 1], [1, 2, 3.0]])
LABELS = torch.tensor([0, 1, 2, 0, 0, 1, 2])  # five of seven are right


def batches(size: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(LOGITS.split(size), LABELS.split(size), strict=True)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_the_mean_is_over_pictures(size: int) -> None:
    """Unequal batches count by their pictures; accuracy is in percent, the loss the mean cross-entropy in nats."""
    found = evaluate(lambda x: x, batches(size))
    p = np.exp(LOGITS.numpy())
    p /= p.sum(axis=1, keepdims=True)
    assert found.accuracy == pytest.approx(100 * 5 / 7)
    assert found.loss == pytest.approx(-np.log(p[np.arange(7), LABELS.numpy()]).mean(), rel=1e-6)
    assert found.pictures == 7


def test_reduced_precision_is_summed_in_full() -> None:
    """Logits in bfloat16 are judged in float32."""
    found = evaluate(lambda x: x.bfloat16(), batches(3))
    assert found.accuracy == pytest.approx(100 * 5 / 7)
    assert found.loss == pytest.approx(evaluate(lambda x: x, batches(3)).loss, rel=0.01)


def test_nothing_is_recorded_for_gradients() -> None:
    """No graph is built: the forward computation runs without gradients."""
    weight = torch.ones((), requires_grad=True)
    kinds = []

    def forward(x: Tensor) -> Tensor:
        kinds.append((x * weight).requires_grad)
        return x

    evaluate(forward, batches(7))
    assert kinds == [False]


def test_no_picture_is_an_error() -> None:
    """An empty set has no accuracy."""
    with pytest.raises(ValueError, match="no picture"):
        evaluate(lambda x: x, [])


def test_an_evaluation_is_plain() -> None:
    """Two evaluations of the same figures are equal."""
    assert Evaluation(50.0, 1.0, 2) == Evaluation(50.0, 1.0, 2)
