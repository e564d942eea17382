"""Teachers from outside: what a lesson is worth, who learns it, and that a killed training goes on with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sartor.blueprint import Blueprint
from sartor.elastic.slimmable import SlimmableNetwork
from sartor.runtime import Runtime, prepare
from sartor.testing import small_space
from sartor.testing.evaluators import RandomPictures
from sartor.testing.stores import Killed, MemoryStore
from sartor.train.loop import NoStore
from sartor.train.networks import Trained, train_slimmable
from sartor.train.passes import EXTERNAL, Pass
from sartor.train.runner import PassRunner
from sartor.train.settings import FinalTraining
from sartor.train.teacher import Lesson, Teacher

pytestmark = pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout")

PICTURES = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
SPACE = small_space("mobilenet_v1")
NAMES = ("watch", "phone", "tablet")


class WithDropout(nn.Module):
    """A teacher that answers otherwise while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.dropout = nn.Dropout(0.5)
        nn.init.normal_(self.linear.weight, generator=torch.Generator().manual_seed(1))
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Any:
        return self.linear(self.dropout(x)).mul(3)


def pupil() -> nn.Linear:
    linear = nn.Linear(6, 3)
    nn.init.normal_(linear.weight, generator=torch.Generator().manual_seed(2))
    nn.init.zeros_(linear.bias)
    return linear


def learnt(teacher: Teacher, *passes: Pass, **settings: Any) -> tuple[nn.Linear, np.ndarray[Any, Any]]:
    network = pupil()
    runner = PassRunner(lambda x, selection, drop: network(x), teacher=teacher, **settings)
    return network, runner(PICTURES, LABELS, passes or [Pass("a", teacher=EXTERNAL, observe=True)])


def by_hand(share: float, temperature: float, smoothing: float = 0.0) -> Tensor:
    """(1 - w) CE + w T^2 KL, written out."""
    network, teacher = pupil(), WithDropout().eval()
    logits = network(PICTURES)
    with torch.no_grad():
        p = (teacher(PICTURES) / temperature).exp()
        p = p / p.sum(1, keepdim=True)
    q = (logits / temperature).exp()
    q = q / q.sum(1, keepdim=True)
    divergence = (p * (p.log() - q.log())).sum(1).mean()
    wanted = F.one_hot(LABELS, 3) * (1 - smoothing) + smoothing / 3
    hard = -(wanted * logits.log_softmax(1)).sum(1).mean()
    ((1 - share) * hard + share * temperature**2 * divergence).backward()
    assert network.weight.grad is not None
    return network.weight.grad


def gradient(network: nn.Linear) -> Tensor:
    assert network.weight.grad is not None
    return network.weight.grad


# ---------------------------------------------------------------- one pass


@pytest.mark.parametrize(("share", "temperature"), [(0.5, 1.0), (0.3, 4.0), (1.0, 2.0)])
def test_the_loss_by_hand(share: float, temperature: float) -> None:
    """The gradient is that of (1 - w) CE + w T^2 KL(teacher || pupil), whatever share and temperature."""
    network, losses = learnt(Teacher(WithDropout(), share, temperature))
    torch.testing.assert_close(gradient(network), by_hand(share, temperature), rtol=1e-5, atol=1e-6)
    assert losses[0] == pytest.approx(F.cross_entropy(pupil()(PICTURES), LABELS).item(), rel=1e-6)


def test_smoothing_is_of_the_labels_alone() -> None:
    """Label smoothing acts on the hard part of the loss, not on what the teacher says."""
    network, _ = learnt(Teacher(WithDropout(), 0.4, 2.0), label_smoothing=0.2)
    torch.testing.assert_close(gradient(network), by_hand(0.4, 2.0, smoothing=0.2), rtol=1e-5, atol=1e-6)


def test_a_lesson_is_a_divergence_plus_a_constant() -> None:
    """The value of a lesson's loss is T^2 (KL + the teacher's entropy): it cannot fall below the latter."""
    taught = torch.tensor([[2.0, 0.0, -1.0]])
    p = (taught / 2).softmax(1)
    entropy = -(p * p.log()).sum()
    perfect = Lesson((taught,), temperature=2.0).losses([taught + 7])[0]
    assert float(perfect) == pytest.approx(float(4 * entropy), rel=1e-6)


