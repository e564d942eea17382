"""One step of shared weights: gradients of several passes, teachers, micro-batches, paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.runtime import prepare
from sartor.train.passes import Pass, sandwich
from sartor.train.runner import PassRunner

PICTURES = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3


class TwoHeads(nn.Module):
    """A shared body and two heads: the selection names the head; both heads are two exits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(6, 5)
        self.heads = nn.ModuleDict({name: nn.Linear(5, 3) for name in ("a", "b")})
        self.seen: list[tuple[Any, bool, int]] = []

    def forward(self, x: Tensor, selection: str, drop: bool) -> Any:
        self.seen.append((selection, drop, len(x)))
        features = self.body(x).tanh()
        if selection == "both":
            return tuple(head(features) for head in self.heads.values())
        return self.heads[selection](features)

    def logits(self, selection: str) -> Tensor:
        result: Tensor = self(PICTURES, selection, False)
        return result


def gradients(network: nn.Module) -> list[Tensor]:
    return [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in network.parameters()]


def run(passes: Sequence[Pass], **settings: Any) -> tuple[TwoHeads, np.ndarray[Any, Any]]:
    network = TwoHeads()
    return network, PassRunner(network, **settings)(PICTURES, LABELS, passes)


def expected_gradients(loss_of: Any) -> list[Tensor]:
    network = TwoHeads()
    loss_of(network).backward()
    return gradients(network)