@pytest.mark.parametrize("micro_batch", [1, 5, 12])
def test_micro_batches_change_nothing(micro_batch: int) -> None:
    """A teacher sees the pieces that its pupil sees: the gradient is that of the whole batch."""
    network, _ = learnt(Teacher(WithDropout(), 0.5, 2.0), micro_batch=micro_batch)
    torch.testing.assert_close(gradient(network), by_hand(0.5, 2.0), rtol=1e-5, atol=1e-6)


def test_a_teacher_is_asked_once_in_evaluation_mode_without_gradient() -> None:
    """Several pupils share one answer, given with dropout at rest; the teacher's weights get no gradient."""
    teacher = WithDropout().train()
    asked: list[bool] = []
    teacher.register_forward_hook(lambda module, x, y: asked.append(module.training or y.requires_grad))
    learnt(Teacher(teacher, 0.5, 1.0), Pass("a", teacher=EXTERNAL), Pass("b", teacher=EXTERNAL), Pass("c"))
    assert asked == [False]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_one_teacher_for_several_exits() -> None:
    """Exits learn the same exit of their teacher; where the numbers differ, all learn its last one."""
    a, b, out = (torch.randn(4, 3, generator=torch.Generator().manual_seed(i)) for i in range(3))

    def soft(logits: Tensor, taught: Tensor) -> float:
        return F.cross_entropy(logits, taught.softmax(1)).item()

    def losses(taught: tuple[Tensor, ...], *pupil: Tensor) -> list[float]:
        return [float(loss) for loss in Lesson(taught).losses(pupil)]

    assert losses((a, b), out, out * 2) == pytest.approx([soft(out, a), soft(out * 2, b)], rel=1e-6)
    assert losses((a, b), out) == pytest.approx([soft(out, b)], rel=1e-6)
    assert losses((a,), out, out * 2) == pytest.approx([soft(out, a), soft(out * 2, a)], rel=1e-6)


def test_reduced_precision() -> None:
    """Under autocast the teacher computes in bfloat16 too, and its lesson is float32."""
    kinds: list[torch.dtype] = []
    teacher = WithDropout()
    teacher.register_forward_hook(lambda module, x, y: kinds.append(y.dtype))
    network, _ = learnt(Teacher(teacher, 0.5, 2.0), autocast=prepare("cpu", "bfloat16").autocast)
    assert kinds == [torch.bfloat16]
    torch.testing.assert_close(gradient(network), by_hand(0.5, 2.0), rtol=0.1, atol=0.02)


def test_a_pass_without_its_teacher() -> None:
    """A pass that learns from outside needs a teacher there."""
    with pytest.raises(ValueError, match="there is no teacher"):
        PassRunner(lambda x, selection, drop: pupil()(x))(PICTURES, LABELS, [Pass("a", teacher=EXTERNAL)])


# ---------------------------------------------------------------- a training


def blueprints(n: int) -> dict[str, Blueprint]:
    """``n`` networks of ascending MACs."""
    rows = SPACE.sample(n, np.random.default_rng(0))
    rows = rows[np.argsort(SPACE.cost("macs")(rows))]
    return {name: SPACE.architecture(row).blueprint for name, row in zip(NAMES, rows, strict=False)}


def a_teacher() -> nn.Module:
    assert SPACE.smallest is not None
    return SPACE.smallest.blueprint.build(seed=9).eval()


def train(members: dict[str, Blueprint], store: Any = None, teacher: Any = None, **changes: Any) -> Trained:
    settings = FinalTraining(**{"epochs": 0.5, "batch_size": 8, "learning_rate": 0.05, "dropout": 0.0, **changes})
    cpu, weights = Runtime(torch.device("cpu")), dict.fromkeys(NAMES, 1.0)
    stream = RandomPictures(SPACE)
    return train_slimmable(members, weights, stream, settings, cpu, store or NoStore(), teacher=teacher)