def assert_equal(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_gradients_of_passes_add_up() -> None:
    """The gradient of a step is the sum over its passes, each scaled by its weight, not their mean."""
    network, _ = run([Pass("a"), Pass("b", weight=0.25), Pass("a")])

    def loss(n: TwoHeads) -> Tensor:
        return 2 * F.cross_entropy(n.logits("a"), LABELS) + 0.25 * F.cross_entropy(n.logits("b"), LABELS)

    assert_equal(gradients(network), expected_gradients(loss))


def test_a_teacher_replaces_the_labels() -> None:
    """A taught pass learns -sum p log q with the teacher's softmax p; the teacher gets no gradient from it."""
    network, _ = run([Pass("a"), Pass("b", teacher=0)])

    def loss(n: TwoHeads) -> Tensor:
        with torch.no_grad():
            p = n.logits("a").exp() / n.logits("a").exp().sum(1, keepdim=True)
        q = n.logits("b")
        soft = -(p * (q - q.exp().sum(1, keepdim=True).log())).sum(1).mean()
        return F.cross_entropy(n.logits("a"), LABELS) + soft

    assert_equal(gradients(network), expected_gradients(loss))


def test_exits_are_taught_one_by_one() -> None:
    """With several exits the losses add up, and each exit of a pupil learns the same exit of its teacher."""
    network, losses = run([Pass("both", observe=True), Pass("both", teacher=0)])

    def loss(n: TwoHeads) -> Tensor:
        exits = n.logits("both")
        hard = sum(F.cross_entropy(e, LABELS) for e in exits)
        return hard + sum(F.cross_entropy(e, e.detach().softmax(1)) for e in exits)

    assert_equal(gradients(network), expected_gradients(loss))
    both = [F.cross_entropy(TwoHeads().logits(h), LABELS).item() for h in ("a", "b")]
    assert losses[0] == pytest.approx(sum(both), rel=1e-6)


@pytest.mark.parametrize("micro_batch", [1, 4, 5, 12, 100])
def test_micro_batches_change_nothing(micro_batch: int) -> None:
    """Gradients and losses are those of the whole batch, also where pieces are unequal (no batch norm here)."""
    passes = [Pass("a", observe=True), Pass("b", teacher=0, observe=True, minus=0), Pass("b", weight=2.0)]
    whole, losses = run(passes)
    pieces, same = run(passes, micro_batch=micro_batch)
    assert_equal(gradients(pieces), gradients(whole))
    np.testing.assert_allclose(same, losses, rtol=1e-6)
    sizes = {n for _, _, n in pieces.seen}
    assert max(sizes) == min(micro_batch, 12) and sum(n for s, _, n in pieces.seen if s == "a") == 12


def test_losses_are_means_before_the_update() -> None:
    """What is observed is the mean hard cross-entropy on the batch, whatever the pass learns."""
    _, losses = run([Pass("a"), Pass("b", teacher=0, weight=7.0, observe=True)])
    assert losses[1] == pytest.approx(F.cross_entropy(TwoHeads().logits("b"), LABELS).item(), rel=1e-6)


def test_only_the_observed_are_numbers() -> None:
    """Passes that were not observed are NaN, also where another pass is compared with them."""
    _, losses = run([Pass("a"), Pass("b"), Pass("b", observe=True, minus=0)])
    assert np.isnan(losses).tolist() == [True, True, False]


def test_differences_are_paired() -> None:
    """``minus`` gives the difference of two passes on the same pictures."""
    _, plain = run([Pass("a", observe=True), Pass("b", observe=True)])
    for observed in (True, False):  # whether the other pass is observed itself does not matter
        _, paired = run([Pass("a", observe=observed), Pass("b", observe=True, minus=0)])
        assert paired[1] == pytest.approx(plain[1] - plain[0], abs=1e-7)
        assert paired[0] == plain[0] or not observed


def test_label_smoothing_trains_and_is_not_observed() -> None:
    """Smoothed labels are learnt; the loss observed is the one of the labels."""
    network, losses = run([Pass("a", observe=True)], label_smoothing=0.1)

    def smoothed(n: TwoHeads) -> Tensor:
        log_q = n.logits("a").log_softmax(1)
        target = F.one_hot(LABELS, 3) * 0.9 + 0.1 / 3
        return -(target * log_q).sum(1).mean()

    assert_equal(gradients(network), expected_gradients(smoothed))
    assert losses[0] == pytest.approx(F.cross_entropy(TwoHeads().logits("a"), LABELS).item(), rel=1e-6)


def test_passes_say_whether_features_drop() -> None:
    """The network is told pass by pass whether to drop features, in the order of the passes."""
    network, _ = run([Pass("a", dropout=True), Pass("b")])
    assert network.seen == [("a", True, 12), ("b", False, 12)]


def test_bfloat16_runs_on_a_cpu() -> None:
    """In reduced precision the network computes in bfloat16, losses stay float32, gradients stay close."""
    runtime = prepare("cpu", "bfloat16")
    kinds: list[torch.dtype] = []
    network = TwoHeads()

    def forward(x: Tensor, selection: str, drop: bool) -> Any:
        logits = network(x, selection, drop)
        kinds.append(logits.dtype)
        return logits

    passes = [Pass("a", observe=True), Pass("b", teacher=0)]
    losses = PassRunner(forward, autocast=runtime.autocast)(PICTURES, LABELS, passes)
    full, reference = run(passes)
    assert kinds == [torch.bfloat16] * 2
    assert losses[0] == pytest.approx(reference[0], rel=0.02)
    assert losses[0] != reference[0]
    for a, b in zip(gradients(network), gradients(full), strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0.1, atol=0.02)


# ---------------------------------------------------------------- the sandwich


def test_the_sandwich() -> None:
    """Largest first on the labels, then smallest, then the others, all taught by the largest."""
    passes = sandwich("L", "S", ["m1", "m2"], distillation=True, observe=True)
    assert [p.selection for p in passes] == ["L", "S", "m1", "m2"]
    assert [p.teacher for p in passes] == [None, 0, 0, 0]
    assert [p.observe for p in passes] == [False, False, True, True]
    assert [p.minus for p in passes] == [None, None, 0, 0]


def test_the_sandwich_without_teacher() -> None:
    """Without distillation every pass learns the labels, and nothing is observed unless asked."""
    passes = sandwich("L", "S", ["m"], distillation=False)
    assert all(p.teacher is None and not p.observe and p.minus is None for p in passes)


def test_only_the_largest_drops_features() -> None:
    """Dropout acts in the pass of the largest network alone."""
    passes = sandwich("L", "S", ["m"], distillation=True, dropout=True)
    assert [p.dropout for p in passes] == [True, False, False]