def test_one_platform_with_a_teacher_is_ordinary_distillation() -> None:
    """Alone, a network is trained as a plain loop with torch's SGD and the written-out loss would train it."""
    only, teacher = {"phone": blueprints(2)["phone"]}, a_teacher()
    settings: dict[str, Any] = {"teacher_weight": 0.7, "teacher_temperature": 3.0, "weight_decay": 0.0}
    # One step: batch norms over eight pictures of one pixel make much of every rounding.
    ours = train(only, teacher=teacher, epochs=1 / 12, momentum=0.0, nesterov=False, **settings)
    plain = SlimmableNetwork(only, seed=0).extract("phone").train().to(memory_format=torch.channels_last)
    x, y = RandomPictures(SPACE).batch(0)
    logits = plain(x)
    with torch.no_grad():
        taught = teacher(x)
    soft = F.kl_div((logits / 3).log_softmax(1), (taught / 3).softmax(1), reduction="batchmean")
    (0.3 * F.cross_entropy(logits, y) + 0.7 * (9 * soft)).backward()
    torch.optim.SGD(plain.parameters(), lr=0.05).step()
    found = ours.network.extract("phone").state_dict()
    for (name, a), b in zip(found.items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("distillation", [False, True])
def test_the_largest_learns_from_outside(distillation: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a slimmable training the largest pass has the teacher; the others learn labels, or the largest one."""
    seen: list[tuple[str, Any]] = []
    run = PassRunner.__call__

    def watched(self: PassRunner, x: Tensor, y: Tensor, passes: Any) -> Any:
        seen.extend((p.selection, p.teacher) for p in passes)
        return run(self, x, y, passes)

    monkeypatch.setattr(PassRunner, "__call__", watched)
    train(blueprints(3), teacher=a_teacher(), distillation=distillation, epochs=1 / 12)
    others = 0 if distillation else None
    assert seen == [("tablet", EXTERNAL), ("watch", others), ("phone", others)]


def test_a_pupil_learns_what_no_label_says() -> None:
    """Taught by nothing else, the network comes to predict the two classes that its teacher tells apart."""
    only = {"phone": blueprints(2)["phone"]}
    x, _ = RandomPictures(SPACE).batch(0)

    def teacher(x: Tensor) -> Tensor:
        bright = (x.mean(dim=(1, 2, 3)) > 0).long()
        return 5.0 * F.one_hot(bright + 3, SPACE.num_classes)

    def distance(trained: Trained) -> float:
        with torch.no_grad():
            return float((trained.network.train()(x).softmax(1) - teacher(x).softmax(1)).abs().mean())

    settings: dict[str, Any] = {"teacher": teacher, "teacher_weight": 1.0}
    assert distance(train(only, epochs=4.0, **settings)) < 0.5 * distance(train(only, epochs=1 / 12, **settings))


def test_a_killed_training_goes_on_with_its_teacher() -> None:
    """Killed after a save, training ends with the same weights and the same log."""
    changes: dict[str, Any] = {"epochs": 1.7, "teacher_weight": 0.6, "teacher_temperature": 2.0, "distillation": True}
    undisturbed = MemoryStore()
    expected = train(blueprints(3), undisturbed, a_teacher(), **changes)
    store = MemoryStore(kill_after=1)
    with pytest.raises(Killed):
        train(blueprints(3), store, a_teacher(), **changes)
    again = store.restarted()
    found = train(blueprints(3), again, a_teacher(), **changes)
    assert again.records == undisturbed.records
    for (name, a), b in zip(found.network.state_dict().items(), expected.network.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_teacher_that_was_not_loaded() -> None:
    """Settings that name a teacher are not trained without it."""
    settings, cpu = FinalTraining(epochs=0.1, teacher="big.safetensors"), Runtime(torch.device("cpu"))
    with pytest.raises(ValueError, match="was not loaded"):
        train_slimmable(blueprints(1), {"watch": 1.0}, RandomPictures(SPACE), settings, cpu, NoStore())
